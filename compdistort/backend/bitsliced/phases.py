"""Trees in two phases: a pixel whose mask bit cannot change any more is not asked further.

Half of the trees, and a few more, decide about most pixels: no vote that is still to come would bring them over the
threshold, or back. So the trees vote in two phases, small trees first, and the pixels of the second are those that are
still open, packed side by side. The sums are whole numbers, so every bit is the one that all trees together give. More
phases cost more than they save: each begins with the comparisons that its trees ask.
"""

from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

MARGIN_VOTES, MARGIN_SUMS = 0.13, 0.15
"""Share of the trees in the first phase beyond those that could decide at best; sums of probabilities take longer."""

LEAST_SHARE = 0.1
"""A second phase of fewer trees does not pay: it computes the comparisons of its pixels again."""


class Cut(NamedTuple):
    """A place between two functions of a network where every tree that has begun has ended."""

    functions: int
    trees: int


class Phase(NamedTuple):
    """Functions ``first..last - 1`` of a network, tables not counted, and the most that later phases add to a sum."""

    first: int
    last: int
    left: int


def first_end(n_trees: int, one: int) -> int:
    """Return after how many trees a function should end, so that a phase can at a threshold of one half.

    Parameters
    ----------
    n_trees : int
        Trees that vote.
    one : int
        The whole number that stands for certainty.

    Returns
    -------
    int
    """
    return _first(n_trees, one, n_trees // 2 + 1)


@lru_cache(maxsize=64)
def phases(cuts: tuple[Cut, ...], one: int, sure: int, possible: int) -> tuple[Phase, ...]:
    """Return the phases in which the pixels of a mask are decided.

    Parameters
    ----------
    cuts : tuple of Cut
        Where a phase may end, rising; the last one is the end.
    one : int
        The whole number that stands for certainty.
    sure, possible : int
        Sums from which a pixel is in, and from which it may be.

    Returns
    -------
    tuple of Phase
        At least one; the last one's `left` is 0.
    """
    functions, n_trees = cuts[-1]
    best = max(sure / one, n_trees - (possible - 1) / one)
    place = bisect_left([cut.trees for cut in cuts], _first(n_trees, one, best))
    if place >= len(cuts) or n_trees - cuts[place].trees < LEAST_SHARE * n_trees:
        return (Phase(0, functions, 0),)
    middle, trees = cuts[place]
    return Phase(0, middle, one * (n_trees - trees)), Phase(middle, functions, 0)


def _first(n_trees: int, one: int, best: float) -> int:
    """Return the trees of the first phase where `best` of them could decide."""
    return round(best + (MARGIN_VOTES if one == 1 else MARGIN_SUMS) * n_trees)
