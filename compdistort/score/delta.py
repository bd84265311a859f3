"""Differences of area or volume over objects: the paper's Fig. 2c, Tables 1 and 2."""

import math

import numpy as np
from scipy.special import stdtrit

from compdistort.backend.base import Float64
from compdistort.measurands import Measurands
from compdistort.score.results import DeltaSize, Estimate, RawSamples
from compdistort.score.spread import bonett_interval

_MAX_BINS = 200


def delta_size(measurands: Measurands, raw_values: Float64, other_values: Float64, level: float = 0.95) -> DeltaSize:
    """Return the histogram of size_raw - size_other over matched objects, its mean and standard deviation.

    Parameters
    ----------
    measurands : Measurands
        What the columns are.
    raw_values, other_values : ndarray of shape (n_objects, n_parameters), float64
        Aligned parameters; NaN = not matched.
    level : float
        Level of the intervals (t for the mean, Bonett's for the standard deviation), objects taken as a sample.

    Returns
    -------
    DeltaSize
        Bins are centred on whole pixels or voxels, as wide as `_MAX_BINS` of them allow; one empty bin without objects.
    """
    size = measurands.index(measurands.size)
    delta = raw_values[:, size] - other_values[:, size]
    delta = delta[np.isfinite(delta)]
    edges = _edges(delta, measurands.parameters[size].step)
    counts = np.bincount(np.searchsorted(edges, delta, side="right") - 1, minlength=edges.size - 1)
    return DeltaSize(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        mean=_mean_interval(delta, level),
        spread=bonett_interval(delta, level) if delta.size > 1 else _undefined(),
    )


def _undefined(value: float = math.nan) -> Estimate:
    return Estimate(value=value, low=math.nan, high=math.nan)


def _edges(delta: Float64, step: float) -> Float64:
    if delta.size == 0:
        return np.array([-0.5, 0.5]) * step
    first, last = (math.floor(float(end) / step + 0.5) for end in (delta.min(), delta.max()))
    width = math.ceil((last - first + 1) / _MAX_BINS)
    n_bins = math.ceil((last - first + 1) / width)
    edges: Float64 = (first - 0.5 + width * np.arange(n_bins + 1, dtype=np.float64)) * step
    return edges


def _mean_interval(delta: Float64, level: float) -> Estimate:
    if delta.size < 2:
        return _undefined(float(delta[0]) if delta.size else math.nan)
    mean = float(delta.mean())
    half = float(stdtrit(delta.size - 1, 0.5 + level / 2) * delta.std(ddof=1) / math.sqrt(delta.size))
    return Estimate(value=mean, low=mean - half, high=mean + half)


def delta_replicate(raw: RawSamples, level: float = 0.95) -> tuple[float, float, float]:
    """Return the standard deviation over objects of size_replicate - size_raw: what noise alone does to the sizes.

    Parameters
    ----------
    raw : RawSamples
        The raw image and its replicates.
    level : float
        Share of the replicates that the range holds.

    Returns
    -------
    tuple of float
        Mean over replicates and range, own unit; NaN where no replicate has two matched objects.
    """
    size = raw.measurands.index(raw.measurands.size)
    delta = raw.replicate_values[:, :, size].astype(np.float64) - raw.values[:, size]
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
