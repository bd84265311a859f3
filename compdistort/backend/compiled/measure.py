"""Object measurement, compiled: one pass over runs for the sums, then outline and hull of each object from its seed.

Time is linear in pixels plus outline; the scratch memory is one entry an image row. All counts are integers, so the
result equals `compdistort.backend.plain.measure` to the bit. The hull is built from the outline's leftmost and
rightmost crack of every row, which are already sorted, and the caliper width by rotating calipers.
"""

import numpy as np
from numba import njit

from compdistort.backend.base import Float64, Int32
from compdistort.backend.shape import COUNTS, Int64, count_objects, ids_out_of_order, table_from_counts

X_START, Y_START, AREA, SX, SY, SXX, SYY, SXY, X_MIN, Y_MIN, X_MAX, Y_MAX = range(12)
STEPS, CORNERS, HULL_AREA2, FERET_X1, FERET_Y1, FERET_X2, FERET_Y2, WIDTH_CROSS, WIDTH_LEN2 = range(12, 21)

EAST, SOUTH, WEST, NORTH = range(4)


def measure_objects(labels: Int32) -> Float64:
    """Measure the objects of a label image (see `compdistort.backend.plain.measure.measure_objects`)."""
    return table_from_counts(count_shapes(labels))


def count_shapes(labels: Int32) -> Int64:
    """Return the integer counts of every object: shape (n_objects, len(COUNTS)), int64 (see `COUNTS`)."""
    n_objects = count_objects(labels)
    counts = np.zeros((n_objects, len(COUNTS)), np.int64)
    if n_objects == 0:
        return counts
    if not _add_runs(labels, counts):
        raise ids_out_of_order()
    _add_shapes(labels, counts)
    return counts


@njit(nogil=True, cache=True, error_model="numpy")
def _add_runs(labels, counts):
    """Fill seed, area, sums and box of every object from its runs; False where ids are out of order."""
    rows, cols = labels.shape
    seen = 0
    for y in range(rows):
        x = 0
        while x < cols:
            label = labels[y, x]
            if label == 0:
                x += 1
                continue
            a = x
            while x < cols and labels[y, x] == label:
                x += 1
            i = np.int64(label) - 1
            if i >= seen:
                if i > seen:
                    return False
                seen += 1
                counts[i, X_START] = a
                counts[i, Y_START] = y
                counts[i, X_MIN] = a
                counts[i, Y_MIN] = y
            length = x - a
            sum_x = (a + x - 1) * length // 2
            counts[i, AREA] += length
            counts[i, SX] += sum_x
            counts[i, SY] += y * length
            counts[i, SXX] += (x - 1) * x * (2 * x - 1) // 6 - (a - 1) * a * (2 * a - 1) // 6
            counts[i, SYY] += y * y * length
            counts[i, SXY] += y * sum_x
            counts[i, X_MIN] = min(counts[i, X_MIN], a)
            counts[i, X_MAX] = max(counts[i, X_MAX], x - 1)
            counts[i, Y_MAX] = y
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _add_shapes(labels, counts):
    """Fill outline, hull and caliper counts of every object."""
    rows, cols = labels.shape
    left = np.empty(rows, np.int64)
    right = np.empty(rows, np.int64)
    hull = np.empty((2 * rows + 2, 2), np.int64)
    for i in range(counts.shape[0]):
        top = counts[i, Y_MIN]
        height = counts[i, Y_MAX] - top + 1
        left[:height] = cols
        right[:height] = -1
        height = _trace(labels, i, counts, left, right)
        n = _hull(left, right, top, height, hull)
        _measure_hull(hull, n, i, counts)


@njit(nogil=True, cache=True, error_model="numpy")
def _is(labels, label, x, y):
    return 0 <= x < labels.shape[1] and 0 <= y < labels.shape[0] and labels[y, x] == label


@njit(nogil=True, cache=True, error_model="numpy")
def _ahead(labels, label, x, y, heading):
    """Whether the pixel ahead on the right-hand side of vertex (x, y) belongs to the object."""
    dx = -1 if heading in (SOUTH, WEST) else 0
    dy = -1 if heading in (WEST, NORTH) else 0
    return _is(labels, label, x + dx, y + dy)


