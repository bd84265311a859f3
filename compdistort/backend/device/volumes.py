"""Measurement of 3D objects on the device: `kernels/volumes.cu` counts in whole numbers.

Runs of a warp and cells of 2 x 2 x 2 voxels add to their object's counts by atomics on integers; the label volume is
read three times, and nothing but the counts is written.
"""

from typing import Any

import numpy as np

from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import blocks_for
from compdistort.backend.device.label import THREADS, image_grid
from compdistort.backend.shape import VOLUME_COUNTS, Int64
from compdistort.backend.surface import CONFIGURATION_TRIANGLES


def count_volumes(cuda: Cuda, labels: Any, first: Any) -> Int64:
    """Return the integer counts of every 3D object.

    Parameters
    ----------
    cuda : Cuda
        The device.
    labels : array of shape (planes, rows, columns), int32
        Label volume on the device, ids in raster order.
    first : array of shape (n_objects,), uint64
        Raster index of each object's first voxel, on the device.

    Returns
    -------
    ndarray of shape (n_objects, len(VOLUME_COUNTS)), int64
        On the host (see `VOLUME_COUNTS`).
    """
    (planes, rows, columns), n = labels.shape, first.size
    counts = cuda.empty((len(VOLUME_COUNTS), n), np.uint64)
    triangles = cuda.upload(CONFIGURATION_TRIANGLES)
    where = (labels, planes, rows, columns, n)
    cuda.launch("volumes.begin_volumes", (blocks_for(n, THREADS),), (THREADS,), first, n, rows, columns, counts)
    cuda.launch("volumes.add_volume_runs", image_grid(columns, planes * rows), (THREADS,), *where, counts)
    cells = image_grid(columns + 1, (planes + 1) * (rows + 1))
    cuda.launch("volumes.add_cells", cells, (THREADS,), *where, triangles, counts)
    return np.ascontiguousarray(cuda.download(counts).T).view(np.int64)
