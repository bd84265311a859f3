"""From scores to a verdict: two one-sided tests for "tolerable", Holm's for "intolerable", else "undecided".

"Tolerable" claims that every quantity lies within the margin: each must pass, so no correction is needed
(intersection-union). "Intolerable" claims that some quantity lies beyond it: the many chances are corrected by Holm.

Objects that are not found again have no difference, so while too few are matched the object means decide nothing; the
totals count every object and still may condemn a codec, never acquit it alone.

A codec that exists for the raw image alone has no paired scores: its verdict rests on E1 = (chi_raw - chi_c) / s, of
which s alone is uncertain. Each claim must pass the chi-square bound of s under the normal law, and the t test of the
jackknife too, which allows for heavy tails, and for scores of objects that cancel in their mean.

References
----------
.. [1] Schuirmann (1987), J. Pharmacokin. Biopharm. 15, 657. Holm (1979), Scand. J. Stat. 6, 65. Berger (1982),
   Technometrics 24, 295 (intersection-union).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import chdtr, chdtrc, stdtr

from compdistort.backend.base import Float64
from compdistort.measurands import total_meaning
from compdistort.score.epsilon import Jackknife
from compdistort.score.results import QuantityScore

TOLERABLE, INTOLERABLE, UNDECIDED = "tolerable", "intolerable", "undecided"
UNMATCHED = "too few objects matched"
NO_SPREAD = "changed objects without spread left out"
RAW_ALONE = (
    "no replicate went through this codec: the verdict rests on E1 of this one image; for the expected score E3 give "
    "the tool itself, as encode and decode commands"
)
"""Last reason of a codec that exists for the raw image alone."""


def p_within(centre: float, standard_error: float, dof: int, margin: float) -> float:
    """Return the p value that a score lies within the margin: the larger of two one-sided t tests.

    Parameters
    ----------
    centre, standard_error : float
        Estimate and its standard error.
    dof : int
        Degrees of freedom.
    margin : float
        H0 is |score| >= margin, H1 is |score| < margin.

    Returns
    -------
    float
        NaN where the estimate is undefined.

    References
    ----------
    .. [1] Schuirmann (1987), J. Pharmacokin. Biopharm. 15, 657.

    Examples
    --------
    >>> p_within(0.0, 0.0, 9, 1.0), p_within(1.0, 0.1, 9, 1.0)
    (0.0, 0.5)
    """
    return _upper_tail(margin - abs(centre), standard_error, dof)


def p_beyond(centre: float, standard_error: float, dof: int, margin: float) -> float:
    """Return the p value that a score lies beyond the margin, on either side.

    Parameters
    ----------
    centre, standard_error, dof, margin
        As in `p_within`, with H0 and H1 exchanged.

    Returns
    -------
    float
        Both tails of an estimate as large, for a score exactly at the margin; NaN where undefined.
    """
    near = _upper_tail(abs(centre) - margin, standard_error, dof)
    return min(1.0, near + _upper_tail(abs(centre) + margin, standard_error, dof))


def p_of_fixed_difference(score: float, dof: int, margin: float) -> tuple[float, float]:
    """Return the p values that a fixed difference over a normal standard deviation lies within and beyond the margin.

    Parameters
    ----------
    score : float
        Difference over the sample standard deviation s.
    dof : int
        Degrees of freedom of s.
    margin : float
        Margin, in units of the true standard deviation.

    Returns
    -------
    tuple of float
        P(s^2 is as small, or as large, | difference at the margin); the first is below alpha where
        ``|score| sqrt(chi2(1 - alpha, dof) / dof) < margin``. NaN where the score is undefined.

    Examples
    --------
    >>> [round(p, 3) for p in p_of_fixed_difference(0.729, 9, 1.0)]
    [0.05, 0.95]
    """
    if not math.isfinite(score):
        return math.nan, math.nan
    ratio = math.inf if score == 0 else dof * (margin / score) ** 2
    return float(chdtrc(dof, ratio)), float(chdtr(dof, ratio))


def _upper_tail(distance: float, standard_error: float, dof: int) -> float:
    """Return P(T > distance / standard error); without error a distance above 0 is certain."""
    if not (math.isfinite(distance) and math.isfinite(standard_error)):
        return math.nan
    if standard_error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(dof, -distance / standard_error))


def holm(p_values: Float64) -> Float64:
    """Return Holm's adjusted p values.

    Parameters
    ----------
    p_values : ndarray of shape (n,), float64
        p values; NaN = no test, which does not count.

    Returns
    -------
    ndarray of shape (n,), float64
        Reject where at most alpha: familywise error at most alpha under any dependence.

    References
    ----------
    .. [1] Holm (1979), Scand. J. Stat. 6, 65.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    adjusted = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values, kind="stable")  # NaN last
    order = order[: np.count_nonzero(np.isfinite(p_values))]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def decide(
    quantities: Sequence[QuantityScore],
    jackknifes: Sequence[Jackknife],
    *,
    margin: float,
    alpha: float,
) -> tuple[QuantityScore, ...]:
    """Return the quantities of one codec with p values and decisions filled in.

    Parameters
    ----------
    quantities : sequence of QuantityScore
        Scores; flags `UNMATCHED` or `NO_SPREAD` forbid a decision.
    jackknifes : sequence of Jackknife
        Of the score that decides, one a quantity. Each claim starts from the less favourable of value and bias-free
        centre: with the centre alone the claim "tolerable" of one total errs in 6.9 % instead of 5 % of cases at 20
        replicates.
    margin, alpha : float
        Margin in units of s; error rate of each claim.

    Returns
    -------
    tuple of QuantityScore
        `p_intolerable` is adjusted by Holm over the quantities that decide; the others keep their own.
    """
    pairs = [_p_values(q, j, margin) for q, j in zip(quantities, jackknifes, strict=True)]
    within, beyond = [pair[0] for pair in pairs], np.array([pair[1] for pair in pairs])
    family = np.array([q.decides for q in quantities])
    beyond[family] = holm(beyond[family])
    return tuple(
        replace(q, p_tolerable=p, p_intolerable=float(p2), decision=_decision(q, p, float(p2), alpha))
        for q, p, p2 in zip(quantities, within, beyond, strict=True)
    )


