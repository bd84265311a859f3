"""Row operations of the half grid: sums of six pairs of rows, of four rows, mirror images, and from points to pixels.

`backend.plain.half_grid` gives the equations and the order of the sums.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from compdistort.backend.compiled.emit import FLOAT, INDEX, LANES, VECTOR, Emitter

PAIRS = 6
"""Pairs of pixels that make a point."""

_LANE = ir.IntType(32)


def _make_pairs(kind: Any) -> Any:
    """Return an intrinsic that sums pairs of rows of one type of pixels."""

    @intrinsic
    def run(typing_context, table, weights, out, n):
        def generate(context, builder, signature, arguments):
            table, weights, out, number = arguments
            whole = builder.udiv(number, INDEX(LANES))

            def emit(lanes, first, last):
                e = Emitter(builder, kind, lanes)
                pairs = [(e.entry(table, PAIRS + k), e.entry(table, PAIRS - 1 - k)) for k in range(PAIRS)]
                splats = [e.splat(weights, k) for k in range(PAIRS)]
                with e.loop(first, last) as (v, _):
                    total = e.vector([0.0] * lanes)
                    for splat, (right, left) in zip(splats, pairs, strict=True):
                        both = [e.load(e.plus(row, v, e.unit * lanes)) for row in (right, left)]
                        total = e.fma(splat, builder.fadd(*both), total)
                    e.store(total, e.plus(out, v, 4 * lanes))

            emit(LANES, INDEX(0), whole)
            emit(1, builder.mul(whole, INDEX(LANES)), number)  # nothing beyond the rows is read
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), generate

    return run


_pairs_8, _pairs_16, _pairs_float = _make_pairs(ir.IntType(8)), _make_pairs(ir.IntType(16)), _make_pairs(FLOAT)


@njit(nogil=True, error_model="numpy")
def _pair_rows(unit, table, weights, out, n):
    if unit == 1:
        _pairs_8(table, weights, out, n)
    elif unit == 2:
        _pairs_16(table, weights, out, n)
    else:
        _pairs_float(table, weights, out, n)


pair_rows: Callable[..., None] = _pair_rows
"""(bytes of a pixel, table of the rows around a point from left to right, weights, out, pixels): a halving pass."""


def _weighted(e: Emitter, weights: list[Any], values: list[Any]) -> Any:
    """Return w[0] x[0], then grown by fma."""
    total = e.builder.fmul(weights[0], values[0])
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = e.fma(weight, value, total)
    return total


@intrinsic
def mix_rows(typing_context, rows, weights, out, count):
    """Write the weighted sum of four rows: addresses of the rows (a tuple), of four weights, of the result; vectors."""

    def generate(context, builder, signature, arguments):
        rows, weights, out, number = arguments
        e = Emitter(builder)
        sources = [builder.extract_value(rows, i) for i in range(4)]
        splats = [e.splat(weights, k) for k in range(4)]

        def body(v, n):
            for each in (builder.add(v, INDEX(u)) for u in range(n)):
                values = [e.floats(e.plus(source, each, 4 * LANES)) for source in sources]
                e.store(_weighted(e, splats, values), e.plus(out, each, 4 * LANES))

        e.over_vectors(number, 2, body)
        return context.get_dummy_value()

    return types.void(types.UniTuple(types.int64, 4), *[types.int64] * 3), generate


@intrinsic
def mirror_row(typing_context, row, n, behind, vectors):
    """Write mirror images of a row of `n` points on both sides; those behind it begin with that of point `behind`.

    Whole vectors, of which those count that lie no farther out than the row is long (an odd axis: one less).
    """

    def generate(context, builder, signature, arguments):
        row, number, behind, vectors = arguments
        e = Emitter(builder)
        order = ir.VectorType(_LANE, LANES)(list(reversed(range(LANES))))
        end, last = e.plus(row, number, 4), e.plus(row, behind, 4)

        def turned(address):
            value = e.floats(address)
            return builder.shuffle_vector(value, value.type(ir.Undefined), order)

        def body(v, _):
            before = builder.neg(builder.add(v, INDEX(1)))
            e.store(turned(e.plus(row, v, 4 * LANES)), e.plus(row, before, 4 * LANES))
            e.store(turned(builder.add(e.plus(last, before, 4 * LANES), INDEX(4))), e.plus(end, v, 4 * LANES))

        e.over_vectors(vectors, 1, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


def _both_phases(e: Emitter, row: Any, v: Any, splats: list[Any]) -> tuple[Any, Any]:
    """Return the values at the even and at the odd pixels of the points of vector v."""
    start = e.plus(row, v, 4 * LANES)
    at = {k: e.floats(e.plus(start, k, 4)) for k in (-2, -1, 0, 1, 2)}
    return tuple(_weighted(e, splats, [at[0], at[d], at[-d], at[2 * d]]) for d in (-1, 1))


def _store_pixels(e: Emitter, even: Any, odd: Any, out: Any, v: Any) -> None:
    """Write even and odd pixels in turns."""
    order = ir.VectorType(_LANE, 2 * LANES)([k // 2 + k % 2 * LANES for k in range(2 * LANES)])
    e.store(e.builder.shuffle_vector(even, odd, order), e.plus(out, v, 8 * LANES))


@intrinsic
def spread_row(typing_context, row, weights, out, count):
    """Write two pixels for each point of `count` vectors; two more points on each side of the row are read."""

    def generate(context, builder, signature, arguments):
        row, weights, out, number = arguments
        e = Emitter(builder)
        splats = [e.splat(weights, k) for k in range(4)]
        e.over_vectors(number, 1, lambda v, _: _store_pixels(e, *_both_phases(e, row, v, splats), out, v))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


def _make_magnitude(components: int) -> Any:
    """Return an intrinsic that writes the length of a vector whose components lie in rows of points."""

    @intrinsic
    def run(typing_context, rows, weights, out, count):
        def generate(context, builder, signature, arguments):
            rows, weights, out, number = arguments
            e = Emitter(builder)
            sources = [builder.extract_value(rows, i) for i in range(components)]
            splats = [e.splat(weights, k) for k in range(4)]

            def length(values):
                total = builder.fmul(values[0], values[0])
                for value in values[1:]:
                    total = e.fma(value, value, total)
                return e.call("sqrt", [total])

            def body(v, _):
                phases = [_both_phases(e, source, v, splats) for source in sources]
                even, odd = (length([each[phase] for each in phases]) for phase in range(2))
                _store_pixels(e, even, odd, out, v)

            e.over_vectors(number, 1, body)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 3), *[types.int64] * 3), generate

    return run


_length_2d, _length_3d = _make_magnitude(2), _make_magnitude(3)


@njit(nogil=True, error_model="numpy")
def _spread_length(rows, volume, weights, out, count):
    if volume:
        _length_3d(rows, weights, out, count)
    else:
        _length_2d((rows[1], rows[2], rows[0]), weights, out, count)


spread_length: Callable[..., None] = _spread_length
"""(rows of gz, gy, gx; whether there is a gz; weights, out, vectors): GGM at the pixels of a row."""


@intrinsic
def divide_row(typing_context, row, even, odd, count):
    """Write the pixels 0, 2, 4, ... and 1, 3, 5, ... of a row: `count` vectors of each."""

    def generate(context, builder, signature, arguments):
        row, even, odd, number = arguments
        e = Emitter(builder)
        double = ir.VectorType(FLOAT, 2 * LANES).as_pointer()

        def body(v, _):
            both = builder.load(builder.inttoptr(e.plus(row, v, 8 * LANES), double), align=4)
            for first, out in ((0, even), (1, odd)):
                lanes = ir.VectorType(_LANE, LANES)([2 * k + first for k in range(LANES)])
                part = builder.shuffle_vector(both, both.type(ir.Undefined), lanes)
                assert part.type == VECTOR
                e.store(part, e.plus(out, v, 4 * LANES))

        e.over_vectors(number, 1, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate
