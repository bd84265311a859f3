"""SPERR: wavelets and set partitioning of floats, by a bound for every value or by bits a pixel."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import imagecodecs
import numpy as np

from compdistort.codecs.coder import Coder, Image
from compdistort.codecs.library_codec import Knob
from compdistort.codecs.volume_codec import VolumeCodec


def _encode(array: Image, level: float, *, mode: Literal["pwe", "bpp"]) -> bytes:
    alone = array[0] if _one_plane(array.shape) else array
    return bytes(imagecodecs.sperr_encode(alone, level, mode, numthreads=1))


def _decode(stream: bytes, shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    found = np.asarray(imagecodecs.sperr_decode(stream, numthreads=1))
    return found[None] if _one_plane(shape) else found


def _one_plane(shape: tuple[int, ...]) -> bool:
    """Tell a stack of one plane: SPERR ends the whole process when it decodes one, but takes the plane alone."""
    return len(shape) == 3 and shape[0] == 1


def _max_error(level: float) -> float:
    """Return the bound: SPERR computes in float64, and what it gives is rounded to float32, below 65536 by 1/512."""
    return level + 1 / 512


CODER = Coder(
    name="sperr",
    dtypes=("float32",),
    ndims=(2, 3),
    encode=partial(_encode, mode="pwe"),
    decode=_decode,
    bound=_max_error,
)
CODER_RATE = Coder(
    name="sperr-rate", dtypes=("float32",), ndims=(2, 3), encode=partial(_encode, mode="bpp"), decode=_decode
)


@dataclass(frozen=True, kw_only=True)
class Sperr(VolumeCodec):
    """SPERR of float32 with a bound: no pixel moves by more than `max_error`.

    Attributes
    ----------
    max_error : float or None
        Largest change of a pixel, DN, 0.01 to 65535, and the rounding of float32 beyond it; with `ratio`, the one that
        `prepare` found.
    axes : str
        ``planes`` or ``volume``, see `compdistort.codecs.volume_codec.VolumeCodec`.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.

    Examples
    --------
    >>> Sperr(max_error=8, axes="volume").describe()[:59]
    'words as float32; SPERR, all planes together, max_error 8; '
    """

    codec_id: ClassVar[str] = "sperr"
    title: ClassVar[str] = "SPERR"
    library: ClassVar[str] = "SPERR"
    knob: ClassVar[Knob] = Knob(name="max_error", low=0.01, high=65535, rising=True, log=True, example=8)

    max_error: float | None = None

    @property
    def coder(self) -> Coder:
        """The coder with a bound."""
        return CODER


@dataclass(frozen=True, kw_only=True)
class SperrRate(VolumeCodec):
    """SPERR of float32 with a number of bits a pixel; nothing is promised of a pixel.

    Attributes
    ----------
    rate : float or None
        Bits a pixel, 0.02 to 16; with `ratio`, the one that `prepare` found.
    axes : str
        ``planes`` or ``volume``, see `compdistort.codecs.volume_codec.VolumeCodec`.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.

    Examples
    --------
    >>> SperrRate(rate=1.6).get_config()
    {'id': 'sperr-rate', 'axes': 'planes', 'rate': 1.6}
    """

    codec_id: ClassVar[str] = "sperr-rate"
    title: ClassVar[str] = "SPERR by rate"
    library: ClassVar[str] = "SPERR"
    knob: ClassVar[Knob] = Knob(name="rate", low=0.02, high=16, rising=False, log=True, example=1.6)

    rate: float | None = None

    @property
    def coder(self) -> Coder:
        """The coder of a rate."""
        return CODER_RATE
