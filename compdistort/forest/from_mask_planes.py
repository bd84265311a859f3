"""Annotations drawn from the mask of a volume that is read a few planes at a time: those of `annotations_from_mask`."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import PlaneReader
from compdistort.errors import AnnotationError
from compdistort.forest.from_masks import BACKGROUND, DEFAULT_SAMPLES, OBJECT, check_drawing, check_mask
from compdistort.io.planes import all_planes, plane_of
from compdistort.io.strokes import Strokes

Int64 = NDArray[np.int64]


def strokes_from_mask(
    mask: PlaneReader, shape: tuple[int, ...], seed: int, *, samples: int = DEFAULT_SAMPLES, prior: str = "natural"
) -> Strokes:
    """Draw voxels of a mask as annotations; the same ones as of the whole mask in memory.

    Parameters
    ----------
    mask : PlaneReader
        Label volume of two values, of which one is 0.
    shape : tuple of int
        Shape of the image.
    seed : int
        Seed of the draw.
    samples, prior : int, str
        As `annotations_from_mask` takes them.

    Returns
    -------
    Strokes

    Raises
    ------
    ConfigError
        If the prior does not exist, or fewer than two voxels are to be drawn.
    AnnotationError
        If the mask has another shape, more than two values, or holds no object or no background.
    """
    check_drawing(samples, prior)
    inside = _count(mask)
    plane, n = math.prod(mask.shape[1:]), math.prod(mask.shape)
    check_mask(mask.shape, shape, int(inside.sum()), n)
    draw = np.random.Generator(np.random.Philox([seed, 0]))
    if prior == "natural":
        flat = np.sort(draw.choice(n, min(samples, n), replace=False))
        return Strokes(shape=tuple(shape), flat=flat, value=np.concatenate(list(_values(mask, flat))))
    counts = ((BACKGROUND, plane - inside), (OBJECT, inside))
    each = min(samples // 2, *(int(count.sum()) for _, count in counts))
    places, values = [], []
    for value, count in counts:
        ranks = np.sort(draw.choice(int(count.sum()), each, replace=False))
        places.append(_places(mask, ranks, count, is_object=value == OBJECT))
        values.append(np.full(each, value, np.uint8))
    flat = np.concatenate(places)
    order = np.argsort(flat)
    return Strokes(shape=tuple(shape), flat=flat[order], value=np.concatenate(values)[order])


def _count(mask: PlaneReader) -> Int64:
    """Return the voxels of objects in every plane."""
    counts, high = [], 0
    for labels in all_planes(mask):
        high = high or int(labels.max())
        counts.append(int(np.count_nonzero(labels)))
        if not bool(((labels == 0) | (labels == high)).all()):
            raise AnnotationError(
                f"mask: holds more values than 0 and {high}", "threshold it first, save as 0 (background) and 255"
            )
    return np.array(counts, np.int64)


def _values(mask: PlaneReader, flat: Int64) -> Iterator[NDArray[np.uint8]]:
    """Give the classes of voxels, which rise, plane by plane."""
    size = math.prod(mask.shape[1:])
    for plane in np.unique(flat // size).tolist():
        inside = plane_of(mask, plane).reshape(-1) != 0
        here = flat[slice(*np.searchsorted(flat, (plane * size, (plane + 1) * size)))] - plane * size
        yield np.where(inside[here], OBJECT, BACKGROUND).astype(np.uint8)


def _places(mask: PlaneReader, ranks: Int64, counts: Int64, *, is_object: bool) -> Int64:
    """Return where in the flat volume the voxels of a class are that have these places among their kind, rising."""
    size, ends = math.prod(mask.shape[1:]), np.cumsum(counts)
    found: list[Any] = []
    for plane in np.unique(np.searchsorted(ends, ranks, side="right")).tolist():
        begun = int(ends[plane] - counts[plane])
        own = ranks[(ranks >= begun) & (ranks < ends[plane])] - begun
        found.append(np.flatnonzero((plane_of(mask, plane) != 0) == is_object)[own] + plane * size)
    return np.concatenate(found).astype(np.int64)
