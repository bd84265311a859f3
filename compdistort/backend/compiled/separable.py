"""The loops of the separable filters over one tile; `separable_plan` lays out the memory that they use.

Every address, table and count stands in one row of int64 numbers for each scale (the names below). A table entry of
position p lies at ``table + 8 p``, whatever p the table begins with. Rows of the image that a border repeats are
computed once; columns are copied (`mirror`) before an x pass, or lie in the pre-smoothed rows already, since an even
kernel over a mirrored line gives a mirrored line, to the bit.
"""

from numba import njit

from compdistort.backend.compiled.finish import make_finish, mirror
from compdistort.backend.compiled.taps import make_pass, rows_pair

FIELDS = (
    "presmooth", "r", "rn", "rp", "q", "wg", "wd", "wc", "wn", "wp", "gs", "log", "ggm", "dog",
    "t_src", "src_off", "src_stride", "src_row0", "src_row1", "src_vectors",
    "temp", "temp_step", "temp_stride", "t_temp",
    "pre_row0", "pre_row1", "pre_lead", "pre_pairs", "pre_count",
    "base", "base_step", "base_planes", "base_stride", "by0", "by1", "base_vectors",
    "t_bz", "g", "d", "c", "n", "ring_rows", "ring_stride", "t_g", "t_d", "t_c", "t_n",
    "y_vectors", "lead", "pairs", "count", "pad0", "pad1", "pad2", "pad3", "pad4", "spare",
    "first", "last", "ready", "ready_row", "unit",
)  # fmt: skip
"""Names of the numbers of one scale."""

PRESMOOTH, R, RN, RP, Q, WG, WD, WC, WN, WP, GS, LOG, GGM, DOG = range(14)
T_SRC, SRC_OFF, SRC_STRIDE, SRC_ROW0, SRC_ROW1, SRC_VECTORS = range(14, 20)
TEMP, TEMP_STEP, TEMP_STRIDE, T_TEMP = range(20, 24)
PRE_ROW0, PRE_ROW1, PRE_LEAD, PRE_PAIRS, PRE_COUNT = range(24, 29)
BASE, BASE_STEP, BASE_PLANES, BASE_STRIDE, BY0, BY1, BASE_VECTORS = range(29, 36)
T_BZ, G, D, C, N, RING_ROWS, RING_STRIDE, T_G, T_D, T_C, T_N = range(36, 47)
Y_VECTORS, LEAD, PAIRS, COUNT, PAD0, PAD1, PAD2, PAD3, PAD4, SPARE = range(47, 57)
FIRST, LAST, READY, READY_ROW, UNIT = range(57, 62)

GROUP = 8
"""Planes that are pre-smoothed at a time (an even number): they share the rows that their z passes read, while these
are in the nearest cache."""

_even = make_pass("e")
_odd = make_pass("eo")
_curved = make_pass("ee")
_three = make_pass("eoe")
_add = make_pass("e", plus=True)
_line = make_pass("e", line=True)
_gs_row = make_finish("s")
_dog_row = make_finish("sd")
_log_row = make_finish("l")
_ggm_row = make_finish("m")
_ggm_row_3d = make_finish("m", volume=True)
_all_row = make_finish("slmd")
_all_row_3d = make_finish("slmd", volume=True)


@njit(nogil=True, error_model="numpy")
def _first_passes(table, offset, f, slope, curve, g, d, c, count):
    """Run Gaussian and, where wanted, first and second derivative of one row of taps."""
    if slope and curve:
        _three(table, offset, f[R], f[WG], f[WD], f[WC], g, d, c, count)
    elif slope:
        _odd(table, offset, f[R], f[WG], f[WD], 0, g, d, 0, count)
    elif curve:
        _curved(table, offset, f[R], f[WG], f[WC], 0, g, c, 0, count)
    else:
        _even(table, offset, f[R], f[WG], 0, 0, g, 0, 0, count)


@njit(nogil=True, error_model="numpy")
def _smooth_x(f, padded, row):
    mirror(padded, f[PRE_PAIRS], f[PRE_COUNT])
    _line(padded + 4 * f[RP], 0, f[RP], f[WP], 0, 0, row, 0, 0, f[BASE_VECTORS])


