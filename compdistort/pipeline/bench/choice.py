"""Which pipeline is the fastest at equal trust.

The most accurate pipeline is the one with the highest score on judged pixels: Dice of the foreground on held-out
annotations, or one minus the out-of-bag error where none could be held out. Of equal scores it is the one with whose
verdicts most of the other pipelines of that score agree; of equally many, the one with the higher Dice against the
truth, where that is known; then the first of the grid, which is no reason, and is said. A pipeline that finds no object
is never the most accurate. A pipeline deserves equal trust if

1. it finds objects, and its score is lower by no more than the tolerance, and
2. it gives every codec the verdict that the most accurate pipeline gives.

Of those, the one with the smallest median time of a whole replicate is the fastest at equal trust. The standard error
of a difference of scores is jackknifed over squares of the image (both pipelines are judged on the same pixels, and
neighbours are no independent test). It buys no trust: where a difference is beyond the tolerance and no larger than its
error, these annotations cannot tell the two apart. A verdict that is undecided for want of replicates contradicts none;
more replicates may resolve it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from compdistort.backend.base import Float64
from compdistort.errors import InputError
from compdistort.score.decision import UNDECIDED

EQUAL, OTHER_VERDICT, UNDECIDED_VERDICT = "equal trust", "another verdict", "undecided verdict"
UNCLEAR, LESS_ACCURATE, NO_OBJECT, NO_SCORE = "accuracy unclear", "less accurate", "no object", "no score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the choice knows of a pipeline on an engine.

    Attributes
    ----------
    pipeline : str
        Name; the same on every engine.
    score : float or None
        Of the pipeline on judged pixels; None where nothing could be judged.
    squares : ndarray of shape (n_squares, 3), float64, or None
        Behind a Dice score, by square: foreground pixels found and true, found, true; the same squares for all.
    turns : tuple of float
        Nanoseconds a pixel of a whole replicate, by turn; the turns of all candidates are paired.
    verdicts : dict of str to str
        By codec.
    n_objects : int
        In the raw image.
    truth_dice : float or None
        Dice coefficient against the truth of a simulated scene.
    """

    pipeline: str
    score: float | None
    squares: Float64 | None
    turns: tuple[float, ...]
    verdicts: dict[str, str]
    n_objects: int
    truth_dice: float | None = None

    @property
    def ns_per_pixel(self) -> float:
        """Median over the turns."""
        return median(self.turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a candidate stands beside the most accurate one.

    Attributes
    ----------
    difference : float
        Score of the most accurate one minus its own; NaN where it has none.
    standard_error : float
        Of that difference; NaN where it cannot be known.
    accurate : bool
        Whether its score is lower by no more than the tolerance.
    has_objects : bool
        Whether it finds any.
    contradicting, unresolved : tuple of (str, str, str)
        Codec, its own verdict and that of the most accurate one: both decided, or one of them undecided.
    """

    difference: float
    standard_error: float
    accurate: bool
    has_objects: bool
    contradicting: tuple[tuple[str, str, str], ...]
    unresolved: tuple[tuple[str, str, str], ...]

    @property
    def trusted(self) -> bool:
        """Whether it deserves the trust of the most accurate one."""
        return self.kind == EQUAL

    @property
    def kind(self) -> str:
        """The first rule that it breaks, in two words; `EQUAL` without one."""
        if not self.has_objects:
            return NO_OBJECT
        if math.isnan(self.difference):
            return NO_SCORE
        if not self.accurate:
            return UNCLEAR if self.difference <= self.standard_error else LESS_ACCURATE
        if self.contradicting:
            return OTHER_VERDICT
        return UNDECIDED_VERDICT if self.unresolved else EQUAL

    @property
    def reason(self) -> str:
        """All rules that it breaks, in words; empty without one."""
        words = [] if self.has_objects else [NO_OBJECT]
        if math.isnan(self.difference):
            words.append(NO_SCORE)
        elif not self.accurate:
            error = "" if math.isnan(self.standard_error) else f" ± {self.standard_error:.4f}"
            blurred = ": these annotations cannot tell" if self.difference <= self.standard_error else ""
            words.append(f"score lower by {self.difference:.4f}{error}{blurred}")
        words += [f"{codec} {own} here, {best} there" for codec, own, best in (*self.contradicting, *self.unresolved)]
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The outcome: places in the list of candidates, and how each stands.

    Attributes
    ----------
    most_accurate, fastest : int
        Index of the most accurate candidate, and of the fastest at equal trust.
    overtakers : tuple of int
        Trusted candidates that were faster than the fastest one in at least one turn: the race is too close to call.
    tied : tuple of str
        Pipelines that share the best score and give different verdicts, where nothing but their order chose among
        them; empty where something did.
    standings : tuple of Standing
        One a candidate.
    """

    most_accurate: int
    fastest: int
    overtakers: tuple[int, ...]
    tied: tuple[str, ...]
    standings: tuple[Standing, ...]


def choose_fastest(candidates: Sequence[Candidate], tolerance: float) -> Choice:
    """Return the fastest candidate at equal trust.

    Parameters
    ----------
    candidates : sequence of Candidate
        At least one with a score and objects.
    tolerance : float
        Largest difference of scores that counts as none.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        If none has a score, or none of those finds an object.
    """
    best, tied = _most_accurate(candidates)
    standings = tuple(_standing(each, candidates[best], tolerance) for each in candidates)
    trusted = [k for k, standing in enumerate(standings) if standing.trusted]
    fastest = min(trusted, key=lambda k: (candidates[k].ns_per_pixel, k))
    winner = candidates[fastest].turns
    return Choice(
        most_accurate=best,
        fastest=fastest,
        overtakers=tuple(k for k in trusted if any(a < b for a, b in zip(candidates[k].turns, winner, strict=True))),
        tied=tied,
        standings=standings,
    )


def _most_accurate(candidates: Sequence[Candidate]) -> tuple[int, tuple[str, ...]]:
    """Return the place of the most accurate candidate, and the pipelines among which only their order chose."""
    scored = {k: each for k, each in enumerate(candidates) if each.score is not None}
    if not scored:
        raise InputError(
            "no pipeline could be judged: no pixel could be held out, and every tree saw every annotated pixel",
            "annotate more places of every class",
        )
    scored = {k: each for k, each in scored.items() if each.n_objects}
    if not scored:
        raise InputError("no pipeline finds an object in the raw image", "annotate more of it, or lower --min-size")
    top = max(each.score or 0.0 for each in scored.values())
    equal = {k: each for k, each in scored.items() if each.score == top}

    def agreeing(one: Candidate) -> int:  # an engine more is no voice more
        return len({each.pipeline for each in equal.values() if each.verdicts == one.verdicts})

    def rank(one: Candidate) -> tuple[int, float]:
        return agreeing(one), -math.inf if one.truth_dice is None else one.truth_dice

    first = max(equal, key=lambda k: (rank(equal[k]), -k))
    same_rank = [each for each in equal.values() if rank(each) == rank(equal[first])]
    if all(each.verdicts == same_rank[0].verdicts for each in same_rank):
        return first, ()
    return first, tuple(dict.fromkeys(each.pipeline for each in same_rank))


def _standing(candidate: Candidate, best: Candidate, tolerance: float) -> Standing:
    other = [
        (codec, candidate.verdicts[codec], verdict)
        for codec, verdict in best.verdicts.items()
        if candidate.verdicts[codec] != verdict
    ]
    difference = error = math.nan
    if candidate.score is not None and best.score is not None:
        difference = best.score - candidate.score
        error = difference_error(best.squares, candidate.squares)
    return Standing(
        difference=difference,
        standard_error=error,
        accurate=difference <= tolerance,
        has_objects=candidate.n_objects > 0,
        contradicting=tuple(each for each in other if UNDECIDED not in each[1:]),
        unresolved=tuple(each for each in other if UNDECIDED in each[1:]),
    )


def difference_error(best: Float64 | None, other: Float64 | None) -> float:
    """Return the standard error of the difference of two Dice scores on the same pixels.

    Parameters
    ----------
    best, other : ndarray of shape (n_squares, 3), float64, or None
        Counts by square, as in `Candidate`.

    Returns
    -------
    float
        Delete-one-square jackknife; NaN with fewer than two squares.

    Examples
    --------
    >>> one = np.array([[9.0, 10, 10], [8, 10, 10], [10, 10, 10]])
    >>> difference_error(one, one)
    0.0
    """
    if best is None or other is None or len(best) < 2:
        return math.nan
    left = _dice(best.sum(axis=0) - best) - _dice(other.sum(axis=0) - other)
    n = len(left)
    return float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))


def _dice(counts: Float64) -> Float64:
    """Return the Dice coefficient of rows of counts, 1 where neither side has a pixel."""
    both = counts[:, 1] + counts[:, 2]
    return np.where(both > 0, 2 * counts[:, 0] / np.maximum(both, 1), 1.0)
