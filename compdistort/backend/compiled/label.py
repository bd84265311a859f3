"""Connected components with cc3d and two passes over the labels; the same bits as `backend.plain.label`."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compdistort.backend.base import Int32, SegmentRule
from compdistort.backend.plain.label import COMPLEMENT, Mask, check_connectivity


def label_mask(mask: Mask, rule: SegmentRule) -> Int32:
    """Return the label image of a mask (see `backend.plain.label.label_mask`)."""
    check_connectivity(mask.ndim, rule.connectivity)
    if mask.size == 0:
        return np.zeros(mask.shape, np.int32)
    if rule.include_holes:
        mask = _fill_holes(mask, COMPLEMENT[rule.connectivity])
    found, n = _components(mask, rule.connectivity)
    volume = found.reshape(-1, *mask.shape[-2:])
    out = np.empty(volume.shape, np.int32)
    planes_are_border = mask.ndim == 3
    _finish(volume, n, rule.min_size, rule.max_size, rule.exclude_border, planes_are_border, out)
    return out.reshape(mask.shape)


def _components(mask: Mask, connectivity: int) -> tuple[NDArray[np.uint32], int]:
    import cc3d  # noqa: PLC0415 - only the compiled engine needs it

    # As uint8: the path that cc3d 4.1.1 takes for bool gives wrong objects where the number of columns is odd.
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    found: tuple[NDArray[Any], int] = cc3d.connected_components(
        pixels, connectivity=connectivity, return_N=True, out_dtype=np.uint32
    )
    return np.ascontiguousarray(found[0]), int(found[1])


def _fill_holes(mask: Mask, connectivity: int) -> Mask:
    """Return the mask and all background that is not connected with the outside of the image."""
    outside = np.pad(~mask, 1, constant_values=True)
    found, _ = _components(outside, connectivity)
    inner = (slice(1, -1),) * mask.ndim
    return np.ascontiguousarray(found[inner] != found.flat[0])


@njit(nogil=True, cache=True, error_model="numpy")
def _finish(labels, n, min_size, max_size, exclude_border, planes_are_border, out):
    """Drop objects by size and border, and number the others in raster order of their first pixel."""
    planes, rows, columns = labels.shape
    size = np.zeros(n + 1, np.int64)
    at_border = np.zeros(n + 1, np.bool_)
    for z in range(planes):
        z_edge = planes_are_border and (z == 0 or z == planes - 1)
        for y in range(rows):
            edge = z_edge or y == 0 or y == rows - 1
            for x in range(columns):
                i = labels[z, y, x]
                size[i] += 1
                if edge or x == 0 or x == columns - 1:
                    at_border[i] = True
    new = np.zeros(n + 1, np.int32)
    next_id = np.int32(0)
    for z in range(planes):
        for y in range(rows):
            for x in range(columns):
                i = labels[z, y, x]
                if i == 0:
                    out[z, y, x] = 0
                    continue
                if new[i] == 0:
                    fits = size[i] >= min_size and (max_size == 0 or size[i] <= max_size)
                    if fits and not (exclude_border and at_border[i]):
                        next_id += np.int32(1)
                        new[i] = next_id
                    else:
                        new[i] = -1
                out[z, y, x] = max(new[i], np.int32(0))
