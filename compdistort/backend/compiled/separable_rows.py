"""Rows and planes of one scale of the separable filters: what the loops of `separable` are made of.

Functions that hold much of the vector code are inlined by Numba, or LLVM would compile that code twice.
"""

from numba import njit

from compdistort.backend.compiled import separable_fields as at
from compdistort.backend.compiled.finish import make_finish, mirror
from compdistort.backend.compiled.passes import (
    smooth,
    smooth_add,
    smooth_curve,
    smooth_line,
    smooth_slope,
    smooth_slope_curve,
)
from compdistort.backend.compiled.taps import rows_pair

GROUP = 8
"""Planes that are pre-smoothed at a time (an even number): they share the rows that their z passes read, while these
are in the nearest cache."""

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
        smooth_slope_curve(table, offset, f[at.R], f[at.WG], f[at.WD], f[at.WC], g, d, c, count)
    elif slope:
        smooth_slope(table, offset, f[at.R], f[at.WG], f[at.WD], 0, g, d, 0, count)
    elif curve:
        smooth_curve(table, offset, f[at.R], f[at.WG], f[at.WC], 0, g, c, 0, count)
    else:
        smooth(table, offset, f[at.R], f[at.WG], 0, 0, g, 0, 0, count)


@njit(nogil=True, error_model="numpy")
def _smooth_x(f, padded, row):
    mirror(padded, f[at.PRE_PAIRS], f[at.PRE_COUNT])
    smooth_line(padded + 4 * f[at.RP], 0, f[at.RP], f[at.WP], 0, 0, row, 0, 0, f[at.BASE_VECTORS])


@njit(nogil=True, error_model="numpy")
def _smooth_plane(f, k, target):
    """Pre-smooth along y and x: from plane k of the group after its z pass to the rows at `target`."""
    lead = 4 * f[at.PRE_LEAD]
    for y in range(f[at.BY0], f[at.BY1], 2):
        rows_pair(4, f[at.T_TEMP] + 8 * y, k * f[at.TEMP_STEP], f[at.RP], f[at.WP],
            f[at.PRE_ROW0] + lead, f[at.PRE_ROW1] + lead, f[at.SRC_VECTORS],
        )  # fmt: skip
        row = target + (y - f[at.BY0]) * f[at.BASE_STRIDE]
        _smooth_x(f, f[at.PRE_ROW0], row)
        if y + 1 < f[at.BY1]:
            _smooth_x(f, f[at.PRE_ROW1], row + f[at.BASE_STRIDE])


@njit(nogil=True, error_model="numpy")
def _smooth_group(f):
    """Pre-smooth the next planes of a volume into the ring of planes."""
    first = f[at.READY]
    n = min(GROUP, f[at.LAST] + 1 - first)
    for y in range(f[at.SRC_ROW0], f[at.SRC_ROW1]):
        row = y - f[at.SRC_ROW0]
        for k in range(0, n, 2):
            place = f[at.TEMP] + k * f[at.TEMP_STEP] + row * f[at.TEMP_STRIDE]
            offset = f[at.SRC_OFF] + row * f[at.SRC_STRIDE]
            rows_pair(f[at.UNIT], f[at.T_SRC] + 8 * (first + k), offset, f[at.RP], f[at.WP],
                place, place + f[at.TEMP_STEP], f[at.SRC_VECTORS],
            )  # fmt: skip
    for k in range(n):
        _smooth_plane(f, k, f[at.BASE] + ((first + k) % f[at.BASE_PLANES]) * f[at.BASE_STEP])
    f[at.READY] = first + n


@njit(nogil=True, error_model="numpy", inline="always")
def _z_passes(f, table, offset, place):
    """Run the z passes of one row of a volume to the place `place` of what holds them."""
    slope, curve = f[at.SLOPE] != 0, f[at.CURVE] != 0
    _first_passes(table, offset, f, slope, curve, f[at.G] + place, f[at.D] + place, f[at.C] + place, f[at.Y_VECTORS])
    if f[at.DOG] >= 0:
        smooth(table, offset, f[at.RN], f[at.WN], 0, 0, f[at.N] + place, 0, 0, f[at.Y_VECTORS])


@njit(nogil=True, error_model="numpy", inline="always")
def advance_scale(f, z):
    """Make what the filters of plane z of one scale read: see `separable.advance`."""
    if f[at.PRESMOOTH] != 0:
        if f[at.READY] <= min(z + f[at.Q], f[at.LAST]):
            _smooth_group(f)
        f[at.READY_ROW] = f[at.BY0]
    elif z >= f[at.Z0] and f[at.FILTERS] != 0:
        for y in range(f[at.BY0], f[at.BY1]):
            place = (y - f[at.BY0]) * f[at.RING_STRIDE]
            _z_passes(f, f[at.T_SRC] + 8 * z, f[at.SRC_OFF] + (y - f[at.SRC_ROW0]) * f[at.SRC_STRIDE], place)


