"""Rows of the Weka 2D planes as vector code: 3 x 3 differences and the planes made of them.

Every operation of `backend.plain.weka` in its order, on `WEKA_LANES` pixels at a time; a product that is exact (by a
power of two) may be fused with the sum after it. Rows are given by address and hold whole vectors.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compdistort.backend.compiled.emit import INDEX, Emitter
from compdistort.backend.plain.exact import ACOS_P, ACOS_Q, HALF_PI_HIGH, HALF_PI_LOW, HIGH_WORD

WEKA_LANES = 8
"""Pixels of one vector: float64 sums take twice the registers."""

_WIDE = ir.VectorType(ir.DoubleType(), WEKA_LANES)
_WORDS = ir.VectorType(ir.IntType(64), WEKA_LANES)
_FLOATS = ir.VectorType(ir.FloatType(), WEKA_LANES)


def _wide(value: float) -> Any:
    return _WIDE([value] * WEKA_LANES)


def _narrow(value: float) -> Any:
    return _FLOATS([value] * WEKA_LANES)


def _row_kernel(inputs: int, outputs: int, make: Callable[..., list[Any]]) -> Any:
    """Return an intrinsic (inputs..., outputs..., count of vectors): `make(e, at)` gives one vector of each output.

    `at(i, shift)` is the vector of input i, `shift` pixels to the right.
    """

    @intrinsic
    def run(typing_context, rows, targets, count):
        def generate(context, builder, signature, arguments):
            e = Emitter(builder, lanes=WEKA_LANES)
            sources = [builder.extract_value(arguments[0], i) for i in range(inputs)]
            places = [builder.extract_value(arguments[1], i) for i in range(outputs)]

            def body(v, _):
                def at(i, shift=0):
                    return e.floats(e.plus(e.plus(sources[i], v, 4 * WEKA_LANES), shift, 4))

                for value, place in zip(make(e, at), places, strict=True):
                    e.store(value, e.plus(place, v, 4 * WEKA_LANES))

            e.over_vectors(arguments[2], 1, body)
            return context.get_dummy_value()

        kinds = (types.UniTuple(types.int64, inputs), types.UniTuple(types.int64, outputs), types.int64)
        return types.void(*kinds), generate

    return run


def _widen(e: Emitter, value: Any) -> Any:
    return e.builder.fpext(value, _WIDE)


def _round(e: Emitter, value: Any) -> Any:
    return e.builder.fptrunc(value, _FLOATS)


def _down(e: Emitter, a: list[Any], b: list[Any]) -> Any:
    """Return the difference along y: 1 2 1 of the row above less 1 2 1 of the row below."""
    builder = e.builder
    total = builder.fadd(_wide(0.0), a[0])
    total = builder.fadd(e.fma(_wide(2.0), a[1], total), a[2])
    total = e.fma(_wide(-2.0), b[1], builder.fsub(total, b[0]))
    return _round(e, builder.fsub(total, b[2]))


def _across(e: Emitter, a: list[Any], m: list[Any], b: list[Any]) -> Any:
    """Return the difference along x: 1 2 1 of the left column less that of the right one."""
    builder = e.builder
    total = builder.fsub(builder.fadd(_wide(0.0), a[0]), a[2])
    total = e.fma(_wide(-2.0), m[2], e.fma(_wide(2.0), m[0], total))
    return _round(e, builder.fsub(builder.fadd(total, b[0]), b[2]))


def _three(e: Emitter, at: Any, row: int, *, middle: bool = True) -> list[Any]:
    return [_widen(e, at(row, k)) if middle or k != 1 else None for k in range(3)]


def _both(e: Emitter, at: Any) -> list[Any]:
    above, here, below = _three(e, at, 0), _three(e, at, 1, middle=False), _three(e, at, 2)
    return [_down(e, above, below), _across(e, above, here, below)]


def _only_across(e: Emitter, at: Any) -> list[Any]:
    return [_across(e, *(_three(e, at, row, middle=False) for row in range(3)))]


def _sobel(e: Emitter, at: Any) -> list[Any]:
    builder, gy, gx = e.builder, at(0), at(1)
    return [e.call("sqrt", [builder.fadd(builder.fmul(gy, gy), builder.fmul(gx, gx))])]


def _norm(e: Emitter, at: Any) -> list[Any]:
    builder, a, c, d = e.builder, at(0), at(1), at(2)
    total = builder.fadd(builder.fmul(a, a), builder.fmul(c, c))
    return [e.call("sqrt", [builder.fadd(total, builder.fmul(d, d))])]


def _trace(e: Emitter, at: Any) -> list[Any]:
    return [e.builder.fadd(at(0), at(2))]


def _determinant(e: Emitter, at: Any) -> list[Any]:
    builder, a, c, d = e.builder, at(0), at(1), at(2)
    return [builder.fsub(builder.fmul(a, d), builder.fmul(c, c))]


def _squared(e: Emitter, at: Any) -> list[Any]:
    builder, a, c, d = e.builder, at(0), at(1), at(2)
    difference = builder.fsub(a, d)
    cross = builder.fmul(builder.fmul(_narrow(4.0), c), c)
    return [builder.fadd(builder.fmul(difference, difference), cross)]


def _eigenvalues(e: Emitter, at: Any) -> list[Any]:
    builder = e.builder
    trace = _widen(e, _trace(e, at)[0])
    root = e.call("sqrt", [_widen(e, _squared(e, at)[0])])
    both = (builder.fadd(trace, root), builder.fsub(trace, root))
    return [builder.fmul(_round(e, value), _narrow(0.5)) for value in both]


def _trace_root(e: Emitter, at: Any) -> list[Any]:
    builder = e.builder
    trace, squared = _widen(e, _trace(e, at)[0]), _widen(e, _squared(e, at)[0])
    return [_round(e, builder.fmul(builder.fmul(trace, trace), squared))]


def _difference(e: Emitter, at: Any) -> list[Any]:
    return [e.builder.fsub(at(0), at(1))]


def _polynomial(e: Emitter, z: Any, coefficients: tuple[float, ...]) -> Any:
    builder, total = e.builder, _wide(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = builder.fadd(_wide(coefficient), builder.fmul(z, total))
    return total


def _orientation(e: Emitter, at: Any) -> list[Any]:
    """Half the arc cosine of (a - d) / R, signed by c: fdlibm's algorithm, both of its branches for every pixel."""
    b, c = e.builder, at(1)
    difference = b.fsub(at(0), at(2))
    wide, square = _widen(e, c), _widen(e, b.fmul(difference, difference))
    length = e.call("sqrt", [b.fadd(b.fmul(b.fmul(_wide(4.0), wide), wide), square)])
    cosine = b.fdiv(_widen(e, difference), length)
    size = e.call("fabs", [cosine])
    small = b.fcmp_ordered("<", size, _wide(0.5))
    z = b.select(small, b.fmul(cosine, cosine), b.fmul(b.fsub(_wide(1.0), size), _wide(0.5)))
    ratio = b.fdiv(b.fmul(z, _polynomial(e, z, ACOS_P)), _polynomial(e, z, ACOS_Q))
    root = e.call("sqrt", [z])
    high = b.bitcast(b.and_(b.bitcast(root, _WORDS), _WORDS([HIGH_WORD] * WEKA_LANES)), _WIDE)
    low = b.fdiv(b.fsub(z, b.fmul(high, high)), b.fadd(root, high))
    one = b.fmul(_wide(2.0), b.fadd(high, b.fadd(b.fmul(ratio, root), low)))
    one = b.select(b.fcmp_ordered("==", cosine, _wide(1.0)), _wide(0.0), one)
    minus_one = b.fadd(root, b.fsub(b.fmul(ratio, root), _wide(HALF_PI_LOW)))
    minus_one = b.fsub(_wide(2.0 * HALF_PI_HIGH), b.fmul(_wide(2.0), minus_one))
    middle = b.fsub(cosine, b.fsub(_wide(HALF_PI_LOW), b.fmul(cosine, ratio)))
    middle = b.fsub(_wide(HALF_PI_HIGH), middle)
    outer = b.select(b.fcmp_ordered(">", cosine, _wide(0.0)), one, minus_one)
    half = _round(e, b.fmul(_wide(0.5), b.select(small, middle, outer)))
    signed = b.select(b.fcmp_ordered("<", c, _narrow(0.0)), b.fneg(half), half)
    return [b.select(b.fcmp_ordered("<=", size, _wide(1.0)), signed, _narrow(0.0))]


