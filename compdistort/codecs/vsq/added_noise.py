"""The noise that coding adds: of fractions the uniform error of a cell, of whole grey levels a whole number.

A level y that is a whole number comes back as ``rint(y + u)``, u uniform in +-a. The variance of this error is not
``a^2 / 3``: it is 0 up to a = 0.5, 0.5 at a = 1, 0.667 at 1.5, 1.5 at 2.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq.noise import NoiseLaw

Float64 = NDArray[np.float64]

ROUNDING = 1 / 12
"""Variance that the converter's rounding adds to a raw pixel, DN^2; no noise law holds it."""


def integer_variance(half_width: NDArray[Any]) -> Float64:
    """Return the variance of ``rint(u)``, u uniform in +-`half_width`.

    Parameters
    ----------
    half_width : ndarray of any shape, float64
        a in DN, >= 0.

    Returns
    -------
    ndarray of that shape, float64
        DN^2.

    Examples
    --------
    >>> integer_variance(np.array([0.5, 1.0, 1.5, 2.0])).round(3).tolist()
    [0.0, 0.5, 0.667, 1.5]
    """
    a = np.asarray(half_width, np.float64)
    outer = np.floor(a + 0.5)
    inner = (outer - 1) * outer * (2 * outer - 1) / 3  # 2 (1 + 4 + ... + (outer - 1)^2)
    total = inner + 2 * outer**2 * (a - outer + 0.5)
    return np.asarray(np.divide(total, 2 * a, out=np.zeros_like(a), where=outer > 0), np.float64)


def half_width_for(variance: NDArray[Any]) -> Float64:
    """Return the largest half width whose `integer_variance` is not above a variance.

    Parameters
    ----------
    variance : ndarray of any shape, float64
        DN^2, >= 0.

    Returns
    -------
    ndarray of that shape, float64
        DN, >= 0.5.
    """
    v = np.asarray(variance, np.float64)
    # V grows with a: at a = n + 1/2 it is n (n + 1) / 3, so the piece is known, and there V is linear in 1 / a.
    outer = np.floor((np.sqrt(1 + 12 * v) - 1) / 2) + 1
    inner = (outer - 1) * outer * (2 * outer - 1) / 3
    a = (2 * outer**2 * (outer - 0.5) - inner) / (2 * (outer**2 - v))
    return np.asarray(np.clip(a, outer - 0.5, outer + 0.5), np.float64)


def step_of_db(added_db: float, moment: int = 12) -> float:
    """Return the step whose error adds that noise: ``sqrt(12 (10^(dB / 10) - 1))`` standard deviations.

    Parameters
    ----------
    added_db : float
        Added noise, dB.
    moment : int
        One over the variance of the error, in cells: 12 of a uniform one, 6 of the difference of two.

    Returns
    -------
    float

    Examples
    --------
    >>> round(step_of_db(1.2), 2)
    1.95
    """
    return math.sqrt(moment * (10 ** (added_db / 10) - 1))


def root_worst_db(law: NoiseLaw, step: float, highest: int, *, whole: bool) -> float:
    """Return the largest added noise at any level, for cells of `step` standard deviations, but one level at least.

    Parameters
    ----------
    law : NoiseLaw
        Without table; of maps the worst pixel counts.
    step : float
        Cell in standard deviations.
    highest : int
        Highest grey level, DN.
    whole : bool
        Whether pixels are decoded to whole grey levels.

    Returns
    -------
    float
        dB of the noise of a raw pixel, rounding included.
    """
    source = law if law.maps is None else law.maps
    gain, least = float(np.max(source.gain_dn_per_e)), float(np.min(source.read_noise_dn))
    bend = step**2 * gain / 2
    sigma = np.geomspace(max(least, 1e-3), math.sqrt(least**2 + gain * highest + 1), 8192)
    return _worst_db(np.maximum(step * sigma, 1.0), bend, sigma**2, whole=whole)


def table_worst_db(widths: NDArray[Any], variance: NDArray[Any], *, whole: bool) -> float:
    """Return the same for cells of given widths.

    Parameters
    ----------
    widths, variance : ndarray of shape (levels,), float64
        Width of a cell (DN) and variance of the noise (DN^2) at consecutive grey levels.
    whole : bool
        Whether pixels are decoded to whole grey levels.

    Returns
    -------
    float
        dB.
    """
    return _worst_db(widths, widths * np.gradient(widths), variance, whole=whole)


def _worst_db(widths: NDArray[Any], bend: NDArray[Any] | float, variance: NDArray[Any], *, whole: bool) -> float:
    """`bend` is y'' of the level over the place, in cells: it adds the fourth moment of the error."""
    added = integer_variance(widths / 2) if whole else widths**2 / 12
    added = np.where(added > 0, added + np.square(bend) / 720, 0.0)
    return 10 * math.log10(1 + float(np.max(added / (variance + ROUNDING))))
