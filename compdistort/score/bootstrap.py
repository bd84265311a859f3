"""BCa bootstrap of s over replicates: a check of Bonett's interval that assumes no law at all.

References
----------
.. [1] Efron (1987), J. Am. Stat. Assoc. 82, 171: bias-corrected and accelerated interval.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from compdistort.backend.base import Float64
from compdistort.rng import Stream, derive_key, uniform_words
from compdistort.score.results import Estimate
from compdistort.score.spread import linear_spread

RESAMPLES = 2000
_BLOCK = 4_000_000  # values gathered at a time


def bca_interval(values: Float64, seed: int, level: float = 0.95) -> Estimate:
    """Return the standard deviation of one sample with its BCa bootstrap interval.

    Parameters
    ----------
    values : ndarray of shape (n,), float64
        The sample; NaN is left out.
    seed : int
        Seed of the study, 0 <= seed < 2**64; resample b depends on seed and b alone.
    level : float
        Confidence level.

    Returns
    -------
    Estimate
        NaN limits below three values.

    Raises
    ------
    ConfigError
        If the seed does not fit into 64 bits.

    References
    ----------
    .. [1] Efron (1987), J. Am. Stat. Assoc. 82, 171.
    """
    x = values[np.isfinite(values)]
    spread = linear_spread(x[:, None], level=level)
    value = float(spread.value[0])
    if x.size < 3:
        return Estimate(value=value, low=math.nan, high=math.nan)
    if value == 0:
        return Estimate(value=0.0, low=0.0, high=0.0)
    draws = np.sort(_resampled(x - x.mean(), seed))
    below = (np.count_nonzero(draws < value) + 0.5 * np.count_nonzero(draws == value)) / draws.size
    bias = float(ndtri(np.clip(below, 0.5 / draws.size, 1 - 0.5 / draws.size)))
    acceleration = _acceleration(spread.left_out[:, 0])
    low, high = (_quantile(draws, p, bias, acceleration) for p in ((1 - level) / 2, (1 + level) / 2))
    return Estimate(value=value, low=low, high=high)


def _resampled(x: Float64, seed: int) -> Float64:
    """Return s of every resample."""
    key, n = derive_key(seed, Stream.BOOTSTRAP), x.size
    out = np.empty(RESAMPLES)
    per_block = max(1, _BLOCK // n)
    for start in range(0, RESAMPLES, per_block):
        stop = min(start + per_block, RESAMPLES)
        words = uniform_words(key, n, np.arange(start, stop))
        chosen = (words.astype(np.uint64) * np.uint64(n) >> np.uint64(32)).astype(np.int64)
        out[start:stop] = x[chosen].std(axis=1, ddof=1)
    return out


def _acceleration(left_out: Float64) -> float:
    """Return the skewness of the jackknife influences over six."""
    influence = left_out.mean() - left_out
    square = float(np.square(influence).sum())
    return float((influence**3).sum() / (6 * square**1.5)) if square > 0 else 0.0


def _quantile(draws: Float64, p: float, bias: float, acceleration: float) -> float:
    z = bias + float(ndtri(p))
    return float(np.quantile(draws, ndtr(bias + z / (1 - acceleration * z))))
