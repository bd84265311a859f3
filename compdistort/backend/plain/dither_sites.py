"""What one pass of the dither-aware coder works on, and how a pixel is predicted, with Python's whole numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.records import Int32, UInt16

Int64 = NDArray[np.int64]

FRACTION = 8
"""Bits behind the point of a restored index."""

DITHER_BITS = 20
"""Bits behind the point of the dither."""

WEIGHT_BITS = 7
"""Bits behind the point of a weight."""

PHASE_BITS = 5
"""A place in a cell is known to 1 / 32 of it."""

TOTAL_BITS = 15
"""The frequencies of all symbols add up to 2**15."""

ACTIVITY_SHIFT = 4
"""Bits of an activity that are dropped, so that limits fit into 16 bits."""

CLASSES = 8
"""Classes of activity that a pass may have."""

CONTEXTS = 5
"""Saturated pixels that the four nearest neighbours may be: 0 to 4."""

LARGEST = 65535
"""Largest index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPlane:
    """A plane that is coded or decoded, in raster order.

    Attributes
    ----------
    restored : ndarray of shape (rows * columns,), int32
        Index + 1/2 - dither in 2**-8 of a cell, the index itself where the pixel is saturated; filled by the decoder.
    indices : ndarray of shape (rows * columns,), int32
        The indices; filled by the decoder.
    dither : ndarray of shape (rows * columns,), int32
        2**-20 of a cell.
    saturated : int
        Index of saturated pixels, -1 if there is none.
    chances : ndarray of shape (CONTEXTS,), int64
        Probability, in 2**-15, that a pixel is saturated if so many of its four nearest neighbours are; 0: never.
    """

    restored: Int32
    indices: Int32
    dither: Int32
    saturated: int
    chances: Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """The pixels of one pass: those of a lattice of a stride whose coordinates have a certain parity.

    Attributes
    ----------
    width : int
        Columns of the plane.
    stride : int
        Distance of lattice points, pixels.
    axial : int
        0: odd row and odd column of the lattice; 1: odd sum of the two.
    last_row, last_column : int
        Last lattice row and column that lie in the plane.
    steps : ndarray of shape (n_terms, 2), int64
        Lattice rows and columns from a pixel to a neighbour; the first two are the nearest ones.
    n_pairs : int
        As many terms are the sum of this neighbour and the opposite one, known from earlier passes; the others are
        twice one neighbour that comes earlier in this pass.
    """

    width: int
    stride: int
    axial: int
    last_row: int
    last_column: int
    steps: Int64
    n_pairs: int

    @property
    def n_sites(self) -> int:
        """Pixels of the pass."""
        odd = ((self.last_row + 1) // 2, (self.last_column + 1) // 2)
        even = (self.last_row // 2 + 1, self.last_column // 2 + 1)
        return even[0] * odd[1] + odd[0] * even[1] if self.axial else odd[0] * odd[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellModel:
    """How the pixels of one pass are predicted, and how far off.

    Attributes
    ----------
    limits : ndarray of shape (CLASSES,), int64
        A pixel's class is the number of limits that its activity reaches; at most CLASSES - 1.
    weights : ndarray of shape (CLASSES, n_terms), int64
        Weight of each term, 2**-7.
    rows : ndarray of shape (CLASSES,), int64
        Row of the table of cells, one a class.
    shifts : ndarray of shape (CLASSES,), int64
        Lower bits of the index that are coded as they are.
    """

    limits: Int64
    weights: Int64
    rows: Int64
    shifts: Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTable:
    """Frequencies of the cells around a prediction.

    Attributes
    ----------
    cumulative : ndarray of shape (n_rows, 2**PHASE_BITS, width), uint16
        Sums of the frequencies before each symbol: 0 is below all cells, 1 .. 2 reach + 1 are the cells from -reach to
        reach, 2 reach + 2 is above them; the last sum is 2**TOTAL_BITS.
    reach : ndarray of shape (n_rows,), int64
        Cells to either side.
    """

    cumulative: UInt16
    reach: Int64


def restored(index: int, dither: int, is_saturated: bool) -> int:
    """Return a restored index in 2**-8 of a cell."""
    whole = index << FRACTION
    return whole if is_saturated else whole + (1 << (FRACTION - 1)) - (dither >> (DITHER_BITS - FRACTION))


def reflected(place: int, last: int) -> int:
    """Return a lattice place mirrored at 0 and `last` until it lies between them; its parity stays."""
    if last == 0:
        return 0
    place %= 2 * last
    return min(place, 2 * last - place)


def site_places(sites: Sites, every: int = 1) -> list[tuple[int, int]]:
    """Return (row, column) in the lattice of every pixel, or those of every n-th row, in their order."""
    return [
        (row, column)
        for row in range(0 if sites.axial else 1, sites.last_row + 1, every if sites.axial else 2 * every)
        for column in range(1 - row % 2 if sites.axial else 1, sites.last_column + 1, 2)
    ]


def near_places(sites: Sites, row: int, column: int) -> list[int]:
    """Return where the four nearest neighbours lie in the plane."""
    steps = sites.steps[:2].tolist()
    around = [(row + sign * dy, column + sign * dx) for dy, dx in steps for sign in (1, -1)]
    return [flat_place(sites, y, x) for y, x in around]


def site_terms(plane: CodedPlane, sites: Sites, row: int, column: int) -> list[int]:
    """Return the terms of a pixel: sums of two neighbours, 2**-8 of a cell.

    A neighbour of an earlier pass is mirrored into the plane; one of this pass that lies outside is replaced by the
    first term.
    """
    terms = []
    for k, (dy, dx) in enumerate(sites.steps.tolist()):
        if k < sites.n_pairs:
            pair = flat_place(sites, row + dy, column + dx), flat_place(sites, row - dy, column - dx)
            terms.append(int(plane.restored[pair[0]]) + int(plane.restored[pair[1]]))
        elif row + dy < 0 or not 0 <= column + dx <= sites.last_column:
            terms.append(terms[0])
        else:
            terms.append(2 * int(plane.restored[flat_place(sites, row + dy, column + dx)]))
    return terms


def activity(terms: list[int], n_pairs: int) -> int:
    """Return how far apart the pairs of opposite neighbours are: the sum of distances to their mean, 2**-4 of a cell.

    A slope leaves them alike; noise and curvature do not.
    """
    mean = sum(terms[:n_pairs]) // n_pairs
    return sum(abs(term - mean) for term in terms[:n_pairs]) >> ACTIVITY_SHIFT


def class_of(value: int, limits: list[int]) -> int:
    """Return the class of an activity."""
    return sum(value >= limit for limit in limits[: CLASSES - 1])


def predicted(terms: list[int], weights: list[int]) -> int:
    """Return the prediction of a restored index, 2**-8 of a cell."""
    total = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    return min(max((total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS, 0), LARGEST << FRACTION)


def flat_place(sites: Sites, row: int, column: int) -> int:
    """Return where a lattice place, mirrored into the plane, lies in it."""
    y, x = reflected(row, sites.last_row), reflected(column, sites.last_column)
    return (y * sites.width + x) * sites.stride
