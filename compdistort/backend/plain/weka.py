"""The Weka 2D planes by whole-array NumPy, in ImageJ's own order of float32 and float64 operations.

Blur: rows first, then columns, no fused multiply-add: ``x g_0``, ``+ T_i first`` (i < r), ``+ T_{n-1-i} last``
(i + r > n), then ``+ g_k (x[i-k] + x[i+k])``, pixels outside counting 0. 3 x 3 kernels: nearest border, terms added in
raster order in float64, cast to float32. Every plane equals ImageJ's to the bit, the Hessian orientation too.
"""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, Float64, WekaBank, WekaScale
from compdistort.backend.plain.exact import arc_cosine

KX = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
KY = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))
"""Sobel's kernels, applied as correlation, not scaled."""


def weka_stack(image: Float32, bank: WekaBank) -> Float32:
    """Return the Weka planes of one image.

    Parameters
    ----------
    image : ndarray of shape (rows, columns), float32
        Pixels in DN, not scaled.
    bank : WekaBank
        Filters.

    Returns
    -------
    ndarray of shape (n_features, rows, columns), float32
        Planes in the order of `bank.names`.
    """
    planes = [image]
    if bank.with_sigma_zero:
        planes += derivative_planes(image)
    blurred: list[Float32] = []
    for scale in bank.scales:
        blur = _blur_columns(_blur_columns(image.T, scale).T, scale)
        planes += [blur, *derivative_planes(blur), *(finer - blur for finer in blurred)]
        blurred.append(blur)
    return np.stack(planes)


def derivative_planes(blur: Float32) -> list[Float32]:
    """Return Sobel and the eight Hessian planes of a blurred image.

    Parameters
    ----------
    blur : ndarray of shape (rows, columns), float32
        Blurred image.

    Returns
    -------
    list of 9 ndarrays of shape (rows, columns), float32
    """
    gy, gx = correlate_3x3(blur, KY), correlate_3x3(blur, KX)
    a, c, d = correlate_3x3(gy, KY), correlate_3x3(gy, KX), correlate_3x3(gx, KX)
    difference = a - d
    trace = a + d
    squared = difference * difference + np.float32(4) * c * c
    root = np.sqrt(squared.astype(np.float64))
    half = np.float32(2)
    return [
        np.sqrt(gy * gy + gx * gx),
        np.sqrt(a * a + c * c + d * d),
        trace,
        a * d - c * c,
        (trace + root).astype(np.float32) / half,
        (trace - root).astype(np.float32) / half,
        _orientation(difference, c),
        (trace.astype(np.float64) * trace * squared).astype(np.float32),
        squared,
    ]


def correlate_3x3(image: Float32, kernel: tuple[tuple[float, ...], ...]) -> Float32:
    """Return the correlation with a 3 x 3 kernel: nearest border, raster order, float64 sum.

    Parameters
    ----------
    image : ndarray of shape (rows, columns), float32
        Pixels.
    kernel : 3 x 3 floats
        Weights, small integers.

    Returns
    -------
    ndarray of shape (rows, columns), float32
    """
    rows, columns = image.shape
    padded = np.pad(image, 1, mode="edge").astype(np.float64)
    total: Float64 = np.zeros(image.shape)
    for j in range(3):
        for i in range(3):
            if kernel[j][i]:
                total += kernel[j][i] * padded[j : j + rows, i : i + columns]
    return total.astype(np.float32)


def _blur_columns(image: NDArray[np.float32], scale: WekaScale) -> Float32:
    """Blur along the first axis."""
    g, tail = scale.kernel, scale.tail
    n, radius = image.shape[0], g.size
    out: Float32 = image * g[0]
    low = np.arange(min(radius, n))
    out[low] += tail[low, None] * image[0]
    high = np.arange(max(0, n - radius + 1), n)
    out[high] += tail[n - 1 - high, None] * image[n - 1]
    padded = np.pad(image, ((radius, radius), (0, 0)))
    for k in range(1, radius):
        out += g[k] * (padded[radius - k : radius - k + n] + padded[radius + k : radius + k + n])
    return out


def _orientation(difference: Float32, c: Float32) -> Float32:
    square = (difference * difference).astype(np.float64)
    wide = c.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        angle = (0.5 * arc_cosine(difference / np.sqrt(4.0 * wide * wide + square))).astype(np.float32)
    return np.where(np.isnan(angle), np.float32(0), np.where(c < 0, -angle, angle))
