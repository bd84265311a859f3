"""Zstandard: a general coder of bytes, the baseline of what needs no knowledge of images."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image, lossless
from compdistort.codecs.effort_codec import EffortCodec


def _encode(array: Image, _level: float, *, effort: int) -> bytes:
    return bytes(imagecodecs.zstd_encode(array.tobytes(), level=effort))


def _decode(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    size = math.prod(shape) * dtype.itemsize  # damaged bytes may ask for any size: they get no more than this
    found = imagecodecs.zstd_decode(stream, out=size)
    return np.frombuffer(found, dtype).reshape(shape)


def coder(effort: int) -> Coder:
    """Return the coder; it takes bytes of any kind."""
    return Coder(
        name="zstd",
        dtypes=("uint8", "int16", "uint16", "float32"),
        ndims=(2, 3),
        encode=partial(_encode, effort=effort),
        decode=_decode,
        bound=lossless,
    )


@dataclass(frozen=True, kw_only=True)
class Zstd(EffortCodec):
    """Zstandard of 16-bit words, plane by plane.

    Attributes
    ----------
    effort : int
        Zstandard's level, 1 (fast) to 22 (small).
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Zstd()
    Zstd(lattice='keep', effort=19)
    """

    codec_id: ClassVar[str] = "zstd"
    title: ClassVar[str] = "Zstandard"
    library: ClassVar[str] = "ZSTD"
    efforts: ClassVar[range] = range(1, 23)

    effort: int = 19

    @property
    def coder(self) -> Coder:
        """The coder of bytes."""
        return coder(self.effort)
