"""The 2D Trainable Weka set: plane names, and the half kernels of ImageJ's accurate Gaussian blur."""

import math

import numpy as np

from compdistort.backend.base import Float64, WekaBank, WekaScale

STANDARD_DEVIATION_PER_SIGMA = 0.4
"""Weka's "sigma" times this is the standard deviation in pixels."""

ACCURACY = 0.0002
"""ImageJ's accuracy of the blur of float images."""

HESSIAN_PLANES = (
    "Hessian", "Hessian_Trace", "Hessian_Determinant", "Hessian_Eigenvalue_1", "Hessian_Eigenvalue_2",
    "Hessian_Orientation", "Hessian_Square_Eigenvalue_Difference", "Hessian_Normalized_Eigenvalue_Difference",
)  # fmt: skip
"""The eight planes of one Hessian, in Weka's order."""


def weka_bank(sigmas: tuple[float, ...]) -> WekaBank:
    """Return the bank of Weka's Gaussian blur, Sobel, Hessian and difference of Gaussians.

    Parameters
    ----------
    sigmas : tuple of float
        Weka's sigmas, each twice the one before.

    Returns
    -------
    WekaBank
        70 planes for the default sigmas 1, 2, 4, 8, 16.

    References
    ----------
    .. [1] Arganda-Carreras et al. (2017), Trainable Weka Segmentation, Bioinformatics 33.
    """
    return WekaBank(
        names=weka_names(sigmas),
        scales=tuple(weka_scale(sigma) for sigma in sigmas),
        with_sigma_zero=has_sigma_zero(sigmas),
    )


def has_sigma_zero(sigmas: tuple[float, ...]) -> bool:
    """Return whether Weka adds the unblurred Sobel and Hessian planes: if its minimum sigma is below 2."""
    return sigmas[0] < 2


def weka_names(sigmas: tuple[float, ...]) -> tuple[str, ...]:
    """Return the plane names in Weka's order.

    Examples
    --------
    >>> names = weka_names((1.0, 2.0))
    >>> len(names), names[1], names[-1]
    (31, 'Sobel_filter_0.0', 'Difference_of_gaussians_2.0_1.0')
    """
    names = ["original"]
    if has_sigma_zero(sigmas):
        names += _derivative_names(0.0)
    for index, sigma in enumerate(sigmas):
        names += [f"Gaussian_blur_{sigma}", *_derivative_names(sigma)]
        names += [f"Difference_of_gaussians_{sigma}_{finer}" for finer in sigmas[:index]]
    return tuple(names)


def _derivative_names(sigma: float) -> list[str]:
    return [f"Sobel_filter_{sigma}", *(f"{plane}_{sigma}" for plane in HESSIAN_PLANES)]


def weka_scale(sigma: float) -> WekaScale:
    """Return the half kernel of ImageJ's `GaussianBlur` for one Weka sigma, and its tail sums.

    Parameters
    ----------
    sigma : float
        Weka's sigma; the standard deviation is 0.4 sigma pixels.

    Returns
    -------
    WekaScale
        Kernel g_0..g_{r-1} and, for the repeated edge pixel, T_i = 0.5 + g_0 / 2 - (g_0 + ... + g_i).

    References
    ----------
    .. [1] ImageJ 1.53t, GaussianBlur: kernel with a parabolic far end, normalised to sum 1.
    """
    deviation = STANDARD_DEVIATION_PER_SIGMA * float(np.float32(sigma))
    radius = math.ceil(deviation * math.sqrt(-2 * math.log(ACCURACY))) + 1
    samples = [math.exp(-0.5 * i * i / deviation / deviation) for i in range(radius)]
    kernel = _smooth_far_end(np.array(samples, dtype=np.float32).astype(np.float64))
    total = kernel[0]
    for weight in kernel[1:]:  # ImageJ adds them one by one, in double
        total += 2 * weight
    weights = kernel / total
    tail, rest = np.empty(radius), 0.5 + 0.5 * weights[0]
    for i, weight in enumerate(weights):
        rest -= weight
        tail[i] = rest
    return WekaScale(sigma=sigma, kernel=weights.astype(np.float32), tail=tail.astype(np.float32))


def _smooth_far_end(kernel: Float64) -> Float64:
    """Replace the far end by a parabola that reaches 0 at i = r, where the kernel falls below it."""
    radius = len(kernel)
    if radius <= 3:
        return kernel
    slope, i = math.inf, radius
    while i > radius // 2:
        i -= 1
        here = math.sqrt(kernel[i]) / (radius - i)
        if here >= slope:
            break
        slope = here
    out = kernel.copy()
    for k in range(i + 2, radius):
        out[k] = np.float32((radius - k) * (radius - k) * slope * slope)
    return out