@njit(nogil=True, error_model="numpy")
def _smooth_plane(f, k, target):
    """Pre-smooth along y and x: from plane k of the group after its z pass to the rows at `target`."""
    lead = 4 * f[PRE_LEAD]
    for y in range(f[BY0], f[BY1], 2):
        rows_pair(4, f[T_TEMP] + 8 * y, k * f[TEMP_STEP], f[RP], f[WP], f[PRE_ROW0] + lead, f[PRE_ROW1] + lead,
            f[SRC_VECTORS],
        )  # fmt: skip
        row = target + (y - f[BY0]) * f[BASE_STRIDE]
        _smooth_x(f, f[PRE_ROW0], row)
        if y + 1 < f[BY1]:
            _smooth_x(f, f[PRE_ROW1], row + f[BASE_STRIDE])


@njit(nogil=True, error_model="numpy")
def _smooth_group(f):
    """Pre-smooth the next planes of a volume into the ring of planes."""
    first = f[READY]
    n = min(GROUP, f[LAST] + 1 - first)
    for y in range(f[SRC_ROW0], f[SRC_ROW1]):
        row = y - f[SRC_ROW0]
        for k in range(0, n, 2):
            at = f[TEMP] + k * f[TEMP_STEP] + row * f[TEMP_STRIDE]
            rows_pair(f[UNIT], f[T_SRC] + 8 * (first + k), f[SRC_OFF] + row * f[SRC_STRIDE], f[RP], f[WP],
                at, at + f[TEMP_STEP], f[SRC_VECTORS],
            )  # fmt: skip
    for k in range(n):
        _smooth_plane(f, k, f[BASE] + ((first + k) % f[BASE_PLANES]) * f[BASE_STEP])
    f[READY] = first + n


@njit(nogil=True, error_model="numpy", cache=True)
def advance(scales, z):
    """Make what the filters of plane z read: pre-smoothed planes up to z + q, or the z passes of this plane."""
    for s in range(scales.shape[0]):
        f = scales[s]
        slope, curve = f[GGM] >= 0, f[LOG] >= 0
        if f[PRESMOOTH] == 0:
            if z < f[FIRST]:
                continue
            for y in range(f[BY0], f[BY1]):
                at = (y - f[BY0]) * f[RING_STRIDE]
                offset = f[SRC_OFF] + (y - f[SRC_ROW0]) * f[SRC_STRIDE]
                table = f[T_SRC] + 8 * z
                _first_passes(table, offset, f, slope, curve, f[G] + at, f[D] + at, f[C] + at, f[Y_VECTORS])
                if f[DOG] >= 0:
                    _even(table, offset, f[RN], f[WN], 0, 0, f[N] + at, 0, 0, f[Y_VECTORS])
            continue
        if f[READY] <= min(z + f[Q], f[LAST]):
            _smooth_group(f)
        f[READY_ROW] = f[BY0]


@njit(nogil=True, error_model="numpy")
def _smooth_two_rows(f):
    """Pre-smooth the next two rows of an image into the ring of rows."""
    y, lead = f[READY_ROW], 4 * f[PRE_LEAD]
    rows_pair(
        f[UNIT], f[T_SRC] + 8 * y, f[SRC_OFF], f[RP], f[WP], f[PRE_ROW0] + lead, f[PRE_ROW1] + lead, f[SRC_VECTORS]
    )
    _smooth_x(f, f[PRE_ROW0], f[BASE] + ((y - f[BY0]) % f[RING_ROWS]) * f[BASE_STRIDE])
    if y + 1 < f[BY1]:
        _smooth_x(f, f[PRE_ROW1], f[BASE] + ((y + 1 - f[BY0]) % f[RING_ROWS]) * f[BASE_STRIDE])
    f[READY_ROW] = y + 2


