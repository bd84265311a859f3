"""Half kernels of the separable filters: computed in float64, handed to the backends as float32.

Index k = 0..r of a half kernel weighs the pixels at distance k. An even kernel answers
``w[0] x[0] + sum_k w[k] (x[+k] + x[-k])``, an odd one ``sum_k w[k] (x[+k] - x[-k])``.
"""

import math

import numpy as np

from compdistort.backend.base import Float32, Float64


def window_radius(sigma_px: float, window: float) -> int:
    """Return the taps on each side for a window of `window` standard deviations, rounded half up.

    Examples
    --------
    >>> window_radius(1.0, 3.5), window_radius(0.7, 2.0), window_radius(10.0, 4.0)
    (4, 1, 40)
    """
    return math.floor(window * sigma_px + 0.5)


def gaussian(sigma_px: float, radius: int, edge: float = 1.0) -> Float32:
    """Return the even half kernel of a sampled Gaussian whose taps sum to 1 (before the cast to float32).

    Parameters
    ----------
    sigma_px : float
        Standard deviation in pixels.
    radius : int
        Taps on each side; 0 is the identity.
    edge : float
        Part of the outermost tap that counts, for windows between two radii.

    Returns
    -------
    ndarray of shape (radius + 1,), float32
        Dimensionless weights.

    Examples
    --------
    >>> gaussian(0.3, 0).tolist()
    [1.0]
    """
    g = _samples(sigma_px, radius) * _counted(radius, edge)
    taps: Float64 = g / (g[0] + 2 * math.fsum(g[1:]))
    return taps.astype(np.float32)


def first_derivative(sigma_px: float, radius: int, edge: float = 1.0) -> Float32:
    """Return the odd half kernel ``x exp(-x^2 / 2 sigma^2)``, scaled so that a ramp of slope 1 gives 1.

    Parameters
    ----------
    sigma_px : float
        Standard deviation in pixels.
    radius : int
        Taps on each side, >= 1.
    edge : float
        Part of the outermost tap that counts.

    Returns
    -------
    ndarray of shape (radius + 1,), float32
        Weights in 1/px; the first is 0, so that a constant gives exactly 0.
    """
    k = np.arange(radius + 1)
    taps = k * _samples(sigma_px, radius) * _counted(radius, edge)
    taps /= 2 * math.fsum(k * taps)
    return taps.astype(np.float32)


def second_derivative(sigma_px: float, radius: int, edge: float = 1.0) -> Float32:
    """Return the even half kernel ``(x^2 / sigma^2 - 1) exp(-x^2 / 2 sigma^2)``, zero-sum, scaled so that x^2 gives 2.

    Parameters
    ----------
    sigma_px : float
        Standard deviation in pixels.
    radius : int
        Taps on each side, >= 1.
    edge : float
        Part of the outermost tap that counts.

    Returns
    -------
    ndarray of shape (radius + 1,), float32
        Weights in 1/px^2. The float32 taps are whole multiples of the last bit of their largest running sum: they sum
        to exactly 0 after the cast too, and so does a pass over a constant of few bits (a power of two).
    """
    k = np.arange(radius + 1)
    counted = _counted(radius, edge)
    taps = ((k / sigma_px) ** 2 - 1) * _samples(sigma_px, radius) * counted
    taps -= (taps[0] + 2 * math.fsum(taps[1:])) / (2 * radius - 1 + 2 * edge) * counted
    taps /= math.fsum(taps[1:] * k[1:] ** 2)
    return _snap_to_zero_sum(taps)


def _samples(sigma_px: float, radius: int) -> Float64:
    # math.exp and fsum: the same digits with every NumPy build (NumPy's own exp depends on the vector unit).
    return np.array([math.exp(-0.5 * (k / sigma_px) ** 2) for k in range(radius + 1)])


def _counted(radius: int, edge: float) -> Float64:
    parts = np.ones(radius + 1)
    if radius:
        parts[radius] = edge
    return parts


def _snap_to_zero_sum(taps: Float64) -> Float32:
    partial = np.abs(taps[0] + 2 * np.cumsum(taps[1:])).max()
    unit = float(np.spacing(np.float32(2 * max(partial, abs(taps[0])))))
    snapped = np.rint(taps / unit) * unit
    snapped[0] = -2 * math.fsum(snapped[1:])
    return snapped.astype(np.float32)
