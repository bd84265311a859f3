"""The photon-transfer line: weighted fit of the temporal variance against the signal, with its uncertainty."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from compdistort.errors import CalibrationError

Float64 = NDArray[np.float64]

HUBER = 3.0
"""Residuals beyond so many (robust) standard deviations count less."""
SIGNIFICANT = 3.29
"""Quadratic term in standard errors: two-sided 0.1 %."""
BIRGE_LEVEL = 0.01
"""A lack of fit below this p value widens the covariance by chi2 / nu."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFit:
    """Result of `fit_line`.

    Attributes
    ----------
    gain_dn_per_e : float
        Slope K, DN/e-.
    dark_variance_dn2 : float
        Variance without light, DN^2, rounding included.
    covariance : ndarray of shape (2, 2), float64
        Of (gain_dn_per_e, dark_variance_dn2), widened by chi2 / nu where the lack of fit is significant.
    chi2, nu : float, int
        Weighted sum of squared residuals, and its degrees of freedom.
    p_value : float
        Probability of a larger chi2 if the line holds.
    residual : ndarray of shape (n,), float64
        Standardised residuals of the points.
    weight : ndarray of shape (n,), float64
        Huber weights: 1 for good points.
    curvature : float
        Quadratic coefficient of a parabola through the same points, DN^2/DN^2.
    curvature_error : float
        Its standard error; NaN where there are too few points.
    initial_gain_dn_per_e : float
        Slope of that parabola at zero signal, DN/e-.
    """

    gain_dn_per_e: float
    dark_variance_dn2: float
    covariance: Float64
    chi2: float
    nu: int
    p_value: float
    residual: Float64
    weight: Float64
    curvature: float
    curvature_error: float
    initial_gain_dn_per_e: float

    @property
    def gain_standard_error(self) -> float:
        """Standard error of the gain, DN/e-."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def curved(self) -> bool:
        """Whether the quadratic term is significant."""
        return bool(abs(self.curvature) > SIGNIFICANT * self.curvature_error)


def fit_line(signal: Float64, variance: Float64, count: NDArray[np.int64]) -> LineFit:
    """Fit ``variance = dark variance + K signal`` by iterated weighted least squares.

    Parameters
    ----------
    signal : ndarray of shape (n,), float64
        Mean above the dark level, DN; the dark point has signal 0 and belongs in here.
    variance : ndarray of shape (n,), float64
        Temporal variance from two frames, DN^2.
    count : ndarray of shape (n,), int64
        Number of pixel pairs behind each variance.

    Returns
    -------
    LineFit
        Weights are ``(N - 1) / (2 v_fit^2)``, the reciprocal variance of a variance estimate; taking v from the fit
        and not from the data keeps the fit unbiased. Huber's weights on top hold bad levels off.

    Raises
    ------
    CalibrationError
        If the points do not fix a line, or its slope is not positive.

    References
    ----------
    .. [1] EMVA Standard 1288, Release 4.0 Linear (2021), section 6.
    .. [2] Huber (1964), Ann. Math. Stat. 35:73.

    Examples
    --------
    >>> x = np.array([0.0, 100.0, 200.0, 400.0])
    >>> fit = fit_line(x, 4 + 0.5 * x, np.full(4, 10_000))
    >>> round(fit.gain_dn_per_e, 9), round(fit.dark_variance_dn2, 9), fit.nu
    (0.5, 4.0, 2)
    """
    if np.unique(signal).size < 2:
        raise CalibrationError(
            "all levels have the same signal: no line can be laid through them",
            "give flat frames with light and dark frames without",
        )
    line = np.vander(signal, 2)
    coefficients, spread, residual, weight = _weighted(line, variance, count)
    gain, dark = coefficients
    if gain <= 0:
        raise CalibrationError(
            f"the variance does not grow with the light (slope {gain:.3g} DN/e-)",
            "give raw flat frames, not averaged or processed ones, below saturation",
        )
    nu = signal.size - 2
    total = float(np.sum(weight * residual**2))
    p_value = float(chi2.sf(total, nu)) if nu > 0 else 1.0
    if p_value < BIRGE_LEVEL:
        spread = spread * (total / nu)
    curvature, curvature_error, initial = _parabola(signal, variance, count)
    return LineFit(
        gain_dn_per_e=float(gain),
        dark_variance_dn2=float(dark),
        covariance=spread,
        chi2=total,
        nu=nu,
        p_value=p_value,
        residual=residual,
        weight=weight,
        curvature=curvature,
        curvature_error=curvature_error,
        initial_gain_dn_per_e=initial,
    )


def fit_slope(
    signal: Float64, variance: Float64, count: NDArray[np.int64], dark_variance: float
) -> tuple[float, float]:
    """Fit ``variance = dark_variance + K signal`` with the dark variance given; the weights are those of `fit_line`.

    Returns
    -------
    gain, standard error : float
        DN/e-; the error is widened by chi2 / nu where the lack of fit is significant.

    Raises
    ------
    CalibrationError
        If the slope is not positive.

    Examples
    --------
    >>> gain, error = fit_slope(np.array([10.0, 20.0]), np.array([9.0, 14.0]), np.array([1000, 1000]), 4.0)
    >>> round(gain, 9)
    0.5
    """
    coefficients, spread, residual, weight = _weighted(signal[:, None], variance - dark_variance, count, dark_variance)
    gain = float(coefficients[0])
    if gain <= 0:
        raise CalibrationError(
            f"the variance does not grow with the light (slope {gain:.3g} DN/e-)",
            "correct the grey level without light",
        )
    nu = max(1, signal.size - 1)
    total = float(np.sum(weight * residual**2))
    inflation = total / nu if chi2.sf(total, nu) < BIRGE_LEVEL else 1.0
    return gain, float(np.sqrt(spread[0, 0] * inflation))


def fit_emva(signal: Float64, variance: Float64, dark_variance: float) -> float:
    """Return EMVA 1288's gain in DN/e-: the unweighted slope through zero of ``variance - dark variance``.

    Parameters
    ----------
    signal, variance : ndarray of shape (n,), float64
        Levels from 0 to 70 % of saturation: mean above dark (DN) and temporal variance (DN^2).
    dark_variance : float
        Temporal variance of the dark frames, DN^2.

    Examples
    --------
    >>> round(fit_emva(np.array([10.0, 20.0]), np.array([9.0, 14.0]), 4.0), 9)
    0.5
    """
    return float(np.sum(signal * (variance - dark_variance)) / np.sum(signal**2))


def _weighted(
    design: Float64, variance: Float64, count: NDArray[np.int64], known: float = 0.0
) -> tuple[Float64, Float64, Float64, Float64]:
    """Return coefficients, covariance, standardised residuals and Huber weights.

    `known` is a part of the total variance that is no longer in `variance` but still makes it uncertain.
    """
    floor = max(1e-6, 1e-3 * float(np.max(variance)) / max(1, variance.size))
    fitted = np.maximum(variance + known, floor)
    huber = np.ones_like(variance)
    previous = np.full(design.shape[1], np.inf)
    for _ in range(100):
        error = fitted * np.sqrt(2 / (count - 1))
        scaled = design / error[:, None]
        size = np.abs(scaled).max(axis=0)
        normal = (scaled / size).T @ (huber[:, None] * scaled / size)
        spread = np.linalg.inv(normal) / np.outer(size, size)
        coefficients = spread @ (scaled.T @ (huber * variance / error))
        residual = (variance - design @ coefficients) / error
        if np.allclose(coefficients, previous, rtol=1e-10, atol=0):
            break
        previous = coefficients
        fitted = np.maximum(design @ coefficients + known, floor)
        limit = HUBER * max(1.0, 1.4826 * float(np.median(np.abs(residual))))
        huber = np.minimum(1.0, limit / np.maximum(np.abs(residual), 1e-300))
    return coefficients, spread, residual, huber


def _parabola(signal: Float64, variance: Float64, count: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the quadratic coefficient, its standard error and the slope at zero signal."""
    if np.unique(signal).size < 5:
        return 0.0, float("nan"), float("nan")
    coefficients, spread, residual, weight = _weighted(np.vander(signal, 3), variance, count)
    nu = signal.size - 3
    inflation = max(1.0, float(np.sum(weight * residual**2)) / nu)
    return float(coefficients[0]), float(np.sqrt(spread[0, 0] * inflation)), float(coefficients[1])
