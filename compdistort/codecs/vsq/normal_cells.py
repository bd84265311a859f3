"""Probabilities of the cells around a prediction, as whole numbers that are the same on every machine.

The error of a prediction is normal with standard deviation s; a second family of rows has more in its tails. A row is
its number: s = 2**(row / 8 - 4) of a cell, from 1/16 to 4. Wider errors take a row of half the width, a quarter and so
on, and the lower bits of the index are coded as they are.

No floating-point function has a part in it: the normal integral is a power series in whole numbers, and s is a root of
a power of two. What is counted in bits for the choice of a row may be floating point: the row is stored.
"""

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.plain.dither_sites import PHASE_BITS, TOTAL_BITS, CellTable

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

ROWS = 49
"""Rows of a family."""

PER_OCTAVE = 8
"""Rows from one s to twice as much."""

ROW_OF_ONE = 32
"""The row with s = 1."""

FAMILIES = 2
"""Normal errors, and those with more in their tails."""

WIDEST = 127
"""Number of the widest error, s = 2**(95 / 8) cells."""

WIDER = 16
"""Errors wider than the widest row whose cost is told beside those of the rows."""

REACH = 33
"""Cells to either side of the widest row."""

_SCALE = 30
_EDGE = 6
_GRID = 7
_SERIES = 128
_ROOT = 24


@cache
def cell_table() -> CellTable:
    """Return the frequencies of the symbols of every row and phase.

    Returns
    -------
    CellTable
        Rows of the normal family first; a phase p stands for the place (p + 1/2) / 32 in the middle cell.
    """
    cumulative = np.zeros((FAMILIES * ROWS, 1 << PHASE_BITS, 2 * REACH + 4), np.uint16)
    reach = np.array([_reach(row) for row in range(ROWS)] * FAMILIES, np.int64)
    for line in range(FAMILIES * ROWS):
        cells = int(reach[line])
        edges = (np.arange(-cells, cells + 2, dtype=np.int64) << (PHASE_BITS + 1)) - _middles()
        below = _below(edges * _root(ROW_OF_ONE - line % ROWS), line // ROWS)
        symbols = 2 * cells + 3
        sums = (below * ((1 << TOTAL_BITS) - symbols) >> _SCALE) + np.arange(1, symbols)
        cumulative[line, :, 1:symbols] = sums
        cumulative[line, :, symbols:] = 1 << TOTAL_BITS
    return CellTable(cumulative=cumulative, reach=reach)


def row_of(number: int, family: int) -> tuple[int, int]:
    """Return the line of the table for the width of a number, and how many lower bits are coded as they are.

    Parameters
    ----------
    number : int
        0 to `WIDEST`: s = 2**(number / 8 - 4) of a cell.
    family : int
        0 or 1.

    Returns
    -------
    tuple of two int

    Examples
    --------
    >>> row_of(32, 0), row_of(48, 1), row_of(49, 0)
    ((32, 0), (97, 0), (41, 1))
    """
    shift = max(0, -(-(number - ROWS + 1) // PER_OCTAVE))
    return family * ROWS + number - PER_OCTAVE * shift, shift


@cache
def cell_bits() -> Float64:
    """Return what each cell costs with each row.

    Returns
    -------
    ndarray of shape (2**PHASE_BITS * (2 * REACH + 3), FAMILIES * ROWS + WIDER), float64
        Bits, by phase and by cells to the pixel's from ``-REACH - 1`` on, as `cell_counts` counts them, and by row;
        behind the rows the next wider errors of the normal family.
    """
    table = cell_table()
    bits = np.empty((FAMILIES * ROWS + WIDER, 1 << PHASE_BITS, 2 * REACH + 3))
    steps = np.arange(-REACH - 1, REACH + 2)
    for line, reach in enumerate(table.reach.tolist()):
        sizes = np.diff(table.cumulative[line, :, : 2 * reach + 4].astype(np.int64), axis=1)
        symbols = np.clip(steps, -reach - 1, reach + 1) + reach + 1
        beyond = np.maximum(np.abs(steps) - reach, 1)
        escape: Any = np.where(np.abs(steps) > reach, 5 + np.floor(np.log2(beyond)), 0)
        bits[line] = TOTAL_BITS - np.log2(sizes[:, symbols]) + escape
    edges = (np.arange(-REACH - 1, REACH + 3) << (PHASE_BITS + 1)) - _middles()
    for k in range(WIDER):
        below = _below(edges * _root(ROW_OF_ONE - ROWS - k), 0)
        bits[FAMILIES * ROWS + k] = _SCALE - np.log2(np.maximum(np.diff(below, axis=1), 1 << (_SCALE - TOTAL_BITS)))
    return np.ascontiguousarray(bits.reshape(len(bits), -1).T)


def _middles() -> Int64:
    """Return the places in the middle cell that the phases stand for, 1/64 of a cell."""
    return 2 * np.arange(1 << PHASE_BITS, dtype=np.int64)[:, None] + 1


def _reach(row: int) -> int:
    """Return the cells to either side: eight s and one more."""
    return -(-8 * _root(row - ROW_OF_ONE) >> _ROOT) + 1


def _root(eighths: int) -> int:
    """Return 2**(eighths / 8) in 2**-24, rounded down: the square root of a square root of a square root."""
    return math.isqrt(math.isqrt(math.isqrt(1 << (8 * _ROOT + eighths))))


def _below(places: Int64, family: int) -> Int64:
    """Return the probability of errors below some places, in 2**-30; places in 2**-30 of s."""
    if family == 0:
        return _normal_below(places)
    return (7 * _normal_below(places) + _normal_below(places // 2)) >> 3


def _normal_below(places: Int64) -> Int64:
    table = _normal_integral()
    shift = _SCALE - _GRID
    inside = np.clip(places + (_EDGE << _SCALE), 0, (2 * _EDGE << _SCALE) - 1)
    at, part = inside >> shift, inside & ((1 << shift) - 1)
    return np.asarray(table[at] + ((table[at + 1] - table[at]) * part >> shift), np.int64)


@cache
def _normal_integral() -> Int64:
    """Return the normal integral at multiples of 1/128 from -6 to 6, in 2**-30, as 0 at -6 and 1 at 6."""
    halves = [_series(k) for k in range((_EDGE << _GRID) + 1)]
    half = 1 << (_SCALE - 1)
    above = [half + half * value // halves[-1] for value in halves]
    return np.array([2 * half - value for value in above[:0:-1]] + above, np.int64)


def _series(k: int) -> int:
    """Return the integral of exp(-u^2 / 2) from 0 to k / 128, in 2**-128."""
    power = k << (_SERIES - _GRID)
    total, n = 0, 0
    while power:
        total += (-1) ** n * power // (2 * n + 1)
        n += 1
        power = (power * k * k >> (2 * _GRID)) // (2 * n)
    return total