both_differences = _row_kernel(3, 2, _both)
"""((above, here, below), (down, across), vectors): the 3 x 3 differences; rows begin one pixel left of the output."""
across_difference = _row_kernel(3, 1, _only_across)
"""((above, here, below), (across,), vectors)."""
sobel_row = _row_kernel(2, 1, _sobel)
"""((down, across), (out,), vectors)."""
norm_row = _row_kernel(3, 1, _norm)
trace_row = _row_kernel(3, 1, _trace)
determinant_row = _row_kernel(3, 1, _determinant)
eigenvalue_rows = _row_kernel(3, 2, _eigenvalues)
orientation_row = _row_kernel(3, 1, _orientation)
trace_root_row = _row_kernel(3, 1, _trace_root)
squared_row = _row_kernel(3, 1, _squared)
"""Hessian planes: ((a, c, d), (out...), vectors), with a, c, d the second derivatives yy, xy, xx."""
difference_row = _row_kernel(2, 1, _difference)
"""((finer, coarser), (out,), vectors)."""


@intrinsic
def scale_row(typing_context, row, weight, out, count):
    """Write row * weight (a float32 by address) to `out`, a row of `count` vectors."""

    def generate(context, builder, signature, arguments):
        row, weight, out, count = arguments
        e = Emitter(builder, lanes=WEKA_LANES)
        splat = e.splat(weight, INDEX(0))

        def body(v, _):
            e.store(builder.fmul(e.floats(e.plus(row, v, 4 * WEKA_LANES)), splat), e.plus(out, v, 4 * WEKA_LANES))

        e.over_vectors(count, 1, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def add_scaled_row(typing_context, row, weight, out, count):
    """Add row * weight (a float32 by address) to `out`, product and sum rounded."""

    def generate(context, builder, signature, arguments):
        row, weight, out, count = arguments
        e = Emitter(builder, lanes=WEKA_LANES)
        splat = e.splat(weight, INDEX(0))

        def body(v, _):
            target = e.plus(out, v, 4 * WEKA_LANES)
            product = builder.fmul(splat, e.floats(e.plus(row, v, 4 * WEKA_LANES)))
            e.store(builder.fadd(e.floats(target), product), target)

        e.over_vectors(count, 1, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic
def copy_row(typing_context, row, out, count):
    """Copy a row of `count` vectors."""

    def generate(context, builder, signature, arguments):
        e = Emitter(builder, lanes=WEKA_LANES)

        def body(v, _):
            e.store(e.floats(e.plus(arguments[0], v, 4 * WEKA_LANES)), e.plus(arguments[1], v, 4 * WEKA_LANES))

        e.over_vectors(arguments[2], 1, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


@intrinsic
def pixels(typing_context, address):
    """Return an address as a pointer to float32, for `numba.carray`."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(types.int64), generate
