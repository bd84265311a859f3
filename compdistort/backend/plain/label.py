"""Connected components of a mask with SciPy: holes, labels, size and border rules one after another."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compdistort.backend.base import Int32, SegmentRule
from compdistort.errors import ConfigError

Mask = NDArray[np.bool_]

CONNECTIVITY = {2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}
"""By number of axes: connectivity of objects -> in how many axes two neighbours may differ."""

COMPLEMENT = {4: 8, 8: 4, 6: 26, 18: 6, 26: 6}
"""Connectivity of the background that goes with one of the objects."""


def label_mask(mask: Mask, rule: SegmentRule) -> Int32:
    """Return the label image of a mask.

    Parameters
    ----------
    mask : ndarray of shape ([planes,] rows, columns), bool
        Object pixels.
    rule : SegmentRule
        Its `connectivity`, `include_holes`, `min_size`, `max_size` and `exclude_border` are used; sizes count filled
        holes. Connectivity must belong to the number of axes.

    Returns
    -------
    ndarray of the same shape, int32
        Ids 1..n in raster order of each object's first pixel; 0 = background.

    Raises
    ------
    ConfigError
        If the connectivity does not belong to the number of axes.
    """
    check_connectivity(mask.ndim, rule.connectivity)
    if mask.size == 0:
        return np.zeros(mask.shape, np.int32)
    if rule.include_holes:
        mask = ndimage.binary_fill_holes(mask, _structure(mask.ndim, COMPLEMENT[rule.connectivity]))
    labels, n = ndimage.label(mask, _structure(mask.ndim, rule.connectivity), output=np.int32)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    keep = sizes >= rule.min_size
    if rule.max_size > 0:
        keep &= sizes <= rule.max_size
    if rule.exclude_border:
        keep[_border_ids(labels)] = False
    keep[0] = False
    return _renumber(labels, keep)


def check_connectivity(ndim: int, connectivity: int) -> None:
    """Raise ConfigError if the connectivity does not belong to the number of axes."""
    allowed = CONNECTIVITY.get(ndim, {})
    if connectivity not in allowed:
        raise ConfigError(
            f"connectivity {connectivity} does not belong to an image of {ndim} axes",
            f"use {' or '.join(map(str, allowed))}" if allowed else "give an image of 2 or 3 axes",
        )


def _structure(ndim: int, connectivity: int) -> Mask:
    structure: Mask = ndimage.generate_binary_structure(ndim, CONNECTIVITY[ndim][connectivity])
    return structure


def _border_ids(labels: Int32) -> Int32:
    faces = [labels.take((0, -1), axis=axis).ravel() for axis in range(labels.ndim)]
    return np.unique(np.concatenate(faces))


def _renumber(labels: Int32, keep: Mask) -> Int32:
    """Return the kept objects numbered in raster order of their first pixel."""
    ids, first = np.unique(labels, return_index=True)
    kept = keep[ids]
    ordered = ids[kept][np.argsort(first[kept])]
    new = np.zeros(keep.size, np.int32)
    new[ordered] = np.arange(1, ordered.size + 1)
    return new[labels]
