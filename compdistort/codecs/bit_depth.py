"""Fewer bits a pixel and nothing else: the paper's "8 bit"."""

from dataclasses import dataclass
from typing import ClassVar, Self

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import Image, Levels, check_image
from compdistort.codecs.depth_link import DepthLink
from compdistort.codecs.plane_coder import PlaneCoder
from compdistort.codecs.planewise import PlanewiseCodec
from compdistort.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BitDepth(PlanewiseCodec):
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
        if type(self.bits) is not int or self.bits != 8:
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

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec itself: its range belongs to each image, so there is nothing to fix."""
        check_image(self.codec_id, planes)
        return self

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes: one byte a pixel, and 0 to 4 bytes for the range.

        Raises
        ------
        CodecRangeError
            If the planes are not uint16 or have another shape.
        """
        check_image(self.codec_id, planes)
        settings = {"codec": self.codec_id, "inverse": self.inverse}
        return self.link.scale(levels).plane_coder(_store, settings)

    def describe(self) -> str:
        """Return the chain in words."""
        return f"{self.link.describe_forward()}; {self.link.describe_back()}"


def _store(codes: Image) -> tuple[Image, int]:
    return codes, codes.nbytes
