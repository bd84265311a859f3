"""Loops of the eigenvalues over one tile: Hessian from the passes of the other filters, structure tensor in two steps.

The structure tensor's gradient products of a plane (2D: a row) are made once, for the tile's rows and columns and the
reach of their average; products beyond the image are copies of those within, since the image's mirror would change
the sign of some. In 3D they are kept for as many planes as an average along z reads.
"""

from numba import njit

from compdistort.backend.compiled import separable_fields as at
from compdistort.backend.compiled.eigen_rows import eigen_2d, eigen_3d, products_2d, products_3d
from compdistort.backend.compiled.emit import LANES
from compdistort.backend.compiled.finish import mirror
from compdistort.backend.compiled.passes import slope, slope_line, smooth, smooth_line, smooth_slope


@njit(nogil=True, error_model="numpy")
def _place(row, out, step, spare):
    """Return where a feature goes: its row of the block, or nowhere."""
    return out + row * step if row >= 0 else spare


@njit(nogil=True, error_model="numpy")
def _values(f, volume, ranks, out, step, vectors):
    """Write the eigenvalues of the entries' rows."""
    one, two, three = (_place(ranks[0], out, step, f[at.SPARE]), _place(ranks[1], out, step, f[at.SPARE]), f[at.SPARE])
    if volume:
        three = _place(ranks[2], out, step, f[at.SPARE])
        eigen_3d(f[at.ENTRIES], f[at.ENTRIES_STEP], (one, two, three), vectors * LANES)
    else:
        eigen_2d(f[at.ENTRIES], f[at.ENTRIES_STEP], (one, two), vectors * LANES)


@njit(nogil=True, error_model="numpy")
def hessian_row(f, volume, y, out, step, vectors):
    """Write the Hessian's eigenvalues of row y; its y passes gg, dg and gd lie in the padded rows 0 to 2."""
    side, lead, padded = 4 * f[at.Q], 4 * f[at.LEAD], f[at.PADDED]
    entry, more = f[at.ENTRIES], f[at.ENTRIES_STEP]
    smooth(f[at.T_G] + 8 * y, 0, f[at.R], f[at.WC], 0, 0, padded + lead, 0, 0, f[at.Y_VECTORS])
    mirror(padded, f[at.PAIRS], f[at.COUNT])
    if volume:
        crossed, curved = padded + f[at.PADDED_STEP], padded + 2 * f[at.PADDED_STEP]
        slope(f[at.T_D] + 8 * y, 0, f[at.R], f[at.WD], 0, 0, crossed + lead, 0, 0, f[at.Y_VECTORS])
        mirror(crossed, f[at.PAIRS], f[at.COUNT])
        smooth(f[at.T_C] + 8 * y, 0, f[at.R], f[at.WG], 0, 0, curved + lead, 0, 0, f[at.Y_VECTORS])
        mirror(curved, f[at.PAIRS], f[at.COUNT])
        smooth_line(curved + side, 0, f[at.R], f[at.WG], 0, 0, entry, 0, 0, vectors)
        smooth_line(crossed + side, 0, f[at.R], f[at.WG], 0, 0, entry + more, 0, 0, vectors)
        slope_line(f[at.PAD2] + side, 0, f[at.R], f[at.WD], 0, 0, entry + 2 * more, 0, 0, vectors)
        entry += 3 * more
    smooth_line(padded + side, 0, f[at.R], f[at.WG], 0, 0, entry, 0, 0, vectors)
    slope_line(f[at.PAD1] + side, 0, f[at.R], f[at.WD], 0, 0, entry + more, 0, 0, vectors)
    smooth_line(f[at.PAD0] + side, 0, f[at.R], f[at.WC], 0, 0, entry + 2 * more, 0, 0, vectors)
    _values(f, volume, (f[at.HE1], f[at.HE2], f[at.HE3]), out, step, vectors)


