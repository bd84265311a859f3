"""ZFP: blocks of four values a side, by a bound for every value or by bits a pixel.

At the rates of a study it biases the image and shows its blocks: a bad example, and a common one. It is called through
imagecodecs: a release of the package zfpy stops others from being imported, see `compdistort.codecs.fits_library`.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import imagecodecs
import numpy as np

from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, Levels
from compdistort.codecs.coder import Coder, Image, by_level, encoded
from compdistort.codecs.library_codec import Knob
from compdistort.codecs.ratio_search import STEP_TOLERANCE, TOLERANCE, RatioSearch
from compdistort.codecs.volume_codec import VolumeCodec

BLOCK_SIDE = 4
"""Values along each axis that are coded together."""

LEAST_BITS = 9
"""A block of float32 holds a flag and an exponent: below this ZFP spends no less, and says nothing."""


def _encode(array: Image, level: float) -> bytes:
    return _stream(array, level, mode="a")


def _encode_rate(array: Image, level: float) -> bytes:
    least = LEAST_BITS / BLOCK_SIDE**array.ndim
    if level < least:
        raise ValueError(f"a block takes {LEAST_BITS} bits, so the rate is at least {least:g} bits a pixel")
    return _stream(array, level, mode="r")


def _stream(array: Image, level: float, *, mode: str) -> bytes:
    call: Any = imagecodecs.zfp_encode  # its stub knows levels of whole numbers alone
    return bytes(call(array, level=level, mode=mode, numthreads=1))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.zfp_decode(stream, numthreads=1))


CODER = Coder(name="zfp", dtypes=("float32",), ndims=(2, 3), encode=_encode, decode=_decode, bound=by_level)
CODER_RATE = Coder(name="zfp-rate", dtypes=("float32",), ndims=(2, 3), encode=_encode_rate, decode=_decode)


@dataclass(frozen=True, kw_only=True)
class Zfp(VolumeCodec):
    """ZFP of float32 with a bound: no pixel moves by more than `max_error`, which ZFP rounds down to a power of two.

    Attributes
    ----------
    max_error : float or None
        Largest change of a pixel, DN, 0.05 to 65536; with `ratio`, the one that `prepare` found.
    axes : str
        ``planes`` or ``volume``, see `compdistort.codecs.volume_codec.VolumeCodec`.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.

    Examples
    --------
    >>> Zfp(max_error=8).describe()
    'words as float32; ZFP, max_error 8; left as float32, clipped to 0 to 65535 DN'
    """

    codec_id: ClassVar[str] = "zfp"
    title: ClassVar[str] = "ZFP"
    library: ClassVar[str] = "ZFP"
    knob: ClassVar[Knob] = Knob(name="max_error", low=0.05, high=65536, rising=True, log=True, example=8)

    max_error: float | None = None

    @property
    def coder(self) -> Coder:
        """The coder with a bound."""
        return CODER


@dataclass(frozen=True, kw_only=True)
class ZfpRate(VolumeCodec):
    """ZFP of float32 with a number of bits a pixel: a wanted ratio needs no search, down to 9 bits a block.

    Attributes
    ----------
    rate : float or None
        Bits a pixel, in steps of one bit a block: 9/16 (9/64 in a volume) to 32; with `ratio`, the one that comes
        nearest.
    axes : str
        ``planes`` or ``volume``, see `compdistort.codecs.volume_codec.VolumeCodec`.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`; the search is one encode.

    Examples
    --------
    >>> ZfpRate(rate=1.625, axes="volume").get_config()
    {'id': 'zfp-rate', 'axes': 'volume', 'rate': 1.625}
    """

    codec_id: ClassVar[str] = "zfp-rate"
    title: ClassVar[str] = "ZFP by rate"
    library: ClassVar[str] = "ZFP"
    knob: ClassVar[Knob] = Knob(
        name="rate", low=LEAST_BITS / BLOCK_SIDE**3, high=32, rising=False, log=True, example=1.6
    )

    rate: float | None = None

    @property
    def coder(self) -> Coder:
        """The coder of a rate."""
        return CODER_RATE

    def _found(self, arrays: list[Image], levels: Levels) -> Self:
        """Return the codec with the rate whose bits a block come nearest, and what it gives."""
        assert self.ratio is not None
        scale, values = self.link.scale(levels), BLOCK_SIDE ** arrays[0].ndim
        wanted = 8 * RAW_BYTES_PER_PIXEL * values / self.ratio
        below = max(math.floor(wanted), LEAST_BITS)
        bits = below if wanted <= math.sqrt(below * (below + 1)) else below + 1
        streams = [encoded(self.coder, scale.reduce(each), bits / values) for each in arrays]
        size = RAW_BYTES_PER_PIXEL * sum(each.size for each in arrays)
        ratio = size / (sum(map(len, streams)) + scale.side_bytes)
        off = abs(ratio / self.ratio - 1)
        limit = "" if off <= TOLERANCE else ("range" if wanted < LEAST_BITS else "step")
        found = RatioSearch(
            target=self.ratio,
            knob=bits / values,
            ratio=ratio,
            reached=off <= TOLERANCE or (limit == "step" and off <= STEP_TOLERANCE),
            limit=limit,
            encodes=1,
        )
        return replace(self, rate=found.knob, search=found)