@njit(nogil=True, cache=True, error_model="numpy")
def _trace(labels, i, counts, left, right):
    """Walk the outer outline, object on the right; keep its length, its counted corners and each row's end cracks.

    Returns how many rows it spans.
    """
    label = labels[counts[i, Y_START], counts[i, X_START]]
    top = counts[i, Y_MIN]
    x = counts[i, X_START]
    while _is(labels, label, x, top):
        x += 1
    y = top + 1
    x_first, y_first = x, y
    heading = SOUTH
    steps, corners, edge, bottom = 0, 0, 0, 0
    counted = False
    while True:
        new = (heading + 3) & 3
        if not _ahead(labels, label, x, y, new):
            new = heading
            if not _ahead(labels, label, x, y, new):
                new = (heading + 1) & 3
        if new != heading:
            counted = corners == 0 or edge > 1 or not counted
            corners += counted
            edge = 0
            heading = new
        if heading == EAST:
            x += 1
        elif heading == SOUTH:
            right[y - top] = max(right[y - top], x)
            y += 1
            bottom = max(bottom, y)
        elif heading == WEST:
            x -= 1
        else:
            y -= 1
            left[y - top] = min(left[y - top], x)
        steps += 1
        edge += 1
        if heading == SOUTH and x == x_first and y == y_first:
            break
    counts[i, STEPS] = steps
    counts[i, CORNERS] = corners
    return bottom - top


@njit(nogil=True, cache=True, error_model="numpy")
def _push(hull, n, base, x, y):
    """Add a vertex to the chain that began at `base`, dropping those it makes needless; return the new length."""
    while n - base > 1:
        ax, ay = hull[n - 2, 0], hull[n - 2, 1]
        if (hull[n - 1, 0] - ax) * (y - ay) - (hull[n - 1, 1] - ay) * (x - ax) < 0:
            break
        n -= 1
    hull[n, 0] = x
    hull[n, 1] = y
    return n + 1


@njit(nogil=True, cache=True, error_model="numpy")
def _hull(left, right, top, height, hull):
    """Write the hull from its topmost (leftmost of ties) vertex, anticlockwise on screen; return its length."""
    n = 0
    for k in range(height + 1):
        x = left[min(k, height - 1)] if k == 0 or k == height else min(left[k - 1], left[k])
        n = _push(hull, n, 0, x, top + k)
    base = n
    for k in range(height, -1, -1):
        x = right[min(k, height - 1)] if k == 0 or k == height else max(right[k - 1], right[k])
        n = _push(hull, n, base, x, top + k)
    return n


@njit(nogil=True, cache=True, error_model="numpy")
def _measure_hull(hull, n, i, counts):
    """Fill area, longest pair (the first in hull order among equals) and narrowest edge of a hull."""
    longest = np.int64(-1)
    narrowest = np.inf
    area2 = np.int64(0)
    far = 1
    for a in range(n):
        ax, ay = hull[a, 0], hull[a, 1]
        b = a + 1 if a + 1 < n else 0
        ex, ey = hull[b, 0] - ax, hull[b, 1] - ay
        area2 += ax * hull[b, 1] - hull[b, 0] * ay
        for j in range(a + 1, n):
            dx, dy = hull[j, 0] - ax, hull[j, 1] - ay
            if dx * dx + dy * dy > longest:
                longest = dx * dx + dy * dy
                counts[i, FERET_X1] = ax
                counts[i, FERET_Y1] = ay
                counts[i, FERET_X2] = hull[j, 0]
                counts[i, FERET_Y2] = hull[j, 1]
        cross = abs(ex * (hull[far, 1] - ay) - ey * (hull[far, 0] - ax))
        while True:
            following = far + 1 if far + 1 < n else 0
            beyond = abs(ex * (hull[following, 1] - ay) - ey * (hull[following, 0] - ax))
            if beyond < cross or following == a:
                break
            cross = beyond
            far = following
        len2 = ex * ex + ey * ey
        if cross / np.sqrt(len2) < narrowest:
            narrowest = cross / np.sqrt(len2)
            counts[i, WIDTH_CROSS] = cross
            counts[i, WIDTH_LEN2] = len2
    counts[i, HULL_AREA2] = abs(area2)
