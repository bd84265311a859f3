"""JPEG-LS (CharLS), near-lossless: a bound for every pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image
from compdistort.codecs.library_codec import Knob, WordCodec

MAX_NEAR = 255
"""The format's end, so bright images of 16 bit may not come to a wanted ratio."""


def _encode(plane: Image, level: float) -> bytes:
    largest = int(np.iinfo(plane.dtype).max) // 2
    if level > largest:  # the library writes a codestream that it then refuses to read
        raise ValueError(f"near ends at {largest} for {plane.dtype}")
    return bytes(imagecodecs.jpegls_encode(plane, level=int(level)))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.jpegls_decode(stream))


def _near(level: float) -> float:
    return float(int(level))


CODER = Coder(name="jpegls", dtypes=("uint8", "uint16"), encode=_encode, decode=_decode, bound=_near)


@dataclass(frozen=True, kw_only=True)
class JpegLs(WordCodec):
    """JPEG-LS of 16-bit words, plane by plane: no pixel moves by more than `near`.

    Attributes
    ----------
    near : int or None
        Largest change of a pixel, DN (times the lattice where that is removed), 0 (lossless) to 255; with `ratio`, the
        one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> JpegLs(near=3).describe()
    '16-bit words as they are; JPEG-LS, near 3; taken as they come back'
    """

    codec_id: ClassVar[str] = "jpegls"
    title: ClassVar[str] = "JPEG-LS"
    library: ClassVar[str] = "JPEGLS"
    knob: ClassVar[Knob] = Knob(name="near", low=0, high=MAX_NEAR, rising=True, integer=True, example=3)

    near: int | None = None

    @property
    def coder(self) -> Coder:
        """The near-lossless coder."""
        return CODER
