"""The set `fast` by whole-array NumPy: coarse sigmas on a grid of half the size; the twin of the compiled loops.

Fine sigmas are the columns of `plain`, to the bit. For a coarse sigma s, in pixels x of the image and points c of the
grid, whose place is 2 c + 1/2 and which has m = ceil(n / 2) points on an axis of n pixels:

* Halve: ``b(c) = mean over the 2 (x 2 (x 2)) pixels around 2 c + 1/2 of (G(1.3) image)``, one pass an axis with taps
  ``h[k] = (g[k] + g[k + 1]) / 2``: ``acc = 0; acc = fma(h[k], x[2c + 1 + k] + x[2c - k], acc)`` for k = 0..5.
* Filter on the grid with Gaussians of variance ``t^2 = (s^2 - 1.3^2 - 1/4) / 4 - 1/3``, so that 1.3^2 (G), 1/4 (mean of
  two pixels), 4 t^2 and 4/3 (cubic B-spline, variance 1/3 on the grid) add up to s^2. Kernels are cut at as many
  standard deviations as those of `plain` (the outermost tap counts in part); derivatives are per pixel: first / 2,
  second / 4. Sums and their order are those of `backend.plain.convolve`: GS, LoG, DoG = GS - narrow, and the components
  of the gradient gz, gy, gx.
* Spread, with B(d) the cubic B-spline, d = +1 for odd and -1 for even x, c = floor(x / 2): ``acc = B(1/4) f[c]``, then
  ``fma`` with ``B(3/4) f[c + d]``, ``B(5/4) f[c - d]``, ``B(7/4) f[c + 2d]``. Magnitudes are taken afterwards: GGM from
  the spread components, squares added as in `backend.plain.convolve`.

Borders: everywhere as if the image were continued by reflection (c b a | a b c). The grid's image of that is
``f[p] = f[min(q, n - 1 - q)]`` with ``q = p mod n`` and n the number of *pixels*: the last point of an odd axis lies on
the mirror. A component of the gradient changes its sign where it is mirrored along its own axis, ``q > n - 1 - q``.
Axes in the order z, y, x, float32 throughout.
"""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, HalfGridBank, SeparableScale
from compdistort.backend.plain.convolve import border_index, separable_stack
from compdistort.backend.plain.exact import fma


def grid_points(n: int) -> int:
    """Return how many points the half grid has on an axis of `n` pixels.

    Examples
    --------
    >>> grid_points(8), grid_points(7)
    (4, 4)
    """
    return (n + 1) // 2


