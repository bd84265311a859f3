"""Axial angles: 0 and 180 degrees are the same direction, so differences wrap and s is a circular one.

References
----------
.. [1] Mardia & Jupp (2000), Directional Statistics, axial data and the circular standard deviation.
"""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64
from compdistort.score.spread import NO_SPREAD, Spread, all_equal, spread_from

ROUND_BELOW = 0.3
"""Mean resultant length below which an object is called round: its angle means nothing."""


def wrap_axial(difference: Float64) -> Float64:
    """Return differences of axial angles within -90 (included) and 90 degrees.

    Parameters
    ----------
    difference : ndarray of any shape, float64
        Differences, degrees.

    Returns
    -------
    ndarray of the same shape, float64
        ((difference + 90) mod 180) - 90, degrees.

    Examples
    --------
    >>> wrap_axial(np.array([179.0, -179.0, 90.0, 10.0]))
    array([ -1.,   1., -90.,  10.])
    """
    # Differences already inside stay as they are: the formula would round them.
    inside = (difference >= -90) & (difference < 90)
    return np.where(inside, difference, (difference + 90) % 180 - 90)


def resultant_length(angles: Float64) -> Float64:
    """Return R = |mean exp(2 i theta)| of every column.

    Parameters
    ----------
    angles : ndarray of shape (n_replicates, n_objects), float64
        Axial angles, degrees; NaN = not matched.

    Returns
    -------
    ndarray of shape (n_objects,), float64
        1 = all the same direction, 0 = none preferred; NaN without values.
    """
    valid = np.isfinite(angles)
    with np.errstate(invalid="ignore"):
        count = valid.sum(axis=0)
        cosine, sine = _sums(angles)
        length: Float64 = np.hypot(cosine, sine) / count
    return length


def _sums(angles: Float64) -> tuple[Float64, Float64]:
    double = np.deg2rad(2 * angles)
    return np.nansum(np.cos(double), axis=0), np.nansum(np.sin(double), axis=0)


def axial_spread(angles: Float64, level: float = 0.95) -> tuple[Spread, NDArray[np.bool_]]:
    """Return s_axial = 0.5 sqrt(-2 ln R) of every column in degrees, and which columns have a direction at all.

    Parameters
    ----------
    angles : ndarray of shape (n_replicates, n_objects), float64
        Axial angles (or deviations of such), degrees; NaN = not matched.
    level : float
        Confidence level of the limits, which are Bonett's for the deviations from the mean direction, scaled.

    Returns
    -------
    tuple of (Spread, ndarray of shape (n_objects,), bool)
        The second is False for round objects (R below `ROUND_BELOW`), True without values.
    """
    valid = np.isfinite(angles)
    count = valid.sum(axis=0, dtype=np.int64)
    cosine, sine = _sums(angles)
    deviation = wrap_axial(angles - np.rad2deg(np.arctan2(sine, cosine)) / 2)
    # 1 - cos and sin of small angles keep their digits where R itself would round to 1.
    radians = np.deg2rad(np.where(valid, deviation, 0.0))
    lacking, across = 2 * np.square(np.sin(radians)), np.sin(2 * radians)
    total = lacking.sum(axis=0), across.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(all_equal(angles), 0.0, _variance(*total, count))
        value = np.where(count > 1, np.sqrt(variance), np.nan)
        remaining = count - valid
        left = _variance(total[0] - lacking, total[1] - across, remaining)
        left[left <= NO_SPREAD * variance] = 0.0
        left_out = np.where(remaining > 1, np.sqrt(left), value)
    return spread_from(value, left_out, deviation, count, step=0.0, level=level), ~(
        resultant_length(angles) < ROUND_BELOW
    )


def _variance(lacking: Float64, across: Float64, count: NDArray[np.int64]) -> Float64:
    """Return s_axial^2 in square degrees from the sums of 1 - cos and sin of the doubled deviations."""
    lack, sine = lacking / count, across / count
    squared_less_one = np.maximum(-2 * lack + np.square(lack) + np.square(sine), -1.0)
    variance: Float64 = np.maximum(-0.25 * np.log1p(squared_less_one), 0.0) * np.rad2deg(1.0) ** 2
    return variance