@njit(nogil=True, error_model="numpy")
def _z_passes_of_a_row(f, z):
    """Run the z passes of the next row of a pre-smoothed volume into the rings of rows."""
    y = f[READY_ROW]
    at = ((y - f[BY0]) % f[RING_ROWS]) * f[RING_STRIDE]
    offset = (y - f[BY0]) * f[BASE_STRIDE]
    table = f[T_BZ] + 8 * z
    if f[GS] >= 0 or f[LOG] >= 0 or f[GGM] >= 0 or f[DOG] >= 0:
        _first_passes(table, offset, f, f[GGM] >= 0, f[LOG] >= 0, f[G] + at, f[D] + at, f[C] + at, f[Y_VECTORS])
    if f[DOG] >= 0:
        _even(table, offset, f[RN], f[WN], 0, 0, f[N] + at, 0, 0, f[Y_VECTORS])
    f[READY_ROW] = y + 1


@njit(nogil=True, error_model="numpy")
def _finish_row(f, volume, sources, out, step, count):
    """Run the x passes of a row and write its features."""
    weights = (f[WG], f[WD], f[WC], f[WN])
    gs = out + f[GS] * step if f[GS] >= 0 else f[SPARE]
    log, ggm, dog = out + f[LOG] * step, out + f[GGM] * step, out + f[DOG] * step
    outputs = (gs, log, ggm, dog)
    if f[LOG] >= 0 and f[GGM] >= 0 and f[DOG] >= 0:
        if volume:
            _all_row_3d(sources, f[R], f[RN], weights, outputs, count)
        else:
            _all_row(sources, f[R], f[RN], weights, outputs, count)
        return
    if f[DOG] >= 0:
        _dog_row(sources, f[R], f[RN], weights, outputs, count)
    elif f[GS] >= 0:
        _gs_row(sources, f[R], f[RN], weights, outputs, count)
    if f[LOG] >= 0:
        _log_row(sources, f[R], f[RN], weights, outputs, count)
    if f[GGM] >= 0:
        if volume:
            _ggm_row_3d(sources, f[R], f[RN], weights, outputs, count)
        else:
            _ggm_row(sources, f[R], f[RN], weights, outputs, count)


@njit(nogil=True, error_model="numpy", cache=True)
def filter_rows(scales, volume, z, first, last, out, step, row_bytes, count):
    """Write the features of rows first..last-1 of plane z to `out`; `step`: bytes from feature to feature."""
    for s in range(scales.shape[0]):
        f = scales[s]
        slope, curve = f[GGM] >= 0, f[LOG] >= 0
        lead = 4 * f[LEAD]
        side = 4 * f[Q]
        sources = (f[PAD0] + side, f[PAD1] + side, f[PAD2] + side, f[PAD3] + side, f[PAD4] + side)
        for y in range(first, last):
            if f[PRESMOOTH] != 0:
                while f[READY_ROW] <= min(y + f[Q], f[BY1] - 1):
                    if volume:
                        _z_passes_of_a_row(f, z)
                    else:
                        _smooth_two_rows(f)
            _first_passes(
                f[T_G] + 8 * y, 0, f, slope, curve, f[PAD0] + lead, f[PAD1] + lead, f[PAD3] + lead, f[Y_VECTORS]
            )
            mirror(f[PAD0], f[PAIRS], f[COUNT])
            if slope:
                mirror(f[PAD1], f[PAIRS], f[COUNT])
                if volume:
                    _even(f[T_D] + 8 * y, 0, f[R], f[WG], 0, 0, f[PAD2] + lead, 0, 0, f[Y_VECTORS])
                    mirror(f[PAD2], f[PAIRS], f[COUNT])
            if curve:
                if volume:
                    _add(f[T_C] + 8 * y, 0, f[R], f[WG], 0, 0, f[PAD3] + lead, 0, 0, f[Y_VECTORS])
                mirror(f[PAD3], f[PAIRS], f[COUNT])
            if f[DOG] >= 0:
                _even(f[T_N] + 8 * y, 0, f[RN], f[WN], 0, 0, f[PAD4] + lead, 0, 0, f[Y_VECTORS])
                mirror(f[PAD4], f[PAIRS], f[COUNT])
            _finish_row(f, volume, sources, out + (y - first) * row_bytes, step, count)
