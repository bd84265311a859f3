"""Which annotated pixels are kept back for judging: whole squares of the image, never random pixels.

Neighbouring pixels share noise and structure, so a pixel whose neighbour was trained on is no test.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from compdistort.backend.base import UInt8

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]

SIDES_PX = (64, 32, 16, 8)
"""Sides of the squares, tried in this order."""

GAP_PX = 3
"""Training pixels as near as this to a kept-back one are left out of the judged forest."""

MIN_TEST_PIXELS = 10
"""Fewest kept-back pixels of a class that say anything."""

CANVAS_PX = 1 << 26
"""Pixels that are drawn at a time to find what lies in the gap."""

_SHARE, _MOST, _LEAST = 0.25, 0.4, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """Annotated pixels of one or more images.

    Attributes
    ----------
    image : ndarray of shape (n_pixels,), int64
        Index of the image.
    place : ndarray of shape (n_pixels, n_axes), int64
        Pixel index, ([plane,] row, column).
    value : ndarray of shape (n_pixels,), uint8
        Annotation value.
    """

    image: Int64
    place: Int64
    value: UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A division of annotated pixels.

    Attributes
    ----------
    train, test : ndarray of shape (n_pixels,), bool
        Disjoint; pixels in the gap are in neither.
    side_px : int
        Side of the squares.
    """

    train: Bool
    test: Bool
    side_px: int


def split_blocks(pixels: Annotated, seed: int) -> Split | None:
    """Keep back about a quarter of the annotated pixels of every class, in whole squares (cubes in 3D).

    Parameters
    ----------
    pixels : Annotated
        All annotated pixels.
    seed : int
        Seed of the draw.

    Returns
    -------
    Split or None
        None where a class lies in one spot or has too few pixels, so that no square of it can be kept back while
        another is left.
    """
    classes, index = np.unique(pixels.value, return_inverse=True)
    for side in SIDES_PX:
        test = _draw(pixels, index, classes.size, side, seed)
        train = ~test & ~_near(pixels, test)
        n_test = np.bincount(index[test], minlength=classes.size)
        n_train = np.bincount(index[train], minlength=classes.size)
        total = np.bincount(index)
        enough = (n_test >= np.maximum(_LEAST * total, MIN_TEST_PIXELS)).all()
        if enough and (n_train >= _LEAST * total).all():
            return Split(train=train, test=test, side_px=side)
    return None


def _draw(pixels: Annotated, index: Int64, n_classes: int, side: int, seed: int) -> Bool:
    """Take squares in random order while a class wants more pixels and none gets too many."""
    squares = np.column_stack([pixels.image, pixels.place // side])
    _, square = np.unique(squares, axis=0, return_inverse=True)
    square = square.ravel()
    counts = np.zeros((int(square.max()) + 1, n_classes), np.int64)
    np.add.at(counts, (square, index), 1)
    total = counts.sum(axis=0)
    taken = np.zeros(n_classes, np.int64)
    chosen = np.zeros(len(counts), np.bool_)
    for k in np.random.Generator(np.random.Philox(seed)).permutation(len(counts)):
        wanted = (counts[k] > 0) & (taken < _SHARE * total)
        if wanted.any() and (taken + counts[k] <= _MOST * total).all():
            chosen[k] = True
            taken += counts[k]
    return chosen[square]


def _near(pixels: Annotated, test: Bool) -> Bool:
    """Return which pixels are within the gap of a kept-back pixel, itself included."""
    near = np.zeros(test.size, np.bool_)
    for k in np.unique(pixels.image):
        here = pixels.image == k
        near[here] = _within_gap(pixels.place[here] - pixels.place[here].min(axis=0), test[here])
    return near


def _within_gap(place: Int64, test: Bool) -> Bool:
    """Return the same of the pixels of one image, drawn on a canvas of some rows or planes at a time."""
    extent = tuple(map(int, place.max(axis=0) + 1))
    depth = max(1, CANVAS_PX // math.prod(extent[1:]))
    near = np.zeros(test.size, np.bool_)
    for start in range(0, extent[0], depth):
        own = (place[:, 0] >= start) & (place[:, 0] < start + depth)
        level = place[:, 0] - start + GAP_PX
        canvas_depth = min(depth, extent[0] - start) + 2 * GAP_PX
        drawn = test & (level >= 0) & (level < canvas_depth)
        if not (own.any() and drawn.any()):
            continue
        canvas = np.zeros((canvas_depth, *extent[1:]), np.uint8)
        canvas[level[drawn], *place[drawn, 1:].T] = 1
        reached = ndimage.maximum_filter(canvas, size=2 * GAP_PX + 1, mode="constant")
        near[own] = reached[level[own], *place[own, 1:].T] > 0
    return near
