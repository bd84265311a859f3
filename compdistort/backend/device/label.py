"""Decision and components on the device: `kernels/label.cu` around CuPy's connected components.

Only one size, one first pixel and one border flag an object come to the host, where the rules are applied; the new id
of every object goes back.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compdistort.backend.base import SegmentRule
from compdistort.backend.device import convolve
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import MAX_GRID, blocks_for
from compdistort.backend.plain.label import COMPLEMENT, CONNECTIVITY, check_connectivity
from compdistort.errors import ResourceError

THREADS = 256
"""Threads a block, along the columns where the kernel sees an image."""

MAX_OBJECTS = 2**31 - 1
"""Most components of a mask: labels are int32."""

UNSEEN = 2**64 - 1
"""First pixel of an object before the image was read."""


def threshold(cuda: Cuda, probability: Any, rule: SegmentRule) -> Any:
    """Return the mask of one class probability (see `Backend.threshold`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    probability : array of shape ([planes,] rows, columns), float64
        Probability on the device.
    rule : SegmentRule
        Its `threshold`, `strict` and `smoothing_px` are used.

    Returns
    -------
    array of the same shape, bool
    """
    n = probability.size
    grid = (blocks_for(n, THREADS),)
    mask = cuda.empty(probability.shape, np.bool_)
    if rule.smoothing_px <= 0:
        cuda.launch("label.decide", grid, (THREADS,), probability, rule.threshold, rule.strict, mask, n)
        return mask
    single = cuda.empty(probability.shape, np.float32)
    cuda.launch("label.to_single", grid, (THREADS,), probability, single, n)
    smooth = convolve.smooth(cuda, single, rule.smoothing_px)
    # NumPy compares a float32 array with a Python float in float32.
    level = np.float32(rule.threshold)
    cuda.launch("label.decide_single", grid, (THREADS,), smooth, level, rule.strict, mask, n)
    return mask


def label_mask(cuda: Cuda, mask: Any, rule: SegmentRule) -> Any:
    """Return the label image of a mask (see `compdistort.backend.plain.label.label_mask`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    mask : array of shape ([planes,] rows, columns), bool
        Object pixels on the device.
    rule : SegmentRule
        As the plain twin uses it.

    Returns
    -------
    array of the same shape, int32

    Raises
    ------
    ConfigError
        If the connectivity does not belong to the number of axes.
    ResourceError
        If the mask has more than `MAX_OBJECTS` components, or more voxels than an old CuPy can label.
    """
    check_connectivity(mask.ndim, rule.connectivity)
    if mask.size == 0:
        return cuda.zeros(mask.shape, np.int32)
    if rule.include_holes:
        mask = _fill_holes(cuda, mask, COMPLEMENT[rule.connectivity])
    found, n = _components(cuda, mask, rule.connectivity)
    new_ids = cuda.upload(_new_ids(_survey(cuda, found, n), rule))
    labels = cuda.empty(found.shape, np.int32)
    grid = (blocks_for(found.size, THREADS),)
    cuda.launch(f"label.renumber{_width(found)}", grid, (THREADS,), found, new_ids, labels, found.size)
    return labels


def image_grid(columns: int, lines: int, limit: int = MAX_GRID[1]) -> tuple[int, int]:
    """Return the grid whose blocks cover the columns along x and go through the rows of all planes along y.

    Examples
    --------
    >>> image_grid(257, 100_000)
    (2, 65535)
    """
    return blocks_for(columns, THREADS), min(lines, limit)


def first_pixels_unseen(cuda: Cuda, n: int) -> Any:
    """Return the first pixel of n objects before the image was read, shape (n,), uint64."""
    first = cuda.empty((n,), np.uint64)
    cuda.launch("label.fill", (blocks_for(n, THREADS),), (THREADS,), UNSEEN, first, n)
    return first


def _components(cuda: Cuda, mask: Any, connectivity: int) -> tuple[Any, int]:
    """Return what CuPy's `label` finds: ids as int32, or int64 for very large masks, and their number."""
    structure = ndimage.generate_binary_structure(mask.ndim, CONNECTIVITY[mask.ndim][connectivity])
    found, n = cuda.label(mask, structure)
    if found.dtype != np.int64 and mask.size > MAX_OBJECTS:
        # Before it learnt to answer in int64, CuPy's indices overflowed (its issue 9851): wrong objects, no error.
        raise ResourceError(
            f"this CuPy cannot label {mask.size} voxels", "install CuPy 14.2 or newer, or crop the image"
        )
    if int(n) > MAX_OBJECTS:
        raise ResourceError(
            f"the mask has {int(n)} separate objects, labels hold {MAX_OBJECTS}",
            "crop the image, smooth the probability (smoothing_px) or raise the threshold",
        )
    return found, int(n)


def _width(found: Any) -> str:
    """Return the suffix of the kernels that read components of this type."""
    return "_wide" if found.dtype == np.int64 else ""


def _volume(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return planes, rows, columns; a 2D image is one plane."""
    planes, rows, columns = (1, *shape)[-3:]
    return planes, rows, columns


def _fill_holes(cuda: Cuda, mask: Any, connectivity: int) -> Any:
    """Return the mask and all background that is not connected with the outside of the image."""
    planes, rows, columns = _volume(mask.shape)
    pad_planes = int(mask.ndim == 3)
    padded = tuple(n + 2 for n in mask.shape)
    outside = cuda.empty(padded, np.bool_)
    grid = image_grid(columns + 2, (planes + 2 * pad_planes) * (rows + 2))
    cuda.launch("label.outside", grid, (THREADS,), mask, planes, rows, columns, pad_planes, outside)
    found, _ = _components(cuda, outside, connectivity)
    filled = cuda.empty(mask.shape, np.bool_)
    kernel = f"label.fill_holes{_width(found)}"
    grid = image_grid(columns, planes * rows)
    cuda.launch(kernel, grid, (THREADS,), found, planes, rows, columns, pad_planes, filled)
    return filled


def _survey(cuda: Cuda, found: Any, n: int) -> tuple[NDArray[np.uint64], ...]:
    """Return size, first pixel and border flag of every component, each of shape (n,)."""
    planes, rows, columns = _volume(found.shape)
    size, border = cuda.zeros((n,), np.uint64), cuda.zeros((n,), np.uint64)
    first = first_pixels_unseen(cuda, n)
    where = (found, planes, rows, columns, found.ndim == 3)
    grid = image_grid(columns, planes * rows)
    cuda.launch(f"label.survey{_width(found)}", grid, (THREADS,), *where, size, first, border)
    return tuple(cuda.download(each) for each in (size, first, border))


def _new_ids(survey: tuple[NDArray[np.uint64], ...], rule: SegmentRule) -> NDArray[np.int32]:
    """Return the id in the result of every component, shape (n + 1,): 0 for the background and what is dropped."""
    size, first, border = survey
    keep = size >= rule.min_size
    if rule.max_size > 0:
        keep &= size <= rule.max_size
    if rule.exclude_border:
        keep &= border == 0
    kept = np.flatnonzero(keep)
    new_ids = np.zeros(size.size + 1, np.int32)
    new_ids[1 + kept[np.argsort(first[kept])]] = np.arange(1, kept.size + 1)
    return new_ids
