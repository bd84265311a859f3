"""The Weka 2D planes as fused row loops; the same bits as `backend.plain.weka`, whose docstring gives the order.

Each blur is made once and written straight into its plane; gradients live in rings of three rows. A row function
writes one or two rows from at most three: with more, the compiler gives up proving that they do not overlap.
"""

import numpy as np
from numba import njit

from compdistort.backend.base import Float32, WekaBank
from compdistort.backend.compiled.taps import BLOCK, address, line_add, padded_width, rows_add
from compdistort.backend.plain.exact import ACOS_P, ACOS_Q, HALF_PI_HIGH, HALF_PI_LOW, HIGH_WORD

_P0, _P1, _P2, _P3, _P4, _P5 = ACOS_P
_Q0, _Q1, _Q2, _Q3, _Q4 = ACOS_Q
_TWO, _FOUR = np.float32(2), np.float32(4)
_HIGH_WORD = np.int64(HIGH_WORD)


def weka_stack(image: Float32, bank: WekaBank) -> Float32:
    """Return the Weka planes of one image (see `backend.plain.weka.weka_stack`)."""
    rows, columns = image.shape
    out = np.empty((len(bank.names), rows, columns), np.float32)
    out[0] = image
    singles, doubles = np.empty((11, columns), np.float32), np.empty((1, columns), np.float64)
    column = 1
    if bank.with_sigma_zero:
        _derivative_planes(image, out, column, np.empty(0, np.int64), singles, doubles)
        column += 9
    half_blurred = np.zeros((rows, padded_width(columns)), np.float32)
    blurred: list[int] = []
    for scale in bank.scales:
        radius = scale.kernel.size
        line = np.zeros((1, radius + half_blurred.shape[1] + radius), np.float32)
        buffers = np.zeros((2, half_blurred.shape[1]), np.float32)
        table = np.zeros(rows + 2 * radius, np.int64)
        _blur(image, scale.kernel, scale.tail, half_blurred, line, buffers, table, out[column])
        _derivative_planes(out[column], out, column + 1, np.array(blurred, np.int64), singles, doubles)
        blurred.append(column)
        column += 9 + len(blurred)
    return out


@njit(nogil=True, error_model="numpy", cache=True)
def _blur(image, g, tail, half_blurred, line, buffers, table, out):
    """ImageJ's accurate Gaussian; `buffers` row 1 stays zero: it stands for every row outside the image."""
    rows, columns = image.shape
    radius = g.size
    stride = half_blurred.shape[1] * 4
    blocks = (columns + BLOCK - 1) // BLOCK
    for y in range(rows):
        _scaled(image[y], g[0], half_blurred[y])
        _add_tails(image[y], tail, half_blurred[y])
        line[0, radius : radius + columns] = image[y]
        target = address(half_blurred) + y * stride
        line_add(address(line) + 4 * radius, radius - 1, address(g), 0, 0, target, 0, 0, blocks)
    for k in range(table.size):
        inside = k >= radius and k < radius + rows
        table[k] = address(half_blurred) + (k - radius) * stride if inside else address(buffers) + stride
    for y in range(rows):
        row = buffers[0, :columns]
        _scaled(half_blurred[y, :columns], g[0], row)
        if y < radius:
            _add_scaled(half_blurred[0], tail[y], row)
        if y + radius > rows:
            _add_scaled(half_blurred[rows - 1], tail[rows - 1 - y], row)
        rows_add(address(table) + 8 * (radius + y), radius - 1, address(g), 0, 0, address(buffers), 0, 0, blocks)
        out[y] = row


@njit(nogil=True, error_model="numpy", cache=True)
def _derivative_planes(blur, out, first, finer, singles, doubles):
    """Sobel, the eight Hessian planes from `first` on, and the differences to the finer blurs after them."""
    rows = blur.shape[0]
    a, c, d, trace, squared = singles[6], singles[7], singles[8], singles[9], singles[10]
    root = doubles[0]
    ready = 0
    for y in range(rows):
        above, below = max(y - 1, 0), min(y + 1, rows - 1)
        while ready <= below:
            over, under = blur[max(ready - 1, 0)], blur[min(ready + 1, rows - 1)]
            _correlate_y(over, under, singles[ready % 3])
            _correlate_x(over, blur[ready], under, singles[3 + ready % 3])
            ready += 1
        _correlate_y(singles[above % 3], singles[below % 3], a)
        _correlate_x(singles[above % 3], singles[y % 3], singles[below % 3], c)
        _correlate_x(singles[3 + above % 3], singles[3 + y % 3], singles[3 + below % 3], d)
        _sobel(singles[y % 3], singles[3 + y % 3], out[first, y])
        _norm(a, c, d, out[first + 1, y])
        _trace(a, d, trace)
        _squared(a, c, d, squared)
        _root(squared, root)
        out[first + 2, y] = trace
        _determinant(a, c, d, out[first + 3, y])
        _larger(trace, root, out[first + 4, y])
        _smaller(trace, root, out[first + 5, y])
        _orientation(a, c, d, out[first + 6, y])
        _trace_root(trace, squared, out[first + 7, y])
        out[first + 8, y] = squared
        for k in range(finer.size):
            _difference(out[finer[k], y], blur[y], out[first + 9 + k, y])


@njit(nogil=True, error_model="numpy")
def _scaled(row, weight, out):
    for x in range(np.uintp(row.size)):
        out[x] = row[x] * weight


@njit(nogil=True, error_model="numpy")
def _add_scaled(row, weight, out):
    for x in range(np.uintp(out.size)):
        out[x] += weight * row[x]


