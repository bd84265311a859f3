"""One pass of the dither-aware coder as compiled loops: the same bytes as `compdistort.backend.plain.dither_coder`."""

import numpy as np
from numba import njit

from compdistort.backend.compiled.dither_sites import (
    NEAR,
    class_of,
    count_near,
    first_column,
    flat_steps,
    gather,
    predict,
)
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.plain.dither_sites import (
    DITHER_BITS,
    FRACTION,
    LARGEST,
    PHASE_BITS,
    TOTAL_BITS,
    CellModel,
    CellTable,
    CodedPlane,
    Int64,
    Sites,
)
from compdistort.backend.records import UInt8

_WORD = (1 << 32) - 1
_NARROW = 1 << 24
_ONE = 1 << TOTAL_BITS
_BITS_OF_LENGTH = 5
_LONGEST = 16
_COARSER = DITHER_BITS - FRACTION
_IN_CELL = (1 << FRACTION) - 1
_HALF_CELL = 1 << (FRACTION - 1)


def encode_pass(plane: CodedPlane, sites: Sites, model: CellModel, table: CellTable, out: UInt8, coder: Int64) -> None:
    """Code the pixels of one pass; see `compdistort.backend.plain.dither_coder.encode_pass`.

    Parameters
    ----------
    plane, sites, model, table
        See there.
    out : ndarray of shape (n_bytes,), uint8
        Where bytes go, 8 a pixel at most.
    coder : ndarray of shape (3,), int64
        State of the coder; changed in place.
    """
    _encode(*_flattened(plane, sites, model, table), out, coder)


def decode_pass(plane: CodedPlane, sites: Sites, model: CellModel, table: CellTable, data: UInt8, coder: Int64) -> bool:
    """Decode the pixels of one pass; see `compdistort.backend.plain.dither_coder.decode_pass`.

    Parameters
    ----------
    plane, sites, model, table
        See there.
    data : ndarray of shape (n_bytes,), uint8
        The codestream.
    coder : ndarray of shape (3,), int64
        State of the decoder; changed in place.

    Returns
    -------
    bool
        False if no encoder wrote this.
    """
    return bool(_decode(*_flattened(plane, sites, model, table), data, coder))


def _flattened(plane, sites, model, table):
    return (
        *(plane.restored, plane.indices, plane.dither, plane.saturated, plane.chances),
        *(sites.width, sites.stride, sites.axial, sites.last_row, sites.last_column, sites.steps, sites.n_pairs),
        *(model.limits, model.weights, model.rows, model.shifts, table.cumulative, table.reach),
    )


@kept_loop
def _encode(
    restored, indices, dither, saturated, chances, width, stride, axial, last_row, last_column, steps, n_pairs, limits,
    weights, rows, shifts, cumulative, reaches, out, coder,
):  # fmt: skip
    low, span, at = coder[0], coder[1], coder[2]
    flat, near, terms = flat_steps(steps, width, stride), np.empty(NEAR, np.int64), np.empty(steps.shape[0], np.int64)
    for row in range(0 if axial else 1, last_row + 1, 1 if axial else 2):
        for column in range(first_column(axial, row), last_column + 1, 2):
            activity = gather(
                restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms
            )
            here = (row * width + column) * stride
            index = np.int64(indices[here])
            if saturated >= 0:
                chance = chances[count_near(indices, near, saturated)]
                if chance and index == saturated:
                    low, span, at = _put(out, low, span, at, _ONE - chance, chance, TOTAL_BITS)
                    continue
                if chance:
                    low, span, at = _put(out, low, span, at, 0, _ONE - chance, TOTAL_BITS)
            own = class_of(activity, limits)
            line, shift = rows[own], shifts[own]
            centre = (predict(weights, own, terms, flat.size) + (np.int64(dither[here]) >> _COARSER)) >> shift
            phase, reach = (centre & _IN_CELL) >> (FRACTION - PHASE_BITS), reaches[line]
            step = (index >> shift) - (centre >> FRACTION)
            symbol = min(max(step, -reach - 1), reach + 1) + reach + 1
            start = np.int64(cumulative[line, phase, symbol])
            size = np.int64(cumulative[line, phase, symbol + 1]) - start
            low, span, at = _put(out, low, span, at, start, size, TOTAL_BITS)
            if abs(step) > reach:
                beyond, length = abs(step) - reach, 0
                while beyond >> (length + 1):
                    length += 1
                low, span, at = _put(out, low, span, at, length, 1, _BITS_OF_LENGTH)
                low, span, at = _put(out, low, span, at, beyond - (1 << length), 1, length)
            if shift:
                low, span, at = _put(out, low, span, at, index & ((1 << shift) - 1), 1, shift)
    coder[0], coder[1], coder[2] = low, span, at


