"""How large s is over replicates, how well it is known, and whether single events drive it.

The interval is Bonett's: the chi-square interval of the normal law holds its level for nothing else (75 to 83 % for
t with 5 degrees of freedom, 40 to 60 % where one replicate in twenty jumps). All functions work on arrays of shape
(n_replicates, n_objects) and leave NaN, an object that was not matched, out.

References
----------
.. [1] Bonett (2006), Computational Statistics & Data Analysis 50, 775-782.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, gammaln, ndtri

from compdistort.backend.base import Float64
from compdistort.score.results import Estimate

EVENT_KURTOSIS = 6.0
"""Above this kurtosis s is called event-driven."""
EVENT_DRIVEN = "event-driven sigma"
NO_SPREAD = 1e-10
"""Rounding leaves this share of a sum of squares where nothing is left."""
_BONETT_FROM = 5  # its trimmed mean needs n > 4
_GROUPS_FROM = 20  # values
_GROUPS = 0.65  # bimodality coefficient: normal 0.33, uniform 0.56, two equal groups five of their own s apart 0.66


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Uncertainty s of many objects over replicates.

    Attributes
    ----------
    value, low, high : ndarray of shape (n_objects,), float64
        s and its interval, unit of the values; NaN below two values.
    left_out : ndarray of shape (n_replicates, n_objects), float64
        s without replicate r; `value` where r has no value or fewer than two values would remain.
    count : ndarray of shape (n_objects,), int64
        Values that entered.
    kurtosis : ndarray of shape (n_objects,), float64
        m4 / m2^2; NaN without spread.
    event_driven : ndarray of shape (n_objects,), bool
        Kurtosis above `EVENT_KURTOSIS`, or two separate groups of values (Sarle's bimodality coefficient).
    """

    value: Float64
    low: Float64
    high: Float64
    left_out: Float64
    count: NDArray[np.int64]
    kurtosis: Float64
    event_driven: NDArray[np.bool_]


def c4(n: int) -> float:
    """Return E[s] / sigma of n normal values.

    Examples
    --------
    >>> round(c4(10), 4)
    0.9727
    """
    return math.sqrt(2 / (n - 1)) * math.exp(float(gammaln(n / 2) - gammaln((n - 1) / 2)))


def replicates_needed(half_width: float, kurtosis: float = 3.0, level: float = 0.95) -> int:
    """Return how many replicates give s within a relative half-width of its interval.

    Parameters
    ----------
    half_width : float
        Half the width of the interval over s, > 0.
    kurtosis : float
        m4 / m2^2, 3 for a normal law.
    level : float
        Confidence level.

    Returns
    -------
    int
        1 + (z / r)^2 (kurtosis - 1) / 4, rounded up.

    Examples
    --------
    >>> [replicates_needed(r) for r in (0.2, 0.1, 0.05)]
    [50, 194, 770]
    """
    z = float(ndtri(0.5 + level / 2))
    return math.ceil(1 + (z / half_width) ** 2 * (kurtosis - 1) / 4)


def normal_limits(s: Float64, count: NDArray[np.int64], level: float = 0.95) -> tuple[Float64, Float64]:
    """Return the chi-square interval of a normal law's standard deviation.

    Parameters
    ----------
    s : ndarray of shape (n_objects,), float64
        Sample standard deviation.
    count : ndarray of shape (n_objects,), int64
        Number of values.
    level : float
        Confidence level.

    Returns
    -------
    tuple of ndarray of shape (n_objects,), float64
        Lower and upper limit; NaN below two values.
    """
    nu = np.where(count > 1, count - 1.0, np.nan)
    tail = (1 - level) / 2
    return s * np.sqrt(nu / chdtri(nu, tail)), s * np.sqrt(nu / chdtri(nu, 1 - tail))


def bonett_interval(values: Float64, level: float = 0.95) -> Estimate:
    """Return the standard deviation of one sample with Bonett's interval.

    Parameters
    ----------
    values : ndarray of shape (n,), float64
        The sample; NaN is left out.
    level : float
        Confidence level.

    Returns
    -------
    Estimate
        NaN below two values. Below five the interval is the normal law's: Bonett's trimmed mean does not exist.

    References
    ----------
    .. [1] Bonett (2006), Computational Statistics & Data Analysis 50, 775-782.

    Examples
    --------
    >>> e = bonett_interval(np.arange(10.0))
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (3.028, 2.215, 5.146)
    """
    spread = linear_spread(np.asarray(values, np.float64)[:, None], level=level)
    return total_estimate(spread)


def total_estimate(spread: Spread, flags: tuple[str, ...] = ()) -> Estimate:
    """Return the only column of a spread as an estimate, flagged where events drive it."""
    events = (EVENT_DRIVEN,) if spread.event_driven[0] else ()
    return Estimate(
        value=float(spread.value[0]), low=float(spread.low[0]), high=float(spread.high[0]), flags=(*flags, *events)
    )


