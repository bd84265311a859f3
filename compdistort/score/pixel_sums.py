"""The sums behind `compdistort.score.pixels`: of bands of rows, added in their order."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, UInt16

BAND = 256
"""Rows that are summed together: a multiple of `TILE`, so that no tile is cut."""
TILE = 64
"""Side of the tiles of the spectrum, pixels."""
_LEAST_TILE = 8


class FieldSums:
    """Moments of a quantity over pixels, and of neighbouring pairs."""

    def __init__(self) -> None:
        self.n, self.largest = 0, 0.0
        self._first, self._second = 0.0, 0.0
        self._pairs = {"rows": np.zeros(4), "columns": np.zeros(4)}

    def add(self, values: Float64) -> None:
        """Add a band of shape (rows, columns); rows beyond `BAND` are neighbours, which the next band brings again."""
        own = values[:BAND]
        self.n += own.size
        self._first += float(np.sum(own))
        self._second += float(np.sum(own * own))
        self.largest = max(self.largest, float(np.max(np.abs(own))))
        below = values[1 : BAND + 1]
        self._pairs["rows"] += _pair_sums(values[: len(below)], below)
        self._pairs["columns"] += _pair_sums(own[:, :-1], own[:, 1:])

    @property
    def mean(self) -> float:
        """Their mean."""
        return self._first / self.n

    @property
    def rms(self) -> float:
        """Root of their mean square."""
        return math.sqrt(self._second / self.n)

    @property
    def spread(self) -> float:
        """Their standard deviation."""
        return math.sqrt(max(0.0, self._second / self.n - self.mean**2))

    @property
    def lag_rows(self) -> float:
        """Correlation with the pixel of the next row; NaN where nothing varies."""
        return self._lag("rows")

    @property
    def lag_columns(self) -> float:
        """Correlation with the pixel of the next column; NaN where nothing varies."""
        return self._lag("columns")

    def _lag(self, axis: str) -> float:
        n, a, b, product = self._pairs[axis].tolist()
        if not n or not self.spread:
            return math.nan
        return (product / n - a / n * (b / n)) / self.spread**2


def _pair_sums(a: Float64, b: Float64) -> Float64:
    return np.array([a.size, np.sum(a), np.sum(b), np.sum(a * b)], np.float64)


class ClassSums:
    """Moments of a quantity by class.

    Parameters
    ----------
    table : ndarray of shape (65536,), int
        Class of every grey level.
    n_classes : int
        How many there are.
    """

    def __init__(self, table: NDArray[np.intp], n_classes: int) -> None:
        self._table, self._n = table, n_classes
        self._sums = np.zeros((3, n_classes))

    def add(self, values: Float64, level: UInt16) -> None:
        """Add a band of shape (rows, columns)."""
        index, flat = self._table[level.ravel()], values.ravel()
        for row, weights in enumerate((None, flat, flat * flat)):
            self._sums[row] += np.bincount(index, weights, minlength=self._n)

    def each(self) -> Iterator[tuple[int, float, float]]:
        """Give pixels, mean and standard deviation of every class; NaN of an empty one."""
        for n, first, second in self._sums.T.tolist():
            if not n:
                yield 0, math.nan, math.nan
                continue
            yield int(n), first / n, math.sqrt(max(0.0, second / n - (first / n) ** 2))


class LevelSums:
    """Correlation of a quantity with the expected level."""

    def __init__(self) -> None:
        self._sums = np.zeros(6)

    def add(self, values: Float64, level: UInt16) -> None:
        """Add a band of shape (rows, columns)."""
        x = level.astype(np.float64)
        self._sums += np.array(
            [x.size, np.sum(x), np.sum(x * x), np.sum(values), np.sum(values * values), np.sum(x * values)], np.float64
        )

    @property
    def correlation(self) -> float:
        """Pearson's; NaN where one of the two does not vary."""
        n, x, xx, y, yy, xy = self._sums.tolist()
        spreads = (xx / n - (x / n) ** 2) * (yy / n - (y / n) ** 2)
        return (xy / n - x / n * (y / n)) / math.sqrt(spreads) if spreads > 0 else math.nan


class GrainSums:
    """Mean square of the second difference along both axes, which smooth structure hardly enters."""

    def __init__(self) -> None:
        self._before, self._after = 0.0, 0.0

    def add(self, before: Float64, after: Float64, sigma: Float64) -> None:
        """Add a band: rows beyond `BAND` are neighbours, two of them where the image goes on."""
        if min(before.shape) < 3:
            return
        centre = sigma[1:-1, 1:-1]
        self._before += _energy(before, centre)
        self._after += _energy(after, centre)

    @property
    def ratio(self) -> float:
        """Root of after over before; NaN where there was no grain."""
        return math.sqrt(self._after / self._before) if self._before else math.nan


def _energy(image: Float64, centre: Float64) -> float:
    second = np.diff(np.diff(image, n=2, axis=0), n=2, axis=1) / centre
    return float(np.sum(second * second))


class SpectrumSums:
    """Mean power of tiles of an image."""

    def __init__(self) -> None:
        self.side, self._tiles, self._power = 0, 0, np.zeros((0, 0))

    def add(self, values: Float64) -> None:
        """Add a band of shape (rows, columns); what does not fill a tile at its far edges is left out."""
        if not self._tiles:
            self._choose(values.shape)
        s = self.side
        if not s or len(values) < s:
            return
        rows, columns = (n // s for n in values.shape)
        tiles = values[: rows * s, : columns * s].reshape(rows, s, columns, s).swapaxes(1, 2)
        self._power += np.sum(np.abs(np.fft.rfft2(tiles)) ** 2, axis=(0, 1)) / s**2
        self._tiles += rows * columns

    def _choose(self, shape: tuple[int, ...]) -> None:
        shortest = min(TILE, *shape)
        self.side = 1 << (shortest.bit_length() - 1) if shortest >= _LEAST_TILE else 0
        self._power = np.zeros((self.side, self.side // 2 + 1))

    def radial(self) -> tuple[float, ...]:
        """Return the mean power at 1, 2, ... side / 2 cycles a tile, over directions; empty without tiles."""
        if not self._tiles:
            return ()
        s = self.side
        cycles = np.hypot(np.fft.fftfreq(s, 1 / s)[:, None], np.arange(s // 2 + 1))
        bins = np.rint(cycles).astype(np.int64).ravel()
        # A real image: every column of the half spectrum but its first and last stands for two.
        twice = np.full(s // 2 + 1, 2.0)
        twice[[0, -1]] = 1.0
        weights = np.broadcast_to(twice, cycles.shape).ravel()
        total = np.bincount(bins, weights * self._power.ravel())
        return tuple((total / np.bincount(bins, weights) / self._tiles)[1 : s // 2 + 1].tolist())
