"""How many objects are found again, lost, new, split and merged, and how many noise alone loses."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

from compdistort.match import MatchCounts
from compdistort.score.results import Estimate

RATES = ("matched", "lost", "new", "split", "merged")
"""Rates, as fractions of the raw image's objects, but ``new`` and ``merged`` of the other image's."""
_OF_OTHER = ("new", "merged")


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Estimate:
    """Return a fraction with its exact binomial interval.

    Parameters
    ----------
    successes, trials : int
        Counts; ``successes <= trials``.
    level : float
        Confidence level.

    Returns
    -------
    Estimate
        NaN without trials.

    References
    ----------
    .. [1] Clopper & Pearson (1934), Biometrika 26, 404.

    Examples
    --------
    >>> e = clopper_pearson(0, 10)
    >>> e.value, e.low, round(e.high, 4)
    (0.0, 0.0, 0.3085)
    """
    if trials <= 0:
        return Estimate(value=math.nan, low=math.nan, high=math.nan)
    tail = (1 - level) / 2
    low = float(betaincinv(successes, trials - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return Estimate(value=successes / trials, low=low, high=high)


def match_rates(counts: MatchCounts, level: float = 0.95) -> dict[str, Estimate]:
    """Return the rates of one image against the raw one, with Clopper-Pearson intervals."""
    return {name: clopper_pearson(*_fraction(counts, name), level) for name in RATES}


def _fraction(counts: MatchCounts, name: str) -> tuple[int, int]:
    trials = counts.n_other if name in _OF_OTHER else counts.n_raw
    return int(getattr(counts, name)), int(trials)


def null_rates(replicates: Sequence[MatchCounts], level: float = 0.95) -> dict[str, Estimate]:
    """Return the rates that noise alone causes: mean over replicates, and the range that holds `level` of them."""
    tails = ((1 - level) / 2, (1 + level) / 2)
    out = {}
    for name in RATES:
        pairs = (_fraction(counts, name) for counts in replicates)
        rates = np.array([successes / trials for successes, trials in pairs if trials > 0])
        low, high = np.quantile(rates, tails) if rates.size else (math.nan, math.nan)
        out[name] = Estimate(value=float(rates.mean()) if rates.size else math.nan, low=float(low), high=float(high))
    return out
