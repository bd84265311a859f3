"""Fewer bits a pixel and nothing else: the paper's "8 bit"."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from compdistort.codecs.base import CodecResult, ConfigCodec, Image, check_image, make_result
from compdistort.codecs.depth_link import DepthLink
from compdistort.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BitDepth(ConfigCodec):
    """Reduce 16 bit to 8, and bring it back to the raw scale.

    Attributes
    ----------
    bits : int
        Bits of the reduced image: 8.
    range, rounding, inverse : str
        Named policies, see `compdistort.codecs.depth_link.DepthLink`; empty = the default.
    camera_bits : int
        Significant bits of the camera (12 for a 12-bit camera stored in 16): top of the range ``full``, and the inverse
        ``shift`` is then ``>> (camera_bits - 8)`` and back.

    Examples
    --------
    >>> BitDepth(inverse="shift", camera_bits=12)
    BitDepth(bits=8, range='full', rounding='floor', inverse='shift', camera_bits=12)
    """

    codec_id: ClassVar[str] = "bit-depth"

    bits: int = 8
    range: str = ""
    rounding: str = ""
    inverse: str = "exact"
    camera_bits: int = 16

    def __post_init__(self) -> None:
        if self.bits != 8:
            raise ConfigError(
                f"codec 'bit-depth': bits = {self.bits!r}, but the reduced image has 8",
                "leave it out; the significant bits of the camera are camera_bits",
            )
        link = DepthLink.resolved(self.bits, self.camera_bits, self.range, self.rounding, self.inverse)
        object.__setattr__(self, "range", link.range)
        object.__setattr__(self, "rounding", link.rounding)

    @property
    def link(self) -> DepthLink:
        """The depth link."""
        return DepthLink.resolved(self.bits, self.camera_bits, self.range, self.rounding, self.inverse)

    def prepare(self, raw: Image) -> Self:
        """Return the codec itself: its range belongs to each image, so there is nothing to fix."""
        check_image(self.codec_id, raw)
        return self

    def apply(self, image: Image) -> CodecResult:
        """Reduce and restore an image.

        Parameters
        ----------
        image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Image, DN.

        Returns
        -------
        CodecResult
            One byte a pixel, and 0 to 4 bytes for the range.

        Raises
        ------
        CodecRangeError
            If the image is not uint16 or has another shape.
        """
        check_image(self.codec_id, image)
        scale = self.link.scale(image)
        codes = scale.reduce(image)
        record: dict[str, Any] = {"codec": self.codec_id, "inverse": self.inverse, **scale.record(image)}
        return make_result(self.codec_id, image, scale.restore(codes), codes.nbytes + scale.side_bytes, record)

    def describe(self) -> str:
        """Return the chain in words."""
        return f"{self.link.describe_forward()}; {self.link.describe_back()}"
