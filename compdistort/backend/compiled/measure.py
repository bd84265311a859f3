"""Object measurement from runs: sums in closed form, outlines and hulls in `compdistort.backend.compiled.outline`.

Runs come from packed bits or from a label image. All counts are integers, so the result equals
`compdistort.backend.plain.measure` to the bit. Time is linear in runs plus outline.
"""

import numpy as np

from compdistort.backend.base import Float64, Int32, Runs
from compdistort.backend.compiled.components import check_run_counts
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.outline import add_shapes
from compdistort.backend.compiled.surface import count_cells
from compdistort.backend.shape import (
    COUNTS,
    SURFACE,
    VOLUME_COUNTS,
    Int64,
    checked_count,
    ids_out_of_order,
    table_from_counts,
    table_from_volume_counts,
)

X_START, Y_START, AREA, SX, SY, SXX, SYY, SXY, X_MIN, Y_MIN, X_MAX, Y_MAX = range(12)
VX_START, VY_START, VZ_START, VOLUME, VSX, VSY, VSZ, VX_MIN, VY_MIN, VZ_MIN, VX_MAX, VY_MAX, VZ_MAX = range(
    SURFACE.start
)


def measure_objects(labels: Int32) -> Float64:
    """Measure the objects of a label image (see `compdistort.backend.plain.measure.measure_objects`)."""
    return measure_runs(read_labels(labels))


def measure_runs(runs: Runs) -> Float64:
    """Measure the objects of the runs: `MEASURE_COLUMNS` in 2D, `VOLUME_COLUMNS` in 3D.

    Parameters
    ----------
    runs : Runs
        Runs and their objects.

    Returns
    -------
    ndarray of shape (n_objects, n_columns), float64
        One row an object, in the order of the ids.

    Raises
    ------
    ValueError
        If the ids are not in raster order, or a 2D image is larger than 65536 pixels a side.
    """
    checked_count(runs.shape, 0, runs.n_objects)
    if len(runs.shape) == 3:
        return table_from_volume_counts(count_volumes(runs))
    return table_from_counts(count_areas(runs))


def count_shapes(labels: Int32) -> Int64:
    """Return the integer counts of every object: shape (n_objects, len(COUNTS)), int64 (see `COUNTS`)."""
    return count_areas(read_labels(labels))


def count_areas(runs: Runs) -> Int64:
    """Return the integer counts of every 2D object: shape (n_objects, len(COUNTS)), int64 (see `COUNTS`)."""
    counts = np.zeros((runs.n_objects, len(COUNTS)), np.int64)
    if _add_areas(runs.row_start, runs.start, runs.end, runs.owner, counts) != runs.n_objects:
        raise ids_out_of_order()
    add_shapes(runs.row_start, runs.start, runs.end, runs.owner, counts)
    return counts


def count_volumes(runs: Runs) -> Int64:
    """Return the integer counts of every 3D object: shape (n_objects, len(VOLUME_COUNTS)), int64."""
    counts = np.zeros((runs.n_objects, len(VOLUME_COUNTS)), np.int64)
    if _add_volumes(runs.shape[1], runs.row_start, runs.start, runs.end, runs.owner, counts) != runs.n_objects:
        raise ids_out_of_order()
    counts[:, SURFACE] = count_cells(runs, 0, runs.shape[0] + 1)
    return counts


def read_labels(labels: Int32) -> Runs:
    """Return the runs of a label image.

    Parameters
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Object ids; 0 = background.

    Returns
    -------
    Runs

    Raises
    ------
    ValueError
        If a side exceeds `MAX_SIDE` in 2D, or an id is negative or larger than the number of pixels.
    ResourceError
        If there are more runs than can be counted.
    """
    columns = labels.shape[-1]
    lines = labels.reshape(-1, columns) if labels.size else np.zeros((0, columns), np.int32)
    low, high, n_runs = _survey(lines)
    n_objects = checked_count(labels.shape, low, high)
    check_run_counts(columns, n_runs)
    row_start = np.zeros(lines.shape[0] + 1, np.int64)
    start, end, owner = (np.empty(n_runs, np.int32) for _ in range(3))
    _read(lines, row_start, start, end, owner)
    return Runs(labels.shape, row_start, start, end, owner, n_objects)


