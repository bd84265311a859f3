"""Tile compression of FITS (fpack) through astropy: quantised with subtractive dither, then Rice or H-compress.

The step is a part of the noise that is estimated from each tile, so it needs no sensor, and knows none.
"""

import io
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from compdistort.backend.planes import PlaneReader
from compdistort.codecs import fits_library
from compdistort.codecs.coder import Coder, Image
from compdistort.codecs.library_codec import FloatCodec, Knob
from compdistort.errors import ConfigError

COMPRESSIONS = {"rice": "RICE_1", "hcompress": "HCOMPRESS_1"}

SUBTRACTIVE_DITHER = 1
"""CFITSIO's method 1."""

SEED_OF_CONTENT = -1
"""The seed is the checksum of the image's first tile, so equal images are coded alike, and others have another."""


def _encode(plane: Image, level: float, *, compression: str) -> bytes:
    fits = fits_library.fits()
    rows, columns = plane.shape
    page = fits.CompImageHDU(
        plane,
        compression_type=COMPRESSIONS[compression],
        tile_shape=(1, columns) if compression == "rice" else (min(rows, 64), columns),
        quantize_level=level,
        quantize_method=SUBTRACTIVE_DITHER,
        dither_seed=SEED_OF_CONTENT,
    )
    stored = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), page]).writeto(stored)
    return stored.getvalue()


def _decode(stream: bytes, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> Image:
    with fits_library.fits().open(io.BytesIO(stream), memmap=False) as pages:
        found = np.asarray(pages[1].data)
    return found.astype(found.dtype.newbyteorder("="))


def coder(compression: str) -> Coder:
    """Return the coder of planes; astropy is imported when it is called."""
    return Coder(
        name=f"fpack-{compression}",
        dtypes=("float32",),
        encode=partial(_encode, compression=compression),
        decode=_decode,
    )


@dataclass(frozen=True, kw_only=True)
class Fpack(FloatCodec):
    """Tile compression of FITS, float32, plane by plane; the whole FITS file counts, its headers of a few kB included.

    Attributes
    ----------
    q : float or None
        Steps in the noise of a tile, as astropy estimates it: the step is noise / q; 0.1 to 100; with `ratio`, the one
        that `prepare` found. Steps above ten times the noise make no smaller files: every tile keeps its own numbers,
        some 10:1 are the end.
    compression : str
        ``rice`` (tiles are rows) or ``hcompress`` (tiles of 64 rows).
    ratio, search
        See `compdistort.codecs.library_codec.LibraryCodec`.

    Examples
    --------
    >>> Fpack(q=0.5).get_config()
    {'id': 'fpack', 'q': 0.5, 'compression': 'rice'}
    """

    codec_id: ClassVar[str] = "fpack"
    title: ClassVar[str] = "fpack"
    knob: ClassVar[Knob] = Knob(name="q", low=0.1, high=100, rising=False, log=True, example=1)

    q: float | None = None
    compression: str = "rice"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.compression, str) or self.compression not in COMPRESSIONS:
            raise ConfigError(
                f"codec 'fpack': compression = {self.compression!r} is unknown", f"use {' or '.join(COMPRESSIONS)}"
            )

    @classmethod
    def missing(cls) -> str:
        """Return what to install so that the codec works, or nothing."""
        return fits_library.missing()

    @property
    def coder(self) -> Coder:
        """The coder of planes."""
        return coder(self.compression)

    def check_planes(self, planes: Image | PlaneReader) -> None:
        """Refuse what cannot be carried, before anything is read; see `ArrayCodec.check_planes`."""
        super().check_planes(planes)
        fits_library.fits()

    def coder_words(self) -> str:
        """Return the coder in words, as in `describe`."""
        return f"{self.title} ({self.compression})"

    def link_settings(self) -> dict[str, Any]:
        """Return what the record says beside the knob."""
        return {"compression": self.compression}
