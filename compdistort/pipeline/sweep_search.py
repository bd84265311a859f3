"""How far a codec may go: where a search tries next, and what the tried ratios say. No monotonicity is assumed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compdistort.score.decision import TOLERABLE

CLOSE = 1.02
"""Ratios this near to each other (as a factor) have nothing worth trying between them."""

_DIGITS = 4


def next_ratio(low: float, high: float, tried: Mapping[float, bool], n_points: int) -> float | None:
    """Return the ratio that a search for the largest tolerable one tries next.

    The ends come first; then the gap between the largest ratio up to which every tried one is tolerable and the next
    tried one is halved on a logarithmic scale.

    Parameters
    ----------
    low, high : float
        Ends of the search.
    tried : mapping of float to bool
        Whether each ratio tried so far was tolerable.
    n_points : int
        Most ratios to try.

    Returns
    -------
    float or None
        With four significant digits; None where the search has ended: nothing is tolerable, everything is, the points
        are used up or the gap is closer than `CLOSE`.

    Examples
    --------
    >>> next_ratio(2, 200, {}, 8), next_ratio(2, 200, {2: True, 200: False}, 8)
    (2, 20.0)
    """
    if len(tried) >= n_points:
        return None
    if low not in tried:
        return low
    if not tried[low]:
        return None
    if high not in tried:
        return high
    good = largest_prefix([(ratio, tried[ratio]) for ratio in sorted(tried)])
    beyond = [ratio for ratio in sorted(tried) if ratio > good]
    if not beyond or beyond[0] / good <= CLOSE:
        return None
    middle = float(f"{math.sqrt(good * beyond[0]):.{_DIGITS}g}")
    return middle if good < middle < beyond[0] else None


def largest_prefix(tried: Sequence[tuple[float, bool]]) -> float:
    """Return the largest ratio such that it and every smaller tried one are tolerable; NaN where there is none.

    Parameters
    ----------
    tried : sequence of (float, bool)
        Ratios and whether each was tolerable; of equal ones all must be.

    Examples
    --------
    >>> largest_prefix([(5, True), (10, True), (20, False), (50, True)])
    10
    """
    bad = min((ratio for ratio, tolerable in tried if not tolerable), default=math.inf)
    return max((ratio for ratio, tolerable in tried if tolerable and ratio < bad), default=math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The largest tolerable ratio of a curve.

    Attributes
    ----------
    best : int or None
        Which point it is; None where not even the smallest ratio is tolerable.
    beyond : int or None
        Which point comes next and is not tolerable; None where all tried ones are: the limit may lie higher.
    """

    best: int | None
    beyond: int | None


def find_limit(ratios: Sequence[float], verdicts: Sequence[str]) -> Limit:
    """Return the largest ratio such that it and all smaller tried ratios are tolerable.

    Parameters
    ----------
    ratios : sequence of float
        Ratios reached, of the points of one curve, in any order.
    verdicts : sequence of str
        Theirs; "undecided" is not tolerable.

    Returns
    -------
    Limit

    Examples
    --------
    >>> find_limit([5, 20, 10], ["tolerable", "undecided", "tolerable"])
    Limit(best=2, beyond=1)
    """
    tried = [(ratio, verdict == TOLERABLE) for ratio, verdict in zip(ratios, verdicts, strict=True)]
    largest = largest_prefix(tried)
    at_best = [k for k, (ratio, tolerable) in enumerate(tried) if tolerable and ratio == largest]
    refused = [k for k, (_, tolerable) in enumerate(tried) if not tolerable]
    return Limit(
        best=at_best[0] if at_best else None, beyond=min(refused, key=lambda k: (ratios[k], k)) if refused else None
    )
