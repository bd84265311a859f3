"""One class of a forest as machine code: compiled or read from disk, and run on codes."""

import ctypes
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, SegmentRule, UInt64
from compdistort.backend.bitsliced.codes import Encoder
from compdistort.backend.bitsliced.emit import VERSION, cuts, modules
from compdistort.backend.bitsliced.layout import Layout, Shape
from compdistort.backend.bitsliced.machine import Loaded, Machine, compile_module, turn
from compdistort.backend.bitsliced.object_cache import read_objects, write_objects
from compdistort.backend.bitsliced.phases import Cut, Phase, first_end, phases
from compdistort.backend.bitsliced.program import Program, build_program
from compdistort.errors import ConfigError

GROUPS, COST, PER_MODULE = 4, 2000, 1
"""Groups that take turns in a function, nodes of a function, functions of a module (see `emit`).

What bounds the loops is how often a word comes from the second cache to the first: once for each group and function
that reads it, so few large functions win. Their code is fetched once for all groups.
"""

WORD_FAR, REGISTERS_FAR = 512, 2
"""Pixels of a word, and widest registers of all groups, where the words of four groups would leave the second cache
(see `Program.far`): words of a whole line of the caches, since nothing else of a line that comes is used."""

_ALIGN = 64


class StoppedError(Exception):
    """The program ends while a network is being compiled."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What the counter of a network means.

    Attributes
    ----------
    n_trees, one, offset : int
        Trees; the whole number that stands for certainty; what trees of one leaf add to the counter.
    low, high : float
        Bounds of the sum of leaf values times `one`, minus counter and offset; both 0 where votes are counted.
    """

    n_trees: int
    one: int
    offset: int
    low: float
    high: float

    @lru_cache(maxsize=64)  # noqa: B019 - of a few numbers, and asked for every block
    def needed(self, rule: SegmentRule) -> tuple[int, int]:
        """Return the counts from which a pixel is surely in, and from which it may be.

        Parameters
        ----------
        rule : SegmentRule
            Any threshold, strict or not.

        Returns
        -------
        int, int
            Equal where votes are counted.

        Notes
        -----
        Votes: the sum is a whole number k, exact in float64, and scikit-learn's probability is ``k / n``: the
        smallest k that passes is looked up among all of them.

        Else let V be the exact sum of the n leaf values, all in 0..1, c the counter and u = 2^-53. Then
        ``c + low <= one V <= c + high``. scikit-learn's sum S in float64 has n - 1 additions of partial sums that do
        not exceed n (rounding is monotone), each off by at most n u, and P = S / n one more rounding of a number not
        above 1: ``|P - V / n| <= (n - 1) u + u < (n + 3) u``. So P > t wherever ``c > one n (t + (n + 3) u) - low``,
        and P < t wherever ``c < one n (t - (n + 3) u) - high``; between them the sum itself must be asked. These
        two bounds, and low and high (sums of n numbers below 1, each from a product below `one`), are computed in
        float64 with fewer than n + 10 roundings of numbers below 4 one (n + 1), which `slack` covers twice.
        """
        n, t = self.n_trees, rule.threshold
        if self.one == 1:
            probability = np.arange(n + 1) / n
            passes = np.flatnonzero(probability > t if rule.strict else probability >= t)
            k = int(passes[0]) if passes.size else n + 1
            return k - self.offset, k - self.offset
        if not t <= 1 or t < 0 or (t == 0 and not rule.strict):  # no probability is outside 0..1; NaN passes nothing
            k = 0 if t <= 0 else self.one * n + 1
            return k - self.offset, k - self.offset
        unit = 2.0**-53
        slack = 8 * self.one * (n + 1) * (n + 10) * unit
        sure = np.floor(self.one * n * (t + (n + 3) * unit) - self.low + slack) + 1
        possible = np.ceil(self.one * n * (t - (n + 3) * unit) - self.high - slack)
        return int(sure) - self.offset, int(possible) - self.offset