@kept_loop
def _decode(
    restored, indices, dither, saturated, chances, width, stride, axial, last_row, last_column, steps, n_pairs, limits,
    weights, rows, shifts, cumulative, reaches, data, coder,
):  # fmt: skip
    code, span, at = coder[0], coder[1], coder[2]
    flat, near, terms = flat_steps(steps, width, stride), np.empty(NEAR, np.int64), np.empty(steps.shape[0], np.int64)
    for row in range(0 if axial else 1, last_row + 1, 1 if axial else 2):
        for column in range(first_column(axial, row), last_column + 1, 2):
            activity = gather(
                restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms
            )
            here = (row * width + column) * stride
            part = span >> TOTAL_BITS
            if code >= part << TOTAL_BITS:
                return False
            if saturated >= 0:
                chance = chances[count_near(indices, near, saturated)]
                if chance:
                    bound = part * (_ONE - chance)
                    if code >= bound:
                        code, span, at = _narrow(data, code - bound, part * chance, at)
                        indices[here], restored[here] = saturated, saturated << FRACTION
                        continue
                    code, span, at = _narrow(data, code, bound, at)
                    part = span >> TOTAL_BITS
                    if code >= part << TOTAL_BITS:
                        return False
            own = class_of(activity, limits)
            line, shift = rows[own], shifts[own]
            within = np.int64(dither[here]) >> _COARSER
            centre = (predict(weights, own, terms, flat.size) + within) >> shift
            phase, reach = (centre & _IN_CELL) >> (FRACTION - PHASE_BITS), reaches[line]
            symbol = reach + 1
            while code < part * np.int64(cumulative[line, phase, symbol]):
                symbol -= 1
            while code >= part * np.int64(cumulative[line, phase, symbol + 1]):
                symbol += 1
            start = np.int64(cumulative[line, phase, symbol])
            size = np.int64(cumulative[line, phase, symbol + 1]) - start
            code, span, at = _narrow(data, code - part * start, part * size, at)
            step = symbol - reach - 1
            if abs(step) > reach:
                length, code, span, at = _take_bits(data, code, span, at, _BITS_OF_LENGTH)
                if length < 0 or length > _LONGEST:
                    return False
                extra, code, span, at = _take_bits(data, code, span, at, length)
                if extra < 0:
                    return False
                beyond = (1 << length) + extra + reach
                step = beyond if step > 0 else -beyond
            index = (centre >> FRACTION) + step
            if index < 0:
                return False
            if shift:
                extra, code, span, at = _take_bits(data, code, span, at, shift)
                if extra < 0:
                    return False
                index = index << shift | extra
            if index > LARGEST:
                return False
            indices[here], restored[here] = index, (index << FRACTION) + _HALF_CELL - within
    coder[0], coder[1], coder[2] = code, span, at
    return True


@njit(nogil=True, error_model="numpy", inline="always")
def _put(out, low, span, at, start, size, bits):
    """Narrow the interval to `size` parts of 2**bits from `start` on, and write the bytes that are settled."""
    part = span >> bits
    low, span = low + part * start, part * size
    if low > _WORD:
        low &= _WORD
        back = at - 1
        while out[back] == 255:
            out[back] = 0
            back -= 1
        out[back] += 1
    while span < _NARROW:
        out[at] = low >> 24
        low, span, at = (low << 8) & _WORD, span << 8, at + 1
    return low, span, at


@njit(nogil=True, error_model="numpy", inline="always")
def _narrow(data, code, span, at):
    """Read bytes until the interval is wide again; behind the end there are zeros."""
    while span < _NARROW:
        code = code << 8 | (np.int64(data[at]) if at < data.size else 0)
        span, at = span << 8, at + 1
    return code, span, at


@njit(nogil=True, error_model="numpy")
def _take_bits(data, code, span, at, bits):
    """Return a number of so many bits, -1 if no encoder wrote this, and the state behind it."""
    part = span >> bits
    value = code // part
    if value >> bits:
        return -1, code, span, at
    code, span, at = _narrow(data, code - part * value, part, at)
    return value, code, span, at
