"""Area differences over objects: the histogram, mean and standard deviation of the paper's Fig. 2c and Table 1."""

import math

import numpy as np
from scipy.special import stdtrit

from compdistort.backend.base import PARAMETERS, Float64
from compdistort.score.results import DeltaArea, Estimate, RawSamples
from compdistort.score.spread import bonett_interval

_AREA = PARAMETERS.index("Area")
_MAX_BINS = 200


def delta_area(raw_values: Float64, other_values: Float64, level: float = 0.95) -> DeltaArea:
    """Return the histogram of A_raw - A_other over matched objects, with mean and standard deviation.

    Parameters
    ----------
    raw_values, other_values : ndarray of shape (n_objects, 19), float64
        Aligned parameters; NaN = not matched.
    level : float
        Level of the intervals (t for the mean, Bonett's for the standard deviation), objects taken as a sample.

    Returns
    -------
    DeltaArea
        Bins are centred on whole numbers and as wide as `_MAX_BINS` of them allow; one empty bin without objects.
    """
    delta = raw_values[:, _AREA] - other_values[:, _AREA]
    delta = delta[np.isfinite(delta)]
    edges = _edges(delta)
    counts = np.bincount(np.searchsorted(edges, delta, side="right") - 1, minlength=edges.size - 1)
    return DeltaArea(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        mean=_mean_interval(delta, level),
        spread=bonett_interval(delta, level) if delta.size > 1 else _undefined(),
    )


def _undefined(value: float = math.nan) -> Estimate:
    return Estimate(value=value, low=math.nan, high=math.nan)


def _edges(delta: Float64) -> Float64:
    if delta.size == 0:
        return np.array([-0.5, 0.5])
    first, last = math.floor(float(delta.min()) + 0.5), math.floor(float(delta.max()) + 0.5)
    width = math.ceil((last - first + 1) / _MAX_BINS)
    n_bins = math.ceil((last - first + 1) / width)
    return first - 0.5 + width * np.arange(n_bins + 1, dtype=np.float64)


def _mean_interval(delta: Float64, level: float) -> Estimate:
    if delta.size < 2:
        return _undefined(float(delta[0]) if delta.size else math.nan)
    mean = float(delta.mean())
    half = float(stdtrit(delta.size - 1, 0.5 + level / 2) * delta.std(ddof=1) / math.sqrt(delta.size))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def delta_replicate(raw: RawSamples, level: float = 0.95) -> tuple[float, float, float]:
    """Return the standard deviation over objects of A_replicate - A_raw: what noise alone does to the areas.

    Parameters
    ----------
    raw : RawSamples
        The raw image and its replicates.
    level : float
        Share of the replicates that the range holds.

    Returns
    -------
    tuple of float
        Mean over replicates and range, px^2; NaN where no replicate has two matched objects.
    """
    delta = raw.replicate_values[:, :, _AREA].astype(np.float64) - raw.values[:, _AREA]
    known = np.isfinite(delta)
    count = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, delta, 0.0).sum(axis=1) / count
        square = np.where(known, np.square(delta - mean[:, None]), 0.0).sum(axis=1)
        spreads = np.sqrt(square / (count - 1.0))[count > 1]
    if spreads.size == 0:
        return math.nan, math.nan, math.nan
    low, high = np.quantile(spreads, ((1 - level) / 2, (1 + level) / 2))
    return float(spreads.mean()), float(low), float(high)
