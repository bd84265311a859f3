"""JPEG XR (jxrlib), lossy."""

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image
from compdistort.codecs.library_codec import DepthCodec, Knob


def _encode(plane: Image, level: float) -> bytes:
    return bytes(imagecodecs.jpegxr_encode(plane, level=level))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.jpegxr_decode(stream))


CODER = Coder(name="jpegxr", dtypes=("uint8", "uint16"), encode=_encode, decode=_decode)


@dataclass(frozen=True, kw_only=True)
class JpegXr(DepthCodec):
    """JPEG XR, plane by plane; at high ratios it moves the mean of dark and bright parts.

    Attributes
    ----------
    quality : float or None
        jxrlib's image quality, 0.02 to 0.98; with `ratio`, the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> JpegXr(quality=0.9).quality
    0.9
    """

    codec_id: ClassVar[str] = "jpegxr"
    title: ClassVar[str] = "JPEG XR"
    library: ClassVar[str] = "JPEGXR"
    knob: ClassVar[Knob] = Knob(name="quality", low=0.02, high=0.98, rising=False, example=0.9)

    quality: float | None = None

    @property
    def coder(self) -> Coder:
        """The lossy coder."""
        return CODER
