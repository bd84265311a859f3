"""JPEG XL (libjxl), lossy and lossless.

The lossy coder takes its data for light on a display of full scale: a 12-bit image in 16-bit words would be dark and
lose almost everything. So the depth link fills the whole scale. One thread: studies run their images side by side.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import imagecodecs
import numpy as np

from compdistort.codecs.array_codec import LosslessCodec
from compdistort.codecs.coder import Coder, Image, lossless
from compdistort.codecs.library_codec import DepthCodec, Knob
from compdistort.errors import ConfigError

EFFORTS = range(1, 10)


def _encode(plane: Image, level: float, *, effort: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(plane, lossless=False, distance=level, effort=effort, numthreads=1))


def _encode_lossless(plane: Image, _level: float, *, effort: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(plane, lossless=True, effort=effort, numthreads=1))


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    return np.asarray(imagecodecs.jpegxl_decode(stream, numthreads=1))


def coder(effort: int) -> Coder:
    """Return the lossy coder; float32 would have to be light of 0 to 1, so integers only."""
    return Coder(name="jpegxl", dtypes=("uint8", "uint16"), encode=partial(_encode, effort=effort), decode=_decode)


def lossless_coder(effort: int) -> Coder:
    """Return the lossless coder."""
    return Coder(
        name="jpegxl-lossless",
        dtypes=("uint8", "uint16", "float32"),
        encode=partial(_encode_lossless, effort=effort),
        decode=_decode,
        bound=lossless,
    )


@dataclass(frozen=True, kw_only=True)
class JpegXl(DepthCodec):
    """Lossy JPEG XL, plane by plane.

    Attributes
    ----------
    distance : float or None
        libjxl's Butteraugli distance, 0.05 (fine) to 25; with `ratio`, the one that `prepare` found.
    effort : int
        1 (fast) to 9 (small).
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.

    Examples
    --------
    >>> JpegXl(ratio=10).effort
    5
    """

    codec_id: ClassVar[str] = "jpegxl"
    title: ClassVar[str] = "JPEG XL"
    library: ClassVar[str] = "JPEGXL"
    knob: ClassVar[Knob] = Knob(name="distance", low=0.05, high=25, rising=True, log=True, example=1)

    distance: float | None = None
    effort: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_effort(self.codec_id, self.effort)

    @property
    def coder(self) -> Coder:
        """The lossy coder."""
        return coder(self.effort)

    def link_settings(self) -> dict[str, Any]:
        """Return what the record says of link and effort."""
        return {"effort": self.effort, **super().link_settings()}


@dataclass(frozen=True, kw_only=True)
class JpegXlLossless(LosslessCodec):
    """Lossless JPEG XL, plane by plane: the smallest of the stock lossless coders on noisy images.

    Attributes
    ----------
    effort : int
        1 (fast) to 9 (small).
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.

    Examples
    --------
    >>> JpegXlLossless().describe()
    '16-bit words as they are; lossless JPEG XL; taken as they come back'
    """

    codec_id: ClassVar[str] = "jpegxl-lossless"
    title: ClassVar[str] = "lossless JPEG XL"
    library: ClassVar[str] = "JPEGXL"

    effort: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_effort(self.codec_id, self.effort)

    @property
    def coder(self) -> Coder:
        """The lossless coder."""
        return lossless_coder(self.effort)

    def settings(self) -> dict[str, Any]:
        """Return the head of the record."""
        return {**super().settings(), "effort": self.effort}


def _check_effort(codec_id: str, effort: Any) -> None:
    if type(effort) is not int or effort not in EFFORTS:
        raise ConfigError(f"codec '{codec_id}': effort = {effort!r} is not possible", "use a whole number, 1 to 9")
