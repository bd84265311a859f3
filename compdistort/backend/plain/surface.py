"""Surface triangles of objects, the slow obvious definition: one object after another, all cells of its box."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compdistort.backend.base import Int32
from compdistort.backend.shape import Int64
from compdistort.backend.surface import CONFIGURATION_TRIANGLES


def count_triangles(labels: Int32, n_objects: int) -> Int64:
    """Count the surface triangles of every object of a label volume.

    Parameters
    ----------
    labels : ndarray of shape (planes, rows, columns), int32
        Object ids; 0 = background, and so is all that lies beyond the volume.
    n_objects : int
        Ids are 1..n_objects, each somewhere in the volume.

    Returns
    -------
    ndarray of shape (n_objects, len(SURFACE_COLUMNS)), int64
        Triangles by kind (see `compdistort.backend.surface`); for an object all others are background.
    """
    counts = np.zeros((n_objects, CONFIGURATION_TRIANGLES.shape[1]), np.int64)
    for i, box in enumerate(ndimage.find_objects(labels) if n_objects else []):
        cells = np.bincount(configurations(labels[box] == i + 1).ravel(), minlength=256)
        counts[i] = cells @ CONFIGURATION_TRIANGLES.astype(np.int64)
    return counts


def configurations(mask: NDArray[np.bool_]) -> Int64:
    """Return which of the eight voxels of every cell are set, beyond the mask none.

    Parameters
    ----------
    mask : ndarray of shape (planes, rows, columns), bool
        Voxels of one object.

    Returns
    -------
    ndarray of shape (planes + 1, rows + 1, columns + 1), int64
        Bit 4 dz + 2 dy + dx of cell (z, y, x) is the voxel (z - 1 + dz, y - 1 + dy, x - 1 + dx).

    Examples
    --------
    >>> configurations(np.ones((1, 1, 1), bool)).ravel()
    array([128,  64,  32,  16,   8,   4,   2,   1])
    """
    padded = np.pad(mask, 1).astype(np.int64)
    planes, rows, columns = (side + 1 for side in mask.shape)
    cells = np.zeros((planes, rows, columns), np.int64)
    for bit in range(8):
        dz, dy, dx = bit >> 2, bit >> 1 & 1, bit & 1
        cells |= padded[dz : dz + planes, dy : dy + rows, dx : dx + columns] << bit
    return cells