def _p_values(quantity: QuantityScore, score: Jackknife, margin: float) -> tuple[float, float]:
    """Return the p values that the score of a quantity lies within, and beyond, the margin."""
    dof = score.n - 1
    within = p_within(score.largest, score.standard_error, dof, margin)
    beyond = p_beyond(score.smallest, score.standard_error, dof, margin)
    if quantity.by != "E1":
        return within, beyond
    near, far = p_of_fixed_difference(score.value, dof, margin)
    return float(np.maximum(within, near)), float(np.maximum(beyond, far))


def _decision(quantity: QuantityScore, within: float, beyond: float, alpha: float) -> str:
    if any(flag.startswith((UNMATCHED, NO_SPREAD)) for flag in quantity.flags):
        return UNDECIDED
    if within < alpha:
        return TOLERABLE
    return INTOLERABLE if beyond < alpha else UNDECIDED


def verdict(
    quantities: Sequence[QuantityScore], matched: float, min_matched: float, margin: float
) -> tuple[str, tuple[str, ...]]:
    """Return the verdict on a codec and its reasons in words, worst first.

    Parameters
    ----------
    quantities : sequence of QuantityScore
        Decided ones.
    matched, min_matched : float
        Fraction of raw objects that the compressed image has too, NaN without objects; least fraction for "tolerable".
    margin : float
        Margin, for the words.

    Returns
    -------
    tuple of (str, tuple of str)
    """
    if not math.isfinite(matched):
        return UNDECIDED, ("the raw image holds no object",)
    chosen = sorted((q for q in quantities if q.decides), key=_size, reverse=True)
    few = (
        (f"only {matched:.1%} of the objects are matched, {min_matched:.0%} are needed",)
        if matched < min_matched
        else ()
    )
    for decision in (INTOLERABLE, UNDECIDED):
        reasons = tuple(_reason(q, margin) for q in chosen if q.decision == decision)
        if reasons or (few and decision == UNDECIDED):
            return decision, (*reasons, *few) if decision == INTOLERABLE else (*few, *reasons)
    return TOLERABLE, (f"largest of {len(chosen)} scores: {_score_words(chosen[0])}, within the margin {margin:g}",)


def _size(quantity: QuantityScore) -> float:
    """Return how bad a score is: undefined ones first."""
    value = abs(quantity.deciding.value)
    return value if math.isfinite(value) else math.inf


def _score_words(quantity: QuantityScore) -> str:
    e = quantity.deciding
    name = total_meaning(quantity.name) or f"mean {quantity.name}"
    if not math.isfinite(e.value):
        return f"{name} has no score"
    interval = f" [{e.low:+.2f}, {e.high:+.2f}]" if math.isfinite(e.low) else ""
    return f"{name} {e.value:+.2f}{interval}"


def _reason(quantity: QuantityScore, margin: float) -> str:
    words = _score_words(quantity)
    if quantity.decision == INTOLERABLE:
        return f"{words}, beyond the margin {margin:g}"
    if not math.isfinite(quantity.deciding.value):
        return words
    blocking = next((flag for flag in quantity.flags if flag.startswith((UNMATCHED, NO_SPREAD))), "")
    if blocking:
        return f"{words}: {blocking}"
    return f"{words}, neither within nor beyond the margin {margin:g} for certain"
