"""The scale on which all noise is equal: from grey levels to places on a line of cells, and back without bias.

A place counts in 2**-20 of a cell; a cell is `step` standard deviations of the noise wide, and never narrower than
one grey level, so that the codec becomes lossless where the noise is smaller than that. With the smallest noise
``s0 = max(read noise, 1 / step)`` and the knee ``o' = offset + 1.5 s0``, in cells::

    t(y) = (2 / K) (sqrt(K (y - o') + s0^2) - s0) / step   for y >= o',    (y - o') / s0 / step   below

The knee lies above the offset because the noise is read off the noisy pixel. Back, ``y(t)`` is quadratic above the
knee, and a uniform error of one cell moves its mean by ``y'' / 24 = K step^2 / 48``, which is taken off.

Every value comes from one correctly rounded IEEE operation after another on float64, none of them contracted (each is
an array operation of its own), so that places and levels are the same bits everywhere.
"""

from copy import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq.added_noise import ROUNDING, half_width_for
from compdistort.codecs.vsq.dither import CELL
from compdistort.codecs.vsq.noise import NoiseLaw

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class Stabiliser(Protocol):
    """A scale of cells over the grey levels ``bottom..top``."""

    lowest: int
    """Place that no pixel's lies below."""
    highest: int
    """Place that no pixel's lies above."""

    def places(self, levels: NDArray[Any]) -> Int64:
        """Return the places of whole grey levels, 2**-20 of a cell."""
        ...

    def levels(self, places: Int64) -> Float64:
        """Return the grey levels at places, DN: the way back that `places` goes forth."""
        ...

    def unbiased(self, places: Int64) -> Float64:
        """Return the grey levels that places stand for in the mean over an error of one cell, DN."""
        ...

    def crop(self, rows: slice, columns: slice) -> "Stabiliser":
        """Return the scale of a part of the frame."""
        ...


class RootScale:
    """The square root of one offset, gain and read noise: for all pixels, or one set a pixel.

    Parameters
    ----------
    law : NoiseLaw
        Without table.
    step : float
        Cell in standard deviations of the noise.
    lowest, highest : int
        Grey levels that come, DN.
    knee : float
        Where the root begins, in read noises above the offset.
    """

    def __init__(self, law: NoiseLaw, step: float, lowest: int, highest: int, knee: float) -> None:
        source = law if law.maps is None else law.maps
        least = np.maximum(np.asarray(source.read_noise_dn), 1.0 / step)
        self._set(np.asarray(source.offset_dn) + knee * least, np.asarray(source.gain_dn_per_e), least, step)
        self._table: Int64 | None = None
        self.lowest = int(self.places(np.full(least.shape, lowest)).min())
        self.highest = int(self.places(np.full(least.shape, highest)).max())
        if law.maps is None:
            self._table = self.places(np.arange(highest + 1))

    def _set(self, offset: Float64, gain: Float64, least: Float64, step: float) -> None:
        self._offset, self._gain, self._least, self._step = offset, gain, least, step

    def places(self, levels: NDArray[Any]) -> Int64:
        """Return the places of whole grey levels, 2**-20 of a cell."""
        if self._table is not None:
            return np.take(self._table, levels)
        x = levels - self._offset
        root = np.sqrt(self._gain * np.maximum(x, 0.0) + self._least * self._least)
        stabilised = np.where(x >= 0, 2.0 * (root - self._least) / self._gain, x / self._least)
        return np.rint(stabilised / self._step * CELL).astype(np.int64)

    def levels(self, places: Int64) -> Float64:
        """Return the grey levels at places, DN: the way back that `places` goes forth."""
        t = places * (self._step / CELL)
        root = self._gain * t / 2.0 + self._least
        above = (root * root - self._least * self._least) / self._gain
        return np.asarray(self._offset + np.where(t >= 0, above, t * self._least), np.float64)

    def unbiased(self, places: Int64) -> Float64:
        """Return the grey levels that places stand for in the mean over an error of one cell, DN."""
        return self.levels(places) - np.where(places >= 0, self._gain * self._step * self._step / 48.0, 0.0)

    def crop(self, rows: slice, columns: slice) -> "RootScale":
        """Return the scale of a part of the frame."""
        if self._offset.ndim == 0:
            return self
        part = copy(self)
        offset, gain, least = (
            np.ascontiguousarray(each[rows, columns]) for each in (self._offset, self._gain, self._least)
        )
        part._set(offset, gain, least, self._step)
        return part


class TableScale:
    """The running sum of one over the width of a cell at every grey level.

    Parameters
    ----------
    widths : ndarray of shape (levels,), float64
        Width of a cell at the grey levels ``0..levels - 1``, DN, >= 1.
    lowest : int
        Lowest grey level that comes, DN.
    """

    def __init__(self, widths: Float64, lowest: int) -> None:
        cells = np.concatenate([[0.0], np.cumsum(0.5 / widths[:-1] + 0.5 / widths[1:])])
        self._places = np.rint(cells * CELL).astype(np.int64)
        self._shift = widths * np.concatenate([widths[1:] - widths[:-1], [0.0]]) / 24.0
        self.lowest, self.highest = int(self._places[lowest]), int(self._places[-1])

    def places(self, levels: NDArray[Any]) -> Int64:
        """Return the places of whole grey levels, 2**-20 of a cell."""
        return np.take(self._places, levels)

    def levels(self, places: Int64) -> Float64:
        """Return the grey levels at places, DN; beyond the ends of the table its last piece goes on."""
        below = self._below(places)
        start = self._places[below]
        return np.asarray(below + (places - start) / (self._places[below + 1] - start), np.float64)

    def unbiased(self, places: Int64) -> Float64:
        """Return the grey levels that places stand for in the mean over an error of one cell, DN."""
        return np.asarray(self.levels(places) - self._shift[self._below(places)], np.float64)

    def _below(self, places: Int64) -> Int64:
        below = np.searchsorted(self._places, places, side="right") - 1
        return np.clip(below, 0, self._places.size - 2).astype(np.int64)

    def crop(self, rows: slice, columns: slice) -> "TableScale":
        """Return the scale itself: it is that of every pixel."""
        return self


def cell_widths(law: NoiseLaw, step: float, knee: float, highest: int, max_db: float | None) -> Float64:
    """Return the width of a cell at every grey level.

    Parameters
    ----------
    law : NoiseLaw
        Without maps.
    step : float
        Cell in standard deviations of the noise.
    knee : float
        How far above the offset the noise begins to rise, in its smallest standard deviations.
    highest : int
        Highest grey level.
    max_db : float or None
        Noise that decoded whole numbers may add at any level, dB; None for no limit.

    Returns
    -------
    ndarray of shape (highest + 1,), float64
        DN, >= 1.
    """
    levels = np.arange(highest + 1, dtype=np.float64)
    smallest = max(float(np.sqrt(law.variance_dn2(levels).min())), 1.0 / step)
    shifted = np.sqrt(law.variance_dn2(levels - knee * smallest))
    widths: Any = step * np.maximum(shifted, smallest)
    if max_db is not None:
        allowed = (10 ** (max_db / 10) - 1) * (law.variance_dn2(levels) + ROUNDING)
        near = np.pad(2.0 * half_width_for(allowed), 2, mode="edge")  # a cell reaches into the levels beside its own
        widths = np.minimum(widths, np.lib.stride_tricks.sliding_window_view(near, 5).min(axis=1))
    return np.asarray(np.maximum(widths, 1.0), np.float64)