@njit(nogil=True, error_model="numpy")
def _add_tails(row, tail, out):
    """Add the pixels outside a line: copies of its first and last pixel, weighted by the tail sums."""
    n, radius = row.size, tail.size
    for x in range(min(radius, n)):
        out[x] += tail[x] * row[0]
    for x in range(max(0, n - radius + 1), n):
        out[x] += tail[n - 1 - x] * row[n - 1]


@njit(nogil=True, error_model="numpy")
def _wide(value):
    return np.float64(value)


@njit(nogil=True, error_model="numpy")
def _down(a0, a1, a2, b0, b1, b2):
    total = 0.0 + _wide(a0) + 2.0 * _wide(a1) + _wide(a2)
    return np.float32(total - _wide(b0) - 2.0 * _wide(b1) - _wide(b2))


@njit(nogil=True, error_model="numpy")
def _across(a0, a2, m0, m2, b0, b2):
    total = 0.0 + _wide(a0) - _wide(a2) + 2.0 * _wide(m0) - 2.0 * _wide(m2)
    return np.float32(total + _wide(b0) - _wide(b2))


@njit(nogil=True, error_model="numpy")
def _correlate_y(above, below, out):
    """One row of the 3 x 3 difference along y."""
    last = out.size - 1
    second, before = min(1, last), max(last - 1, 0)
    out[0] = _down(above[0], above[0], above[second], below[0], below[0], below[second])
    out[last] = _down(above[before], above[last], above[last], below[before], below[last], below[last])
    for x in range(np.uintp(1), np.uintp(max(last, 1))):
        w, e = x - np.uintp(1), x + np.uintp(1)
        out[x] = _down(above[w], above[x], above[e], below[w], below[x], below[e])


@njit(nogil=True, error_model="numpy")
def _correlate_x(above, here, below, out):
    """One row of the 3 x 3 difference along x."""
    last = out.size - 1
    second, before = min(1, last), max(last - 1, 0)
    out[0] = _across(above[0], above[second], here[0], here[second], below[0], below[second])
    out[last] = _across(above[before], above[last], here[before], here[last], below[before], below[last])
    for x in range(np.uintp(1), np.uintp(max(last, 1))):
        w, e = x - np.uintp(1), x + np.uintp(1)
        out[x] = _across(above[w], above[e], here[w], here[e], below[w], below[e])


@njit(nogil=True, error_model="numpy")
def _sobel(gy, gx, out):
    for x in range(np.uintp(out.size)):
        out[x] = np.sqrt(gy[x] * gy[x] + gx[x] * gx[x])


@njit(nogil=True, error_model="numpy")
def _norm(a, c, d, out):
    for x in range(np.uintp(out.size)):
        out[x] = np.sqrt(a[x] * a[x] + c[x] * c[x] + d[x] * d[x])


@njit(nogil=True, error_model="numpy")
def _trace(a, d, out):
    for x in range(np.uintp(out.size)):
        out[x] = a[x] + d[x]


@njit(nogil=True, error_model="numpy")
def _determinant(a, c, d, out):
    for x in range(np.uintp(out.size)):
        out[x] = a[x] * d[x] - c[x] * c[x]


@njit(nogil=True, error_model="numpy")
def _squared(a, c, d, out):
    for x in range(np.uintp(out.size)):
        difference = a[x] - d[x]
        out[x] = difference * difference + _FOUR * c[x] * c[x]


@njit(nogil=True, error_model="numpy")
def _root(squared, out):
    for x in range(np.uintp(out.size)):
        out[x] = np.sqrt(_wide(squared[x]))


@njit(nogil=True, error_model="numpy")
def _larger(trace, root, out):
    for x in range(np.uintp(out.size)):
        out[x] = np.float32(_wide(trace[x]) + root[x]) / _TWO


@njit(nogil=True, error_model="numpy")
def _smaller(trace, root, out):
    for x in range(np.uintp(out.size)):
        out[x] = np.float32(_wide(trace[x]) - root[x]) / _TWO


@njit(nogil=True, error_model="numpy")
def _trace_root(trace, squared, out):
    for x in range(np.uintp(out.size)):
        out[x] = np.float32(_wide(trace[x]) * _wide(trace[x]) * _wide(squared[x]))


@njit(nogil=True, error_model="numpy")
def _difference(finer, coarser, out):
    for x in range(np.uintp(out.size)):
        out[x] = finer[x] - coarser[x]


@njit(nogil=True, error_model="numpy")
def _orientation(a, c, d, out):
    """Half the arc cosine of (a - d) / R, signed by c; fdlibm's algorithm without branches, so that it vectorises."""
    for x in range(np.uintp(out.size)):
        difference = a[x] - d[x]
        wide = _wide(c[x])
        cosine = _wide(difference) / np.sqrt(4.0 * wide * wide + _wide(difference * difference))
        size = abs(cosine)
        small = size < 0.5
        z = cosine * cosine if small else (1.0 - size) * 0.5
        p = _P0 + z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * _P5))))
        q = _Q0 + z * (_Q1 + z * (_Q2 + z * (_Q3 + z * _Q4)))
        ratio = z * p / q
        root = np.sqrt(z)
        high = np.int64(np.float64(root).view(np.int64) & _HIGH_WORD).view(np.float64)
        low = (z - high * high) / (root + high)
        near_one = 2.0 * (high + (ratio * root + low)) if cosine != 1.0 else 0.0
        near_minus_one = 2.0 * HALF_PI_HIGH - 2.0 * (root + (ratio * root - HALF_PI_LOW))
        middle = HALF_PI_HIGH - (cosine - (HALF_PI_LOW - cosine * ratio))
        angle = middle if small else (near_one if cosine > 0 else near_minus_one)
        half = np.float32(0.5 * angle)
        signed = -half if c[x] < 0 else half
        out[x] = signed if size <= 1.0 else np.float32(0)
