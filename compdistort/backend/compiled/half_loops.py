"""The loops of the half grid: to the grid, filters on it, and back; the same bits as `backend.plain.half_grid`.

A *field* is one quantity at every point of the grid. The rows of fields begin with `LEAD` more points, which hold
mirror images like the first two after the row: what the way back reads.
"""

import numpy as np
from numba import njit

from compdistort.backend.compiled.emit import LANES
from compdistort.backend.compiled.half_taps import (
    PAIRS,
    divide_row,
    mirror_row,
    mix_rows,
    pair_rows,
    spread_length,
    spread_row,
)
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.taps import address, make_pass

LEAD = 2
"""Points before a row of a field: what the way back reads begins at a cache line."""

GS, LOG, DOG, GY, GX, GZ = range(6)
"""Fields; the last in 3D only."""


_rows = make_pass("e")
_rows_three = make_pass("eoe")
_rows_plus = make_pass("e", plus=True)
_line = make_pass("e", line=True)
_line_three = make_pass("eoe", line=True)
_line_plus = make_pass("e", line=True, plus=True)


@njit(nogil=True, error_model="numpy")
def _around(table, base, stride, index, c):
    """Write the addresses of the rows around point c, from left to right; return the address of the table."""
    for k in range(2 * PAIRS):
        table[k] = base + index[2 * c + 1 + k] * stride
    return address(table)


