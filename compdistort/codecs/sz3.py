"""SZ3: prediction and quantisation of floats with a bound for every value."""

from dataclasses import dataclass
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image, by_level
from compdistort.codecs.library_codec import Knob
from compdistort.codecs.volume_codec import VolumeCodec


def _encode(array: Image, level: float) -> bytes:
    return bytes(imagecodecs.sz3_encode(array, mode="abs", abs=level))


def _decode(stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.sz3_decode(stream, shape=shape, dtype=dtype))


CODER = Coder(name="sz3", dtypes=("float32",), ndims=(2, 3), encode=_encode, decode=_decode, bound=by_level)


@dataclass(frozen=True, kw_only=True)
class Sz3(VolumeCodec):
    """SZ3 of float32: no pixel moves by more than `max_error`.

    Attributes
    ----------
    max_error : float or None
        Largest change of a pixel, DN, 0.01 to 65535; with `ratio`, the one that `prepare` found.
    axes : str
        ``planes`` or ``volume``, see `compdistort.codecs.volume_codec.VolumeCodec`.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.

    Examples
    --------
    >>> Sz3(max_error=8).describe()
    'words as float32; SZ3, max_error 8; left as float32, clipped to 0 to 65535 DN'
    """

    codec_id: ClassVar[str] = "sz3"
    title: ClassVar[str] = "SZ3"
    library: ClassVar[str] = "SZ3"
    knob: ClassVar[Knob] = Knob(name="max_error", low=0.01, high=65535, rising=True, log=True, example=8)

    max_error: float | None = None

    @property
    def coder(self) -> Coder:
        """The coder of float32."""
        return CODER
