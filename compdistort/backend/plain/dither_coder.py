"""One pass of the dither-aware coder, pixel by pixel with Python's whole numbers.

What is coded, and why, stands in `compdistort.codecs.vsq.dither_aware`. The range coder keeps 32 bits and gives bytes
away (Martin 1979; the carry runs back through the bytes that are written).
"""

import numpy as np

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
    activity,
    class_of,
    near_places,
    predicted,
    restored,
    site_places,
    site_terms,
)
from compdistort.backend.records import UInt8

_WORD = (1 << 32) - 1
_NARROW = 1 << 24
_BITS_OF_LENGTH = 5
_LONGEST = 16


def encode_pass(plane: CodedPlane, sites: Sites, model: CellModel, table: CellTable, out: UInt8, coder: Int64) -> None:
    """Code the pixels of one pass behind what is coded.

    Parameters
    ----------
    plane : CodedPlane
        The whole plane.
    sites : Sites
        The pixels.
    model : CellModel
        Their model.
    table : CellTable
        The probabilities.
    out : ndarray of shape (n_bytes,), uint8
        Where bytes go, 8 a pixel at most.
    coder : ndarray of shape (3,), int64
        Low end and width of the coder's interval, and where the next byte goes; changed in place.
    """
    for row, column in site_places(sites):
        here = (row * sites.width + column) * sites.stride
        near = near_places(sites, row, column)
        index, one = int(plane.indices[here]), 1 << TOTAL_BITS
        if plane.saturated >= 0:
            chance = int(plane.chances[sum(int(plane.indices[place]) == plane.saturated for place in near)])
            if chance and index == plane.saturated:
                _put(out, coder, one - chance, chance, TOTAL_BITS)
                continue
            if chance:
                _put(out, coder, 0, one - chance, TOTAL_BITS)
        base, cells, reach, shift = _cells(plane, sites, model, table, (row, column))
        step = (index >> shift) - base
        symbol = min(max(step, -reach - 1), reach + 1) + reach + 1
        _put(out, coder, cells[symbol], cells[symbol + 1] - cells[symbol], TOTAL_BITS)
        if abs(step) > reach:
            beyond = abs(step) - reach
            length = beyond.bit_length() - 1
            _put(out, coder, length, 1, _BITS_OF_LENGTH)
            _put(out, coder, beyond - (1 << length), 1, length)
        _put(out, coder, index & ((1 << shift) - 1), 1, shift)


def decode_pass(plane: CodedPlane, sites: Sites, model: CellModel, table: CellTable, data: UInt8, coder: Int64) -> bool:
    """Decode the pixels of one pass; arguments as of `encode_pass`.

    Parameters
    ----------
    plane, sites, model, table
        See `encode_pass`; what earlier passes decoded is in the plane.
    data : ndarray of shape (n_bytes,), uint8
        The codestream; behind its end there are zeros.
    coder : ndarray of shape (3,), int64
        What is read above the low end of the interval, its width, and where the next byte comes from; changed in place.

    Returns
    -------
    bool
        False if no encoder wrote this.
    """
    for row, column in site_places(sites):
        here = (row * sites.width + column) * sites.stride
        near = near_places(sites, row, column)
        index = -1
        if plane.saturated >= 0:
            chance = int(plane.chances[sum(int(plane.indices[place]) == plane.saturated for place in near)])
            symbol = _take(data, coder, [0, (1 << TOTAL_BITS) - chance, 1 << TOTAL_BITS]) if chance else 0
            if symbol < 0:
                return False
            index = plane.saturated if symbol == 1 else -1
        is_saturated = index >= 0
        if not is_saturated:
            index = _take_index(data, coder, _cells(plane, sites, model, table, (row, column)))
        if not 0 <= index <= LARGEST:
            return False
        plane.indices[here] = index
        plane.restored[here] = restored(index, int(plane.dither[here]), is_saturated)
    return True


def _cells(
    plane: CodedPlane, sites: Sites, model: CellModel, table: CellTable, place: tuple[int, int]
) -> tuple[int, list[int], int, int]:
    """Return the middle cell, the sums of its and its neighbours' frequencies, how many these are, and the shift."""
    row, column = place
    terms = site_terms(plane, sites, row, column)
    own = class_of(activity(terms, sites.n_pairs), model.limits.tolist())
    mean = predicted(terms, model.weights[own].tolist())
    line, shift = int(model.rows[own]), int(model.shifts[own])
    dither = int(plane.dither[(row * sites.width + column) * sites.stride])
    centre = (mean + (dither >> (DITHER_BITS - FRACTION))) >> shift
    phase = (centre & ((1 << FRACTION) - 1)) >> (FRACTION - PHASE_BITS)
    reach = int(table.reach[line])
    return centre >> FRACTION, table.cumulative[line, phase].tolist()[: 2 * reach + 4], reach, shift


def _take_index(data: UInt8, coder: Int64, cells: tuple[int, list[int], int, int]) -> int:
    """Decode one index that is not saturated; -1 if no encoder wrote this."""
    base, sums, reach, shift = cells
    symbol = _take(data, coder, sums)
    step = symbol - reach - 1
    if symbol < 0:
        return -1
    if abs(step) > reach:
        length = _take_bits(data, coder, _BITS_OF_LENGTH)
        low = _take_bits(data, coder, length) if 0 <= length <= _LONGEST else -1
        if low < 0:
            return -1
        beyond = (1 << length) + low + reach
        step = beyond if step > 0 else -beyond
    low = _take_bits(data, coder, shift)
    return -1 if low < 0 or base + step < 0 else (base + step) << shift | low


def _put(out: UInt8, coder: Int64, start: int, size: int, bits: int) -> None:
    """Narrow the interval to `size` parts of 2**bits from `start` on, and write the bytes that are settled."""
    low, width, at = (int(value) for value in coder)
    part = width >> bits
    low, width = low + part * start, part * size
    if low > _WORD:
        written = int.from_bytes(out[:at].tobytes(), "big") + 1
        out[:at] = np.frombuffer(written.to_bytes(at, "big"), np.uint8)
        low &= _WORD
    while width < _NARROW:
        out[at] = low >> 24
        low, width, at = (low << 8) & _WORD, width << 8, at + 1
    coder[:] = low, width, at


def _take(data: UInt8, coder: Int64, sums: list[int]) -> int:
    """Return the symbol whose part of the interval holds the code; -1 if it lies behind the last one."""
    code, width, _ = (int(value) for value in coder)
    part = width >> TOTAL_BITS
    symbol = sum(code >= part * start for start in sums) - 1
    if symbol == len(sums) - 1:
        return -1
    _narrow(data, coder, part * sums[symbol], part * (sums[symbol + 1] - sums[symbol]))
    return symbol


def _take_bits(data: UInt8, coder: Int64, bits: int) -> int:
    """Return a number of so many bits; -1 if no encoder wrote this."""
    part = int(coder[1]) >> bits
    value = int(coder[0]) // part
    if value >> bits:
        return -1
    _narrow(data, coder, part * value, part)
    return value


def _narrow(data: UInt8, coder: Int64, start: int, width: int) -> None:
    code, at = int(coder[0]) - start, int(coder[2])
    while width < _NARROW:
        code = code << 8 | (int(data[at]) if at < data.size else 0)
        width, at = width << 8, at + 1
    coder[:] = code, width, at
