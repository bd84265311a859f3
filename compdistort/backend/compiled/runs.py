"""From packed bits straight to objects: runs, components, measurement; and label images where they are wanted."""

from math import prod

import numpy as np

from compdistort.backend.base import (
    MEASURE_COLUMNS,
    VOLUME_COLUMNS,
    Float64,
    Int32,
    Runs,
    SegmentRule,
    UInt64,
)
from compdistort.backend.compiled.components import drop_unowned, find_components, paint, paint_lines
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.measure import measure_runs
from compdistort.backend.shape import COUNTS, VOLUME_COUNTS

OBJECT_RUNS = 10
"""Runs of an object, taken for a forecast: objects that noise makes have about so many, cells more."""


def objects_from_bits(
    bits: UInt64, shape: tuple[int, ...], rule: SegmentRule, want_labels: bool
) -> tuple[Int32 | None, Float64]:
    """Find and measure the objects of a mask of packed bits.

    Parameters
    ----------
    bits : ndarray of shape (planes * rows, words), uint64
        Bit i of word w of a row is pixel 64 w + i; bits beyond the columns are ignored.
    shape : tuple of int
        ([planes,] rows, columns).
    rule : SegmentRule
        As `compdistort.backend.plain.label.label_mask` uses it.
    want_labels : bool
        Whether the label image is wanted too.

    Returns
    -------
    labels : ndarray of shape `shape`, int32, or None
        As `label_mask` gives it.
    table : ndarray of shape (n_objects, n_columns), float64
        As the verb `measure` gives it for these labels.

    Raises
    ------
    ConfigError
        If the connectivity does not belong to the number of axes.
    TypeError, ValueError
        If the words are not uint64, their shape does not belong to `shape`, or a 2D image is larger than 65536 pixels
        a side.
    ResourceError
        If there are more runs or columns than can be counted.
    """
    runs = find_components(bits, shape, rule)
    return paint(runs) if want_labels else None, measure_runs(runs)


def runs_from_bits(bits: UInt64, shape: tuple[int, ...], rule: SegmentRule) -> tuple[Runs, Float64]:
    """Return the runs of the objects, and none of what a rule has dropped, with the table (see `objects_from_bits`)."""
    runs = drop_unowned(find_components(bits, shape, rule))
    return runs, measure_runs(runs)


def object_bytes(shape: tuple[int, ...], runs: int) -> int:
    """Return the memory that finding and measuring objects of so many runs takes, where one has `OBJECT_RUNS` of them.

    Where each row begins, the runs (see `components`), and of every object its counts and its row of the table.
    """
    columns = len(COUNTS) + len(MEASURE_COLUMNS) if len(shape) == 2 else len(VOLUME_COUNTS) + len(VOLUME_COLUMNS)
    return 8 * prod(shape[:-1]) + 12 * runs + 8 * columns * (runs // OBJECT_RUNS)


def plane_labels(runs: Runs, plane: int) -> Int32:
    """Return the labels of one plane.

    Parameters
    ----------
    runs : Runs
        A label image or volume.
    plane : int
        Its number; a negative one counts from the last.

    Returns
    -------
    ndarray of shape (rows, columns), int32
        Ids; 0 = background.

    Raises
    ------
    IndexError
        If there is no such plane.
    """
    first = range(prod(runs.shape[:-2]))[plane] * runs.shape[-2]
    labels = np.zeros(runs.shape[-2:], np.int32)
    paint_lines(runs.row_start[first : first + runs.shape[-2] + 1], runs.start, runs.end, runs.owner, labels)
    return labels


def projected_labels(runs: Runs) -> Int32:
    """Return the largest label over all planes: int32 of shape (rows, columns)."""
    largest = np.zeros(runs.shape[-2:], np.int32)
    _paint_largest(runs.row_start, runs.start, runs.end, runs.owner, largest)
    return largest


@kept_loop
def _paint_largest(row_start, start, end, owner, largest):
    rows = largest.shape[0]
    for line in range(row_start.size - 1):
        row = largest[line % rows]
        for i in range(row_start[line], row_start[line + 1]):
            for x in range(start[i], end[i]):
                row[x] = max(row[x], owner[i])
