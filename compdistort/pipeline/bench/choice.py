"""Which pipeline is the fastest at equal trust.

The most accurate pipeline is the one with the highest score on judged pixels: Dice of the foreground on held-out
annotations, or one minus the out-of-bag error where none could be held out. Of equal scores it is the one with whose
verdicts most of the others of that score agree, then the first of the grid. A pipeline deserves equal trust if

1. its score is lower by no more than the tolerance, or by no more than one standard error of that very difference,
   jackknifed over squares of the image (both pipelines are judged on the same pixels, and neighbours are no
   independent test; without squares the tolerance alone counts), and
2. it gives every codec the verdict that the most accurate pipeline gives.

Of those, the one with the smallest median time of a whole replicate is the fastest at equal trust. One standard error
is Breiman's rule for the simpler of two models; it does not prove that the scores are equal. A verdict that is
undecided for want of replicates differs from one that is not: more replicates bring such pipelines together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compdistort.backend.base import Float64
from compdistort.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the choice knows of a pipeline on an engine.

    Attributes
    ----------
    score : float or None
        Of the pipeline on judged pixels; None where nothing could be judged.
    squares : ndarray of shape (n_squares, 3), float64, or None
        Behind a Dice score, by square: foreground pixels found and true, found, true; the same squares for all.
    ns_per_pixel, fastest_ns : float
        Of a whole replicate: median and minimum over the turns.
    verdicts : dict of str to str
        By codec.
    """

    score: float | None
    squares: Float64 | None
    ns_per_pixel: float
    fastest_ns: float
    verdicts: dict[str, str]


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
        Whether rule 1 holds.
    other_verdicts : tuple of str
        Codecs for which rule 2 does not hold.
    """

    difference: float
    standard_error: float
    accurate: bool
    other_verdicts: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        """Whether it deserves the trust of the most accurate one."""
        return self.accurate and not self.other_verdicts

    @property
    def reason(self) -> str:
        """Why it does not, in words; empty if it does."""
        words = []
        if math.isnan(self.difference):
            words.append("no score")
        elif not self.accurate:
            words.append(f"score lower by {self.difference:.4f}")
        words += [f"other verdict on {codec}" for codec in self.other_verdicts]
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The outcome: places in the list of candidates, and how each stands.

    Attributes
    ----------
    most_accurate, fastest : int
        Index of the most accurate candidate, and of the fastest at equal trust.
    fastest_by_minimum : int
        Which one it would be by the minimum over the turns; where it is another, the race is too close to call.
    standings : tuple of Standing
        One a candidate.
    """

    most_accurate: int
    fastest: int
    fastest_by_minimum: int
    standings: tuple[Standing, ...]


def choose_fastest(candidates: Sequence[Candidate], tolerance: float) -> Choice:
    """Return the fastest candidate at equal trust.

    Parameters
    ----------
    candidates : sequence of Candidate
        At least one with a score.
    tolerance : float
        Difference of scores that always counts as none.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        If none has a score.
    """
    scored = [k for k, each in enumerate(candidates) if each.score is not None]
    if not scored:
        raise InputError(
            "no pipeline could be judged: no pixel could be held out, and every tree saw every annotated pixel",
            "annotate more places of every class",
        )
    best = _most_accurate([(k, candidates[k]) for k in scored])
    standings = tuple(_standing(each, candidates[best], tolerance) for each in candidates)
    trusted = [k for k, standing in enumerate(standings) if standing.trusted]
    return Choice(
        most_accurate=best,
        fastest=min(trusted, key=lambda k: (candidates[k].ns_per_pixel, k)),
        fastest_by_minimum=min(trusted, key=lambda k: (candidates[k].fastest_ns, k)),
        standings=standings,
    )


def _most_accurate(scored: Sequence[tuple[int, Candidate]]) -> int:
    """Return the place of the highest score; of equal ones that whose verdicts most share, then the first."""
    top = max(each.score or 0.0 for _, each in scored)
    equal = [(k, each) for k, each in scored if each.score == top]
    return max(equal, key=lambda one: (sum(one[1].verdicts == other.verdicts for _, other in equal), -one[0]))[0]


def _standing(candidate: Candidate, best: Candidate, tolerance: float) -> Standing:
    other = tuple(codec for codec, verdict in best.verdicts.items() if candidate.verdicts[codec] != verdict)
    if candidate.score is None or best.score is None:
        return Standing(difference=math.nan, standard_error=math.nan, accurate=False, other_verdicts=other)
    difference = best.score - candidate.score
    error = difference_error(best.squares, candidate.squares)
    allowed = tolerance if math.isnan(error) else max(tolerance, error)
    return Standing(
        difference=difference, standard_error=error, accurate=bool(difference <= allowed), other_verdicts=other
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
