"""A forest as a network of bitwise choices: what is computed, before any machine code.

One bit stands for one pixel. A node is ``condition ? left : right`` (see `conditions`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest
from compdistort.backend.bitsliced.conditions import WHOLE, Chain, Step, condition, digit_shifts

_PLANES = 8
_OFTEN = 6
"""Nodes that ask a comparison from which on it gets a word of its own: fewer do not pay for its way through caches."""
_MOST_WHOLE = 1000
_NEAR = 1500
"""Steps up to which parts of comparisons are found in the nearest cache."""
_SHARED = 4
"""Nodes that ask the same comparison, on average, from which on forests of more steps give all a word of their own."""


class Choice(NamedTuple):
    """An inner node: takes two operands, the left one first unless `swapped`, and gives one.

    `asked` is the whole comparison as one step.
    """

    condition: Chain
    swapped: bool
    asked: Step


class Leaf(NamedTuple):
    """A leaf: gives its value in units of ``1 / Program.one``."""

    value: int


class Saved(NamedTuple):
    """A subtree computed before: gives what was put in this place of the scratch memory."""

    place: int


class Job(NamedTuple):
    """A tree, or a part of one, in postfix order; `place` is where its value is kept, -1 adds it to the votes."""

    code: list[Choice | Leaf | Saved]
    place: int
    cost: int


@dataclass(slots=True)
class Program:
    """The network of one class of a forest.

    Attributes
    ----------
    planes : int
        Bits of a leaf's value: 1 where all leaves are certain, else 8.
    n_trees : int
        Trees of the forest.
    low, high : float
        Bounds of the sum of leaf values times `one`, minus the sum of the whole numbers that stand for them.
    offset : int
        Sum of the trees that are one leaf: they are in no job.
    jobs : list of Job
        In an order in which every saved part comes before its use.
    code_bits : list of int
        Bits of each used feature's codes.
    shifts : list of tuple of int
        For each used feature the lowest bit of each digit, the highest digit first.
    steps : dict
        Place of each step in the scratch memory.
    n_saved : int
        Places for saved parts.
    far : bool
        Whether there are so many steps that comparisons have words of their own as far as any two nodes ask the same:
        one word from a farther cache instead of three.
    """

    planes: int
    n_trees: int
    low: float = 0.0
    high: float = 0.0
    offset: int = 0
    jobs: list[Job] = field(default_factory=list)
    code_bits: list[int] = field(default_factory=list)
    shifts: list[tuple[int, ...]] = field(default_factory=list)
    steps: dict[Step, int] = field(default_factory=dict)
    n_saved: int = 0
    far: bool = False

    @property
    def one(self) -> int:
        """The whole number that stands for certainty."""
        return (1 << self.planes) - 1

    @property
    def n_voting(self) -> int:
        """Trees in jobs: those of more than one leaf."""
        return sum(job.place < 0 for job in self.jobs)

    @property
    def counter_bits(self) -> int:
        """Bits of the sum of all trees."""
        return max(1, (self.n_trees * self.one).bit_length())


def build_program(forest: FlatForest, encoder: Any, target: int, most: int) -> Program:
    """Return the network whose sum decides about one class.

    Parameters
    ----------
    forest : FlatForest
        Leaf values between 0 and 1.
    encoder : Encoder
        Codes of the features and of the nodes.
    target : int
        The class.
    most : int
        Largest cost of a job: larger trees are cut in parts.

    Returns
    -------
    Program
    """
    value = forest.leaf_value[:, target]
    pure = bool(np.isin(value, (0.0, 1.0)).all())
    program = Program(planes=1 if pure else _PLANES, n_trees=forest.n_trees)
    whole = np.rint(value * program.one).astype(np.int64)
    top = _largest_codes(forest, encoder)
    program.code_bits = [int(code).bit_length() for code in top]
    program.shifts = [digit_shifts(bits) for bits in program.code_bits]
    place = np.full(max(forest.n_features, 1), -1)
    place[list(encoder.used)] = np.arange(len(encoder.used))
    error = value * program.one - whole
    ends = np.append(forest.root[1:], forest.feature.size)
    small_first = np.argsort(ends - forest.root, kind="stable")  # most pixels are decided before the last trees
    for first, last in zip(forest.root[small_first], ends[small_first], strict=True):
        part = slice(int(first), int(last))
        leaf = forest.feature[part] < 0
        rows = forest.left[part][leaf]
        program.low += float(error[rows].min())
        program.high += float(error[rows].max())
        tree = _Tree(
            slot=np.where(leaf, -1, place[forest.feature[part]]).tolist(),
            code=encoder.node_code[part].tolist(),
            left=np.where(leaf, 0, forest.left[part] - first).tolist(),
            value=np.where(leaf, whole[np.where(leaf, forest.left[part], 0)], -1).tolist(),
        )
        tree.simplify(program.shifts, top.tolist())
        _add_tree(program, tree, most)
    _place_steps(program)
    return program


def _largest_codes(forest: FlatForest, encoder: Any) -> NDArray[np.int64]:
    """Return for each used feature a code that none exceeds."""
    if forest.bins is not None:
        return np.full(len(encoder.used), forest.bins.top, np.int64)
    top = np.zeros(max(forest.n_features, 1), np.int64)
    inner = forest.feature >= 0
    np.maximum.at(top, forest.feature[inner], encoder.node_code[inner] + 1)  # ranks: one above the last threshold
    return top[list(encoder.used)]


@dataclass(slots=True)
class _Tree:
    """One tree as lists; `value` is -1 in inner nodes. Nodes come after their parents."""

    slot: list[int]
    code: list[int]
    left: list[int]
    value: list[int]
    chain: list[Chain] = field(default_factory=list)
    target: list[int] = field(default_factory=list)

    def simplify(self, shifts: list[tuple[int, ...]], top: list[int]) -> None:
        """Find the conditions, and in `target` the node that stands for each.

        That is a child where only one side can be, or both are equal.
        """
        n = len(self.slot)
        self.chain, self.target = [()] * n, list(range(n))
        known: list[dict[int, tuple[int, int]] | None] = [None] * n
        known[0] = {}
        for node in range(n):
            here, known[node] = known[node], None
            if here is None or self.slot[node] < 0:
                continue
            slot, code, left = self.slot[node], self.code[node], self.left[node]
            low, high = here.get(slot, (0, top[slot]))
            chain = condition(slot, code, low, high, shifts[slot])
            if isinstance(chain, bool):
                self.target[node] = left if chain else left + 1
                known[self.target[node]] = here
                continue
            self.chain[node] = chain
            known[left] = {**here, slot: (low, code)}
            known[left + 1] = {**here, slot: (code + 1, high)}
        for node in reversed(range(n)):
            if self.target[node] != node:
                self.target[node] = self.target[self.target[node]]
            elif self.chain[node]:
                one, other = self.target[self.left[node]], self.target[self.left[node] + 1]
                if self.value[one] >= 0 and self.value[one] == self.value[other]:
                    self.target[node] = one

    def children(self, node: int) -> tuple[int, int]:
        return self.target[self.left[node]], self.target[self.left[node] + 1]


def _add_tree(program: Program, tree: _Tree, most: int) -> None:
    """Append the jobs of a tree: parts that are cut off first, each of at most `most` nodes."""
    root = tree.target[0]
    if tree.value[root] >= 0:
        program.offset += tree.value[root]
        return
    weight = [0] * len(tree.slot)
    saved: dict[int, int] = {}
    per_node = 1 if program.planes == 1 else program.planes // 2

    def close(node: int, place: int) -> None:
        program.jobs.append(Job(list(_postfix(tree, node, weight, saved)), place, weight[node] * per_node))

    for node in reversed(range(len(tree.slot))):
        if tree.target[node] != node or tree.value[node] >= 0:
            continue
        children = tree.children(node)
        for child in sorted(children, key=lambda c: -weight[c]):
            if 1 + sum(weight[c] for c in children) > max(2, most // per_node) and weight[child]:
                close(child, program.n_saved)
                saved[child], weight[child] = program.n_saved, 0
                program.n_saved += program.planes
        weight[node] = 1 + sum(weight[c] for c in children)
    close(root, -1)


def _place_steps(program: Program) -> None:
    """Give every step its place; comparisons that many nodes ask get a word of their own."""
    choices = [item for job in program.jobs for item in job.code if isinstance(item, Choice)]
    uses = Counter(item.asked for item in choices if len(item.condition) > 1)
    whole = {step for step, n in uses.most_common(_MOST_WHOLE) if n >= _OFTEN}
    parts = {step for item in choices if item.asked not in whole for _, step in item.condition}
    program.far = len(parts) > _NEAR and sum(uses.values()) > _SHARED * len(uses)
    if program.far:
        whole = {step for step, n in uses.items() if n > 1}
    for job in program.jobs:
        for k, item in enumerate(job.code):
            if isinstance(item, Choice):
                if item.asked in whole and len(item.condition) > 1:
                    job.code[k] = item._replace(condition=(("and", item.asked),))
                for _, step in job.code[k].condition:  # type: ignore[union-attr]
                    program.steps.setdefault(step, len(program.steps))


def _postfix(tree: _Tree, node: int, weight: list[int], saved: dict[int, int]) -> Iterator[Choice | Leaf | Saved]:
    """Give a subtree in postfix order, the heavier side first: fewest values wait at any time."""
    todo: list[tuple[int, Choice | None]] = [(node, None)]
    while todo:
        at, done = todo.pop()
        if done is not None:
            yield done
        elif at in saved:
            yield Saved(saved[at])
        elif tree.value[at] >= 0:
            yield Leaf(tree.value[at])
        else:
            left, right = tree.children(at)
            swapped = weight[right] > weight[left]
            todo.append((at, Choice(tree.chain[at], swapped, (tree.slot[at], WHOLE, tree.code[at]))))
            todo += [(left, None), (right, None)] if swapped else [(right, None), (left, None)]
