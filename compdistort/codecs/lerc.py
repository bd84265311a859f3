"""LERC (Esri's limited error raster compression): a bound for every pixel, and a bias below it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image, by_level
from compdistort.codecs.library_codec import Knob, WordCodec

MAX_ERROR = 32767
"""Beyond it every block of 16-bit words would be one number."""


def _encode(plane: Image, level: float) -> bytes:
    return bytes(imagecodecs.lerc_encode(plane, level=level))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.lerc_decode(stream))


CODER = Coder(
    name="lerc",
    dtypes=("uint8", "int16", "uint16", "float32"),
    encode=_encode,
    decode=_decode,
    bound=by_level,
)


@dataclass(frozen=True, kw_only=True)
class Lerc(WordCodec):
    """LERC of 16-bit words, plane by plane: no pixel moves by more than `max_error`.

    A block whose grey levels span less than twice the bound becomes its minimum, so dim parts lose in the mean: a bad
    example that keeps its word.

    Attributes
    ----------
    max_error : int or None
        Largest change of a pixel, DN (times the lattice where that is removed), 0 (lossless) to 32767; with `ratio`,
        the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Lerc(max_error=8).describe()
    '16-bit words as they are; LERC, max_error 8; taken as they come back'
    """

    codec_id: ClassVar[str] = "lerc"
    title: ClassVar[str] = "LERC"
    library: ClassVar[str] = "LERC"
    knob: ClassVar[Knob] = Knob(name="max_error", low=0, high=MAX_ERROR, rising=True, integer=True, example=8)

    max_error: int | None = None

    @property
    def coder(self) -> Coder:
        """The coder of planes."""
        return CODER
