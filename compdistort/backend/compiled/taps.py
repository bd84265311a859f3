"""One kernel pass over one row, as vector code whose sums stay in registers over all taps.

Loops over taps written in Numba load and store the running sums at every tap; here an intrinsic emits LLVM vector
instructions for a block of a row, which is much faster. Any LLVM target takes them (vectors are split to its width).

A row of taps is given by addresses. `rows_*`: a table of row addresses, the centre's entry in the middle, so that any
border lives in the table. `line_*`: the address of the first pixel of a padded row, taps are its neighbours.
All rows that are read or written must hold a whole number of blocks of `BLOCK` pixels (`padded_width`).

Addresses come from arrays that the caller's caller owns: Numba may free an array after the last use of its name.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
BLOCK = 64
"""Pixels of one block."""

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INDEX = ir.IntType(64)


def padded_width(n: int) -> int:
    """Return the row length in pixels for `n` pixels: whole blocks, and 16 more.

    The 16 keep a column's pixels out of one cache set, which a row of 2^k bytes would put them in.

    Examples
    --------
    >>> padded_width(64), padded_width(65)
    (80, 144)
    """
    return -(-n // BLOCK) * BLOCK + LANES


def _make_block(parity: str, *, line: bool, fused: bool, vectors: int) -> Any:
    """Return an intrinsic that runs one block: one output for each letter of `parity` (e even, o odd).

    `fused`: sums start with the centre tap and grow by fma. Otherwise they start from what the output row holds and
    grow by a rounded product and a rounded sum, taps 1..radius.
    """

    @intrinsic
    def block(typing_context, taps, offset, radius, w0, w1, w2, o0, o1, o2):
        def generate(context, builder, signature, arguments):
            emitter = _Emitter(builder, arguments[0], arguments[1], vectors, line=line)
            emitter.run(parity, arguments[2], arguments[3:6], arguments[6:9], fused=fused)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), generate

    return block


class _Emitter:
    """Writes the instructions of one block."""

    def __init__(self, builder: Any, taps: Any, offset: Any, vectors: int, *, line: bool) -> None:
        self.builder, self.taps, self.offset, self.vectors, self.line = builder, taps, offset, vectors, line

    def run(self, parity: str, radius: Any, weights: Any, outputs: Any, *, fused: bool) -> None:
        builder = self.builder
        sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(self.vectors)] for _ in parity]
        for kind, slots, weight, output in zip(parity, sums, weights, outputs, strict=False):
            self._start(kind, slots, weight, output, fused=fused)
        with cgutils.for_range_slice(builder, _INDEX(1), builder.add(radius, _INDEX(1)), _INDEX(1), _INDEX) as (k, _):
            self._tap(parity, k, weights, sums, fused=fused)
        for slots, output in zip(sums, outputs, strict=False):
            for u, slot in enumerate(slots):
                builder.store(builder.load(slot), self._pointer(builder.add(output, self.offset), u), align=4)

    def _start(self, kind: str, slots: Any, weight: Any, output: Any, *, fused: bool) -> None:
        builder = self.builder
        for u, slot in enumerate(slots):
            if not fused:
                first = builder.load(self._pointer(builder.add(output, self.offset), u), align=4)
            elif kind == "o":
                first = _VECTOR([0.0] * LANES)
            else:
                first = builder.fmul(self._load(_INDEX(0), u), self._splat(weight))
            builder.store(first, slot)

    def _tap(self, parity: str, k: Any, weights: Any, sums: Any, *, fused: bool) -> None:
        builder = self.builder
        splats = [self._splat(builder.add(w, builder.mul(k, _INDEX(4)))) for _, w in zip(parity, weights, strict=False)]
        minus = builder.neg(k)
        for u in range(self.vectors):
            right, left = self._load(k, u), self._load(minus, u)
            both = {"e": builder.fadd(right, left)}
            if "o" in parity:
                both["o"] = builder.fsub(right, left)
            for kind, slots, splat in zip(parity, sums, splats, strict=True):
                builder.store(self._grow(builder.load(slots[u]), both[kind], splat, fused=fused), slots[u])

    def _grow(self, total: Any, pair: Any, splat: Any, *, fused: bool) -> Any:
        builder = self.builder
        if not fused:
            return builder.fadd(total, builder.fmul(splat, pair))
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        return builder.call(fma, [splat, pair, total])

    def _load(self, k: Any, u: int) -> Any:
        builder = self.builder
        if self.line:
            base = builder.add(self.taps, builder.mul(k, _INDEX(4)))
        else:
            entry = builder.add(self.taps, builder.mul(k, _INDEX(8)))
            base = builder.load(builder.inttoptr(entry, _INDEX.as_pointer()))
        return builder.load(self._pointer(builder.add(base, self.offset), u), align=4)

    def _pointer(self, address: Any, u: int) -> Any:
        at = self.builder.add(address, _INDEX(4 * LANES * u))
        return self.builder.inttoptr(at, _VECTOR.as_pointer())

    def _splat(self, address: Any) -> Any:
        builder = self.builder
        value = builder.load(builder.inttoptr(address, _FLOAT.as_pointer()), align=4)
        lane = builder.insert_element(_VECTOR(ir.Undefined), value, ir.IntType(32)(0))
        return builder.shuffle_vector(lane, _VECTOR(ir.Undefined), ir.VectorType(ir.IntType(32), LANES)([0] * LANES))


def _make_row(parity: str, *, line: bool, fused: bool) -> Callable[..., None]:
    """Return a compiled loop over the blocks of one row."""
    vectors = BLOCK // LANES if parity == "e" else 2  # three sums a pixel: fewer pixels at once, or registers spill
    block = _make_block(parity, line=line, fused=fused, vectors=vectors)
    step = 4 * LANES * vectors

    @njit(nogil=True, error_model="numpy")
    def row(taps, radius, w0, w1, w2, o0, o1, o2, blocks):
        for offset in range(0, blocks * 4 * BLOCK, step):
            block(taps, offset, radius, w0, w1, w2, o0, o1, o2)

    compiled: Callable[..., None] = row
    return compiled


rows_even = _make_row("e", line=False, fused=True)
line_even = _make_row("e", line=True, fused=True)
rows_three = _make_row("eoe", line=False, fused=True)
line_three = _make_row("eoe", line=True, fused=True)
rows_add = _make_row("e", line=False, fused=False)
line_add = _make_row("e", line=True, fused=False)
"""Row passes: (taps, radius, w0, w1, w2, o0, o1, o2, blocks), all int64: addresses, counts. `*_three` give Gaussian,
first and second derivative at once; `*_add` are ImageJ's unfused sums on top of what the output row holds."""


@njit(nogil=True, error_model="numpy")
def address(array):
    """Return the address of the first element."""
    return np.int64(array.ctypes.data)  # NumPy would make uint64 + int64 a float
