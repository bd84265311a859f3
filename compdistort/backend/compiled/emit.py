"""Vector instructions for Numba: what the row kernels of `taps`, `finish` and `weka_rows` are written with.

Any LLVM target takes them (vectors are split to its width). Nothing is contracted or reordered: an operation is
rounded when and only when it is written.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

LANES = 16
"""Pixels of one vector."""

LINE = 64
"""Bytes of a cache line."""

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INDEX = ir.IntType(64)


def row_bytes(n: int, unit: int = 4) -> int:
    """Return the bytes from row to row for `n` pixels of `unit` bytes, with room for a whole vector more.

    It is an odd number of cache lines, so that the rows (or planes) that a column of taps reads share no cache set.

    Examples
    --------
    >>> row_bytes(64), row_bytes(100), row_bytes(256, 2)
    (320, 576, 576)
    """
    return odd_lines((n + LANES) * unit)


def odd_lines(size: int) -> int:
    """Return a size in bytes, rounded up to an odd number of cache lines."""
    return (-(-size // LINE) | 1) * LINE


class Emitter:
    """Writes vector instructions of float32; `kind` is the type of the pixels that taps are read from."""

    def __init__(self, builder: Any, kind: Any = FLOAT, lanes: int = LANES) -> None:
        self.builder, self.kind, self.lanes, self.vector = builder, kind, lanes, ir.VectorType(FLOAT, lanes)
        self.unit = 4 if kind is FLOAT else kind.width // 8

    def number(self, value: int) -> Any:
        """Return an int64 constant."""
        return INDEX(value)

    def plus(self, address: Any, steps: Any, unit: int) -> Any:
        """Return address + steps * unit."""
        if isinstance(steps, int):
            return self.builder.add(address, INDEX(steps * unit))
        return self.builder.add(address, self.builder.mul(steps, INDEX(unit)))

    def entry(self, table: Any, k: Any) -> Any:
        """Return entry k of a table of addresses."""
        return self.builder.load(self.builder.inttoptr(self.plus(table, k, 8), INDEX.as_pointer()))

    def load(self, address: Any) -> Any:
        """Return the vector of pixels at an address, as float32."""
        builder = self.builder
        value = builder.load(
            builder.inttoptr(address, ir.VectorType(self.kind, self.lanes).as_pointer()), align=self.unit
        )
        if self.kind is FLOAT:
            return value
        return builder.sitofp(builder.zext(value, ir.VectorType(ir.IntType(32), self.lanes)), self.vector)

    def floats(self, address: Any) -> Any:
        """Return the vector of float32 at an address."""
        return self.builder.load(self.builder.inttoptr(address, self.vector.as_pointer()), align=4)

    def store(self, value: Any, address: Any) -> None:
        """Write a vector."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=4)

    def splat(self, address: Any, k: Any) -> Any:
        """Return float32 number k at an address, in every lane."""
        builder = self.builder
        value = builder.load(builder.inttoptr(self.plus(address, k, 4), FLOAT.as_pointer()), align=4)
        lane = builder.insert_element(self.vector(ir.Undefined), value, ir.IntType(32)(0))
        zeros = ir.VectorType(ir.IntType(32), self.lanes)([0] * self.lanes)
        return builder.shuffle_vector(lane, self.vector(ir.Undefined), zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once."""
        return self.call("fma", [a, b, c])

    def call(self, name: str, arguments: list[Any]) -> Any:
        """Return what an LLVM intrinsic of vectors gives."""
        vector = arguments[0].type
        kind = ir.FunctionType(vector, [vector] * len(arguments))
        bits = 32 if vector.element == FLOAT else 64
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{self.lanes}f{bits}")
        return self.builder.call(function, arguments)

    def loop(self, first: Any, last: Any) -> Any:
        """Return a context: a loop over first <= k < last, which gives k."""
        return cgutils.for_range_slice(self.builder, first, last, INDEX(1), INDEX)

    def over_vectors(self, count: Any, at_once: int, body: Callable[[Any, int], None]) -> None:
        """Emit `body(v, n)` for vectors v .. v + n - 1, `at_once` of them as long as possible, then one by one."""
        builder = self.builder
        whole = builder.udiv(count, INDEX(at_once))
        with self.loop(INDEX(0), whole) as (index, _):
            body(builder.mul(index, INDEX(at_once)), at_once)
        if at_once > 1:
            with self.loop(builder.mul(whole, INDEX(at_once)), count) as (index, _):
                body(index, 1)
