"""The filters of the set `fast`: those of `plain`, coarse sigmas on a grid of half the size."""

import math
from collections.abc import Callable

import numpy as np

from compdistort.backend.base import Float32, HalfGridBank, SeparableBank, SeparableScale
from compdistort.features.kernels import first_derivative, gaussian, second_derivative, window_radius
from compdistort.features.spec import FeatureSpec

COARSE_PX = 3.5
"""From this sigma on the half grid is used."""

BASE_PX = 1.3
"""Standard deviation of the Gaussian before the grid is halved: wide enough that little folds back, narrow enough that
the narrower Gaussian of the finest coarse difference still leaves the grid's own Gaussian 0.7 points."""

_WINDOW = 4.0
"""Half width of kernels in standard deviations, as in the set `plain`."""


def grid_sigma(sigma_px: float) -> float:
    """Return t, in grid points: G(1.3), the mean of two pixels, G(t) on the grid and the spline add up to sigma^2.

    Examples
    --------
    >>> t = grid_sigma(10.0)
    >>> round(1.3**2 + 1 / 4 + 4 * t * t + 4 / 3, 9)
    100.0
    """
    return math.sqrt((sigma_px**2 - BASE_PX**2 - 1 / 4) / 4 - 1 / 3)


def is_coarse(sigma_px: float) -> bool:
    """Return whether a sigma is computed on the half grid."""
    return sigma_px >= COARSE_PX


def coarse_axis(sigma_px: float) -> int:
    """Return the smallest axis, in pixels, for a coarse sigma: every border is mirrored at most once.

    Examples
    --------
    >>> [coarse_axis(sigma) for sigma in (3.5, 5.0, 10.0)]
    [14, 20, 40]
    """
    return max(window_radius(sigma_px, _WINDOW), 2 * grid_window(sigma_px)[0])


def grid_window(sigma_px: float) -> tuple[int, float]:
    """Return the taps on each side on the grid, and which part of the outermost counts.

    The exact kernel of r taps on each side is cut at (r + 1/2) / sigma standard deviations, and the grid's there too,
    within a tap: normalisation gives back what a window cuts off, so that another cut scales second derivatives.

    Examples
    --------
    >>> radius, edge = grid_window(10.0)
    >>> radius, round(edge, 3)
    (20, 0.416)
    """
    cut = (window_radius(sigma_px, _WINDOW) + 0.5) / sigma_px * grid_sigma(sigma_px) - 0.5
    radius = math.ceil(cut)
    return radius, cut - (radius - 1)


def half_grid_bank(
    spec: FeatureSpec, names: tuple[str, ...], narrow: float, fine: Callable[[FeatureSpec], SeparableBank]
) -> HalfGridBank:
    """Return the bank of the set `fast`.

    Parameters
    ----------
    spec : FeatureSpec
        Columns.
    names : tuple of str
        Their names.
    narrow : float
        Width of the narrower Gaussian of a difference of Gaussians, as a fraction of the wider one.
    fine : callable
        Makes the bank of the set `plain` for the fine columns.

    Returns
    -------
    HalfGridBank
    """
    at = [feature for feature, (_, sigma) in enumerate(spec.columns) if not is_coarse(sigma)]
    coarse = [feature for feature, (_, sigma) in enumerate(spec.columns) if is_coarse(sigma)]
    sigmas = tuple(sigma for sigma in spec.sigmas if is_coarse(sigma))
    exact = (
        fine(FeatureSpec(set="plain", pairs=tuple(spec.columns[feature] for feature in at)))
        if at
        else SeparableBank(names=(), columns=(), scales=(), border="reflect")
    )
    return HalfGridBank(
        names=names,
        fine=exact,
        fine_features=tuple(at),
        coarse_columns=tuple((spec.columns[feature][0], sigmas.index(spec.columns[feature][1])) for feature in coarse),
        coarse_features=tuple(coarse),
        scales=tuple(_grid_scale(sigma, narrow) for sigma in sigmas),
        halve=halving_kernel(),
        spread=spline_weights(),
    )


def halving_kernel() -> Float32:
    """Return the half kernel that smooths by `BASE_PX` and takes the mean of two neighbours.

    Returns
    -------
    ndarray of shape (6,), float32
        ``(g[k] + g[k + 1]) / 2``, the last with g beyond its window 0; both sides sum to 1.

    Examples
    --------
    >>> float(abs(2 * halving_kernel().sum() - 1)) < 1e-6
    True
    """
    radius = window_radius(BASE_PX, _WINDOW)
    g = np.append(gaussian(BASE_PX, radius).astype(np.float64), 0.0)
    half: Float32 = ((g[:-1] + g[1:]) / 2).astype(np.float32)
    return half


def spline_weights() -> Float32:
    """Return the cubic B-spline at the distances 1/4, 3/4, 5/4 and 7/4.

    Returns
    -------
    ndarray of shape (4,), float32
        235, 121, 27 and 1 of 384.

    References
    ----------
    .. [1] Unser (1999), Splines: a perfect fit for signal and image processing, IEEE Signal Process. Mag. 16.
    """
    weights: Float32 = (np.array([235.0, 121.0, 27.0, 1.0]) / 384).astype(np.float32)
    return weights


def _grid_scale(sigma: float, narrow: float) -> SeparableScale:
    t, narrow_t = grid_sigma(sigma), grid_sigma(narrow * sigma)
    window = grid_window(sigma)
    return SeparableScale(
        sigma_px=sigma,
        presmooth=None,
        smooth=gaussian(t, *window),
        first=first_derivative(t, *window) / np.float32(2),
        second=second_derivative(t, *window) / np.float32(4),
        narrow=gaussian(narrow_t, *grid_window(narrow * sigma)),
    )
