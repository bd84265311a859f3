"""Rice coding of differences (the RICE_1 of FITS): fast, lossless, integers only."""

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.array_codec import LosslessCodec
from compdistort.codecs.coder import Coder, Image, lossless


def _encode(array: Image, _level: float) -> bytes:
    return bytes(imagecodecs.rcomp_encode(array))


def _decode(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.rcomp_decode(stream, shape=shape, dtype=dtype))


CODER = Coder(
    name="rice", dtypes=("uint8", "int16", "uint16"), ndims=(2, 3), encode=_encode, decode=_decode, bound=lossless
)


@dataclass(frozen=True, kw_only=True)
class Rice(LosslessCodec):
    """Rice coding of 16-bit words, plane by plane.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Rice().describe()
    '16-bit words as they are; Rice; taken as they come back'
    """

    codec_id: ClassVar[str] = "rice"
    title: ClassVar[str] = "Rice"
    library: ClassVar[str] = "RCOMP"

    @property
    def coder(self) -> Coder:
        """The coder of integers."""
        return CODER
