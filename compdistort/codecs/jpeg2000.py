"""JPEG 2000 (OpenJPEG), lossy and lossless.

The lossy setting is a peak signal-to-noise ratio against the declared depth: a 12-bit image in 16-bit words at 60 dB
would collapse. So the depth link fills the whole scale.
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
    psnr: Any = 0 if reversible else level  # the library's annotation says int, and it keeps fractions
    return bytes(
        imagecodecs.jpeg2k_encode(
            plane,
            level=psnr,
            codecformat="j2k",
            bitspersample=8 * plane.dtype.itemsize,
            reversible=reversible,
            numthreads=1,
        )
    )


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.jpeg2k_decode(stream, numthreads=1))


CODER = Coder(
    name="jpeg2000",
    dtypes=("uint8", "int16", "uint16"),  # uint32 comes back wrong, even where it is called reversible
    encode=partial(_encode, reversible=False),
    decode=_decode,
)
CODER_LOSSLESS = Coder(
    name="jpeg2000-lossless",
    dtypes=("uint8", "int16", "uint16"),
    encode=partial(_encode, reversible=True),
    decode=_decode,
    bound=lossless,
)


@dataclass(frozen=True, kw_only=True)
class Jpeg2000(DepthCodec):
    """JPEG 2000 with the 9/7 wavelet, plane by plane.

    Attributes
    ----------
    psnr : float or None
        Peak signal-to-noise ratio, dB, against the full scale of 16 bit that the depth link fills, 20 to 120; with
        `ratio`, the one that `prepare` found.
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> Jpeg2000(psnr=60).describe().split("; ")[1]
    'JPEG 2000, psnr 60'
    """

    codec_id: ClassVar[str] = "jpeg2000"
    title: ClassVar[str] = "JPEG 2000"
    library: ClassVar[str] = "JPEG2K"
    knob: ClassVar[Knob] = Knob(name="psnr", low=20, high=120, rising=False, example=60)

    psnr: float | None = None

    @property
    def coder(self) -> Coder:
        """The lossy coder."""
        return CODER


@dataclass(frozen=True, kw_only=True)
class Jpeg2000Lossless(LosslessCodec):
    """JPEG 2000 with the reversible 5/3 wavelet, plane by plane.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> Jpeg2000Lossless()
    Jpeg2000Lossless(lattice='keep')
    """

    codec_id: ClassVar[str] = "jpeg2000-lossless"
    title: ClassVar[str] = "JPEG 2000, reversible"
    library: ClassVar[str] = "JPEG2K"

    @property
    def coder(self) -> Coder:
        """The reversible coder."""
        return CODER_LOSSLESS