def grid_index(n: int, reach: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which grid point stands at the positions ``-reach .. m + reach - 1``, and whether it is mirrored.

    Parameters
    ----------
    n : int
        Pixels of the axis; the grid has m = ceil(n / 2) points.
    reach : int
        Positions outside on each side.

    Returns
    -------
    index : ndarray of shape (m + 2 * reach,), int64
        Grid points.
    sign : ndarray of shape (m + 2 * reach,), float32
        -1 where the point is a mirror image, else 1.

    Examples
    --------
    >>> [part.tolist() for part in grid_index(6, 2)]
    [[1, 0, 0, 1, 2, 2, 1], [-1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0]]
    >>> [part.tolist() for part in grid_index(5, 2)]
    [[1, 0, 0, 1, 2, 1, 0], [-1.0, -1.0, 1.0, 1.0, 1.0, -1.0, -1.0]]
    """
    q = np.arange(-reach, grid_points(n) + reach) % n
    back = n - 1 - q
    return np.minimum(q, back), np.where(q > back, -1, 1).astype(np.float32)


def half_grid_stack(image: Float32, bank: HalfGridBank) -> Float32:
    """Return the features of one image.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), float32
        Pixels in DN.
    bank : HalfGridBank
        Filters.

    Returns
    -------
    ndarray of shape (n_features, *image.shape), float32
        One plane (volume) a feature, in DN (per px, per px^2 for GGM, LoG).
    """
    out = np.empty((len(bank.names), *image.shape), np.float32)
    out[list(bank.fine_features)] = separable_stack(image, bank.fine)
    base = halved(image, bank.halve)
    for (operator, at), feature in zip(bank.coarse_columns, bank.coarse_features, strict=True):
        out[feature] = _OPERATORS[operator](base, bank.scales[at], bank.spread, image.shape)
    return out


def halved(image: Float32, half: Float32) -> Float32:
    """Return the image on the half grid.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), float32
        Pixels.
    half : ndarray of shape (r,), float32
        `HalfGridBank.halve`.

    Returns
    -------
    ndarray of half the size along every axis, odd sizes rounded up, float32
    """
    for axis, n in enumerate(image.shape):
        left = half.size + 2 * np.arange(grid_points(n))
        index = border_index(n, half.size + 1, "reflect")  # position p is entry p + half.size + 1
        total = np.zeros((*image.shape[:axis], grid_points(n), *image.shape[axis + 1 :]), np.float32)
        for k, weight in enumerate(half):
            right_part = np.take(image, index[left + 2 + k], axis)
            total = fma(weight, right_part + np.take(image, index[left + 1 - k], axis), total)
        image = total
    return image


def spread(field: Float32, weights: Float32, shape: tuple[int, ...], along: int | None) -> Float32:
    """Return a field of the half grid at every pixel.

    Parameters
    ----------
    field : ndarray of shape ([planes,] rows, columns) of the grid, float32
        A feature, or a component of the gradient.
    weights : ndarray of shape (4,), float32
        `HalfGridBank.spread`.
    shape : tuple of int
        Shape of the image.
    along : int or None
        Axis of the component of the gradient, along which mirror images change their sign.

    Returns
    -------
    ndarray of shape `shape`, float32
    """
    for axis, n in enumerate(shape):
        index, sign = grid_index(n, 2)
        pixel = np.arange(n)
        step = np.where(pixel % 2 == 1, 1, -1)
        total = None
        for weight, steps in zip(weights, (0, 1, -1, 2), strict=True):
            place = pixel // 2 + steps * step + 2
            part = np.take(field, index[place], axis)
            if axis == along:
                part = part * sign[place].reshape(-1, *[1] * (field.ndim - 1 - axis))
            total = weight * part if total is None else fma(weight, part, total)
        assert total is not None
        field = total
    return field


def _pass(image: Float32, half: Float32, axis: int, n: int, *, odd: bool = False) -> Float32:
    """Return one pass on the grid, the order of `convolve.even_pass` and `odd_pass`; `n`: pixels of the axis."""
    radius, m = half.size - 1, image.shape[axis]
    index, _ = grid_index(n, radius)
    out: Float32 = np.zeros_like(image) if odd else half[0] * image
    for k in range(1, half.size):
        right = np.take(image, index[radius + k : radius + k + m], axis)
        left = np.take(image, index[radius - k : radius - k + m], axis)
        out = fma(half[k], right - left if odd else right + left, out)
    return out


def _gaussian(base: Float32, half: Float32, shape: tuple[int, ...]) -> Float32:
    for axis, n in enumerate(shape):
        base = _pass(base, half, axis, n)
    return base


def _gs(base: Float32, scale: SeparableScale, weights: Float32, shape: tuple[int, ...]) -> Float32:
    return spread(_gaussian(base, scale.smooth, shape), weights, shape, None)


def _dog(base: Float32, scale: SeparableScale, weights: Float32, shape: tuple[int, ...]) -> Float32:
    difference = _gaussian(base, scale.smooth, shape) - _gaussian(base, scale.narrow, shape)
    return spread(difference, weights, shape, None)


def _log(base: Float32, scale: SeparableScale, weights: Float32, shape: tuple[int, ...]) -> Float32:
    smooth, curved = base, None
    for axis, n in enumerate(shape):
        part = _pass(smooth, scale.second, axis, n)
        curved = part if curved is None else _pass(curved, scale.smooth, axis, n) + part
        smooth = _pass(smooth, scale.smooth, axis, n)
    assert curved is not None
    return spread(curved, weights, shape, None)


def _ggm(base: Float32, scale: SeparableScale, weights: Float32, shape: tuple[int, ...]) -> Float32:
    total: Float32 | None = None
    for along in range(len(shape)):
        slope = base
        for axis, n in enumerate(shape):
            slope = _pass(slope, scale.first if axis == along else scale.smooth, axis, n, odd=axis == along)
        slope = spread(slope, weights, shape, along)
        total = slope * slope if total is None else fma(slope, slope, total)
    assert total is not None
    return np.sqrt(total)


_OPERATORS = {"GS": _gs, "LoG": _log, "GGM": _ggm, "DoG": _dog}
