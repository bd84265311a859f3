"""Outline, hull and calipers of every object from its runs, one object after another.

An object is drawn alone, with one empty pixel all round, into a small picture of bits; so the walk round it needs
neither tests of the image's sides nor labels. Its next step is read from a table of heading and the four pixels round
the vertex: nothing in the loop but its end is a branch. Every word holds the 32 pixels that are its own and 32 of the
next, so that two neighbouring pixels always lie in one word. The hull is built from the outline's leftmost and
rightmost crack of every row, which are already sorted, and the caliper width by rotating calipers.

Time is linear in runs plus outline. Scratch: 2 bits a pixel of the largest bounding box, 56 bytes a row of it, and
8 bytes a run.
"""

import numpy as np
from numba import njit

from compdistort.backend.compiled.bits import ALL
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.shape import COUNTS

X_START, Y_START, AREA, SX, SY, SXX, SYY, SXY, X_MIN, Y_MIN, X_MAX, Y_MAX = range(12)
STEPS, CORNERS, HULL_AREA2, FERET_X1, FERET_Y1, FERET_X2, FERET_Y2, WIDTH_CROSS, WIDTH_LEN2 = range(12, len(COUNTS))

EAST, SOUTH, WEST, NORTH = range(4)

FAR = 1 << 40
"""Beyond any column."""

AHEAD = (8, 4, 1, 2)
"""By heading: the pixel ahead on the right-hand side, as a bit of the four round a vertex (1 and 2 above, 4 and 8
below, left first)."""


def _turns():
    """Return the new heading by 16 heading + four pixels: the first of left, straight, right that has a pixel ahead."""
    table = np.zeros(4 * 16, np.int64)
    for heading in range(4):
        for pixels in range(16):
            choices = [(heading + turn) % 4 for turn in (3, 0, 1)]
            table[16 * heading + pixels] = next((new for new in choices if pixels & AHEAD[new]), choices[-1])
    return table


TURNS = _turns()


@kept_loop
def add_shapes(row_start, start, end, owner, counts):
    """Fill outline, hull and caliper counts of every object; area, box and first pixel are there.

    Runs of each object are chained in raster order through `following`, from `head`.
    """
    n_objects = counts.shape[0]
    head = np.full(n_objects, -1, np.int32)
    tail = np.empty(n_objects, np.int32)
    following = np.empty(start.size, np.int32)
    line_of = np.empty(start.size, np.int32)
    for line in range(row_start.size - 1):
        for i in range(row_start[line], row_start[line + 1]):
            own = owner[i] - 1
            if own < 0:
                continue
            line_of[i] = line
            following[i] = -1
            if head[own] < 0:
                head[own] = i
            else:
                following[tail[own]] = i
            tail[own] = i
    words, rows = 0, 0
    for k in range(n_objects):
        height = counts[k, Y_MAX] - counts[k, Y_MIN] + 1
        rows = max(rows, height)
        words = max(words, (height + 2) * _stride(counts, k))
    picture = np.zeros(words, np.uint64)
    cracks = np.empty((3, rows), np.int64)
    hull = np.empty((2 * rows + 2, 2), np.int64)
    for k in range(n_objects):
        _draw(picture, _stride(counts, k), counts, k, head[k], following, line_of, start, end, True)
        height = _walk(picture, _stride(counts, k), counts, k, cracks)
        n = _hull(cracks, counts[k, X_MIN] - 1, counts[k, Y_MIN], height, hull)
        _measure_hull(hull, n, k, counts)
        _draw(picture, _stride(counts, k), counts, k, head[k], following, line_of, start, end, False)


@njit(nogil=True, error_model="numpy")
def _stride(counts, k):
    """Words a row of an object's picture, which is two pixels wider than the object."""
    return (counts[k, X_MAX] - counts[k, X_MIN] + 2) // 32 + 1


@njit(nogil=True, error_model="numpy")
def _draw(picture, stride, counts, k, head, following, line_of, start, end, visible):
    """Draw the runs of one object into its picture, pixel (1, 1) being the corner of its box, or wipe them out."""
    left, top = counts[k, X_MIN] - 1, counts[k, Y_MIN] - 1
    i = np.int64(head)
    while i >= 0:
        first, last = np.int64(start[i]) - left, np.int64(end[i]) - left - 1
        row = (line_of[i] - top) * stride
        for w in range(max(first // 32 - 1, 0), last // 32 + 1):
            low, high = max(first - 32 * w, 0), min(last - 32 * w, 63)
            bits = (ALL >> np.uint64(63 - high)) & (ALL << np.uint64(low))
            picture[row + w] = picture[row + w] | bits if visible else np.uint64(0)
        i = np.int64(following[i])


@njit(nogil=True, error_model="numpy")
def _walk(picture, stride, counts, k, cracks):
    """Walk the outer outline, object on the right; keep its length, its counted corners and each row's end cracks.

    cracks[0] and [1] become the smallest x and -x of the vertical cracks of each row, in picture coordinates; [2] is
    written where a step is horizontal. Returns how many rows the outline spans (all of them if the object is in one
    piece).
    """
    rows = counts[k, Y_MAX] - counts[k, Y_MIN] + 1
    cracks[:2, :rows] = FAR
    ends = cracks.reshape(-1)
    x = counts[k, X_START] - counts[k, X_MIN] + 1
    while (picture[stride + (x >> 5)] >> np.uint64(x & 31)) & np.uint64(1):
        x += 1
    y = 2
    x_first, y_first = x, y
    heading, steps, corners, edge, bottom, counted = SOUTH, 0, 0, 0, 2, 0
    while True:
        at, shift = np.uintp(y * stride + ((x - 1) >> 5)), np.uint64((x - 1) & 31)
        above = (picture[at - np.uintp(stride)] >> shift) & np.uint64(3)
        below = (picture[at] >> shift) & np.uint64(3)
        new = TURNS[np.uintp(heading * 16) + np.uintp(above | (below << np.uint64(2)))]
        turned = np.int64(new != heading)
        counts_now = np.int64((corners == 0) | (edge > 1) | (counted == 0))
        counted = counts_now if turned else counted
        corners += turned & counts_now
        edge = 1 if turned else edge + 1
        heading = new
        step_x = np.int64(new == EAST) - np.int64(new == WEST)
        step_y = np.int64(new == SOUTH) - np.int64(new == NORTH)
        side = 2 if step_y == 0 else (step_y + 1) >> 1
        row = np.uintp(side * cracks.shape[1] + min(max(min(y, y + step_y) - 1, 0), rows - 1))
        ends[row] = min(ends[row], -step_y * x)
        x += step_x
        y += step_y
        bottom = max(bottom, y)
        steps += 1
        if heading == SOUTH and x == x_first and y == y_first:
            break
    counts[k, STEPS] = steps
    counts[k, CORNERS] = corners
    return bottom - 1


@njit(nogil=True, error_model="numpy")
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


@njit(nogil=True, error_model="numpy")
def _hull(cracks, x0, top, height, hull):
    """Write the hull from its topmost (leftmost of ties) vertex, anticlockwise on screen; return its length."""
    left, minus_right = cracks[0], cracks[1]
    n = 0
    for k in range(height + 1):
        x = left[min(k, height - 1)] if k == 0 or k == height else min(left[k - 1], left[k])
        n = _push(hull, n, 0, x0 + x, top + k)
    base = n
    for k in range(height, -1, -1):
        x = minus_right[min(k, height - 1)] if k == 0 or k == height else min(minus_right[k - 1], minus_right[k])
        n = _push(hull, n, base, x0 - x, top + k)
    return n


@njit(nogil=True, error_model="numpy")
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