@njit(nogil=True, error_model="numpy")
def _halve_row(row, n, weights, index, halves, table, out):
    """Halve a row along x; pixel 0 is at `row[PAIRS]`."""
    vectors = ((n + 1) // 2 + LANES - 1) // LANES
    for k in range(PAIRS):
        row[k] = row[PAIRS + index[k]]
        row[PAIRS + n + k] = row[PAIRS + index[PAIRS + n + k]]
    divide_row(address(row), address(halves[0]), address(halves[1]), vectors + 1)
    for k in range(2 * PAIRS):
        table[k] = address(halves[(k + 1) % 2]) + 4 * ((k + 1) // 2)
    pair_rows(4, address(table), weights, out, vectors * LANES)


@kept_loop
def halve(pixels, unit, shape, volume, half, iz, iy, ix, grid, first, last, plane, row, halves, table):
    """Write points first..last-1 along the first axis of an image at the address `pixels`, `unit` bytes a pixel.

    `grid`: address of point 0, bytes from plane to plane and from row to row. The index tables begin at position
    -PAIRS. Rows have room for whole vectors, `plane` for one more.
    """
    start, plane_step, row_step = grid
    _, ny, nx = shape
    weights = address(half)
    vectors = (nx + LANES - 1) // LANES
    middle = address(row) + 4 * PAIRS
    for c in range(first, last):
        if not volume:
            pair_rows(unit, _around(table[0], pixels, nx * unit, iy, c), weights, middle, nx)
            _halve_row(row, nx, weights, ix, halves, table[1], start + c * row_step)
            continue
        pair_rows(unit, _around(table[0], pixels, ny * nx * unit, iz, c), weights, address(plane), ny * nx)
        for y in range((ny + 1) // 2):
            pair_rows(4, _around(table[1], address(plane), 4 * nx, iy, y), weights, middle, vectors * LANES)
            _halve_row(row, nx, weights, ix, halves, table[2], start + c * plane_step + y * row_step)


@njit(nogil=True, error_model="numpy")
def _table(table, base, stride, index, first, count):
    """Write the addresses of the rows that `index` names; return the address of the table."""
    for k in range(count):
        table[k] = base + index[first + k] * stride
    return address(table)


@njit(nogil=True, error_model="numpy")
def _close(row, n, index, sign):
    """Write the two mirror images on each side of a row of a field, each times its `sign`."""
    for k in range(2):
        row[k] = row[LEAD + index[k]] * sign[k]
        row[LEAD + n + k] = row[LEAD + index[2 + n + k]] * sign[2 + n + k]


@kept_loop
def grid_fields(
    grid, points, volume, derivatives, difference, kernels, indices, behind, ends, fields, first, last, planes, lines,
    table
):  # fmt: skip
    """Write the fields of one sigma at the points first..last-1 along the first axis of the grid.

    `grid`: as of `halve`; `planes`, `lines`: room for planes like the grid's, and for rows with whole vectors on either
    side. `kernels`: Gaussian, first and second derivative, narrow Gaussian; `indices`: where the points of z and y of
    the wide and of the narrow kernels are, `behind`: which point stands behind a row; `ends`: mirror images along x,
    their signs, and signs that are all 1.
    """
    g, d, c, h = kernels
    iz, iy, jz, jy = indices
    ex, sign, plus = ends
    _, my, mx = points
    r, rh = g.size - 1, h.size - 1
    wg, wd, wc, wh = address(g), address(d), address(c), address(h)
    base, step, stride = grid
    side = (lines.shape[1] - stride // 4) // 2
    out_step = 4 * fields.shape[1] * fields.shape[2] * fields.shape[3]
    vectors = (mx + LANES - 1) // LANES
    plane_vectors = my * stride // (4 * LANES)
    p0, p1, p2 = address(lines[0]) + 4 * side, address(lines[1]) + 4 * side, address(lines[2]) + 4 * side
    p3, p4, narrow = address(lines[3]) + 4 * side, address(lines[4]) + 4 * side, address(lines[5])
    sides = side // LANES
    z0, z1, y0, y1 = (first, last, 0, my) if volume else (0, 1, first, last)
    for z in range(z0, z1):
        smooth = base + z * step
        slope, curve, fine = smooth, smooth, smooth
        if volume:
            smooth, slope, curve, fine = address(planes[0]), address(planes[1]), address(planes[2]), address(planes[3])
            t = _table(table[0], base, step, iz, z, 2 * r + 1) + 8 * r
            if derivatives:
                _rows_three(t, 0, r, wg, wd, wc, smooth, slope, curve, plane_vectors)
            else:
                _rows(t, 0, r, wg, 0, 0, smooth, 0, 0, plane_vectors)
            if difference:
                t = _table(table[1], base, step, jz, z, 2 * rh + 1) + 8 * rh
                _rows(t, 0, rh, wh, 0, 0, fine, 0, 0, plane_vectors)
        for y in range(y0, y1):
            target = address(fields[0, z, y]) + 4 * LEAD
            gs, log = target, target + LOG * out_step
            gy, gx, gz = target + GY * out_step, target + GX * out_step, target + GZ * out_step
            t = _table(table[0], smooth, stride, iy, y, 2 * r + 1) + 8 * r
            if derivatives:
                _rows_three(t, 0, r, wg, wd, wc, p0, p1, p2, vectors)
                if volume:
                    t = _table(table[0], curve, stride, iy, y, 2 * r + 1) + 8 * r
                    _rows_plus(t, 0, r, wg, 0, 0, p2, 0, 0, vectors)
                    t = _table(table[0], slope, stride, iy, y, 2 * r + 1) + 8 * r
                    _rows(t, 0, r, wg, 0, 0, p3, 0, 0, vectors)
                    mirror_row(p3, mx, behind, sides)
                    _line(p3, 0, r, wg, 0, 0, gz, 0, 0, vectors)
                mirror_row(p0, mx, behind, sides)
                mirror_row(p1, mx, behind, sides)
                mirror_row(p2, mx, behind, sides)
                _line_three(p0, 0, r, wg, wd, wc, gs, gx, log, vectors)
                _line(p1, 0, r, wg, 0, 0, gy, 0, 0, vectors)
                _line_plus(p2, 0, r, wg, 0, 0, log, 0, 0, vectors)
            else:
                _rows(t, 0, r, wg, 0, 0, p0, 0, 0, vectors)
                mirror_row(p0, mx, behind, sides)
                _line(p0, 0, r, wg, 0, 0, gs, 0, 0, vectors)
            if difference:
                t = _table(table[1], fine, stride, jy, y, 2 * rh + 1) + 8 * rh
                _rows(t, 0, rh, wh, 0, 0, p4, 0, 0, vectors)
                mirror_row(p4, mx, behind, sides)
                _line(p4, 0, rh, wh, 0, 0, narrow, 0, 0, vectors)
                _subtract(fields[GS, z, y, LEAD:], lines[5], fields[DOG, z, y, LEAD:], mx)
            for f in range(fields.shape[0]):
                _close(fields[f, z, y], mx, ex, sign if f == GX else plus)


@njit(nogil=True, error_model="numpy")
def _subtract(a, b, out, n):
    for x in range(np.uintp(n)):
        out[x] = a[x] - b[x]


SCALE = ("fields", "field_step", "plane_step", "row_step", "gs", "log", "dog", "ggm")
"""Numbers of one sigma for `spread_rows`: the address of point 0 of its first field, the bytes from field to field,
plane to plane, row to row, and the rows of a block that its features are; -1 = not wanted."""


@njit(nogil=True, error_model="numpy")
def _four(p):
    """Return the points that pixel p is made from, nearest first."""
    c = p // 2
    d = 1 if p % 2 else -1
    return c, c + d, c - d, c + 2 * d


@njit(nogil=True, error_model="numpy")
def _sign(weights, mirrors, points):
    """Write, after the four weights, those with the signs of the mirror images of four points."""
    for k in range(4):
        weights[4 + k] = weights[k] * np.float32(mirrors[1, points[k] + 2])


@kept_loop
def spread_rows(
    scales, zi, yi, weights, volume, z, first, last, x, vectors, mixed, mixed_rows, line, out, step, row_bytes
):
    """Write the features of rows first..last-1 of plane z from column x, even, on; `step`: bytes between features.

    `scales`: a row of `SCALE` for each sigma; `zi`, `yi`: which point stands at -2.., and -1 where it is a mirror
    image; `weights`: four, and room for four; `mixed`, `line`: addresses of room for rows of points, `mixed_rows` a
    field.
    """
    wide = vectors + 1
    points = 4 * LANES * wide
    plain, signed = address(weights), address(weights) + 16
    low = first // 2 - 2
    planes = _four(z)
    middle = line + 8
    for s in range(scales.shape[0]):
        base, field_step, plane_step, row_step = scales[s, 0], scales[s, 1], scales[s, 2], scales[s, 3]
        rows = scales[s, 4:8]
        base += 4 * (x // 2 - 2)
        fields = GX + volume + 1 if rows[3] >= 0 else GY
        for f in range(fields):
            if f < GY and rows[f] < 0:
                continue
            if volume:
                _sign(weights, zi, planes)
                start = base + f * field_step
                c0, c1 = start + zi[0, planes[0] + 2] * plane_step, start + zi[0, planes[1] + 2] * plane_step
                c2, c3 = start + zi[0, planes[2] + 2] * plane_step, start + zi[0, planes[3] + 2] * plane_step
                for c in range(low, (last - 1) // 2 + 3):
                    at = yi[0, c + 2] * row_step
                    target = mixed + (f * mixed_rows + c - low) * points
                    mix_rows((c0 + at, c1 + at, c2 + at, c3 + at), signed if f == GZ else plain, target, wide)
        for y in range(first, last):
            near = _four(y)
            _sign(weights, yi, near)
            place = out + (y - first) * row_bytes
            for f in range(fields):
                if f < GY and rows[f] < 0:
                    continue
                if volume:
                    start = mixed + (f * mixed_rows - low) * points
                    c0, c1 = start + near[0] * points, start + near[1] * points
                    c2, c3 = start + near[2] * points, start + near[3] * points
                else:
                    start = base + f * field_step
                    c0, c1 = start + yi[0, near[0] + 2] * row_step, start + yi[0, near[1] + 2] * row_step
                    c2, c3 = start + yi[0, near[2] + 2] * row_step, start + yi[0, near[3] + 2] * row_step
                at = max(0, f - GY) * points
                mix_rows((c0, c1, c2, c3), signed if f == GY else plain, line + at, wide)
                if f < GY:
                    spread_row(middle, plain, place + rows[f] * step, vectors)
            if rows[3] >= 0:
                gradient = (middle + 2 * points, middle, middle + points)
                spread_length(gradient, volume, plain, place + rows[3] * step, vectors)