@dataclass(slots=True)
class Network:
    """Machine code that sums the leaf values of one class.

    Attributes
    ----------
    sum : Sum
        What the counter means.
    seconds : float
        What compiling took; 0 where it was read from disk.
    size : int
        Bytes of scratch memory of a thread.
    counter_bits, group : int
        Planes of the counter, and pixels of a word.
    cuts : tuple of Cut
        Where a phase may end.
    """

    sum: Sum
    seconds: float
    size: int
    counter_bits: int
    group: int
    cuts: tuple[Cut, ...]
    _loaded: Loaded = field(repr=False)
    _n_tables: int = field(repr=False)
    _chosen: dict[Phase, Any] = field(default_factory=dict, repr=False)
    _own: threading.local = field(default_factory=threading.local, repr=False)

    def phases(self, sure: int, possible: int) -> tuple[Phase, ...]:
        """Return the phases in which pixels are decided, given the counts of `Sum.needed`."""
        return phases(self.cuts, self.sum.one, sure, possible)

    def count(self, codes: NDArray[Any], phase: Phase | None = None) -> UInt64:
        """Return the counter of every pixel as bit planes. Python's lock is free meanwhile; any thread may call.

        Parameters
        ----------
        codes : ndarray of shape (n_used, n_pixels), uint8 or uint16
            Codes of the encoder, C order; n_pixels is a multiple of 512.
        phase : Phase, optional
            Whose trees are counted; default all.

        Returns
        -------
        ndarray of shape (counter_bits, n_pixels // 64), uint64
            Lowest bit first.
        """
        n_pixels = codes.shape[1]
        if n_pixels % 512 or not codes.flags.c_contiguous:
            raise ConfigError(f"{n_pixels} pixels are no multiple of 512, or not in C order", "pad them")
        out = np.empty((self.counter_bits, n_pixels // 64), np.uint64)
        if n_pixels:
            parts = self._parts(phase or Phase(0, self.cuts[-1].functions, 0))
            self._loaded.entry(
                codes.ctypes.data, codes.shape[1] * codes.itemsize, n_pixels // self.group, self._scratch(),
                ctypes.addressof(parts), len(parts), out.ctypes.data, out.strides[0],
            )  # fmt: skip
        return out

    def _parts(self, phase: Phase) -> Any:
        """Return the addresses of the functions of a phase, those of the features first."""
        if phase not in self._chosen:
            every, n = list(self._loaded.parts), self._n_tables
            chosen = every[:n] + every[n + phase.first : n + phase.last]
            self._chosen[phase] = (ctypes.c_void_p * len(chosen))(*chosen)
        return self._chosen[phase]

    def _scratch(self) -> int:
        """Return the address of this thread's scratch memory."""
        if not hasattr(self._own, "memory"):
            self._own.memory = np.zeros(self.size + _ALIGN, np.uint8)
        address = int(self._own.memory.ctypes.data)
        return address + -address % _ALIGN


def never() -> bool:
    """Say that nothing asks to stop."""
    return False


def make_network(
    forest: FlatForest, digest: bytes, encoder: Encoder, target: int, stop: Callable[[], bool] = never
) -> Network:
    """Return the network of one class, from disk where it was compiled before.

    Parameters
    ----------
    forest : FlatForest
        Leaf values between 0 and 1.
    digest : bytes
        Hash of the forest's content.
    encoder : Encoder
        Of the same forest.
    target : int
        The class.
    stop : callable
        Asked between modules; where it says yes, compiling ends.

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        If a leaf value is no probability.
    StoppedError
        If `stop` says yes.
    RuntimeError
        If LLVM refuses the code.
    """
    with turn:
        machine = Machine.here()
        shape = Shape(machine.group, GROUPS, COST)
        ends = [first_end(forest.n_trees, one) for one in (1, 255)]
        made_from = (
            VERSION, digest.hex(), target, encoder.dtype.str, shape, WORD_FAR, REGISTERS_FAR, PER_MODULE, ends,
            machine.identity,
        )  # fmt: skip
    key = hashlib.sha256(repr(made_from).encode() + encoder.node_code.tobytes()).hexdigest()
    kept = read_objects(key)
    begun = time.perf_counter()
    objects = kept if kept is not None else _compiled(forest, encoder, target, shape, machine, stop)
    about = json.loads(objects[0])
    loaded = Loaded.of(objects[1:], about["names"], machine)
    if kept is None:
        write_objects(key, objects)
    return Network(
        sum=Sum(**about["sum"]),
        seconds=time.perf_counter() - begun if kept is None else 0.0,
        size=about["words"] * about["group"] // 8 * about["groups"],
        counter_bits=about["counter_bits"],
        group=about["group"],
        cuts=tuple(Cut(*cut) for cut in about["cuts"]),
        _loaded=loaded,
        _n_tables=len(encoder.used),
    )


def _compiled(
    forest: FlatForest, encoder: Encoder, target: int, shape: Shape, machine: Machine, stop: Callable[[], bool]
) -> list[bytes]:
    """Return a description, as JSON, and the object files."""
    value = forest.leaf_value[:, target]
    if not ((value >= 0) & (value <= 1)).all():
        raise ConfigError(f"class {target} has leaf values outside 0 to 1", "store probabilities in the leaves")
    program = build_program(forest, encoder, target, shape.cost)
    if program.far:
        shape = replace(shape, group=WORD_FAR, groups=max(1, REGISTERS_FAR * shape.group // WORD_FAR))
    names: list[str] = []
    objects: list[bytes] = []
    for text, functions in modules(program, shape, encoder.dtype.itemsize, PER_MODULE):
        if stop():
            raise StoppedError
        objects.append(compile_module(text, machine))
        names += functions
    about = {
        "sum": asdict(_sum_of(program)),
        "names": names[:-1],
        "words": Layout.of(program).size,
        "group": shape.group,
        "groups": shape.groups,
        "counter_bits": program.counter_bits,
        "cuts": cuts(program, shape.cost),
    }
    return [json.dumps(about).encode(), *objects]


def _sum_of(program: Program) -> Sum:
    return Sum(program.n_trees, program.one, program.offset, program.low, program.high)
