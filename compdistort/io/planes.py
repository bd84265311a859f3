"""Images that are read plane by plane, in memory or not, and which planes stand for a large volume."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.grey_levels import GreyLevels

Image = NDArray[Any]
Span = tuple[int, int]

AT_ONCE = 8
"""Planes that are asked for together where all are looked at."""

SAMPLE_VOXELS = 1 << 26
"""Largest volume of which every plane is looked at where counts of grey levels do not do."""


class ArrayPlanes:
    """An image in memory as a `PlaneReader`; a 2D image is one plane.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns)
        Pixels.
    """

    def __init__(self, image: Image) -> None:
        self._volume = image.reshape(-1, *image.shape[-2:])
        self.shape, self.dtype = self._volume.shape, image.dtype

    def read_planes(self, start: int, stop: int) -> Image:
        """Return planes start..stop - 1, a view of shape (stop - start, rows, columns)."""
        return self._volume[start:stop]


def as_reader(image: Image | PlaneReader) -> PlaneReader:
    """Return an image of shape ([planes,] rows, columns) as a reader of planes; a reader is returned as it is.

    Examples
    --------
    >>> as_reader(np.zeros((4, 6), np.uint16)).shape
    (1, 4, 6)
    """
    return ArrayPlanes(image) if isinstance(image, np.ndarray) else image


def plane_of(reader: PlaneReader, plane: int) -> Image:
    """Return one plane, shape (rows, columns)."""
    found: Image = reader.read_planes(plane, plane + 1)[0]
    return found


def groups(first: int, last: int, at_once: int = AT_ONCE) -> Iterator[Span]:
    """Give first and one past the last of the planes that are read together.

    Examples
    --------
    >>> list(groups(3, 20))
    [(3, 11), (11, 19), (19, 20)]
    """
    for start in range(first, last, at_once):
        yield start, min(start + at_once, last)


def all_planes(reader: PlaneReader) -> Iterator[Image]:
    """Give every plane in order, each of shape (rows, columns)."""
    for start, stop in groups(0, reader.shape[0]):
        yield from reader.read_planes(start, stop)


def grey_levels(image: Image | PlaneReader, known: GreyLevels | None = None) -> GreyLevels:
    """Return the grey levels of a uint16 image of shape ([planes,] rows, columns); counted unless known."""
    return GreyLevels.of_planes(all_planes(as_reader(image))) if known is None else known


def sampled_planes(shape: Sequence[int], most: int = SAMPLE_VOXELS) -> range:
    """Return the planes that stand for an image: all of them, or of a large volume some at equal distances.

    The choice is one of the shape alone, so that it does not matter whether an image is in memory.

    Parameters
    ----------
    shape : sequence of int
        ([planes,] rows, columns).
    most : int
        Voxels up to which all planes are taken; of larger volumes they are about as many, but one plane at least.

    Returns
    -------
    range
        Planes, rising, as far from the first of the volume as from the last, within one.

    Examples
    --------
    >>> sampled_planes((3, 100, 100)), sampled_planes((10, 100, 100), most=40_000)
    (range(0, 3), range(0, 10, 3))
    """
    planes = math.prod(shape[:-2])
    step = min(planes, max(1, -(-planes * shape[-2] * shape[-1] // most)))
    return range((planes - 1) % step // 2, planes, step)


def read_some(reader: PlaneReader, planes: Iterable[int]) -> Iterator[Image]:
    """Give some planes, one at a time, each of shape (rows, columns)."""
    for plane in planes:
        yield plane_of(reader, plane)


def read_box(reader: PlaneReader, spans: Sequence[Span]) -> Image:
    """Return a part of a volume; what lies outside is in memory a few planes at a time only.

    Parameters
    ----------
    reader : PlaneReader
        The volume.
    spans : sequence of three (int, int)
        First and one past the last plane, row and column.

    Returns
    -------
    ndarray of shape (planes, rows, columns), the reader's dtype
        C-contiguous, the caller's own.
    """
    (first, last), (top, bottom), (left, right) = spans
    box = np.empty((last - first, bottom - top, right - left), reader.dtype)
    for start, stop in groups(first, last):
        box[start - first : stop - first] = reader.read_planes(start, stop)[:, top:bottom, left:right]
    return box
