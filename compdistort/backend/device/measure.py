"""Object measurement on the device: kernels count in whole numbers, the host makes the table.

3D objects are counted by `kernels/volumes.cu`, those of a 2D image by `kernels/measure.cu`, which also finds the
first pixels of both. In 2D, areas, sums and boxes come from one parallel pass over the image, the hull's extent from
a warp an object. The outline, though, is walked by one thread an object, pixel after pixel, and a side of its hull is
built by one thread, row after row: thousands of cells keep a device busy, but one object whose outline winds through
the whole image (a mesh, a maze; up to four steps a pixel) is walked by a single thread while all others wait.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import blocks_for
from compdistort.backend.device.label import THREADS, first_pixels_unseen, image_grid
from compdistort.backend.device.volumes import count_volumes
from compdistort.backend.shape import (
    COUNTS,
    VOLUME_COUNTS,
    Int64,
    checked_count,
    ids_out_of_order,
    table_from_counts,
    table_from_volume_counts,
)

OUTLINE_THREADS = 32
"""Threads a block of what one thread does an object: few, so that the blocks spread over the device."""

EXTENT_THREADS = 128
"""Threads a block of what a warp does an object."""

ROW_BYTES = 2 * 4 + 2 * 8
"""Scratch of one row of one object: both end cracks and both vertices of its hull."""

RANGE_BLOCKS = 256
"""Blocks along y that look for the extreme ids: each warp ends in two atomics on the same words."""


def measure_objects(cuda: Cuda, labels: Any) -> Float64:
    """Measure the objects of a label image (see `compdistort.backend.plain.measure.measure_objects`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    labels : array of shape ([planes,] rows, columns), int32
        Label image on the device.

    Returns
    -------
    ndarray of shape (n_objects, n_columns), float64
        On the host; `MEASURE_COLUMNS` in 2D, `VOLUME_COLUMNS` in 3D.

    Raises
    ------
    ValueError
        As the plain twin.
    """
    if labels.ndim == 3:
        return table_from_volume_counts(count_solids(cuda, labels))
    return table_from_counts(count_shapes(cuda, labels))


def count_solids(cuda: Cuda, labels: Any) -> Int64:
    """Return the integer counts of every 3D object: shape (n_objects, len(VOLUME_COUNTS)), int64."""
    n = _count_objects(cuda, labels)
    if n == 0:
        return np.zeros((0, len(VOLUME_COUNTS)), np.int64)
    return count_volumes(cuda, labels, _first_pixels(cuda, labels, n))


def count_shapes(cuda: Cuda, labels: Any) -> Int64:
    """Return the integer counts of every object: shape (n_objects, len(COUNTS)), int64 (see `COUNTS`)."""
    n = _count_objects(cuda, labels)
    if n == 0:
        return np.zeros((0, len(COUNTS)), np.int64)
    first = _first_pixels(cuda, labels, n)
    rows, columns = labels.shape
    counts = cuda.empty((len(COUNTS), n), np.uint64)
    cuda.launch("measure.begin_counts", (blocks_for(n, THREADS),), (THREADS,), first, n, columns, counts)
    cuda.launch("measure.add_runs", image_grid(columns, rows), (THREADS,), labels, rows, columns, n, counts)
    _add_shapes(cuda, labels, counts)
    return np.ascontiguousarray(cuda.download(counts).T).view(np.int64)


def _count_objects(cuda: Cuda, labels: Any) -> int:
    """Return the largest id, or refuse the image as the plain twin does."""
    lines, columns = prod(labels.shape[:-1]), labels.shape[-1]
    extremes = cuda.zeros((2,), np.int32)
    grid = image_grid(columns, lines, RANGE_BLOCKS)
    cuda.launch("measure.id_range", grid, (THREADS,), labels, lines, columns, extremes)
    low, high = cuda.download(extremes).tolist()
    return checked_count(labels.shape, low, high)


def _first_pixels(cuda: Cuda, labels: Any, n: int) -> Any:
    """Return the raster index of every object's first pixel; refuse ids that are not in their order."""
    lines, columns = prod(labels.shape[:-1]), labels.shape[-1]
    first = first_pixels_unseen(cuda, n)
    bad = cuda.zeros((1,), np.int32)
    cuda.launch("measure.first_pixels", image_grid(columns, lines), (THREADS,), labels, lines, columns, first)
    cuda.launch("measure.check_order", (blocks_for(n, THREADS),), (THREADS,), first, n, bad)
    if cuda.download(bad)[0]:
        raise ids_out_of_order()
    return first


def _add_shapes(cuda: Cuda, labels: Any, counts: Any) -> None:
    """Fill outline, hull and caliper counts, in groups of objects whose scratch fits the memory."""
    top, bottom = (cuda.download(counts[COUNTS.index(name)]) for name in ("y_min", "y_max"))
    room = bottom - top + np.uint64(2)

    def work(start: int, stop: int) -> None:
        _shapes_of(cuda, labels, counts, start, room[start:stop])

    cuda.in_slabs(room.size, ROW_BYTES * int(room.max()), work)


def _shapes_of(cuda: Cuda, labels: Any, counts: Any, start: int, room: NDArray[np.uint64]) -> None:
    """Fill the shape columns of the objects from `start` on; `room` is one more than each one's rows."""
    (rows, columns), (_, n_objects), n = labels.shape, counts.shape, room.size
    starts = np.zeros(n + 1, np.uint64)
    np.cumsum(room, out=starts[1:])
    total = int(starts[-1])
    offset = cuda.upload(starts)
    left, right = cuda.empty((total,), np.int32), cuda.empty((total,), np.int32)
    span, length = cuda.empty((n,), np.int32), cuda.empty((2 * n,), np.int32)
    chain = cuda.empty((2 * total, 2), np.int32)
    group = (n_objects, start, n)

    grid = (blocks_for(n, OUTLINE_THREADS),)
    walk = (labels, rows, columns, *group, offset, left, right, span, counts)
    cuda.launch("measure.outline", grid, (OUTLINE_THREADS,), *walk)
    grid = (blocks_for(2 * n, OUTLINE_THREADS),)
    cuda.launch(
        "measure.hull_sides", grid, (OUTLINE_THREADS,), left, right, span, offset, counts, *group, chain, length
    )
    grid = (blocks_for(32 * n, EXTENT_THREADS),)
    cuda.launch("measure.hull_extent", grid, (EXTENT_THREADS,), chain, length, offset, *group, counts)
