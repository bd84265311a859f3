"""How s settles with the number of replicates, and how many a wanted precision needs."""

import math

import numpy as np

from compdistort.backend.base import Float64
from compdistort.score.results import ConvergencePoint, Estimate, Precision, RawSamples
from compdistort.score.spread import Spread, linear_spread, replicates_needed, total_estimate


def ladder(n_replicates: int) -> list[int]:
    """Return the numbers of replicates that convergence is shown for: 1, 2, 5 times powers of ten from 5, then all.

    Examples
    --------
    >>> ladder(120)
    [5, 10, 20, 50, 100, 120]
    """
    steps = [m * 10**k for k in range(6) for m in (1, 2, 5)]
    return [*(n for n in steps if 5 <= n < n_replicates), n_replicates]


def convergence(raw: RawSamples, level: float = 0.95) -> tuple[ConvergencePoint, ...]:
    """Return s of the totals and of the median object's size for growing numbers of replicates.

    Parameters
    ----------
    raw : RawSamples
        The raw image and its replicates.
    level : float
        Confidence level.

    Returns
    -------
    tuple of ConvergencePoint
        Each uses the first replicates only.
    """
    size = raw.measurands.index(raw.measurands.size)
    sizes = raw.replicate_values[:, :, size].astype(np.float64) - raw.values[:, size]
    totals = raw.replicate_totals - raw.totals
    size_step = raw.measurands.parameters[size].step
    return tuple(
        ConvergencePoint(
            n_replicates=n,
            totals={
                total.name: total_estimate(linear_spread(totals[:n, k : k + 1], total.step, level))
                for k, total in enumerate(raw.measurands.totals)
            },
            size_median=median_estimate(linear_spread(sizes[:n], size_step, level)),
        )
        for n in ladder(len(sizes))
    )


def median_estimate(spread: Spread) -> Estimate:
    """Return the medians over objects of s and of its limits."""
    value, low, high = (_median(column) for column in (spread.value, spread.low, spread.high))
    return Estimate(value=value, low=low, high=high)


def _median(column: Float64) -> float:
    known = column[np.isfinite(column)]
    return float(np.median(known)) if known.size else math.nan


def precision_of(estimate: Estimate, kurtosis: float, level: float = 0.95) -> Precision:
    """Return how well s is known and how many replicates would give 10 % and 5 %.

    Parameters
    ----------
    estimate : Estimate
        s with its interval.
    kurtosis : float
        Of the replicates; NaN without spread.
    level : float
        Confidence level.

    Returns
    -------
    Precision
        Planning figures from the kurtosis seen so far: rare events that did not occur yet are not in them.
    """
    if not (estimate.value > 0 and math.isfinite(kurtosis)):
        return Precision(
            half_width=math.nan,
            kurtosis=kurtosis,
            replicates_for_10_percent=None,
            replicates_for_5_percent=None,
        )
    return Precision(
        half_width=(estimate.high - estimate.low) / (2 * estimate.value),
        kurtosis=kurtosis,
        replicates_for_10_percent=replicates_needed(0.10, kurtosis, level),
        replicates_for_5_percent=replicates_needed(0.05, kurtosis, level),
    )


def median_kurtosis(spread: Spread) -> float:
    """Return the median over objects of the kurtosis; NaN where no object has spread."""
    return _median(spread.kurtosis)
