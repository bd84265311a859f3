"""Surface triangles of objects from runs, 63 cells at once, those without surface unseen.

A row of cells lies between four rows of voxels. Their runs are read in windows of 64 columns and written as bits, four
words an object; words tell which cells are neither empty nor full, and only these are looked up. Time is linear in runs
and in cells with surface; the memory is that of the counts. All counts are integers: the result equals
`compdistort.backend.plain.surface` to the bit, and those of layers of cells add up.
"""

import numpy as np
from numba import njit

from compdistort.backend.base import Runs
from compdistort.backend.compiled.bits import ctz64
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.shape import Int64
from compdistort.backend.surface import CONFIGURATION_TRIANGLES

CELLS = 63
"""Cells a window: a word of columns has one place between two columns less."""

MOST_OBJECTS = 4 * 64
"""Objects a window can hold: every voxel its own."""

FIELD = 12
"""Bits of one kind's triangles in a packed word: `CELLS` cells have no more than 6 each."""

FIELDS = 5
"""Kinds a packed word."""

NOWHERE = 2**62
"""Where the next window begins if there is none."""


def count_cells(runs: Runs, z0: int, z1: int) -> Int64:
    """Count the surface triangles of every object within some layers of cells.

    Parameters
    ----------
    runs : Runs
        Runs of a volume and their objects.
    z0, z1 : int
        Layers ``z0 <= z < z1``; layer z lies between planes z - 1 and z, so that layers 0..planes are all there are.

    Returns
    -------
    ndarray of shape (n_objects, len(SURFACE_COLUMNS)), int64
        Triangles by kind (see `compdistort.backend.surface`); beyond the volume all is background. Counts of layers
        add up to those of the volume, also if each was counted in a slab of its own that holds both planes, as long
        as the runs' owners are the objects of the whole volume.

    Raises
    ------
    ValueError
        If the runs are of an image without planes, or the layers do not lie within the volume.
    """
    if len(runs.shape) != 3:
        raise ValueError(f"runs of shape {runs.shape} have no planes; a surface belongs to a volume")
    if not 0 <= z0 <= z1 <= runs.shape[0] + 1:
        raise ValueError(f"layers {z0}..{z1} do not lie within 0..{runs.shape[0] + 1}")
    counts = np.zeros((runs.n_objects, CONFIGURATION_TRIANGLES.shape[1]), np.int64)
    packed = np.zeros((256, 2), np.uint64)
    for kind, triangles in enumerate(CONFIGURATION_TRIANGLES.T.astype(np.uint64)):
        packed[:, kind // FIELDS] |= triangles << np.uint64(kind % FIELDS * FIELD)
    _add_layers(runs.shape[1], runs.row_start, runs.start, runs.end, runs.owner, packed, z0, z1, counts)
    return counts


@kept_loop
def _add_layers(rows, row_start, start, end, owner, packed, z0, z1, counts):
    """Add all cells of the layers; row y of cells lies between rows y - 1 and y of voxels."""
    planes = (row_start.size - 1) // max(rows, 1)
    run, stop = np.zeros(4, np.int64), np.zeros(4, np.int64)
    ids, words = np.empty(MOST_OBJECTS, np.int64), np.empty((MOST_OBJECTS, 4), np.uint64)
    for z in range(z0, z1):
        for y in range(rows + 1):
            for k in range(4):
                plane, row = z - 1 + k // 2, y - 1 + k % 2
                run[k], stop[k] = 0, 0
                if 0 <= plane < planes and 0 <= row < rows:
                    line = plane * rows + row
                    run[k], stop[k] = row_start[line], row_start[line + 1]
            base = _next_base(start, run, stop, -1)
            while base < NOWHERE:
                n = _read_window(start, end, owner, run, stop, base, ids, words)
                for slot in range(n):
                    _add_cells(packed, words[slot], counts[ids[slot] - 1])
                base = _next_base(start, run, stop, base + CELLS)


@njit(nogil=True, error_model="numpy", inline="always")
def _next_base(start, run, stop, low):
    """Return the first column of the next window: one before the next run, `low` if a run goes on from before."""
    first = NOWHERE
    for k in range(4):
        if run[k] < stop[k]:
            first = min(first, max(low, np.int64(start[run[k]]) - 1))
    return first


@njit(nogil=True, error_model="numpy")
def _read_window(start, end, owner, run, stop, base, ids, words):
    """Write the bits of columns base..base + 63, four words an object; return how many objects there are.

    A run is done with if the window sees the column behind it; `run` is then the next of its row.
    """
    n = 0
    for k in range(4):
        r = run[k]
        while r < stop[k] and start[r] < base + 64:
            own = np.int64(owner[r])
            slot = 0
            while slot < n and ids[slot] != own:
                slot += 1
            if slot == n and own > 0:
                ids[n] = own
                words[n, :] = 0
                n += 1
            if own > 0:
                words[slot, k] |= _bits_from(max(start[r] - base, 0)) & ~_bits_from(min(end[r] - base, 64))
            if end[r] > base + CELLS:
                break
            r += 1
        run[k] = r
    return n


@njit(nogil=True, error_model="numpy", inline="always")
def _bits_from(place):
    """Return a word with all bits from one on, 0..64, set."""
    return (~np.uint64(0) << np.uint64(place & 63)) if place < 64 else np.uint64(0)


@njit(nogil=True, error_model="numpy", inline="always")
def _add_cells(packed, words, counts):
    """Add the cells of one object in one window to its counts."""
    a, b, c, d = words[0], words[1], words[2], words[3]
    some, every = a | b | c | d, a & b & c & d
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    surface = ((some | some >> one) & ~(every & every >> one)) & (~np.uint64(0) >> one)
    low, high = np.uint64(0), np.uint64(0)
    while surface != np.uint64(0):
        j = np.uint64(ctz64(surface))
        surface &= surface - one
        cell = (a >> j) & three | ((b >> j) & three) << two
        cell |= ((c >> j) & three) << np.uint64(4) | ((d >> j) & three) << np.uint64(6)
        low += packed[cell, 0]
        high += packed[cell, 1]
    mask = np.uint64(2**FIELD - 1)
    for field in range(FIELDS):
        shift = np.uint64(field * FIELD)
        counts[field] += np.int64(low >> shift & mask)
        counts[FIELDS + field] += np.int64(high >> shift & mask)
