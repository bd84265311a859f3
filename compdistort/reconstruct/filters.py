"""Filters of projections, in the conventions of scikit-image's `iradon`; on the host, for all backends alike."""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.interpolate import CubicSpline

from compdistort.reconstruct.geometry import ParallelBeam
from compdistort.reconstruct.layout import Layout

Float64 = NDArray[np.float64]

SHORTEST = 64
"""Fewest points of a Fourier transform."""

LINES = 32
"""Lines that are transformed at a time."""

RAISED_COSINES = {"hamming": 0.54, "hann": 0.5}
"""Constant part of these windows."""


def transform_points(length: int) -> int:
    """Return the points of the transform of projections of a length: a power of two, at least twice the length.

    Examples
    --------
    >>> transform_points(10), transform_points(1024), transform_points(1025)
    (64, 2048, 4096)
    """
    return max(SHORTEST, 1 << (2 * length - 1).bit_length())


def frequency_response(points: int, name: str, frequency_scaling: float = 1.0) -> Float64:
    """Return the filter at the frequencies from 0 to half a cycle a pixel.

    The ramp is the transform of its band-limited kernel, not the ramp itself, which would take away the mean. The
    windows are MATLAB's, ``sin(w / 2d) / (w / 2d)``, ``cos(w / 2d)``, ``a + (1 - a) cos(w / d)``, and 0 where w > pi d,
    d the frequency scaling; those of raised cosines are sampled as NumPy's `hamming` and `hanning`, whose ends lie
    half a step off, as scikit-image's are.

    Parameters
    ----------
    points : int
        Points of the transform, even.
    name : str
        One of `compdistort.reconstruct.geometry.FILTERS`.
    frequency_scaling : float
        Part d of the frequencies that is kept; without a filter, all are.

    Returns
    -------
    ndarray of shape (points // 2 + 1,), float64
        Factor of each frequency.

    References
    ----------
    .. [1] Kak and Slaney (1988), Principles of Computerized Tomographic Imaging, chapter 3, Eq. 61.
    .. [2] The MathWorks, Image Processing Toolbox, iradon.
    """
    if name == "none":
        return np.ones(points // 2 + 1)
    kernel = np.zeros(points)
    distance = np.minimum(np.arange(1, points, 2), points - np.arange(1, points, 2))
    kernel[0], kernel[1::2] = 0.25, -1 / (np.pi * distance) ** 2
    ramp: Float64 = 2 * rfft(kernel).real
    half = np.pi * np.arange(points // 2 + 1) / points
    if name == "shepp-logan":
        ramp *= np.sinc(half / frequency_scaling / np.pi)
    elif name == "cosine":
        ramp *= np.cos(half / frequency_scaling)
    elif name in RAISED_COSINES:
        ramp *= _raised_cosine(points, RAISED_COSINES[name], frequency_scaling)
    ramp[2 * half > np.pi * frequency_scaling] = 0
    return ramp


def _raised_cosine(points: int, constant: float, frequency_scaling: float) -> Float64:
    """Return what the window does to real values: its mean over a frequency and the opposite one."""
    w = 2 * np.pi * (np.arange(points) / (points - 1) - 0.5)
    window = np.fft.fftshift(constant + (1 - constant) * np.cos(w / frequency_scaling))
    both: Float64 = (window + np.roll(window[::-1], 1)) / 2
    return both[: points // 2 + 1]


def filter_projections(projections: NDArray[np.generic], beam: ParallelBeam, layout: Layout) -> NDArray[np.float32]:
    """Return filtered projections as a plan reads them.

    Parameters
    ----------
    projections : ndarray of shape (..., n_pixels), any real dtype
        Line integrals.
    beam : ParallelBeam
        Filter and interpolation.
    layout : Layout
        Of `n_pixels`, from `compdistort.reconstruct.layout.beam_layout`.

    Returns
    -------
    ndarray of shape (..., n), float32
        Computed in float64. One sample a pixel of the detector and its surroundings and one of 0 behind them; for
        ``cubic`` the coefficients of the B-spline from one before the first on. A plan reads ``n_samples`` of them
        from ``layout.start`` on.
    """
    lines = np.ascontiguousarray(projections).reshape(-1, projections.shape[-1])
    points = transform_points(layout.length)
    response = frequency_response(points, beam.filter, beam.frequency_scaling)
    cubic = layout.plan.taps == 4
    out = np.zeros((len(lines), layout.length + (3 if cubic else 1)), np.float32)
    for start in range(0, len(lines), LINES):
        part = lines[start : start + LINES]
        padded = np.zeros((len(part), points))
        padded[:, layout.before : layout.before + lines.shape[1]] = part
        if beam.filter != "none":
            padded = irfft(rfft(padded, axis=1) * response, points, axis=1, overwrite_x=True)
        kept = padded[:, : layout.length]
        out[start : start + LINES, :-1] = _spline_coefficients(kept) if cubic else kept
    return out.reshape(*projections.shape[:-1], -1)


def _spline_coefficients(values: Float64) -> Float64:
    """Return the B-spline coefficients of not-a-knot splines through lines of n values: n + 2, from -1 on.

    A knot that is not one is a knot whose jump is 0: the spline has equal steps, and there value and curvature are
    ``(a + 4 b + c) / 6`` and ``a - 2 b + c`` of three coefficients.
    """
    knots = np.arange(values.shape[1])
    curvature = CubicSpline(knots, values, axis=1)(knots, 2)
    inner = values - curvature / 6
    first = 2 * inner[:, :1] - inner[:, 1:2] + curvature[:, :1]
    last = 2 * inner[:, -1:] - inner[:, -2:-1] + curvature[:, -1:]
    return np.concatenate([first, inner, last], axis=1)
