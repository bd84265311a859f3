"""Noise-stabilised quantisation with subtractive dither: grey levels to indices, and back without bias.

With t the place of a pixel on the scale of `compdistort.codecs.vsq.stabiliser` and d its dither, both in cells::

    q = floor(t + d),    t' = q + 1/2 - d,    decoded = y(t') - y''(t') / 24

t' - t is uniform in +-1/2, white, and independent of the image [1]_, whatever its noise really is: a wrong calibration
costs noise, never bias. Indices come from integers alone. A pixel decoded to a whole grey level lies in its own cell
always, so that coding it again with the same seed changes nothing.

References
----------
.. [1] Schuchman (1964), Dither signals and their effect on quantization noise, IEEE Trans. Commun. Technol. 12.
"""

import math
from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compdistort.codecs.vsq.added_noise import root_worst_db, table_worst_db
from compdistort.codecs.vsq.dither import CELL, FRACTION_BITS, dither
from compdistort.codecs.vsq.limits import KNEE, check_settings
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.codecs.vsq.stabiliser import RootScale, Stabiliser, TableScale, cell_widths
from compdistort.errors import CodecRangeError, ConfigError

Indices = NDArray[np.uint16]
Int32 = NDArray[np.int32]

_SETTINGS = ("step", "top", "bottom", "lattice", "knee", "dither", "max_db")
_DARK_SIGMAS = 5
_DAMAGED = "the file is damaged, or its indices were made with another noise law or seed"
_INDEX_TOP = 65535


