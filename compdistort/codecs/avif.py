"""AVIF (libavif) of 8 or 12 bit.

The library codes a grey image without loss, whatever the quality, so it is given three equal planes and stores the
luma alone. It clips 16-bit values without a word, so values above 4095 are refused and the depth link reduces them. Its
100 qualities are some 60 steps, and one step may change the size by a quarter: a wanted ratio is often not reached.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image
from compdistort.codecs.library_codec import Knob
from compdistort.codecs.two_depths import TwoDepthsCodec

SPEED = 8
"""libavif's 0 (slow) to 10: 8 is within a few percent of the size of slower ones."""

MAX_SIDE = 32768
"""libavif's limit of its decoder."""


def _encode(plane: Image, level: float, *, bits: int) -> bytes:
    grey = np.repeat(plane[..., None], 3, axis=2)
    return bytes(
        imagecodecs.avif_encode(
            grey, level=int(level), speed=SPEED, bitspersample=bits, pixelformat="400", numthreads=1
        )
    )


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.avif_decode(stream, numthreads=1))


CODER_8 = Coder(
    name="avif of 8 bit", dtypes=("uint8",), max_side=MAX_SIDE, encode=partial(_encode, bits=8), decode=_decode
)
CODER_12 = Coder(
    name="avif",
    dtypes=("uint16",),
    largest=4095,
    max_side=MAX_SIDE,
    encode=partial(_encode, bits=12),
    decode=_decode,
)


@dataclass(frozen=True, kw_only=True)
class Avif(TwoDepthsCodec):
    """AVIF of the luma alone, plane by plane.

    Attributes
    ----------
    bits : int
        8 or 12.
    quality : int or None
        libavif's quality, 0 to 99; with `ratio`, the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> Avif(quality=80).bits
    12
    """

    codec_id: ClassVar[str] = "avif"
    title: ClassVar[str] = "AVIF"
    library: ClassVar[str] = "AVIF"
    coders: ClassVar[Mapping[int, Coder]] = {8: CODER_8, 12: CODER_12}
    knob: ClassVar[Knob] = Knob(name="quality", low=0, high=99, rising=False, integer=True, example=80)

    bits: int = 12
    quality: int | None = None
