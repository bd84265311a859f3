"""One kernel pass over one row, as vector code whose sums stay in registers over all taps.

Loops over taps written in Numba load and store the running sums at every tap; here intrinsics emit LLVM vector
instructions for `LANES` pixels at a time, which is much faster. Any LLVM target takes them (vectors are split to its
width).

A row of taps is given by addresses. A *table* holds row addresses, one a position; the entry of the centre is named,
so that any border lives in the table. A *line* is the address of the first pixel of a padded row, taps are its
neighbours. All rows that are read or written must hold whole vectors: `row_bytes`.

Addresses come from arrays that the caller's caller owns: Numba may free an array after the last use of its name.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from compdistort.backend.compiled.emit import FLOAT, INDEX, LANES, VECTOR, Emitter


class Taps:
    """The taps of one input: x[k] of vector v, from a table or a line.

    Parameters
    ----------
    emitter : Emitter
        Where the instructions go.
    start : value
        Address of the centre's entry in a table, or of the first pixel of a line.
    offset : value or None
        Bytes added to every entry of a table; None for a line.
    radius : int or None
        Where given, the addresses are looked up once.
    """

    def __init__(self, emitter: Emitter, start: Any, offset: Any = None, radius: int | None = None) -> None:
        self.emitter, self.start, self.offset = emitter, start, offset
        self.known: dict[int, Any] = {}
        if offset is not None and radius is not None:
            self.known = {k: self._base(k) for k in range(-radius, radius + 1)}

    def _base(self, k: Any) -> Any:
        return self.emitter.builder.add(self.emitter.entry(self.start, k), self.offset)

    def at(self, k: Any, v: Any) -> Any:
        """Return vector v of x[k]."""
        e = self.emitter
        if self.offset is None:
            return e.load(e.plus(e.plus(self.start, k, 4), v, 4 * LANES))
        base = self.known[k] if isinstance(k, int) and k in self.known else self._base(k)
        return e.load(e.plus(base, v, e.unit * LANES))


class Sums:
    """Running sums of one input under several half kernels, one for each letter of `parity` (e even, o odd)."""

    def __init__(self, emitter: Emitter, parity: str, weights: list[Any], radius: int | None) -> None:
        self.emitter, self.parity, self.weights, self.radius = emitter, parity, weights, radius
        self.splats = [[emitter.splat(w, k) for k in range((radius or 0) + 1)] for w in weights[: len(parity)]]

    def start(self, centre: Any) -> list[Any]:
        """Return the sums after the centre tap."""
        zero = VECTOR([0.0] * LANES)
        return [
            zero if kind == "o" else self.emitter.builder.fmul(centre, splats[0])
            for kind, splats in zip(self.parity, self.splats, strict=True)
        ]

    def grow(self, sums: list[Any], right: Any, left: Any, splats: list[Any]) -> list[Any]:
        """Return the sums after the two taps at one distance."""
        builder = self.emitter.builder
        both = {"e": builder.fadd(right, left)} if "e" in self.parity else {}
        if "o" in self.parity:
            both["o"] = builder.fsub(right, left)
        return [
            self.emitter.fma(splat, both[kind], total)
            for kind, splat, total in zip(self.parity, splats, sums, strict=True)
        ]

    def all_taps(self, taps: Taps, v: Any, radius: int) -> list[Any]:
        """Return the finished sums of one vector for a radius known now."""
        sums = self.start(taps.at(0, v))
        for k in range(1, radius + 1):
            sums = self.grow(sums, taps.at(k, v), taps.at(-k, v), [splats[k] for splats in self.splats])
        return sums


def loop_taps(emitter: Emitter, groups: list[tuple[Sums, Taps]], vectors: list[Any], radius: Any) -> list[list[Any]]:
    """Return the finished sums [group * vector][output] for a radius known at run time."""
    builder = emitter.builder
    pairs = [(sums, taps, v) for sums, taps in groups for v in vectors]
    slots = []
    for sums, taps, v in pairs:
        slots.append([cgutils.alloca_once_value(builder, VECTOR(ir.Undefined)) for _ in sums.parity])
        for slot, value in zip(slots[-1], sums.start(taps.at(0, v)), strict=True):
            builder.store(value, slot)
    with emitter.loop(INDEX(1), builder.add(radius, INDEX(1))) as (k, _):
        splats = {id(sums): [emitter.splat(w, k) for w in sums.weights[: len(sums.parity)]] for sums, _ in groups}
        minus = builder.neg(k)
        for (sums, taps, v), own in zip(pairs, slots, strict=True):
            grown = sums.grow([builder.load(s) for s in own], taps.at(k, v), taps.at(minus, v), splats[id(sums)])
            for slot, value in zip(own, grown, strict=True):
                builder.store(value, slot)
    return [[builder.load(slot) for slot in own] for own in slots]


def _make_pass(parity: str, radius: int | None, at_once: int, *, line: bool, plus: bool = False) -> Any:
    """Return an intrinsic that runs one row: one output for each letter of `parity`.

    `plus`: the sum is added to what the output row holds.
    """

    @intrinsic
    def run(typing_context, taps, offset, r, w0, w1, w2, o0, o1, o2, count):
        def generate(context, builder, signature, arguments):
            start, move, reach, *rest = arguments
            e = Emitter(builder)
            source = Taps(e, start, None if line else move, radius)
            sums = Sums(e, parity, rest[:3], radius)

            def body(v, n):
                vectors = [builder.add(v, INDEX(u)) for u in range(n)]
                if radius is None:
                    done = loop_taps(e, [(sums, source)], vectors, reach)
                else:
                    done = [sums.all_taps(source, each, radius) for each in vectors]
                for each, values in zip(vectors, done, strict=True):
                    for value, output in zip(values, rest[3:6], strict=False):
                        target = e.plus(output, each, 4 * LANES)
                        e.store(builder.fadd(value, e.floats(target)) if plus else value, target)

            e.over_vectors(rest[6], at_once, body)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 10), generate

    return run


def make_pass(parity: str, *, line: bool = False, plus: bool = False) -> Callable[..., None]:
    """Return a compiled pass over one row: (taps, offset, radius, w0, w1, w2, o0, o1, o2, count).

    All int64: addresses, counts. Radii 1 and 2 have code of their own.

    Parameters
    ----------
    parity : str
        One letter an output, e even, o odd.
    line : bool
        Taps are neighbours in a padded row of float32; `offset` is not used.
    plus : bool
        The result is added to what the output row holds.

    Returns
    -------
    callable
    """
    many = {1: 4, 2: 2, 3: 2}[len(parity)]
    any_radius = _make_pass(parity, None, many, line=line, plus=plus)
    one = _make_pass(parity, 1, 1, line=line, plus=plus)
    two = _make_pass(parity, 2, 1, line=line, plus=plus)

    def row(taps, offset, radius, w0, w1, w2, o0, o1, o2, count):
        if radius == 2:
            two(taps, offset, radius, w0, w1, w2, o0, o1, o2, count)
        elif radius == 1:
            one(taps, offset, radius, w0, w1, w2, o0, o1, o2, count)
        else:
            any_radius(taps, offset, radius, w0, w1, w2, o0, o1, o2, count)

    return named_loop(row, f"pass_{parity}" + "_line" * line + "_plus" * plus)


def named_loop(function: Callable[..., None], name: str) -> Callable[..., None]:
    """Compile one of the functions that a factory makes, under a name that tells what it is.

    Numba tells functions of one factory apart by a number only, which every process counts anew. What two processes
    kept on disk for two callers can hold different functions of one name and number: one would be called for the other.
    So equal names must mean equal code.
    """
    function.__qualname__ = name
    compiled: Callable[..., None] = njit(nogil=True, error_model="numpy")(function)
    return compiled


def _make_pair(kind: Any) -> Any:
    """Return an intrinsic that runs an even kernel for the centre of a table and for the entry after it."""

    @intrinsic
    def run(typing_context, taps, offset, radius, w, o0, o1, count):

        def generate(context, builder, signature, arguments):
            start, move, reach, weight, first, second, number = arguments
            e = Emitter(builder, kind)
            taps = Taps(e, start, move)
            centre_weight = e.splat(weight, 0)

            def body(v, n):
                vectors = [builder.add(v, INDEX(u)) for u in range(n)]
                slots = []
                for each in vectors:
                    here, there = taps.at(0, each), taps.at(1, each)
                    values = (builder.fmul(here, centre_weight), builder.fmul(there, centre_weight), here)
                    slots.append([cgutils.alloca_once_value(builder, VECTOR(ir.Undefined)) for _ in values])
                    for slot, value in zip(slots[-1], values, strict=True):
                        builder.store(value, slot)
                with e.loop(INDEX(1), builder.add(reach, INDEX(1))) as (k, _):
                    splat, above, below = e.splat(weight, k), builder.neg(k), builder.add(k, INDEX(1))
                    for each, (s0, s1, down) in zip(vectors, slots, strict=True):
                        # `down` holds x[1 - k], which the first sum read one step before; x[k] too would cost registers
                        up, left, right = taps.at(k, each), taps.at(above, each), taps.at(below, each)
                        builder.store(e.fma(splat, builder.fadd(up, left), builder.load(s0)), s0)
                        builder.store(e.fma(splat, builder.fadd(right, builder.load(down)), builder.load(s1)), s1)
                        builder.store(left, down)
                for each, (s0, s1, _) in zip(vectors, slots, strict=True):
                    e.store(builder.load(s0), e.plus(first, each, 4 * LANES))
                    e.store(builder.load(s1), e.plus(second, each, 4 * LANES))

            e.over_vectors(number, 2, body)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return run


_pair_float, _pair_8, _pair_16 = _make_pair(FLOAT), _make_pair(ir.IntType(8)), _make_pair(ir.IntType(16))


@njit(nogil=True, error_model="numpy")
def rows_pair(unit, taps, offset, radius, w, o0, o1, count):
    """Run an even kernel for the centre of a table and for the entry after it; both share their loads.

    `unit` is the size of the pixels in bytes: 1 uint8, 2 uint16, 4 float32. A number and not a type, so that the
    functions that are kept on disk have one signature each: Numba's index of a function's signatures is not safe
    against two processes that add one at the same time, and would give one the code of the other.
    """
    if unit == 1:
        _pair_8(taps, offset, radius, w, o0, o1, count)
    elif unit == 2:
        _pair_16(taps, offset, radius, w, o0, o1, count)
    else:
        _pair_float(taps, offset, radius, w, o0, o1, count)


@njit(nogil=True, error_model="numpy")
def address(array):
    """Return the address of the first element."""
    return np.int64(array.ctypes.data)  # NumPy would make uint64 + int64 a float


def _make_add(*, line: bool) -> Any:
    """Return an intrinsic that adds the taps 1..radius of an even kernel to an output row, every operation rounded."""

    @intrinsic
    def run(typing_context, taps, radius, w, output, count):
        def generate(context, builder, signature, arguments):
            start, reach, weight, target, number = arguments
            e = Emitter(builder)
            source = Taps(e, start, None if line else INDEX(0))

            def body(v, n):
                places = [e.plus(target, builder.add(v, INDEX(u)), 4 * LANES) for u in range(n)]
                slots = [cgutils.alloca_once_value(builder, VECTOR(ir.Undefined)) for _ in places]
                for slot, place in zip(slots, places, strict=True):
                    builder.store(e.floats(place), slot)
                with e.loop(INDEX(1), builder.add(reach, INDEX(1))) as (k, _):
                    splat, minus = e.splat(weight, k), builder.neg(k)
                    for u, slot in enumerate(slots):
                        each = builder.add(v, INDEX(u))
                        pair = builder.fadd(source.at(k, each), source.at(minus, each))
                        builder.store(builder.fadd(builder.load(slot), builder.fmul(splat, pair)), slot)
                for slot, place in zip(slots, places, strict=True):
                    e.store(builder.load(slot), place)

            e.over_vectors(number, 4, body)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), generate

    return run


rows_add = _make_add(line=False)
line_add = _make_add(line=True)
"""ImageJ's unfused sums on top of what the output row holds: (taps, radius, w, output, vectors)."""