class Quantiser:
    """What turns the grey levels of an image into indices, and back.

    Parameters
    ----------
    law : NoiseLaw
        Noise of the image, in its own grey levels.
    step : float
        Width of a cell in standard deviations of the noise, 0.05 to 16.
    top : int, optional
        Grey level of saturated pixels, DN, by default the law's largest; they keep an index of their own.
    bottom : int
        Lowest grey level, DN; pixels there have an index of their own, too, if less than 5 read noises below the
        offset.
    lattice : int
        Power of two that all grey levels are multiples of; decoded ones are, too.
    knee : float
        Where the scale begins to bend, in read noises above the offset.
    dither : {"subtractive", "none", "replaced"}
        ``"none"`` is plain rounding, for steps up to 1.5; ``"replaced"`` is plain rounding, too, but the place of a
        pixel in its cell is drawn afresh when it is decoded.
    max_db : float, optional
        Bound of the noise that decoded whole grey levels add at any level, dB: cells shrink where rounding adds more.

    Attributes
    ----------
    saturated : int
        Index of saturated pixels, above every other.

    Raises
    ------
    ConfigError
        If a setting is not usable.

    Examples
    --------
    >>> law = NoiseLaw(offset_dn=100, gain_dn_per_e=2.0, read_noise_dn=3.0)
    >>> quantiser = Quantiser(law, step=2.0)
    >>> plane = np.array([[98, 105, 400, 65535]], np.uint16)
    >>> indices = quantiser.quantise(plane, seed=1)
    >>> decoded = quantiser.restore(indices, seed=1)
    >>> decoded.tolist(), bool((quantiser.quantise(decoded, seed=1) == indices).all())
    ([[98, 105, 406, 65535]], True)
    """

    def __init__(
        self,
        law: NoiseLaw,
        *,
        step: float = 2.0,
        top: int | None = None,
        bottom: int = 0,
        lattice: int = 1,
        knee: float = KNEE,
        dither: str = "subtractive",
        max_db: float | None = None,
    ) -> None:
        self.law, self.lattice, self.dither, self.knee, self.max_db = law, lattice, dither, knee, max_db
        self.step, self.top, self.bottom = step, law.max_dn if top is None else top, bottom
        check_settings(self)
        self.step, self.knee = float(step), float(knee)
        self._law, self._top = law.scaled(lattice), self.top // lattice
        self._lowest, self.bottom_coded = self._find_lowest()
        highest = self._top - 1
        if max_db is None and law.table is None:
            self._scale: Stabiliser = RootScale(self._law, self.step, self._lowest, highest, self.knee)
        else:
            self._scale = TableScale(self._widths(), self._lowest)
        # Whole cells, so that a pixel's index depends on its own noise alone, whatever the lowest level is.
        self._base = (self._scale.lowest // CELL - self.bottom_coded) * CELL
        self.saturated = ((self._scale.highest - self._base + CELL - 1) >> FRACTION_BITS) + 1
        if self.saturated > _INDEX_TOP:
            raise ConfigError(
                f"step = {step} gives {self.saturated + 1} indices, more than 65536", "take a larger step"
            )

    def quantise(self, plane: NDArray[Any], seed: int, chunk: int = 0) -> Indices:
        """Return the indices of pixels.

        Parameters
        ----------
        plane : ndarray of shape (rows, columns), uint16
            Grey levels, DN; of the maps' shape where the law has maps.
        seed, chunk : int
            Key of the dither.

        Returns
        -------
        ndarray of shape (rows, columns), uint16
            Indices from 0 to `saturated`.

        Raises
        ------
        CodecRangeError
            If a pixel lies above `top`, below `bottom` or off the lattice.
        """
        words = self._words(plane)
        indices = self._indices(words, self.dither_of(plane.shape, seed, chunk))
        if self.bottom_coded:
            indices[words < self._lowest] = 0
        indices[words >= self._top] = self.saturated
        return indices.astype(np.uint16)

    def restore(self, indices: NDArray[Any], seed: int, chunk: int = 0, dtype: DTypeLike = np.uint16) -> NDArray[Any]:
        """Return the pixels of indices.

        Parameters
        ----------
        indices : ndarray of shape (rows, columns), uint16
            From `quantise`, with the same key.
        seed, chunk : int
            Key of the dither.
        dtype : dtype
            uint16, or float32 for grey levels that are not rounded to whole ones.

        Returns
        -------
        ndarray of shape (rows, columns), uint16 or float32
            DN. Saturated pixels are at `top`, and no other is.

        Raises
        ------
        CodecRangeError
            If no grey level has such an index.
        """
        d = self.dither_of(indices.shape, seed, chunk)
        q = np.asarray(indices, np.int64)
        centre = (q << FRACTION_BITS) + (CELL // 2) - d + self._base
        if self.dither != "replaced":
            level = self._scale.unbiased(centre)
        else:  # the error has twice the variance, and shifts the mean by twice as much
            fresh = centre + dither(q.size, seed, chunk).reshape(q.shape) - CELL // 2
            level = 2 * self._scale.unbiased(fresh) - self._scale.levels(fresh)
        saturated, dark = q == self.saturated, (q == 0) & self.bottom_coded
        whole = self._in_their_cells(level, centre, q, d, saturated | dark)
        fractions = np.dtype(dtype) == np.float32
        out = np.clip(level, max(self._lowest - 0.5, 0.0), self._top - 0.5) if fractions else whole
        out[saturated] = self._top
        out[dark] = self._lowest - 1
        return (out * self.lattice).astype(np.float32 if fractions else np.uint16)

    def dither_of(self, shape: tuple[int, ...], seed: int, chunk: int = 0) -> Int32:
        """Return the dither of a chunk, int32 of its shape, in 2**-20 of a cell; half a cell for plain rounding."""
        if self.dither != "subtractive":
            return np.full(shape, CELL // 2, np.int32)
        return dither(math.prod(shape), seed, chunk).reshape(shape)

    def crop(self, rows: slice, columns: slice) -> "Quantiser":
        """Return the quantiser of a part of the frame, with the same indices: itself unless the law has maps."""
        if self.law.maps is None:
            return self
        part = copy(self)
        part.law, part._law = self.law.crop(rows, columns), self._law.crop(rows, columns)
        part._scale = self._scale.crop(rows, columns)
        return part

    @property
    def nominal_db(self) -> float:
        """Noise that the error of one cell adds, dB: ``10 log10(1 + step^2 / 12)``, or ``/ 6`` where it is replaced."""
        return 10 * math.log10(1 + self.step**2 / (6 if self.dither == "replaced" else 12))

    @property
    def guaranteed_db(self) -> float | None:
        """Largest noise that whole decoded grey levels add at any level, dB of the noise of a raw pixel.

        None without subtractive dither: the error at a level is then not random.
        """
        return self._worst_db(whole=True)

    @property
    def guaranteed_db_float(self) -> float | None:
        """The same of fractional decoded grey levels."""
        return self._worst_db(whole=False)

    def to_config(self) -> dict[str, Any]:
        """Return all settings but the law as JSON data."""
        return {name: getattr(self, name) for name in _SETTINGS if getattr(self, name) is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], law: NoiseLaw) -> Self:
        """Return the quantiser that `to_config` described.

        Raises
        ------
        ConfigError
            If a setting is unknown or not usable.
        """
        unknown = set(config) - set(_SETTINGS)
        if unknown:
            raise ConfigError(f"quantiser: unknown settings {sorted(unknown)}", "update compdistort")
        return cls(law, **config)

    def _find_lowest(self) -> tuple[int, bool]:
        """Return the lowest level with a regular index, and whether that below has one of its own; lattice units."""
        bottom = -(-self.bottom // self.lattice)
        coded = self._law.offset_dn - bottom <= _DARK_SIGMAS * self._law.read_noise_dn
        return bottom + coded, coded

    def _widths(self) -> NDArray[np.float64]:
        return cell_widths(self._law, self.step, self.knee, self._top - 1, self.max_db)

    def _words(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane without its lattice; refuse what has no index."""
        maps = self.law.maps
        if plane.dtype != np.uint16 or plane.ndim != 2 or plane.size == 0:
            raise CodecRangeError(f"{plane.dtype} of shape {plane.shape} cannot be quantised", "give planes of uint16")
        if maps is not None and maps.offset_dn.shape != plane.shape:
            raise CodecRangeError(
                f"noise maps of shape {maps.offset_dn.shape} do not fit pixels of shape {plane.shape}",
                "give the sensor model of this frame, cropped as the image is",
            )
        low, high = int(plane.min()), int(plane.max())
        if low < self.bottom or high > self.top:
            raise CodecRangeError(
                f"grey levels {low} to {high} reach beyond {self.bottom} to {self.top}, the range of the noise law",
                "give the sensor's true bit depth (`bits` of its model)",
            )
        if self.lattice == 1:
            return plane
        if (plane & np.uint16(self.lattice - 1)).any():
            raise CodecRangeError(f"grey levels are no multiples of {self.lattice}", "leave lattice = 1")
        return plane // np.uint16(self.lattice)

    def _indices(self, words: NDArray[Any], d: Int32) -> NDArray[np.int64]:
        """Return the regular indices of levels below the top, by integers alone."""
        levels = np.clip(words, self._lowest, self._top - 1)
        return (self._scale.places(levels) - self._base + d) >> FRACTION_BITS

    def _in_their_cells(
        self, level: NDArray[Any], centre: NDArray[Any], q: NDArray[Any], d: Int32, special: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Return whole grey levels near `level`, each with the index it is restored from."""

        def nearest(fractions: NDArray[Any]) -> NDArray[np.int64]:
            return np.asarray(np.clip(np.rint(fractions), self._lowest, self._top - 1), np.int64)

        whole = nearest(level)
        beside = np.where(special, 0, np.sign(self._indices(whole, d) - q))
        if beside.any():  # rounded out of its cell, or taken out where the scale bends sharply
            edge = self._scale.levels(centre + beside * (CELL // 2))
            whole = np.where(beside, nearest(edge), whole)
        for _ in range(2):
            beside = np.where(special, 0, np.sign(self._indices(whole, d) - q))
            if not beside.any():
                return whole
            whole = nearest(whole - beside)
        raise CodecRangeError("indices that no grey level has", _DAMAGED)

    def _worst_db(self, *, whole: bool) -> float | None:
        if self.dither != "subtractive":
            return None
        if isinstance(self._scale, TableScale):
            part = slice(self._lowest, self._top)
            levels = np.arange(self._top, dtype=np.float64)
            return table_worst_db(self._widths()[part], self._law.variance_dn2(levels)[part], whole=whole)
        return root_worst_db(self._law, self.step, self._top, whole=whole)
