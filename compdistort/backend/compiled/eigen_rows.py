"""Rows of eigenvalues and of gradient products as vector code, in the order of `backend.plain.eigen`."""

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compdistort.backend.compiled.emit import Emitter
from compdistort.backend.plain.eigen import COS_30, NEWTON_STEPS, SIXTH, THIRD

EIGEN_LANES = 8
"""Pixels of one vector: float64 takes twice the registers."""

_WIDE = ir.VectorType(ir.DoubleType(), EIGEN_LANES)
_FLOATS = ir.VectorType(ir.FloatType(), EIGEN_LANES)

_Make = Callable[[Emitter, list[Any]], list[Any]]


def _wide(value: float) -> Any:
    return _WIDE([value] * EIGEN_LANES)


def _row(inputs: int, outputs: int, make: _Make) -> Any:
    """Return an intrinsic (inputs, bytes from input to input, outputs, pixels); pixels are a multiple of the lanes.

    Inputs lie one after another, outputs are a tuple of addresses.
    """

    @intrinsic
    def run(typing_context, source, step, targets, pixels):
        def generate(context, builder, signature, arguments):
            e = Emitter(builder, lanes=EIGEN_LANES)
            source, step, targets, pixels = arguments
            places = [builder.extract_value(targets, i) for i in range(outputs)]

            def body(v, _):
                entries = [
                    e.floats(e.plus(builder.add(source, builder.mul(step, e.number(i))), v, 4 * EIGEN_LANES))
                    for i in range(inputs)
                ]
                for value, place in zip(make(e, entries), places, strict=True):
                    e.store(value, e.plus(place, v, 4 * EIGEN_LANES))

            e.over_vectors(builder.udiv(pixels, e.number(EIGEN_LANES)), 1, body)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.UniTuple(types.int64, outputs), types.int64), generate

    return run


def _products(e: Emitter, slopes: list[Any]) -> list[Any]:
    return [e.builder.fmul(a, b) for a, b in combinations_with_replacement(slopes, 2)]


def _planar(e: Emitter, entries: list[Any]) -> list[Any]:
    builder = e.builder
    a, b, d = (builder.fpext(entry, _WIDE) for entry in entries)
    middle = builder.fmul(_wide(0.5), builder.fadd(a, d))
    half = builder.fmul(_wide(0.5), builder.fsub(a, d))
    root = e.call("sqrt", [builder.fadd(builder.fmul(half, half), builder.fmul(b, b))])
    return [builder.fptrunc(value, _FLOATS) for value in (builder.fadd(middle, root), builder.fsub(middle, root))]


def _solid(e: Emitter, entries: list[Any]) -> list[Any]:
    builder = e.builder
    add, times, zero = builder.fadd, builder.fmul, _wide(0.0)
    a, b, c, d, f, g = (builder.fpext(entry, _WIDE) for entry in entries)
    q = times(_wide(THIRD), add(add(a, d), g))
    a, d, g = (builder.fsub(entry, q) for entry in (a, d, g))
    p = e.call("sqrt", [times(_wide(SIXTH), _sum_of_squares(e, (a, b, c, d, f, g)))])
    unit = builder.fdiv(_wide(1.0), builder.select(builder.fcmp_ordered(">", p, zero), p, _wide(1.0)))
    r = times(_wide(0.5), _determinant(e, [times(unit, entry) for entry in (a, b, c, d, f, g)]))
    t = e.call("fabs", [r])
    far, near = _cosines(e, builder.select(builder.fcmp_ordered(">", t, _wide(1.0)), _wide(1.0), t))
    outer = times(_wide(2.0), times(p, far))
    high = times(p, builder.fsub(near, far))
    low = builder.fneg(times(p, add(near, far)))
    positive = builder.fcmp_ordered(">=", r, zero)
    pairs = (outer, builder.fneg(low)), (high, builder.fneg(high)), (low, builder.fneg(outer))
    return [builder.fptrunc(add(q, builder.select(positive, *pair)), _FLOATS) for pair in pairs]


def _sum_of_squares(e: Emitter, entries: tuple[Any, ...]) -> Any:
    builder = e.builder
    a, b, c, d, f, g = (builder.fmul(entry, entry) for entry in entries)
    outside = builder.fmul(_wide(2.0), builder.fadd(builder.fadd(b, c), f))
    return builder.fadd(builder.fadd(builder.fadd(a, d), g), outside)


def _determinant(e: Emitter, entries: list[Any]) -> Any:
    builder = e.builder
    a, b, c, d, f, g = entries

    def minor(one: Any, two: Any, three: Any, four: Any) -> Any:
        return builder.fsub(builder.fmul(one, two), builder.fmul(three, four))

    rest = minor(a, minor(d, g, f, f), b, minor(b, g, f, c))
    return builder.fadd(rest, builder.fmul(c, minor(b, f, d, c)))


def _cosines(e: Emitter, t: Any) -> tuple[Any, Any]:
    builder, one = e.builder, _wide(1.0)
    c = builder.fadd(_wide(COS_30), builder.fmul(_wide(1.0 - COS_30), t))
    for _ in range(NEWTON_STEPS):
        square = builder.fmul(c, c)
        above = builder.fadd(builder.fmul(_wide(8.0), builder.fmul(c, square)), t)
        c = builder.fdiv(above, builder.fsub(builder.fmul(_wide(12.0), square), _wide(3.0)))
    both = builder.fmul(builder.fsub(one, c), builder.fadd(one, c))
    return c, e.call("sqrt", [builder.fmul(_wide(3.0), both)])


eigen_2d = _row(3, 2, _planar)
eigen_3d = _row(6, 3, _solid)
"""Eigenvalues, largest first, of the entries yy, yx, xx or zz, zy, zx, yy, yx, xx."""

products_2d = _row(2, 3, _products)
products_3d = _row(3, 6, _products)
"""Products of the slopes along (z,) y and x, in the order of the entries."""