@njit(nogil=True, error_model="numpy")
def _products_of_a_row(f, volume, y, table, target, field):
    """Write the gradient products of row y, `field` bytes apart; in 3D `table` holds rows after z passes."""
    lead, start, vectors = 4 * f[at.LEAD], 4 * (f[at.Q] - f[at.R]), f[at.PRODUCT_VECTORS]
    slopes, more = f[at.PADDED], f[at.PADDED_STEP]
    smooth_slope(
        table + 8 * y, 0, f[at.RI], f[at.WIG], f[at.WID], 0, f[at.PAD0] + lead, f[at.PAD1] + lead, 0, f[at.Y_VECTORS]
    )
    mirror(f[at.PAD0], f[at.PAIRS], f[at.COUNT])
    mirror(f[at.PAD1], f[at.PAIRS], f[at.COUNT])
    if volume:
        smooth(table + 8 * y, f[at.INNER_STEP], f[at.RI], f[at.WIG], 0, 0, f[at.PAD2] + lead, 0, 0, f[at.Y_VECTORS])
        mirror(f[at.PAD2], f[at.PAIRS], f[at.COUNT])
        smooth_line(f[at.PAD2] + start, 0, f[at.RI], f[at.WIG], 0, 0, slopes, 0, 0, vectors)
        slopes += more
    smooth_line(f[at.PAD1] + start, 0, f[at.RI], f[at.WIG], 0, 0, slopes, 0, 0, vectors)
    slope_line(f[at.PAD0] + start, 0, f[at.RI], f[at.WID], 0, 0, slopes + more, 0, 0, vectors)
    if volume:
        half = target + 3 * field
        outputs = (target, target + field, target + 2 * field, half, half + field, half + 2 * field)
        products_3d(f[at.PADDED], more, outputs, vectors * LANES)
    else:
        products_2d(f[at.PADDED], more, (target, target + field, target + 2 * field), vectors * LANES)


@njit(nogil=True, error_model="numpy")
def _products_of_a_plane(f, z):
    """Write the gradient products of plane z to the ring of planes."""
    for y in range(f[at.INNER_ROW0], f[at.INNER_ROW1]):
        target = f[at.INNER] + (y - f[at.INNER_ROW0]) * f[at.INNER_STRIDE]
        source = f[at.IN_OFF] + (y - f[at.BY0]) * f[at.IN_STRIDE]
        smooth_slope(
            f[at.T_IN] + 8 * z,
            source,
            f[at.RI],
            f[at.WIG],
            f[at.WID],
            0,
            target,
            target + f[at.INNER_STEP],
            0,
            f[at.Y_VECTORS],
        )
    plane = f[at.PRODUCTS] + (z % f[at.PRODUCT_PLANES]) * f[at.PRODUCT_STEP]
    for y in range(f[at.ROW0], f[at.ROW1]):
        target = plane + (y - f[at.ROW0]) * f[at.PRODUCT_STRIDE]
        _products_of_a_row(f, True, y, f[at.T_INNER], target, f[at.PRODUCT_FIELD])


@njit(nogil=True, error_model="numpy")
def tensor_planes(f, z):
    """Make the z passes of the structure tensor of plane z, and before them what products they read."""
    while f[at.PRODUCT_NEXT] <= min(z + f[at.R], f[at.PRODUCT_LAST]):
        _products_of_a_plane(f, f[at.PRODUCT_NEXT])
        f[at.PRODUCT_NEXT] += 1
    for k in range(6):
        for y in range(f[at.ROW1] - f[at.ROW0]):
            offset, target = k * f[at.PRODUCT_FIELD] + y * f[at.PRODUCT_STRIDE], f[at.MEANS] + k * f[at.MEAN_FIELD]
            smooth(f[at.T_PRODUCTS] + 8 * z, offset, f[at.R], f[at.WG], 0, 0, target + y * f[at.PRODUCT_STRIDE], 0, 0,
                f[at.PRODUCT_VECTORS],
            )  # fmt: skip


@njit(nogil=True, error_model="numpy")
def tensor_row(f, volume, y, out, step, vectors):
    """Write the structure tensor's eigenvalues of row y."""
    if not volume:
        while f[at.PRODUCT_NEXT] <= min(y + f[at.R], f[at.ROW1] - 1):
            target = f[at.MEANS] + (f[at.PRODUCT_NEXT] - f[at.ROW0]) * f[at.PRODUCT_STRIDE]
            _products_of_a_row(f, False, f[at.PRODUCT_NEXT], f[at.T_G], target, f[at.MEAN_FIELD])
            f[at.PRODUCT_NEXT] += 1
    for k in range(6 if volume else 3):
        row = f[at.PADDED] + k * f[at.PADDED_STEP]
        smooth(f[at.T_MEANS] + 8 * y, k * f[at.MEAN_FIELD], f[at.R], f[at.WG], 0, 0, row, 0, 0, f[at.PRODUCT_VECTORS])
        mirror(row, f[at.PRODUCT_PAIRS], f[at.PRODUCT_COUNT])
        smooth_line(
            row + 4 * f[at.R], 0, f[at.R], f[at.WG], 0, 0, f[at.ENTRIES] + k * f[at.ENTRIES_STEP], 0, 0, vectors
        )
    _values(f, volume, (f[at.ST1], f[at.ST2], f[at.ST3]), out, step, vectors)
