"""Loops from features to codes: exact ranks among thresholds, or bins; see `backend.plain.codes` for what they mean.

Ranks. A rising map takes a value to one of a few thousand cells, and a table tells how many thresholds lie in the
cells before. The next eight thresholds are compared with the value at once; in the rare cell that holds more, the rest
is searched by halving. The map need not be exact: thresholds went through the same arithmetic, and as every step of it
rises or stays, a threshold in a lower cell is below the value and one in a higher cell is above.

What Numba keeps on disk has one signature each, so codes of one byte and of two have loops of their own.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.taps import address

SIDE = 8
"""Thresholds compared at once; each row of thresholds ends in so many infinities."""

PIECES = 3
"""Pieces of a bent map, all at once; maps of fewer repeat their last."""

_CHUNK = 512
_ZERO, _HALF = np.float32(0), np.float32(0.5)
_SIDE, _BYTES = np.uint64(SIDE), np.uint64(4)
_U1, _U2, _U3, _U4 = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


@intrinsic
def _count_below(typing_context, where, value):
    """Return how many of the eight float32 at an address are below the value; none for NaN."""

    def generate(context, builder, signature, arguments):
        vector, byte = ir.VectorType(ir.FloatType(), SIDE), ir.IntType(8)
        limits = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=4)
        lane = builder.insert_element(vector(ir.Undefined), arguments[1], ir.IntType(32)(0))
        splat = builder.shuffle_vector(lane, vector(ir.Undefined), ir.VectorType(ir.IntType(32), SIDE)([0] * SIDE))
        below = builder.bitcast(builder.fcmp_ordered("<", limits, splat), byte)
        count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(byte, [byte]), "llvm.ctpop.i8")
        return builder.zext(builder.call(count, [below]), ir.IntType(64))

    return types.uint64(types.uint64, types.float32), generate


@kept_loop
def cells_of(values, knot, scale, width, y, cells):
    """Write the cell of each value: the sum of ramps that rise by `scale` from `knot` on until they reach `width`."""
    k, c, w = knot[0], scale[0], width[0]
    if knot.size == 1 or width[1] == _ZERO:
        for i in range(values.size):
            ramp = (values[i] - k) * c
            ramp = ramp if ramp > _ZERO else _ZERO  # NaN goes to cell 0
            cells[i] = np.int32(ramp if ramp < w else w)
        return
    for i in range(values.size):
        ramp = (values[i] - k) * c
        ramp = ramp if ramp > _ZERO else _ZERO
        y[i] = ramp if ramp < w else w
    for s in range(1, knot.size):
        k, c, w = knot[s], scale[s], width[s]
        if w == _ZERO:
            break  # the table is as wide as its longest row
        for i in range(values.size):
            ramp = (values[i] - k) * c
            ramp = ramp if ramp > _ZERO else _ZERO
            y[i] += ramp if ramp < w else w
    for i in range(values.size):
        cells[i] = np.int32(y[i])


@njit(error_model="numpy")
def _search(limits, low, high, value):
    """Return the number of thresholds below the value, known to be from `low` to `high`."""
    while low < high:
        middle = (low + high) >> np.uint64(1)
        if limits[middle] < value:
            low = middle + np.uint64(1)
        else:
            high = middle
    return low


@njit(error_model="numpy")
def _mend(values, begin, end, cells, base, limits, out):
    """Search on where all eight thresholds are below the value."""
    for i in range(begin, end):
        c = np.uint64(np.uint32(cells[i]))
        rank = np.uint64(base[c]) + _SIDE
        if np.uint64(out[i]) == rank:
            out[i] = _search(limits, rank, np.uint64(base[c + np.uint64(1)]), values[i])


@njit(error_model="numpy", inline="always")
def _rank(values, i, cells, base, first):
    """Return the thresholds in the cells before, and how many of the next eight are below the value."""
    before = np.uint64(base[np.uint64(np.uint32(cells[i]))])
    return before, _count_below(first + _BYTES * before, values[i])


@njit(error_model="numpy")
def _rank_chunk(values, cells, base, limits, first, out):
    n = np.uint64(values.size)
    for i in range(np.uint64(0), n - n % _U4, _U4):  # four at once hide each other's loads
        r0, c0 = _rank(values, i, cells, base, first)
        r1, c1 = _rank(values, i + _U1, cells, base, first)
        r2, c2 = _rank(values, i + _U2, cells, base, first)
        r3, c3 = _rank(values, i + _U3, cells, base, first)
        out[i], out[i + _U1], out[i + _U2], out[i + _U3] = r0 + c0, r1 + c1, r2 + c2, r3 + c3
        if (c0 | c1 | c2 | c3) >= _SIDE:
            _mend(values, i, i + _U4, cells, base, limits, out)
    for i in range(n - n % _U4, n):
        r0, c0 = _rank(values, i, cells, base, first)
        out[i] = r0 + c0
        if c0 >= _SIDE:
            _mend(values, i, i + _U1, cells, base, limits, out)


@njit(error_model="numpy")
def _count_nan(values):
    bad = np.int32(0)
    for i in range(values.size):
        bad = np.int32(bad + np.int32(values[i] != values[i]))  # 32 bits: twice the lanes
    return np.int64(bad)


def encode_ranks(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts):
    """Write exact ranks and add up NaN.

    Parameters
    ----------
    features : ndarray of shape (n_features, n_pixels), float32
        One plane a feature.
    skip : int
        Pixels before those whose codes are wanted.
    knot, scale, width : ndarray of shape (n_features, n_ramps), float32
        The map of each feature to cells, see `cells_of`.
    base : ndarray of shape (n,), uint16
        Thresholds in the cells before, for each cell of each feature and one past the last.
    base_start, limit_start : ndarray of shape (n_features + 1,), int64
        Where each feature begins in `base` and in `limits`.
    limits : ndarray of shape (n,), float32
        Distinct thresholds, rising, each feature's followed by `SIDE` infinities.
    out : ndarray of shape (n_features, n_wanted), uint8 or uint16
        Ranks; any for NaN.
    nan_counts : ndarray of shape (n_features,), int64
        Grows by the number of NaN.
    """
    loop = _ranks_in_bytes if out.itemsize == 1 else _ranks_in_words
    loop(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts)


@njit(error_model="numpy")
def _encode_ranks(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts):
    y = np.empty(_CHUNK, np.float32)
    cells = np.empty(_CHUNK, np.int32)
    for f in range(features.shape[0]):
        table = base[base_start[f] : base_start[f + 1]]
        own = limits[limit_start[f] : limit_start[f + 1]]
        first = np.uint64(address(limits)) + _BYTES * np.uint64(limit_start[f])
        for start in range(0, out.shape[1], _CHUNK):
            values = features[f, skip + start : skip + min(start + _CHUNK, out.shape[1])]
            cells_of(values, knot[f], scale[f], width[f], y, cells)
            nan_counts[f] += _count_nan(values)
            _rank_chunk(values, cells, table, own, first, out[f, start : start + _CHUNK])


@kept_loop
def _ranks_in_bytes(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts):
    _encode_ranks(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts)


@kept_loop
def _ranks_in_words(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts):
    _encode_ranks(features, skip, knot, scale, width, base, base_start, limits, limit_start, out, nan_counts)


def encode_bins(features, skip, start, slope, low, high, out, nan_counts):
    """Write bins and add up NaN.

    Parameters
    ----------
    features : ndarray of shape (n_features, n_pixels), float32
        One plane a feature.
    skip : int
        Pixels before those whose codes are wanted.
    start, slope, low, high : ndarray of shape (n_features, 1 or `PIECES`), float32
        Of each piece of a map: the knot where it starts, codes per unit, levels at its ends. See `bin_codes` in
        `backend.plain.codes`.
    out : ndarray of shape (n_features, n_wanted), uint8 or uint16
        Bins; any for NaN.
    nan_counts : ndarray of shape (n_features,), int64
        Grows by the number of NaN.
    """
    loop = _bins_in_bytes if out.itemsize == 1 else _bins_in_words
    loop(features, skip, start, slope, low, high, out, nan_counts)


@njit(error_model="numpy")
def _encode_bins(features, skip, start, slope, low, high, out, nan_counts):
    for f in range(features.shape[0]):
        values = features[f, skip : skip + out.shape[1]]
        if slope.shape[1] == 1:
            nan_counts[f] += _bin_affine(values, start[f, 0], slope[f, 0], low[f, 0], high[f, 0], out[f])
        else:
            nan_counts[f] += _bin_bent(values, start[f], slope[f], low[f], high[f], out[f])


@kept_loop
def _bins_in_bytes(features, skip, start, slope, low, high, out, nan_counts):
    _encode_bins(features, skip, start, slope, low, high, out, nan_counts)


@kept_loop
def _bins_in_words(features, skip, start, slope, low, high, out, nan_counts):
    _encode_bins(features, skip, start, slope, low, high, out, nan_counts)


@njit(error_model="numpy")
def _bin_affine(values, k, c, low, high, out):
    """Write the bins of a map of one piece; return the number of NaN."""
    bad = np.int32(0)
    for i in range(values.size):
        x = values[i]
        v = (x - k) * c + low
        v = v if v > low else low  # NaN goes to the lowest code
        v = v if v < high else high
        out[i] = np.int32(v + _HALF)
        bad = np.int32(bad + np.int32(x != x))
    return np.int64(bad)


@njit(error_model="numpy")
def _bin_bent(values, start, slope, low, high, out):
    """Write the bins of a map of three pieces, all in one pass; return the number of NaN."""
    k0, k1, k2 = start[0], start[1], start[2]
    c0, c1, c2 = slope[0], slope[1], slope[2]
    low0, low1, low2 = low[0], low[1], low[2]
    high0, high1, high2 = high[0], high[1], high[2]
    bad = np.int32(0)
    for i in range(values.size):
        x = values[i]
        v = (x - k0) * c0 + low0
        v = v if v > low0 else low0  # NaN goes to the lowest code
        v = v if v < high0 else high0
        later = (x - k1) * c1 + low1  # from its start on a piece is not below its first level
        later = later if later < high1 else high1
        v = later if x >= k1 else v
        later = (x - k2) * c2 + low2
        later = later if later < high2 else high2
        v = later if x >= k2 else v
        out[i] = np.int32(v + _HALF)
        bad = np.int32(bad + np.int32(x != x))
    return np.int64(bad)