@kept_loop
def _survey(lines):
    """Return smallest and largest id, 0 included, and the number of runs."""
    low, high, n = np.int32(0), np.int32(0), 0
    for y in range(lines.shape[0]):
        row = lines[y]
        begins = np.int32(row[0] != 0)
        for x in range(row.size):
            low = min(low, row[x])
            high = max(high, row[x])
        for x in range(1, row.size):
            begins += np.int32((row[x] != 0) & (row[x] != row[x - 1]))
        n += begins
    return low, high, n


@kept_loop
def _read(lines, row_start, start, end, owner):
    """Write the runs; where the ids change is noted first, without a branch a pixel."""
    columns = lines.shape[1]
    change = np.empty(columns + 1, np.int32)
    n = 0
    for y in range(lines.shape[0]):
        row_start[y] = n
        row = lines[y]
        n_changes = 0
        before = np.int32(0)
        for x in range(columns):
            change[n_changes] = x
            n_changes += np.int64(row[x] != before)
            before = row[x]
        change[n_changes] = columns
        for k in range(n_changes):
            label = row[change[k]]
            if label != 0:
                start[n] = change[k]
                end[n] = change[k + 1]
                owner[n] = label
                n += 1
    row_start[lines.shape[0]] = n


@kept_loop
def _add_areas(row_start, start, end, owner, counts):
    """Fill first pixel, area, sums and box of every object; return how many came in the order of their ids."""
    seen = 0
    for y in range(row_start.size - 1):
        for r in range(row_start[y], row_start[y + 1]):
            i = np.int64(owner[r]) - 1
            if i < 0:
                continue
            a, x = np.int64(start[r]), np.int64(end[r])
            if i >= seen:
                if i > seen:
                    return -1
                seen += 1
                counts[i, X_START] = a
                counts[i, Y_START] = y
                counts[i, X_MIN] = a
                counts[i, Y_MIN] = y
            length = x - a
            sum_x = (a + x - 1) * length // 2
            counts[i, AREA] += length
            counts[i, SX] += sum_x
            counts[i, SY] += y * length
            counts[i, SXX] += (x - 1) * x * (2 * x - 1) // 6 - (a - 1) * a * (2 * a - 1) // 6
            counts[i, SYY] += y * y * length
            counts[i, SXY] += y * sum_x
            counts[i, X_MIN] = min(counts[i, X_MIN], a)
            counts[i, X_MAX] = max(counts[i, X_MAX], x - 1)
            counts[i, Y_MAX] = y
    return seen


@kept_loop
def _add_volumes(rows, row_start, start, end, owner, counts):
    """Fill first voxel, volume, sums and box of every object; return how many came in the order of their ids."""
    seen = 0
    for line in range(row_start.size - 1):
        if row_start[line] == row_start[line + 1]:
            continue
        z = line // rows
        y = line - z * rows
        for r in range(row_start[line], row_start[line + 1]):
            i = np.int64(owner[r]) - 1
            if i < 0:
                continue
            a, x = np.int64(start[r]), np.int64(end[r])
            if i >= seen:
                if i > seen:
                    return -1
                seen += 1
                counts[i, VX_START] = a
                counts[i, VY_START] = y
                counts[i, VZ_START] = z
                counts[i, VX_MIN] = a
                counts[i, VY_MIN] = y
                counts[i, VZ_MIN] = z
            length = x - a
            counts[i, VOLUME] += length
            counts[i, VSX] += (a + x - 1) * length // 2
            counts[i, VSY] += y * length
            counts[i, VSZ] += z * length
            counts[i, VX_MIN] = min(counts[i, VX_MIN], a)
            counts[i, VY_MIN] = min(counts[i, VY_MIN], y)
            counts[i, VX_MAX] = max(counts[i, VX_MAX], x - 1)
            counts[i, VY_MAX] = max(counts[i, VY_MAX], y)
            counts[i, VZ_MAX] = z
    return seen
