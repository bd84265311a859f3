"""Object measurement, the slow obvious definition: one object after another, on sets and lists of Python integers."""

import itertools
import math

import numpy as np
from scipy import ndimage

from compdistort.backend.base import Float64, Int32
from compdistort.backend.plain.surface import count_triangles
from compdistort.backend.shape import (
    COUNTS,
    SURFACE,
    VOLUME_COUNTS,
    Int64,
    count_objects,
    ids_out_of_order,
    table_from_counts,
    table_from_volume_counts,
)

Point = tuple[int, int]

EAST, SOUTH, WEST, NORTH = range(4)
STEP = {EAST: (1, 0), SOUTH: (0, 1), WEST: (-1, 0), NORTH: (0, -1)}
RIGHT_HAND_PIXEL = {EAST: (0, 0), SOUTH: (-1, 0), WEST: (-1, -1), NORTH: (0, -1)}
"""Pixel ahead on the right-hand side of one who leaves vertex (0, 0) in a direction."""


def measure_objects(labels: Int32) -> Float64:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Ids 1..n in raster order of their first pixel, in 2D each one 8-connected set; 0 = background.

    Returns
    -------
    ndarray of shape (n_objects, n_columns), float64
        One row an object, in the order of the ids; `MEASURE_COLUMNS` in 2D, `VOLUME_COLUMNS` in 3D.

    Raises
    ------
    ValueError
        If the ids are not in raster order, or a 2D image is larger than 65536 pixels a side.
    """
    if labels.ndim == 3:
        return table_from_volume_counts(count_volumes(labels))
    return table_from_counts(count_shapes(labels))


def count_volumes(labels: Int32) -> Int64:
    """Return the integer counts of every 3D object: shape (n_objects, len(VOLUME_COUNTS)), int64."""
    n_objects = _count_in_order(labels)
    counts = np.empty((n_objects, len(VOLUME_COUNTS)), np.int64)
    for i, box in enumerate(ndimage.find_objects(labels) if n_objects else []):
        z, y, x = (index + side.start for index, side in zip(np.nonzero(labels[box] == i + 1), box, strict=True))
        sums = (x.sum(), y.sum(), z.sum())
        row = (x[0], y[0], z[0], x.size, *sums, x.min(), y.min(), z.min(), x.max(), y.max(), z.max())
        counts[i, : SURFACE.start] = row
    counts[:, SURFACE] = count_triangles(labels, n_objects)
    return counts


def count_shapes(labels: Int32) -> Int64:
    """Return the integer counts of every object: shape (n_objects, len(COUNTS)), int64 (see `COUNTS`)."""
    n_objects = _count_in_order(labels)
    counts = np.empty((n_objects, len(COUNTS)), np.int64)
    for i, box in enumerate(ndimage.find_objects(labels) if n_objects else []):
        ys, xs = np.nonzero(labels[box] == i + 1)
        x0, y0 = box[1].start, box[0].start
        counts[i] = _count(list(zip((xs + x0).tolist(), (ys + y0).tolist(), strict=True)))
    return counts


def _count_in_order(labels: Int32) -> int:
    """Return the number of objects; refuse ids that are not in raster order of the first pixel."""
    n_objects = count_objects(labels)
    ids, first = np.unique(labels, return_index=True)
    first = first[ids > 0]
    if not np.array_equal(ids[ids > 0], np.arange(1, n_objects + 1)) or np.any(np.diff(first) < 0):
        raise ids_out_of_order()
    return n_objects


def _count(pixels: list[Point]) -> tuple[int, ...]:
    """Return one row of `COUNTS` from the (x, y) of an object's pixels in raster order."""
    xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
    sums = (
        sum(xs),
        sum(ys),
        sum(x * x for x in xs),
        sum(y * y for y in ys),
        sum(x * y for x, y in pixels),
    )
    vertices, lengths = outline(set(pixels), pixels[0])
    hull = convex_hull(vertices)
    return (
        *pixels[0],
        len(pixels),
        *sums,
        min(xs),
        min(ys),
        max(xs),
        max(ys),
        sum(lengths),
        count_corners(lengths),
        _twice_area(hull),
        *_longest_pair(hull),
        *_narrowest_edge(hull),
    )


