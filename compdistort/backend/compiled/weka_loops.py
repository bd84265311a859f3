"""The loops of the Weka 2D planes over one tile; `weka_plan` lays out the memory that they use.

As in `separable`, every address and count stands in one row of int64 numbers for each blur (the first is the image
itself), and a table entry of row y lies at ``table + 8 y``. A row of a blur begins two pixels left of the tile, one
of a gradient one pixel; pixels outside the image are copies of the nearest one, made after each step.
"""

from numba import carray, njit

from compdistort.backend.compiled.finish import mirror
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.taps import line_add, rows_add
from compdistort.backend.compiled.weka_rows import (
    across_difference,
    add_scaled_row,
    both_differences,
    copy_row,
    determinant_row,
    difference_row,
    eigenvalue_rows,
    norm_row,
    orientation_row,
    pixels,
    scale_row,
    sobel_row,
    squared_row,
    trace_root_row,
    trace_row,
)

FIELDS = (
    "level", "is_image", "rows", "columns", "x0", "bx0", "bx1", "r", "wg", "wt", "source", "source_stride", "sy0",
    "half", "half_rows", "half_stride", "half_end", "t_half", "blur", "blur_rows", "blur_stride", "by0", "by1",
    "lead", "wide_vectors", "edges", "edge_count", "vectors", "gradient_vectors", "gy", "gx", "gradient_stride",
    "gradient_pairs", "gradient_count", "a", "c", "d", "spare", "ready_half", "ready_blur", "ready_gradient",
    "blur_out", "dogs", "dog_count", "sobel", "norm", "trace", "determinant", "eigenvalue1", "eigenvalue2",
    "orientation", "trace_root", "squared",
)  # fmt: skip
"""Names of the numbers of one blur."""

LEVEL, IS_IMAGE, ROWS, COLUMNS, X0, BX0, BX1, R, WG, WT, SOURCE, SOURCE_STRIDE, SY0 = range(13)
HALF, HALF_ROWS, HALF_STRIDE, HALF_END, T_HALF, BLUR, BLUR_ROWS, BLUR_STRIDE, BY0, BY1 = range(13, 23)
LEAD, WIDE_VECTORS, EDGES, EDGE_COUNT, VECTORS, GRADIENT_VECTORS, GY, GX, GRADIENT_STRIDE = range(23, 32)
GRADIENT_PAIRS, GRADIENT_COUNT, A, C, D, SPARE, READY_HALF, READY_BLUR, READY_GRADIENT = range(32, 41)
BLUR_OUT, DOGS, DOG_COUNT, SOBEL, NORM, TRACE, DETERMINANT, EIGENVALUE1, EIGENVALUE2 = range(41, 50)
ORIENTATION, TRACE_ROOT, SQUARED = range(50, 53)

GRADIENT_ROWS = 4
"""Rows of the rings of gradients."""


@njit(nogil=True, error_model="numpy")
def _blur_row_at(f, y):
    return f[BLUR] + (y % f[BLUR_ROWS]) * f[BLUR_STRIDE]


@njit(nogil=True, error_model="numpy")
def _half_row_at(f, y):
    return f[HALF] + (y % f[HALF_ROWS]) * f[HALF_STRIDE] + 4 * f[LEAD]


