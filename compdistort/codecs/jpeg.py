"""JPEG of 8 or 12 bit behind a named depth link, and the lossless JPEG of 16 bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.array_codec import LosslessCodec
from compdistort.codecs.coder import Coder, Image, lossless
from compdistort.codecs.library_codec import Knob
from compdistort.codecs.two_depths import TwoDepthsCodec

MAX_SIDE = 65500
"""Most rows or columns that libjpeg takes."""


def _encode(plane: Image, level: float, *, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(plane, level=int(level), bitspersample=bits, optimize=True))


def _encode_lossless(plane: Image, _level: float) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(plane, lossless=True, bitspersample=8 * plane.dtype.itemsize))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.jpeg8_decode(stream))


CODER_8 = Coder(name="jpeg", dtypes=("uint8",), max_side=MAX_SIDE, encode=partial(_encode, bits=8), decode=_decode)
CODER_12 = Coder(
    name="jpeg of 12 bit",
    dtypes=("uint16",),
    largest=4095,
    max_side=MAX_SIDE,
    encode=partial(_encode, bits=12),
    decode=_decode,
)
CODER_SOF3 = Coder(
    name="jpeg-sof3",
    dtypes=("uint8", "uint16"),
    max_side=MAX_SIDE,
    encode=_encode_lossless,
    decode=_decode,
    bound=lossless,
)


@dataclass(frozen=True, kw_only=True)
class Jpeg(TwoDepthsCodec):
    """Baseline JPEG (grey, optimised Huffman tables), plane by plane.

    Attributes
    ----------
    bits : int
        8 or 12.
    quality : int or None
        libjpeg's quality, 1 to 100; with `ratio`, the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> Jpeg(quality=90).describe()[:31]
    "8 bit by ImageJ's formula from "
    """

    codec_id: ClassVar[str] = "jpeg"
    title: ClassVar[str] = "JPEG"
    library: ClassVar[str] = "JPEG8"
    coders: ClassVar[Mapping[int, Coder]] = {8: CODER_8, 12: CODER_12}
    knob: ClassVar[Knob] = Knob(name="quality", low=1, high=100, rising=False, integer=True, example=90)

    quality: int | None = None


@dataclass(frozen=True, kw_only=True)
class JpegSof3(LosslessCodec):
    """Lossless JPEG of 16 bit (frame type SOF3), plane by plane.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> JpegSof3().describe()
    '16-bit words as they are; lossless JPEG (SOF3); taken as they come back'
    """

    codec_id: ClassVar[str] = "jpeg-sof3"
    title: ClassVar[str] = "lossless JPEG (SOF3)"
    library: ClassVar[str] = "JPEG8"

    @property
    def coder(self) -> Coder:
        """The coder of 8 and 16 bit."""
        return CODER_SOF3
