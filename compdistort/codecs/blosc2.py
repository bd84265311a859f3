"""Blosc2 with Zstandard behind a bit shuffle, as zarr arrays are usually stored."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image, lossless
from compdistort.codecs.effort_codec import EffortCodec
from compdistort.codecs.volume_codec import check_axes

UNIT = 8
"""Bytes are filled up to a multiple of it: Blosc2 cannot decode its own zeros where their number is another."""


def _encode(array: Image, _level: float, *, effort: int) -> bytes:
    stream = imagecodecs.blosc2_encode(
        array.tobytes() + bytes(-array.nbytes % UNIT),
        level=effort,
        compressor="zstd",
        shuffle="bitshuffle",
        typesize=array.dtype.itemsize,
        numthreads=1,
    )
    return bytes(stream)


def _decode(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    count = math.prod(shape)
    size = count * dtype.itemsize  # damaged bytes may ask for any size: they get no more than what is expected
    found = imagecodecs.blosc2_decode(stream, numthreads=1, out=size + -size % UNIT)
    return np.frombuffer(found, dtype, count).reshape(shape)


def coder(effort: int) -> Coder:
    """Return the coder; it takes bytes of any kind."""
    return Coder(
        name="blosc2",
        dtypes=("uint8", "int16", "uint16", "float32"),
        ndims=(2, 3),
        encode=partial(_encode, effort=effort),
        decode=_decode,
        bound=lossless,
    )


@dataclass(frozen=True, kw_only=True)
class Blosc2(EffortCodec):
    """Blosc2 of 16-bit words: Zstandard after a bit shuffle.

    Attributes
    ----------
    effort : int
        Blosc2's level, 1 (fast) to 9 (small).
    axes : str
        ``planes`` (default): every plane by itself. ``volume``: all planes as one array, which must fit into memory.
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Blosc2(effort=5).settings()
    {'codec': 'blosc2', 'effort': 5, 'axes': 'planes'}
    """

    codec_id: ClassVar[str] = "blosc2"
    title: ClassVar[str] = "Blosc2 (Zstandard, bit shuffle)"
    library: ClassVar[str] = "BLOSC2"
    efforts: ClassVar[range] = range(1, 10)

    effort: int = 9
    axes: str = "planes"

    def __post_init__(self) -> None:
        check_axes(self.codec_id, self.axes)
        super().__post_init__()

    @property
    def coder(self) -> Coder:
        """The coder of bytes."""
        return coder(self.effort)

    @property
    def together(self) -> bool:
        """Whether the planes of a volume are coded together, as one array."""
        return self.axes == "volume"

    def settings(self) -> dict[str, Any]:
        """Return the head of the record."""
        return {**super().settings(), "axes": self.axes}

    def describe(self) -> str:
        """Return the chain in words."""
        coder = f"{self.title}, all planes together" if self.together else self.title
        return f"{self.link.describe_forward()}; {coder}; {self.link.describe_back()}"
