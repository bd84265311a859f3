"""Adaptive entropy coding of CCSDS 121 (libaec, the szip of HDF5): fast, lossless, integers only."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.array_codec import LosslessCodec
from compdistort.codecs.coder import Coder, Image, lossless

BLOCK = 16
"""Values that share one code."""

BLOCKS_PER_REFERENCE = 128
"""Blocks from one value that is stored whole to the next."""


def _settings(dtype: np.dtype[Any]) -> dict[str, int]:
    flags = int(imagecodecs.AEC.FLAG.DATA_PREPROCESS)
    if dtype.kind == "i":
        flags |= imagecodecs.AEC.FLAG.DATA_SIGNED
    return {
        "bitspersample": 8 * dtype.itemsize,
        "flags": flags,
        "blocksize": BLOCK,
        "rsi": BLOCKS_PER_REFERENCE,
    }


def _encode(array: Image, _level: float) -> bytes:
    return bytes(imagecodecs.aec_encode(array.tobytes(), **_settings(array.dtype)))


def _decode(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    count = math.prod(shape)
    size = -(-count // BLOCK) * BLOCK * dtype.itemsize  # the last block is decoded as a whole
    found = imagecodecs.aec_decode(stream, out=size, **_settings(dtype))
    return np.frombuffer(found, dtype, count).reshape(shape)


CODER = Coder(
    name="aec", dtypes=("uint8", "int16", "uint16"), ndims=(2, 3), encode=_encode, decode=_decode, bound=lossless
)


@dataclass(frozen=True, kw_only=True)
class Aec(LosslessCodec):
    """Adaptive entropy coding (CCSDS 121) of 16-bit words, plane by plane.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Aec().describe()
    '16-bit words as they are; AEC (CCSDS 121); taken as they come back'
    """

    codec_id: ClassVar[str] = "aec"
    title: ClassVar[str] = "AEC (CCSDS 121)"
    library: ClassVar[str] = "AEC"

    @property
    def coder(self) -> Coder:
        """The coder of integers."""
        return CODER
