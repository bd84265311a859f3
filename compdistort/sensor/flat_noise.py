"""Noise of the flat areas of a single image, by the residual of a second-difference filter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
BLOCK = 16
MAD_TO_SD = 1.4826022185056018
RESIDUAL_STEP = 1 / 6
"""Lattice of the residual of an integer image, DN."""


def residual(image: NDArray[Any]) -> Float64:
    """Return the noise residual of Immerkaer: white noise keeps its standard deviation, planes vanish.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        Grey levels, DN.

    Returns
    -------
    ndarray of shape (rows - 2, columns - 2), float64
        The image filtered by {1 -2 1; -2 4 -2; 1 -2 1} / 6, DN.

    References
    ----------
    .. [1] Immerkaer (1996), CVIU 64:300, Eq. 3.

    Examples
    --------
    >>> plane = np.add.outer(3 * np.arange(5), 2 * np.arange(6))
    >>> bool((residual(plane) == 0).all())
    True
    """
    y = np.asarray(image, np.float64)
    rows = y[:-2] - 2 * y[1:-1] + y[2:]
    out: Float64 = (rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]) / 6
    return out


def robust_variance(values: NDArray[Any], step: float = RESIDUAL_STEP) -> Float64:
    """Return the variance of normal values over the last axis, from the median of their size.

    Parameters
    ----------
    values : ndarray of shape (..., n)
        Values on a lattice, centred on 0.
    step : float
        Step of the lattice; the median is interpolated within its step, else the result would move in jumps.

    Returns
    -------
    ndarray of shape (...), float64

    Examples
    --------
    >>> noise = np.rint(np.random.default_rng(1).normal(0, 5, 100_000))
    >>> round(float(robust_variance(noise, step=1.0)))
    25
    """
    size = np.abs(values)
    middle = np.median(size, axis=-1, keepdims=True)
    inside = np.abs(size - middle) < 0.25 * step
    below = np.mean(size < middle - 0.25 * step, axis=-1)
    share = np.maximum(np.mean(inside, axis=-1), 1 / size.shape[-1])
    lower = np.maximum(middle[..., 0] - 0.5 * step, 0.0)
    width = middle[..., 0] + 0.5 * step - lower
    median = lower + width * np.clip((0.5 - below) / share, 0, 1)
    out: Float64 = (MAD_TO_SD * median) ** 2
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNoise:
    """Noise of square blocks of an image.

    Attributes
    ----------
    mean, variance : ndarray of shape (n_blocks,), float64
        Mean grey level (DN) and robust noise variance (DN^2) of the usable blocks.
    usable : ndarray of shape (block rows, block columns), bool
        Which blocks those are: not clipped at either end of the range.
    """

    mean: Float64
    variance: Float64
    usable: NDArray[np.bool_]

    def block_mean(self, image: Float64) -> Float64:
        """Return the mean of another image of the same shape over the usable blocks."""
        out: Float64 = to_blocks(image[1:-1, 1:-1]).mean(axis=-1)[self.usable]
        return out


def to_blocks(image: NDArray[Any], size: int = BLOCK) -> NDArray[Any]:
    """Return the whole blocks of an image, shape (block rows, block columns, size * size)."""
    rows, columns = (n // size for n in image.shape)
    cut = image[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return cut.transpose(0, 2, 1, 3).reshape(rows, columns, size * size)


def block_noise(image: NDArray[Any]) -> BlockNoise:
    """Measure the noise of every block of 16 x 16 pixels.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        Grey levels, DN.

    Returns
    -------
    BlockNoise
        The standard deviation of a block is 1.4826 times the median absolute residual; edges move it little.
    """
    blocks = to_blocks(np.asarray(image)[1:-1, 1:-1])
    top, bottom = image.max(), image.min()
    clipped = (np.mean(blocks == top, axis=-1) > 0.02) | (np.mean(blocks == bottom, axis=-1) > 0.02)
    variance = robust_variance(to_blocks(residual(image)))
    usable = ~clipped & (variance > 0)
    return BlockNoise(mean=blocks.mean(axis=-1)[usable], variance=variance[usable], usable=usable)


def whiteness(image: NDArray[Any]) -> float:
    """Return the ratio of second- to first-difference variance of neighbouring pixels in the flattest half of blocks.

    Parameters
    ----------
    image : ndarray of shape (..., rows, columns)
        Grey levels, DN; of a stack the middle plane is taken.

    Returns
    -------
    float
        3 for noise that is independent from pixel to pixel; lower where it is correlated or outdone by structure.
        Robust variances (median absolute deviation) are used.
    """
    planes = image.reshape(-1, *image.shape[-2:])
    y = np.asarray(planes[len(planes) // 2], np.float64)
    blocks = to_blocks(y)
    quads = blocks.reshape(*blocks.shape[:2], 4, BLOCK // 4, 4, BLOCK // 4).mean(axis=(3, 5))
    structure = quads.var(axis=(2, 3))
    flat = blocks[structure <= np.median(structure)].reshape(-1, BLOCK, BLOCK)
    first = robust_variance(np.diff(flat, axis=2).ravel(), 1.0)
    second = robust_variance(np.diff(flat, 2, axis=2).ravel(), 1.0)
    return float(second / first) if first > 0 else 0.0
