"""WebP (libwebp): 8 bit, and colours only, so it is given three equal planes.

Without being told to lose anything the library ignores the level. The format keeps 220 grey levels of the 256.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image
from compdistort.codecs.library_codec import DepthCodec, Knob

MAX_SIDE = 16383
"""The format's largest side."""

_GREEN = 1


def _encode(plane: Image, level: float) -> bytes:
    colours = np.repeat(plane[..., None], 3, axis=2)
    return bytes(imagecodecs.webp_encode(colours, level=level, lossless=False, numthreads=1))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.ascontiguousarray(np.asarray(imagecodecs.webp_decode(stream))[..., _GREEN])


CODER = Coder(name="webp", dtypes=("uint8",), max_side=MAX_SIDE, encode=_encode, decode=_decode)


@dataclass(frozen=True, kw_only=True)
class WebP(DepthCodec):
    """Lossy WebP of 8 bit, plane by plane.

    Attributes
    ----------
    quality : float or None
        libwebp's quality, 0 to 100; with `ratio`, the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> WebP(quality=80).describe().split("; ")[1:]
    ['WebP, quality 80', 'back by the exact inverse of that scale']
    """

    codec_id: ClassVar[str] = "webp"
    title: ClassVar[str] = "WebP"
    library: ClassVar[str] = "WEBP"
    knob: ClassVar[Knob] = Knob(name="quality", low=0, high=100, rising=False, example=80)

    quality: float | None = None

    @property
    def coder(self) -> Coder:
        """The coder of 8 bit."""
        return CODER

    def code_bits(self) -> int:
        """Return the bits of a code."""
        return 8
