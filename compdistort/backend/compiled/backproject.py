"""Back-projection as a compiled loop: many planes at once, in the lanes of a vector.

All planes read the same samples with the same weights. So the projections are turned round, a sample of all planes side
by side, and whatever a place costs is paid once for them. A tile of pixels takes a few angles at a time, whose samples
stay in the cache; its sums stay in registers over them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from compdistort.backend.beam import PLACE_BITS, TAPS, BeamPlan
from compdistort.backend.compiled.emit import INDEX, Emitter
from compdistort.backend.compiled.intrinsics import fma32
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.team import Team
from compdistort.backend.plain.backproject import FRACTION_BITS, SIXTH, TWO_THIRDS, check_projections
from compdistort.backend.records import Float32

LANES = (4, 16)
"""Planes that are computed at once: few, or many."""

ROWS, COLUMNS = 64, 128
"""Size of a tile."""

CHUNK = 8
"""Angles that a tile takes at a time."""

ZEROS = max(TAPS)
"""Samples of zero that are read outside."""

WIDE = 8
"""Pixels whose places are found at once; a tile holds whole vectors of them."""

AT_ONCE = 4
"""Pixels whose sums are in registers at once."""

ONE = np.float32(1)
HALF = np.float32(0.5)


def backproject(projections: Float32, plan: BeamPlan, team: Team) -> Float32:
    """Return the images of filtered projections; see `compdistort.backend.plain.backproject.backproject`.

    Parameters
    ----------
    projections : ndarray of shape (planes, n_angles, n_samples), float32
        Filtered projections.
    plan : BeamPlan
        Where every pixel reads.
    team : Team
        Threads that share the tiles.

    Returns
    -------
    ndarray of shape (planes, size, size), float32
    """
    check_projections(projections.shape, plan)
    images = np.zeros((len(projections), plan.size, plan.size), np.float32)
    start = 0
    while start < len(projections):
        lanes = LANES[len(projections) - start > LANES[0]]
        part = slice(start, start + lanes)
        _share_tiles(_side_by_side(projections[part], lanes), plan, lanes, images[part], team)
        start += lanes
    return images


def _side_by_side(projections: Float32, lanes: int) -> Float32:
    """Return the samples of all planes side by side, and behind them a few that are zero: outside, these are read."""
    planes, n_angles, n_samples = projections.shape
    cells = np.zeros((n_angles * n_samples + ZEROS, lanes), np.float32)
    cells[: n_angles * n_samples].reshape(n_angles, n_samples, lanes)[..., :planes] = np.moveaxis(projections, 0, -1)
    return cells


def _share_tiles(cells: Float32, plan: BeamPlan, lanes: int, images: Float32, team: Team) -> None:
    """Compute all tiles of as many planes as a vector has lanes."""
    # Copies: kept loops have one signature each, and a view or an array that cannot be written is of another type.
    steps = [part.copy() for part in (plan.starts, plan.columns, plan.rows, plan.left, plan.right)]
    limits = (plan.first, plan.last, plan.bias, plan.n_samples, plan.taps, lanes)

    def work(left: Iterator[tuple[int, int]]) -> None:
        sums = np.empty((ROWS, COLUMNS, lanes), np.float32)
        offsets = np.empty((CHUNK, COLUMNS), np.int64)
        weights = np.ones((max(TAPS), CHUNK, COLUMNS), np.float32)
        for y, x in left:
            _tile(cells, *steps, *limits, y, x, sums, offsets, weights, np.float32(plan.scale), images)

    team.share([(y, x) for y in range(0, plan.size, ROWS) for x in range(0, plan.size, COLUMNS)], work)


@kept_loop
def _tile(
    cells, starts, columns, rows, left, right, first, last, bias, n_samples, taps, lanes, top, side,
    sums, offsets, weights, scale, images,
):  # fmt: skip
    bottom, end = min(top + ROWS, left.size), min(side + COLUMNS, left.size)
    size = 4 * lanes
    outside = (cells.shape[0] - ZEROS) * size
    sums[:] = 0
    for k0 in range(0, starts.size, CHUNK):
        angles = min(CHUNK, starts.size - k0)
        for y in range(top, bottom):
            x0, x1 = max(side, left[y]), min(end, right[y])
            if x0 >= x1:
                continue
            for j in range(angles):
                k = k0 + j
                place = starts[k] + x0 * columns[k] + y * rows[k]
                base = k * n_samples * size
                _look_up(place, columns[k], first, last, bias, base, lanes, outside, x1 - x0, offsets[j])
                _weigh(place, columns[k], taps, x1 - x0, weights[0, j], weights[1, j], weights[2, j], weights[3, j])
            total = sums[y - top, x0 - side :].ctypes.data
            _add(taps, lanes, total, cells.ctypes.data, offsets.ctypes.data, weights.ctypes.data, x1 - x0, angles)
    for y in range(top, bottom):
        for plane in range(images.shape[0]):
            for x in range(max(side, left[y]), min(end, right[y])):
                images[plane, y, x] = sums[y - top, x - side, plane] * scale


@njit(nogil=True, error_model="numpy")
def _look_up(place, step, first, last, bias, base, lanes, outside, count, offsets):
    """Find where the samples that each pixel of a row reads begin, in bytes from the first of all."""
    vectors = (count + WIDE - 1) // WIDE
    if lanes == 16:
        _offsets_16(place + bias, step, base, offsets.ctypes.data, 0, vectors)
    else:
        _offsets_4(place + bias, step, base, offsets.ctypes.data, 0, vectors)
    end = place + (count - 1) * step
    if min(place, end) < first or max(place, end) > last:
        for x in range(count):
            if not first <= place + x * step <= last:
                offsets[x] = outside


@njit(nogil=True, error_model="numpy")
def _weigh(place, step, taps, count, w0, w1, w2, w3):
    """Find the weights of the samples that each pixel of a row reads (see `plain.backproject.tap_weights`).

    One tap has the weight 1, which the scratch holds from the start.
    """
    if taps == 1:
        return
    _fractions(place, step, 0, w0.ctypes.data, w1.ctypes.data, (count + WIDE - 1) // WIDE)
    if taps == 2:
        return
    for x in range(count):
        g, f = w0[x], w1[x]
        w0[x] = (g * g) * (g * SIXTH)
        w1[x] = fma32(f * f, HALF * f - ONE, TWO_THIRDS)
        w2[x] = fma32(g * g, HALF * g - ONE, TWO_THIRDS)
        w3[x] = (f * f) * (f * SIXTH)


@njit(nogil=True, error_model="numpy")
def _add(taps, lanes, total, cells, offsets, weights, count, angles):
    """Add the samples of a few angles to the sums of a row of pixels."""
    if lanes == 16:
        if taps == 2:
            _add_2_16(total, cells, offsets, weights, count, angles)
        elif taps == 1:
            _add_1_16(total, cells, offsets, weights, count, angles)
        else:
            _add_4_16(total, cells, offsets, weights, count, angles)
    elif taps == 2:
        _add_2_4(total, cells, offsets, weights, count, angles)
    elif taps == 1:
        _add_1_4(total, cells, offsets, weights, count, angles)
    else:
        _add_4_4(total, cells, offsets, weights, count, angles)


def _make_rows(lanes: int | None) -> Any:
    """Return an intrinsic that goes along a row of places: (place, step, base, first output, second output, vectors).

    Given the planes of a vector, it gives the address of each place's sample behind `base`; else 1 - f and f of its
    fraction f.
    """

    @intrinsic
    def run(typing_context, place, step, base, one, two, vectors):
        def generate(context, builder, signature, arguments):
            start, along, origin, first, second, count = arguments
            e = Emitter(builder, lanes=WIDE)
            place_vector = ir.VectorType(INDEX, WIDE)
            ramp = builder.mul(_spread(builder, along), place_vector(list(range(WIDE))))
            slot = cgutils.alloca_once_value(builder, builder.add(_spread(builder, start), ramp))
            stride = _spread(builder, builder.mul(along, INDEX(WIDE)))
            with e.loop(INDEX(0), count) as (v, _):
                here = builder.load(slot)
                if lanes is not None:
                    whole = builder.ashr(here, place_vector([PLACE_BITS] * WIDE))
                    bytes_of = builder.mul(whole, place_vector([4 * lanes] * WIDE))
                    e.store(builder.add(bytes_of, _spread(builder, origin)), e.plus(first, v, 8 * WIDE))
                else:
                    for value, output in zip(_fraction(e, here), (first, second), strict=True):
                        e.store(value, e.plus(output, v, 4 * WIDE))
                builder.store(builder.add(here, stride), slot)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return run


def _spread(builder: Any, value: Any) -> Any:
    """Return a vector of `WIDE` times the same value."""
    vector, number = ir.VectorType(value.type, WIDE), ir.IntType(32)
    lane = builder.insert_element(vector(ir.Undefined), value, number(0))
    return builder.shuffle_vector(lane, vector(ir.Undefined), ir.VectorType(number, WIDE)([0] * WIDE))


def _fraction(emitter: Emitter, places: Any) -> tuple[Any, Any]:
    """Return 1 - f and f of a vector of places."""
    builder, integers = emitter.builder, ir.VectorType(ir.IntType(32), WIDE)
    shift = ir.VectorType(INDEX, WIDE)([PLACE_BITS - FRACTION_BITS] * WIDE)
    bits = builder.and_(
        builder.trunc(builder.lshr(places, shift), integers), integers([(1 << FRACTION_BITS) - 1] * WIDE)
    )
    f = builder.fmul(builder.sitofp(bits, emitter.vector), emitter.vector([2.0**-FRACTION_BITS] * WIDE))
    return builder.fsub(emitter.vector([1.0] * WIDE), f), f


_offsets_4, _offsets_16, _fractions = _make_rows(4), _make_rows(16), _make_rows(None)


def _make_add(taps: int, lanes: int) -> Any:
    """Return an intrinsic that adds angles to the sums of a row: (total, cells, offsets, weights, count, angles)."""
    size = 4 * lanes

    @intrinsic
    def run(typing_context, total, cells, offsets, weights, count, angles):
        def generate(context, builder, signature, arguments):
            sums, samples, places, factors, number, n = arguments
            e = Emitter(builder, lanes=lanes)

            def body(v, pixels):
                targets = [e.plus(sums, builder.add(v, INDEX(u)), size) for u in range(pixels)]
                slots = [cgutils.alloca_once_value(builder, e.vector(ir.Undefined)) for _ in range(pixels)]
                for slot, target in zip(slots, targets, strict=True):
                    builder.store(e.floats(target), slot)
                with e.loop(INDEX(0), n) as (angle, _):
                    first = builder.add(builder.mul(angle, INDEX(COLUMNS)), v)
                    for u, slot in enumerate(slots):
                        at = builder.add(first, INDEX(u))
                        cell = builder.add(samples, e.entry(places, at))
                        value = builder.load(slot)
                        for tap, weight in enumerate(_weights(e, taps, factors, at)):
                            value = e.fma(weight, e.floats(e.plus(cell, tap, size)), value)
                        builder.store(value, slot)
                for slot, target in zip(slots, targets, strict=True):
                    e.store(builder.load(slot), target)

            e.over_vectors(number, AT_ONCE, body)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), generate

    return run


def _weights(emitter: Emitter, taps: int, factors: Any, at: Any) -> list[Any]:
    """Return the weights of a pixel's samples in all lanes; of two, the first is what the other leaves of 1."""
    later = [emitter.splat(factors, emitter.builder.add(at, INDEX(tap * CHUNK * COLUMNS))) for tap in range(1, taps)]
    if taps == 2:
        return [emitter.builder.fsub(emitter.vector([1.0] * emitter.lanes), later[0]), *later]
    return [emitter.splat(factors, at), *later]


_add_1_4, _add_2_4, _add_4_4 = (_make_add(taps, 4) for taps in (1, 2, 4))
_add_1_16, _add_2_16, _add_4_16 = (_make_add(taps, 16) for taps in (1, 2, 4))