def linear_spread(x: Float64, step: float = 0.0, level: float = 0.95) -> Spread:
    """Return s of every column, its interval, and s without each replicate in turn.

    Parameters
    ----------
    x : ndarray of shape (n_replicates, n_objects), float64
        Values, best near zero (deviations from the raw image); NaN = not matched.
    step : float
        Smallest difference of two values: values on neighbouring steps are not two groups.
    level : float
        Confidence level.

    Returns
    -------
    Spread
        s is exactly 0 where all values are equal.
    """
    valid = np.isfinite(x)
    count = valid.sum(axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(valid, x - np.where(valid, x, 0.0).sum(axis=0) / count, 0.0)
        m2 = np.square(deviation).sum(axis=0)
        m2[all_equal(x)] = 0.0
        value = np.where(count > 1, np.sqrt(m2 / (count - 1)), np.nan)
        remaining = count - valid
        left = m2 - np.square(deviation) * (count / (count - 1.0))
        left[left <= NO_SPREAD * m2] = 0.0
        left_out = np.where(remaining > 1, np.sqrt(left / (remaining - 1.0)), value)
    return spread_from(value, left_out, x, count, step=step, level=level)


def all_equal(x: Float64) -> NDArray[np.bool_]:
    """Return which columns hold one and the same value throughout (NaN left out): their s is 0, without rounding."""
    valid = np.isfinite(x)
    top = np.where(valid, x, -np.inf).max(axis=0, initial=-np.inf)
    equal: NDArray[np.bool_] = top == np.where(valid, x, np.inf).min(axis=0, initial=np.inf)
    return equal


def spread_from(
    value: Float64, left_out: Float64, x: Float64, count: NDArray[np.int64], *, step: float, level: float
) -> Spread:
    """Return s with Bonett's limits, kurtosis and event flag, which the order of the values gives.

    Parameters
    ----------
    value : ndarray of shape (n_objects,), float64
        As in `Spread`; the limits are Bonett's, scaled by it over the sample's own standard deviation.
    left_out : ndarray of shape (n_replicates, n_objects), float64
        As in `Spread`.
    x : ndarray of shape (n_replicates, n_objects), float64
        The values, or for angles their deviations from the mean direction.
    count : ndarray of shape (n_objects,), int64
        As in `Spread`.
    step, level : float
        As in `linear_spread`.

    Returns
    -------
    Spread
    """
    ordered = np.sort(np.ascontiguousarray(x.T), axis=1)  # NaN come last
    with np.errstate(invalid="ignore", divide="ignore"):
        s, m2, skewness, kurtosis = _central(ordered, count)
        factor_low, factor_high = _bonett_factors(ordered, count, s, m2, level)
        kurtosis[value == 0] = np.nan
        low, high = value * factor_low, value * factor_high
        low[value == 0] = high[value == 0] = 0.0
        two_groups = ((np.square(skewness) + 1) / kurtosis > _GROUPS) & (count >= _GROUPS_FROM) & (value > step)
        events = (kurtosis > EVENT_KURTOSIS) | two_groups
    return Spread(value, low, high, left_out, count, kurtosis, events)


def _central(ordered: Float64, count: NDArray[np.int64]) -> tuple[Float64, Float64, Float64, Float64]:
    """Return s, the sum of squared deviations, skewness and kurtosis of every row."""
    known = np.arange(ordered.shape[1]) < count[:, None]
    mean = np.where(known, ordered, 0.0).sum(axis=1) / count
    deviation = np.where(known, ordered - mean[:, None], 0.0)
    square = np.square(deviation)
    m2 = square.sum(axis=1)
    skewness = np.sqrt(count) * (square * deviation).sum(axis=1) / m2**1.5
    return np.sqrt(m2 / (count - 1.0)), m2, skewness, count * np.square(square).sum(axis=1) / np.square(m2)


def _bonett_factors(
    ordered: Float64, count: NDArray[np.int64], s: Float64, m2: Float64, level: float
) -> tuple[Float64, Float64]:
    """Return lower and upper limit over s, from rows in ascending order."""
    z = float(ndtri(0.5 + level / 2))
    n = count.astype(np.float64)
    cut = np.floor(0.5 * n / np.sqrt(np.maximum(n - 4, 1)))[:, None]
    rank = np.arange(ordered.shape[1])
    trimmed = np.where((rank >= cut) & (rank < n[:, None] - cut), ordered, 0.0).sum(axis=1) / (n - 2 * cut[:, 0])
    fourth = np.square(np.where(rank < n[:, None], np.square(ordered - trimmed[:, None]), 0.0)).sum(axis=1)
    c = n / (n - z)
    se = c * np.sqrt((n * fourth / np.square(m2) - (n - 3) / n) / (n - 1))
    low, high = (np.sqrt(c) * np.exp(sign * z * se / 2) for sign in (-1, 1))
    few = (n < _BONETT_FROM) | (n < z + 1)
    normal_low, normal_high = normal_limits(np.ones_like(s), count, level)
    return np.where(few, normal_low, low), np.where(few, normal_high, high)