@njit(nogil=True, error_model="numpy")
def _blur_along_x(f):
    """Blur the next row of the image along x; the repeated edge pixels come from the tail sums."""
    y, r, n = f[READY_HALF], f[R], f[COLUMNS]
    row = f[SOURCE] + (y - f[SY0]) * f[SOURCE_STRIDE]  # of pixel bx0
    out = _half_row_at(f, y)
    scale_row(row, f[WG], out, f[WIDE_VECTORS])
    result, tail = carray(pixels(out), f[BX1] - f[BX0]), carray(pixels(f[WT]), r)
    if f[BX0] < r:
        first = carray(pixels(row - 4 * f[BX0]), 1)[0]
        for x in range(f[BX0], min(r, n, f[BX1])):
            result[x - f[BX0]] += tail[x] * first
    if f[BX1] > n - r + 1:
        last = carray(pixels(row + 4 * (n - 1 - f[BX0])), 1)[0]
        for x in range(max(f[BX0], n - r + 1), f[BX1]):
            result[x - f[BX0]] += tail[n - 1 - x] * last
    line_add(row, r - 1, f[WG], out, (f[WIDE_VECTORS] + 1) // 2)
    f[READY_HALF] = y + 1


@njit(nogil=True, error_model="numpy")
def _make_blur_row(f):
    """Make the next row of the blur, with its repeated edge pixels."""
    y, r, n = f[READY_BLUR], f[R], f[ROWS]
    out = _blur_row_at(f, y) + 4 * f[LEAD]
    if f[IS_IMAGE] != 0:
        copy_row(f[SOURCE] + (y - f[SY0]) * f[SOURCE_STRIDE], out, f[WIDE_VECTORS])
    else:
        while f[READY_HALF] < min(y + r, f[HALF_END]):
            _blur_along_x(f)
        scale_row(_half_row_at(f, y), f[WG], out, f[WIDE_VECTORS])
        if y < r:
            add_scaled_row(_half_row_at(f, 0), f[WT] + 4 * y, out, f[WIDE_VECTORS])
        if y + r > n:
            add_scaled_row(_half_row_at(f, n - 1), f[WT] + 4 * (n - 1 - y), out, f[WIDE_VECTORS])
        rows_add(f[T_HALF] + 8 * y, r - 1, f[WG], out, (f[WIDE_VECTORS] + 1) // 2)
    mirror(out - 4 * f[LEAD], f[EDGES], f[EDGE_COUNT])
    f[READY_BLUR] = y + 1


@njit(nogil=True, error_model="numpy")
def _make_gradient_row(f):
    """Make the next row of the gradients along y and x."""
    y, last = f[READY_GRADIENT], f[ROWS] - 1
    over, under = max(y - 1, 0), min(y + 1, last)
    while f[READY_BLUR] <= under:
        _make_blur_row(f)
    at = (y % GRADIENT_ROWS) * f[GRADIENT_STRIDE]
    rows = (_blur_row_at(f, over), _blur_row_at(f, y), _blur_row_at(f, under))
    both_differences(rows, (f[GY] + at, f[GX] + at), f[GRADIENT_VECTORS])
    mirror(f[GY] + at, f[GRADIENT_PAIRS], f[GRADIENT_COUNT])
    mirror(f[GX] + at, f[GRADIENT_PAIRS], f[GRADIENT_COUNT])
    f[READY_GRADIENT] = y + 1


@njit(nogil=True, error_model="numpy")
def _hessian_planes(f, y, out, step):
    """Write the wanted planes of the Hessian of one row."""
    above, below = max(y - 1, 0) % GRADIENT_ROWS, min(y + 1, f[ROWS] - 1) % GRADIENT_ROWS
    here, stride, n = y % GRADIENT_ROWS, f[GRADIENT_STRIDE], f[VECTORS]
    gy, gx = f[GY], f[GX]
    both_differences((gy + above * stride, gy + here * stride, gy + below * stride), (f[A], f[C]), n)
    across_difference((gx + above * stride, gx + here * stride, gx + below * stride), (f[D],), n)
    hessian = (f[A], f[C], f[D])
    if f[NORM] >= 0:
        norm_row(hessian, (out + f[NORM] * step,), n)
    if f[TRACE] >= 0:
        trace_row(hessian, (out + f[TRACE] * step,), n)
    if f[DETERMINANT] >= 0:
        determinant_row(hessian, (out + f[DETERMINANT] * step,), n)
    if f[EIGENVALUE1] >= 0 or f[EIGENVALUE2] >= 0:
        larger = out + f[EIGENVALUE1] * step if f[EIGENVALUE1] >= 0 else f[SPARE]
        smaller = out + f[EIGENVALUE2] * step if f[EIGENVALUE2] >= 0 else f[SPARE]
        eigenvalue_rows(hessian, (larger, smaller), n)
    if f[ORIENTATION] >= 0:
        orientation_row(hessian, (out + f[ORIENTATION] * step,), n)
    if f[TRACE_ROOT] >= 0:
        trace_root_row(hessian, (out + f[TRACE_ROOT] * step,), n)
    if f[SQUARED] >= 0:
        squared_row(hessian, (out + f[SQUARED] * step,), n)


@njit(nogil=True, error_model="numpy")
def _differences(f, blurs, dogs, y, out, step):
    """Write the differences of finer blurs to this one: `dogs` holds (finer blur, row of the block)."""
    own = _blur_row_at(f, y) + 8
    for k in range(dogs.shape[0]):
        finer = _blur_row_at(blurs[dogs[k, 0]], y) + 8
        difference_row((finer, own), (out + dogs[k, 1] * step,), f[VECTORS])


@kept_loop
def weka_rows(blurs, dogs, first, last, out, step, row_bytes):
    """Write the planes of rows first..last-1 to `out`; `step`: bytes from plane to plane."""
    for s in range(blurs.shape[0]):
        f = blurs[s]
        own = dogs[f[DOGS] : f[DOGS] + f[DOG_COUNT]]
        for y in range(first, last):
            row = out + (y - first) * row_bytes
            while f[READY_BLUR] <= y:
                _make_blur_row(f)
            if f[BLUR_OUT] >= 0:
                copy_row(_blur_row_at(f, y) + 8, row + f[BLUR_OUT] * step, f[VECTORS])
            _differences(f, blurs, own, y, row, step)
            if f[LEVEL] == 0:
                continue
            need = min(y + 1, f[ROWS] - 1) if f[LEVEL] == 2 else y
            while f[READY_GRADIENT] <= need:
                _make_gradient_row(f)
            if f[SOBEL] >= 0:
                at = (y % GRADIENT_ROWS) * f[GRADIENT_STRIDE] + 4
                sobel_row((f[GY] + at, f[GX] + at), (row + f[SOBEL] * step,), f[VECTORS])
            if f[LEVEL] == 2:
                _hessian_planes(f, y, row, step)
