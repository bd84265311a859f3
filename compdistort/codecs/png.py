"""PNG of 16 bit: the lossless baseline that every program reads."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image, lossless
from compdistort.codecs.effort_codec import EffortCodec


def _encode(plane: Image, _level: float, *, effort: int) -> bytes:
    return bytes(imagecodecs.png_encode(plane, level=effort))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.png_decode(stream))


def coder(effort: int) -> Coder:
    """Return the coder; planes only: a third axis of 2 to 4 would be taken for colours."""
    return Coder(
        name="png",
        dtypes=("uint8", "uint16"),
        encode=partial(_encode, effort=effort),
        decode=_decode,
        bound=lossless,
    )


@dataclass(frozen=True, kw_only=True)
class Png(EffortCodec):
    """PNG of 16-bit words, plane by plane.

    Attributes
    ----------
    effort : int
        zlib's level, 1 (fast) to 9 (small).
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Png().describe()
    '16-bit words as they are; PNG; taken as they come back'
    """

    codec_id: ClassVar[str] = "png"
    title: ClassVar[str] = "PNG"
    library: ClassVar[str] = "PNG"
    efforts: ClassVar[range] = range(1, 10)

    effort: int = 6

    @property
    def coder(self) -> Coder:
        """The coder of planes."""
        return coder(self.effort)
