"""Connected components of packed bits through runs: no pixel is looked at twice, no label image is needed.

A run is a stretch of set bits in one row. Runs are read with a count of trailing zeros, joined with those of the
neighbouring rows before them by union-find, and the smaller run always becomes the root: an object's root is the run
of its first pixel, so that roots in their order are the objects in raster order. Holes are components of the
complement's runs that do not touch the border.

Memory, all of it local to the call: 8 bytes a row, 12 a run (starts, ends, owner), and for rules of size or border
13 bytes an object; the same again for the background, released before the objects' turn, where holes are filled.
Time is linear in words and runs (union-find's inverse Ackermann factor aside).
"""

from math import prod

import numpy as np
from numba import njit

from compdistort.backend.base import Int32, Runs, SegmentRule, UInt64
from compdistort.backend.compiled.bits import ALL, set_bits, words_of
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.unite import connect, count_runs, number
from compdistort.backend.plain.label import COMPLEMENT, check_connectivity
from compdistort.backend.shape import Int64
from compdistort.errors import ResourceError

MAX_RUNS = 2**31 - 1
"""Most runs, and most columns: both are counted in int32."""

REACH = {4: (0, -1, -1), 8: (1, -1, -1), 6: (0, 0, -1), 18: (1, 1, 0), 26: (1, 1, 1)}
"""By connectivity: how many columns beyond its ends a run touches one of the row before, of the same row in the plane
before, and of the two rows beside that; -1 = never."""


def find_components(bits: UInt64, shape: tuple[int, ...], rule: SegmentRule) -> Runs:
    """Return the runs of a mask and the objects that they belong to.

    Parameters
    ----------
    bits : ndarray of shape (planes * rows, words), uint64
        The mask; bits beyond the columns are ignored.
    shape : tuple of int
        ([planes,] rows, columns).
    rule : SegmentRule
        As `compdistort.backend.plain.label.label_mask` uses it.

    Returns
    -------
    Runs

    Raises
    ------
    ConfigError
        If the connectivity does not belong to the number of axes.
    TypeError, ValueError
        If the words are not uint64, or their shape does not belong to `shape`.
    ResourceError
        If there are more than `MAX_RUNS` columns or runs.
    """
    check_connectivity(len(shape), rule.connectivity)
    _check_bits(bits, shape)
    if rule.include_holes:
        bits = _fill_holes(bits, shape, COMPLEMENT[rule.connectivity])
    row_start, start, end, parent = _connected_runs(bits, shape, rule.connectivity, inverted=False)
    n = number(parent)
    if rule.min_size > 1 or rule.max_size > 0 or rule.exclude_border:
        n = _keep(shape, row_start, start, end, parent, n, rule)
    return Runs(shape, row_start, start, end, parent, n)


def drop_unowned(runs: Runs) -> Runs:
    """Return the runs without those that a rule has dropped; their arrays are written over."""
    n = _squeeze(runs.row_start, runs.start, runs.end, runs.owner)
    if n == runs.owner.size:
        return runs
    start, end, owner = (each[:n].copy() for each in (runs.start, runs.end, runs.owner))
    return Runs(runs.shape, runs.row_start, start, end, owner, runs.n_objects)


def paint(runs: Runs) -> Int32:
    """Return the label image, int32 of the image's shape; only pixels of objects are written to."""
    labels = np.zeros((runs.row_start.size - 1, runs.shape[-1]), np.int32)
    paint_lines(runs.row_start, runs.start, runs.end, runs.owner, labels)
    return labels.reshape(runs.shape)


def check_run_counts(columns: int, n_runs: int) -> None:
    """Raise ResourceError if there are more than `MAX_RUNS` columns or runs."""
    if max(columns, n_runs) > MAX_RUNS:
        raise ResourceError(
            f"{columns} columns and {n_runs} runs of pixels: at most {MAX_RUNS} of each can be counted",
            "crop the image",
        )


def _check_bits(bits: UInt64, shape: tuple[int, ...]) -> None:
    if bits.dtype != np.uint64:
        raise TypeError(f"bits must be uint64, not {bits.dtype}")
    wanted = (prod(shape[:-1]), words_of(shape[-1]))
    if bits.shape != wanted:
        raise ValueError(f"bits has shape {bits.shape}; a mask of shape {shape} takes {wanted}")


