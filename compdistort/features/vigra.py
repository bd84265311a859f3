"""The filters of the set `vigra`: those of direct calls of `vigra.filters`, every kernel with a radius of its own.

Kernels of one scale are made equally long with weights of 0, which change no sum of finite pixels: backends run them as
those of any other set. The structure tensor has a scale of its own, since its products are averaged by a narrower
Gaussian than GS: `SeparableScale.smooth` is that one, `inner_smooth` and `inner_first` make the gradient at sigma.
"""

from collections.abc import Collection

import numpy as np

from compdistort.backend.base import Float32, SeparableScale
from compdistort.features.kernels import first_derivative, gaussian, second_derivative

OUTER = 0.5
"""Width of the Gaussian that averages a gradient's products, as a fraction of the gradient's: ilastik's, exchanged."""

FINEST_DERIVATIVE_PX = 0.1
"""Below this sigma derivatives are refused: the Gaussian's weight one pixel away is lost beside that of its centre."""


def vigra_radius(sigma_px: float, order: int) -> int:
    """Return the taps on each side of vigra's default window, 3 + order / 2 standard deviations, at least one.

    Parameters
    ----------
    sigma_px : float
        Standard deviation in pixels.
    order : int
        Order of the derivative, 0 to 2.

    Returns
    -------
    int

    Examples
    --------
    >>> [vigra_radius(1.0, order) for order in (0, 1, 2)], vigra_radius(0.1, 0)
    ([3, 4, 4], 1)
    """
    return max(1, int((3 + 0.5 * order) * sigma_px + 0.5))


def vigra_shortest_axis(operators: Collection[str], sigma_px: float) -> int:
    """Return the smallest axis, in pixels, that vigra takes for some operators of one sigma: longer than each radius.

    Parameters
    ----------
    operators : collection of str
        Names such as ``LoG`` or ``ST1``.
    sigma_px : float
        Standard deviation in pixels.

    Returns
    -------
    int

    Examples
    --------
    >>> vigra_shortest_axis(["GS"], 10.0), vigra_shortest_axis(["GS", "LoG"], 10.0)
    (31, 41)
    """
    orders = {"GS": 0, "DoG": 0, "GGM": 1, "ST": 1, "LoG": 2, "HE": 2}
    return 1 + vigra_radius(sigma_px, max(orders[operator.rstrip("123")] for operator in operators))


def vigra_scale(sigma_px: float, narrow: float) -> SeparableScale:
    """Return the kernels of one scale, the structure tensor's excepted.

    Parameters
    ----------
    sigma_px : float
        Standard deviation in pixels.
    narrow : float
        Width of the narrower Gaussian of a difference of Gaussians, as a fraction of the wider one.

    Returns
    -------
    SeparableScale
    """
    return SeparableScale(
        sigma_px=sigma_px,
        presmooth=None,
        smooth=_padded(gaussian(sigma_px, vigra_radius(sigma_px, 0)), sigma_px, 2),
        first=_padded(_slope(sigma_px), sigma_px, 2),
        second=second_derivative(sigma_px, vigra_radius(sigma_px, 2)),
        narrow=gaussian(narrow * sigma_px, vigra_radius(narrow * sigma_px, 0)),
    )


def vigra_tensor_scale(sigma_px: float) -> SeparableScale:
    """Return the kernels of the structure tensor of one scale: the only columns that may be made with them.

    Parameters
    ----------
    sigma_px : float
        Standard deviation of the gradient's Gaussian in pixels.

    Returns
    -------
    SeparableScale
    """
    outer = OUTER * sigma_px
    smooth = gaussian(outer, vigra_radius(outer, 0))
    return SeparableScale(
        sigma_px=sigma_px,
        presmooth=None,
        smooth=smooth,
        first=np.zeros_like(smooth),
        second=np.zeros_like(smooth),
        narrow=np.zeros_like(smooth),
        inner_smooth=_padded(gaussian(sigma_px, vigra_radius(sigma_px, 0)), sigma_px, 1),
        inner_first=_slope(sigma_px),
    )


def _slope(sigma_px: float) -> Float32:
    radius = vigra_radius(sigma_px, 1)
    if sigma_px < FINEST_DERIVATIVE_PX:
        return np.zeros(radius + 1, np.float32)
    return first_derivative(sigma_px, radius)


def _padded(half: Float32, sigma_px: float, order: int) -> Float32:
    """Return a half kernel with weights of 0 up to the radius of a derivative."""
    return np.pad(half, (0, vigra_radius(sigma_px, order) + 1 - half.size))