@njit(nogil=True, error_model="numpy")
def _smooth_two_rows(f):
    """Pre-smooth the next two rows of an image into the ring of rows."""
    y, lead = f[at.READY_ROW], 4 * f[at.PRE_LEAD]
    rows_pair(
        f[at.UNIT],
        f[at.T_SRC] + 8 * y,
        f[at.SRC_OFF],
        f[at.RP],
        f[at.WP],
        f[at.PRE_ROW0] + lead,
        f[at.PRE_ROW1] + lead,
        f[at.SRC_VECTORS],
    )
    _smooth_x(f, f[at.PRE_ROW0], f[at.BASE] + ((y - f[at.BY0]) % f[at.RING_ROWS]) * f[at.BASE_STRIDE])
    if y + 1 < f[at.BY1]:
        _smooth_x(f, f[at.PRE_ROW1], f[at.BASE] + ((y + 1 - f[at.BY0]) % f[at.RING_ROWS]) * f[at.BASE_STRIDE])
    f[at.READY_ROW] = y + 2


@njit(nogil=True, error_model="numpy")
def _z_passes_of_a_row(f, z):
    """Run the z passes of the next row of a pre-smoothed volume into the rings of rows."""
    y = f[at.READY_ROW]
    if f[at.FILTERS] != 0:
        place = ((y - f[at.BY0]) % f[at.RING_ROWS]) * f[at.RING_STRIDE]
        _z_passes(f, f[at.T_BZ] + 8 * z, (y - f[at.BY0]) * f[at.BASE_STRIDE], place)
    f[at.READY_ROW] = y + 1


@njit(nogil=True, error_model="numpy", inline="always")
def make_ready(f, volume, z, y):
    """Make the pre-smoothed rows (3D: and their z passes) that the filters of row y of plane z read."""
    if f[at.PRESMOOTH] != 0:
        while f[at.READY_ROW] <= min(y + f[at.Q], f[at.BY1] - 1):
            if volume:
                _z_passes_of_a_row(f, z)
            else:
                _smooth_two_rows(f)


@njit(nogil=True, error_model="numpy")
def _finish_row(f, volume, sources, out, step, count):
    """Run the x passes of a row and write its features."""
    weights = (f[at.WG], f[at.WD], f[at.WC], f[at.WN])
    gs = out + f[at.GS] * step if f[at.GS] >= 0 else f[at.SPARE]
    log, ggm, dog = out + f[at.LOG] * step, out + f[at.GGM] * step, out + f[at.DOG] * step
    outputs = (gs, log, ggm, dog)
    if f[at.LOG] >= 0 and f[at.GGM] >= 0 and f[at.DOG] >= 0:
        if volume:
            _all_row_3d(sources, f[at.R], f[at.RN], weights, outputs, count)
        else:
            _all_row(sources, f[at.R], f[at.RN], weights, outputs, count)
        return
    if f[at.DOG] >= 0:
        _dog_row(sources, f[at.R], f[at.RN], weights, outputs, count)
    elif f[at.GS] >= 0:
        _gs_row(sources, f[at.R], f[at.RN], weights, outputs, count)
    if f[at.LOG] >= 0:
        _log_row(sources, f[at.R], f[at.RN], weights, outputs, count)
    if f[at.GGM] >= 0:
        if volume:
            _ggm_row_3d(sources, f[at.R], f[at.RN], weights, outputs, count)
        else:
            _ggm_row(sources, f[at.R], f[at.RN], weights, outputs, count)


@njit(nogil=True, error_model="numpy", inline="always")
def filter_row(f, volume, y, out, step, count):
    """Run y and x passes of a row of one scale and write its features, eigenvalues excepted."""
    slope, curve = f[at.SLOPE] != 0, f[at.LOG] >= 0
    lead, side = 4 * f[at.LEAD], 4 * f[at.Q]
    _first_passes(
        f[at.T_G] + 8 * y, 0, f, slope, curve, f[at.PAD0] + lead, f[at.PAD1] + lead, f[at.PAD3] + lead, f[at.Y_VECTORS]
    )
    mirror(f[at.PAD0], f[at.PAIRS], f[at.COUNT])
    if slope:
        mirror(f[at.PAD1], f[at.PAIRS], f[at.COUNT])
        if volume:
            smooth(f[at.T_D] + 8 * y, 0, f[at.R], f[at.WG], 0, 0, f[at.PAD2] + lead, 0, 0, f[at.Y_VECTORS])
            mirror(f[at.PAD2], f[at.PAIRS], f[at.COUNT])
    if curve:
        if volume:
            smooth_add(f[at.T_C] + 8 * y, 0, f[at.R], f[at.WG], 0, 0, f[at.PAD3] + lead, 0, 0, f[at.Y_VECTORS])
        mirror(f[at.PAD3], f[at.PAIRS], f[at.COUNT])
    if f[at.DOG] >= 0:
        smooth(f[at.T_N] + 8 * y, 0, f[at.RN], f[at.WN], 0, 0, f[at.PAD4] + lead, 0, 0, f[at.Y_VECTORS])
        mirror(f[at.PAD4], f[at.PAIRS], f[at.COUNT])
    sources = (f[at.PAD0] + side, f[at.PAD1] + side, f[at.PAD2] + side, f[at.PAD3] + side, f[at.PAD4] + side)
    _finish_row(f, volume, sources, out, step, count)