def _connected_runs(
    bits: UInt64, shape: tuple[int, ...], connectivity: int, *, inverted: bool
) -> tuple[Int64, Int32, Int32, Int32]:
    """Return (row_start, start, end, root) of the runs of the mask or of its complement."""
    rows, columns = shape[-2:]
    flip = ALL if inverted else np.uint64(0)
    last = ALL >> np.uint64(-columns % 64)
    n = count_runs(bits, flip, last)
    check_run_counts(columns, n)
    start, end, parent = (np.empty(n, np.int32) for _ in range(3))
    row_start = np.zeros(bits.shape[0] + 1, np.int64)
    connect(bits, flip, last, rows, *REACH[connectivity], row_start, start, end, parent)
    return row_start, start, end, parent


def _fill_holes(bits: UInt64, shape: tuple[int, ...], connectivity: int) -> UInt64:
    """Return the bits with all background set that is not connected with the border, where the outside begins."""
    row_start, start, end, root = _connected_runs(bits, shape, connectivity, inverted=True)
    filled = bits.copy()
    _fill(row_start, start, end, root, len(shape) == 3, shape[-2], shape[-1], filled)
    return filled


def _keep(
    shape: tuple[int, ...], row_start: Int64, start: Int32, end: Int32, owner: Int32, n: int, rule: SegmentRule
) -> int:
    """Drop objects by size and border, renumber the others in place, and return how many are left."""
    size, at_border = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    _survey(row_start, start, end, owner, len(shape) == 3, shape[-2], shape[-1], size, at_border)
    keep = size >= rule.min_size
    if rule.max_size > 0:
        keep &= size <= rule.max_size
    if rule.exclude_border:
        keep &= ~at_border
    new = np.zeros(n + 1, np.int32)
    new[1:][keep] = np.arange(1, np.count_nonzero(keep) + 1, dtype=np.int32)
    np.take(new, owner, out=owner, mode="clip")
    return int(np.count_nonzero(keep))


@njit(nogil=True, error_model="numpy")
def _at_border(line, lines, rows, columns, is_volume, start, end):
    z, y = line // rows, line % rows
    edge = y == 0 or y == rows - 1 or (is_volume and (z == 0 or z == lines // rows - 1))
    return edge or start == 0 or end == columns


@kept_loop
def _survey(row_start, start, end, owner, is_volume, rows, columns, size, at_border):
    lines = row_start.size - 1
    for line in range(lines):
        for i in range(row_start[line], row_start[line + 1]):
            own = owner[i] - 1
            size[own] += end[i] - start[i]
            if _at_border(line, lines, rows, columns, is_volume, start[i], end[i]):
                at_border[own] = True


@kept_loop
def _fill(row_start, start, end, root, is_volume, rows, columns, filled):
    """Set the bits of background runs whose component does not touch the border."""
    lines = row_start.size - 1
    outside = np.zeros(root.size, np.bool_)
    for line in range(lines):
        for i in range(row_start[line], row_start[line + 1]):
            if _at_border(line, lines, rows, columns, is_volume, start[i], end[i]):
                outside[root[i]] = True
    for line in range(lines):
        for i in range(row_start[line], row_start[line + 1]):
            if not outside[root[i]]:
                set_bits(filled[line], np.int64(start[i]), np.int64(end[i]))


@kept_loop
def paint_lines(row_start, start, end, owner, labels):
    """Write the ids of some rows' runs into a label image of these rows."""
    for line in range(labels.shape[0]):
        for i in range(row_start[line], row_start[line + 1]):
            if owner[i] > 0:
                labels[line, start[i] : end[i]] = owner[i]


@kept_loop
def _squeeze(row_start, start, end, owner):
    """Move the runs of objects to the front; return how many there are."""
    n, i = 0, 0
    for line in range(row_start.size - 1):
        while i < row_start[line + 1]:
            if owner[i] > 0:
                start[n], end[n], owner[n] = start[i], end[i], owner[i]
                n += 1
            i += 1
        row_start[line + 1] = n
    return n