def outline(pixels: set[Point], seed: Point) -> tuple[list[Point], list[int]]:
    """Walk the cracks around an object, keeping it on the right (clockwise on screen).

    Parameters
    ----------
    pixels : set of (x, y)
        The object.
    seed : (x, y)
        Its first pixel in raster order.

    Returns
    -------
    vertices : list of (x, y)
        Pixel corners where the direction changes.
    lengths : list of int
        Length of the edge that arrives at each vertex.

    Examples
    --------
    >>> outline({(5, 7)}, (5, 7))
    ([(6, 8), (5, 8), (5, 7), (6, 7)], [1, 1, 1, 1])
    """
    x, y = seed
    while (x, y) in pixels:
        x += 1
    start = (x, y + 1, SOUTH)
    x, y, heading = start
    vertices: list[Point] = []
    while True:
        new = _turn(pixels, x, y, heading)
        if new != heading:
            vertices.append((x, y))
        heading = new
        x, y = x + STEP[heading][0], y + STEP[heading][1]
        if (x, y, heading) == start:
            break
    lengths = [
        abs(x - px) + abs(y - py) for (x, y), (px, py) in zip(vertices, vertices[-1:] + vertices[:-1], strict=True)
    ]
    return vertices, lengths


def _turn(pixels: set[Point], x: int, y: int, heading: int) -> int:
    """Return the first of left, straight, right with an object pixel ahead on the right: 8-connected."""
    for new in ((heading - 1) % 4, heading, (heading + 1) % 4):
        dx, dy = RIGHT_HAND_PIXEL[new]
        if (x + dx, y + dy) in pixels:
            return new
    raise AssertionError("the pixel that the walk came along has vanished")


def count_corners(lengths: list[int]) -> int:
    """Count the corners that shorten the perimeter: after an edge of one pixel only every second one counts.

    Examples
    --------
    >>> count_corners([1, 1, 1, 1]), count_corners([3, 3, 3, 3])
    (2, 4)
    """
    counted, total = False, 0
    for i, length in enumerate(lengths):
        counted = i == 0 or length > 1 or not counted
        total += counted
    return total


def convex_hull(points: list[Point]) -> list[Point]:
    """Return the corners of the hull from the topmost (leftmost of ties), anticlockwise on screen, none collinear.

    Examples
    --------
    >>> convex_hull([(0, 0), (1, 0), (2, 0), (2, 2), (0, 2), (0, 1)])
    [(0, 0), (0, 2), (2, 2), (2, 0)]
    """
    by_row = sorted(set(points), key=lambda point: (point[1], point[0]))
    down, up = _half_hull(by_row), _half_hull(by_row[::-1])
    return down[:-1] + up[:-1]


def _half_hull(points: list[Point]) -> list[Point]:
    chain: list[Point] = []
    for point in points:
        while len(chain) > 1 and _cross(chain[-2], chain[-1], point) >= 0:
            chain.pop()
        chain.append(point)
    return chain


def _cross(origin: Point, a: Point, b: Point) -> int:
    """Return the cross product of a - origin and b - origin; below 0 where b lies to the left on screen (y down)."""
    return (a[0] - origin[0]) * (b[1] - origin[1]) - (a[1] - origin[1]) * (b[0] - origin[0])


def _twice_area(hull: list[Point]) -> int:
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(hull, hull[1:] + hull[:1], strict=True)))


def _longest_pair(hull: list[Point]) -> tuple[int, int, int, int]:
    """Return the first pair in hull order with the strictly largest distance."""
    best, pair = -1, (0, 0, 0, 0)
    for (x1, y1), (x2, y2) in itertools.combinations(hull, 2):
        squared = (x2 - x1) ** 2 + (y2 - y1) ** 2
        if squared > best:
            best, pair = squared, (x1, y1, x2, y2)
    return pair


def _narrowest_edge(hull: list[Point]) -> tuple[int, int]:
    """Return (largest cross product, squared length) of the edge whose farthest vertex is nearest."""
    best, edge = math.inf, (0, 0)
    for a, b in zip(hull, hull[1:] + hull[:1], strict=True):
        cross = max(abs(_cross(a, b, point)) for point in hull)
        squared = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
        if cross / math.sqrt(squared) < best:
            best, edge = cross / math.sqrt(squared), (cross, squared)
    return edge
