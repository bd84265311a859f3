"""High-throughput JPEG 2000 (OpenJPH), lossy and lossless.

The quantiser's step is a part of the declared scale, so the depth link fills the whole scale. A stack comes back with
its axes turned and other values: planes only.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.array_codec import LosslessCodec
from compdistort.codecs.coder import Coder, Image, lossless
from compdistort.codecs.library_codec import DepthCodec, Knob


def _encode(plane: Image, level: float, *, reversible: bool) -> bytes:
    return bytes(imagecodecs.htj2k_encode(plane, level=None if reversible else level, reversible=reversible))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.htj2k_decode(stream))


CODER = Coder(
    name="htj2k", dtypes=("uint8", "int16", "uint16"), encode=partial(_encode, reversible=False), decode=_decode
)
CODER_LOSSLESS = Coder(
    name="htj2k-lossless",
    dtypes=("uint8", "int16", "uint16"),
    encode=partial(_encode, reversible=True),
    decode=_decode,
    bound=lossless,
)


@dataclass(frozen=True, kw_only=True)
class Htj2k(DepthCodec):
    """High-throughput JPEG 2000 with the 9/7 wavelet, plane by plane.

    Attributes
    ----------
    step : float or None
        Quantiser step as a part of the full scale of 16 bit that the depth link fills, 0.00001 to 0.5; with `ratio`,
        the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> Htj2k(ratio=10).knob.name
    'step'
    """

    codec_id: ClassVar[str] = "htj2k"
    title: ClassVar[str] = "high-throughput JPEG 2000"
    library: ClassVar[str] = "HTJ2K"
    knob: ClassVar[Knob] = Knob(name="step", low=1e-5, high=0.5, rising=True, log=True, example=0.005)

    step: float | None = None

    @property
    def coder(self) -> Coder:
        """The lossy coder."""
        return CODER


@dataclass(frozen=True, kw_only=True)
class Htj2kLossless(LosslessCodec):
    """High-throughput JPEG 2000 with the reversible 5/3 wavelet, plane by plane.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Htj2kLossless(lattice="remove")
    Htj2kLossless(lattice='remove')
    """

    codec_id: ClassVar[str] = "htj2k-lossless"
    title: ClassVar[str] = "high-throughput JPEG 2000, reversible"
    library: ClassVar[str] = "HTJ2K"

    @property
    def coder(self) -> Coder:
        """The reversible coder."""
        return CODER_LOSSLESS
