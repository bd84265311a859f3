"""Separable filters by whole-array NumPy: the obvious definition, and the twin of the compiled loops.

Order of the arithmetic (binding for every backend, float32 throughout): a pass starts with the centre tap,
``acc = w[0] x`` (0 for an odd kernel), then ``acc = fma(w[k], x[+k] + x[-k], acc)`` for k = 1..r (odd kernels:
``x[+k] - x[-k]``). Axes in the order z, y, x. Per scale, on the image or its pre-smoothed copy:

* GS = Gaussian along every axis; DoG = GS - narrow Gaussian.
* LoG in 2D: ``conv_x(g; conv_y(l)) + conv_x(l; conv_y(g))``, one addition (its order does not matter). In 3D with
  ``u = conv_y(l; conv_z(g)) + conv_y(g; conv_z(l))`` in float32: ``conv_x(g; u) + conv_x(l; conv_y(g; conv_z(g)))``.
  So GS, LoG and the gradient of one scale share 14 passes in 3D and 8 in 2D.
* GGM: ``acc = gz gz; acc = fma(gy, gy, acc); acc = fma(gx, gx, acc)``; IEEE square root. In 2D it starts with gy.
* HE: the second derivatives, each one pass an axis, and the eigenvalues of `eigen`.
* ST: the gradient with the inner kernels, its products (one rounding each), a Gaussian along every axis of each product
  with the border of the image, and the eigenvalues of `eigen`.

A planar scale does all this plane by plane, as in 2D.
"""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, SeparableBank, SeparableScale
from compdistort.backend.plain.eigen import eigenvalues_2d, eigenvalues_3d
from compdistort.backend.plain.exact import fma


def border_index(n: int, radius: int, border: str) -> NDArray[np.int64]:
    """Return which pixel stands at the positions ``-radius .. n + radius - 1`` of a line of `n` pixels.

    Parameters
    ----------
    n : int
        Pixels of the line; may be smaller than `radius` (the mirror images repeat).
    radius : int
        Positions outside on each side.
    border : str
        ``"mirror"`` (edge pixel not repeated) or ``"reflect"`` (edge pixel repeated).

    Returns
    -------
    ndarray of shape (n + 2 * radius,), int64

    Examples
    --------
    >>> border_index(4, 3, "mirror").tolist()
    [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    >>> border_index(4, 3, "reflect").tolist()
    [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]
    """
    position = np.arange(-radius, n + radius)
    if border == "mirror":
        folded = position % max(2 * n - 2, 1)
        return np.minimum(folded, 2 * n - 2 - folded)
    folded = position % (2 * n)
    return np.minimum(folded, 2 * n - 1 - folded)


def even_pass(image: Float32, half: Float32, axis: int, border: str) -> Float32:
    """Return one pass of an even kernel along one axis.

    Parameters
    ----------
    image : ndarray of any shape, float32
        Pixels.
    half : ndarray of shape (r + 1,), float32
        Half kernel.
    axis : int
        Axis of the pass.
    border : str
        See `border_index`.

    Returns
    -------
    ndarray of the shape of `image`, float32
    """
    x = _Neighbours(image, half.size - 1, axis, border)
    out: Float32 = half[0] * image
    for k in range(1, half.size):
        out = fma(half[k], x.at(k) + x.at(-k), out)
    return out


def odd_pass(image: Float32, half: Float32, axis: int, border: str) -> Float32:
    """Return one pass of an odd kernel along one axis; arguments as `even_pass`."""
    x = _Neighbours(image, half.size - 1, axis, border)
    out = np.zeros_like(image)
    for k in range(1, half.size):
        out = fma(half[k], x.at(k) - x.at(-k), out)
    return out


def separable_stack(image: Float32, bank: SeparableBank) -> Float32:
    """Return the features of one image.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), float32
        Pixels in DN.
    bank : SeparableBank
        Filters.

    Returns
    -------
    ndarray of shape (n_features, *image.shape), float32
        One plane (volume) a column of the bank, in DN (per px, per px^2 for GGM, LoG).
    """
    out = np.empty((len(bank.columns), *image.shape), np.float32)
    for index, scale in enumerate(bank.scales):
        columns = [(row, operator) for row, (operator, at) in enumerate(bank.columns) if at == index]
        if scale.planar and image.ndim == 3:
            for z, plane in enumerate(image):
                _write_columns(plane, scale, bank.border, columns, out[:, z])
        else:
            _write_columns(image, scale, bank.border, columns, out)
    return out


def smooth_probability(probability: Float32, sigma_px: float) -> Float32:
    """Smooth a probability as ilastik's thresholding applet does: Gaussian, window 2, mirror border.

    Parameters
    ----------
    probability : ndarray of shape ([planes,] rows, columns), float32
        Probability of one class.
    sigma_px : float
        Standard deviation in pixels, the same on every axis.

    Returns
    -------
    ndarray of the shape of `probability`, float32
    """
    return _gaussian(probability, probability_kernel(sigma_px), "mirror")


def probability_kernel(sigma_px: float) -> Float32:
    """Return the half kernel of `smooth_probability`, taps 0..floor(2 sigma + 0.5), summing to 1.

    Examples
    --------
    >>> probability_kernel(1.0).size
    3
    """
    taps = [math.exp(-0.5 * (k / sigma_px) ** 2) for k in range(math.floor(2 * sigma_px + 0.5) + 1)]
    return np.array([tap / (taps[0] + 2 * math.fsum(taps[1:])) for tap in taps], dtype=np.float32)


def _write_columns(
    image: Float32, scale: SeparableScale, border: str, columns: list[tuple[int, str]], out: Float32
) -> None:
    """Write the columns (row of `out`, operator) of one scale."""
    base = image if scale.presmooth is None else _gaussian(image, scale.presmooth, border)
    for row, operator in columns:
        if operator in _OPERATORS:
            out[row] = _OPERATORS[operator](base, scale, border)
    for kind, matrix in _MATRICES.items():
        ranks = [(row, int(operator[2:]) - 1) for row, operator in columns if operator.startswith(kind)]
        values = _eigenvalues(matrix(base, scale, border)) if ranks else ()
        for row, rank in ranks:
            out[row] = values[rank]


class _Neighbours:
    """The image seen from k pixels to either side, along one axis."""

    def __init__(self, image: Float32, radius: int, axis: int, border: str) -> None:
        self.image, self.radius, self.axis, self.n = image, radius, axis, image.shape[axis]
        self.index = border_index(self.n, radius, border)

    def at(self, k: int) -> Float32:
        """Return x[+k]."""
        return np.take(self.image, self.index[self.radius + k : self.radius + k + self.n], self.axis)


def _gaussian(image: Float32, half: Float32, border: str) -> Float32:
    for axis in range(image.ndim):
        image = even_pass(image, half, axis, border)
    return image


def _gs(base: Float32, scale: SeparableScale, border: str) -> Float32:
    return _gaussian(base, scale.smooth, border)


def _dog(base: Float32, scale: SeparableScale, border: str) -> Float32:
    return _gs(base, scale, border) - _gaussian(base, scale.narrow, border)


def _log(base: Float32, scale: SeparableScale, border: str) -> Float32:
    g, second = scale.smooth, scale.second
    smooth, curved = base, None
    for axis in range(base.ndim):
        part = even_pass(smooth, second, axis, border)
        curved = part if curved is None else even_pass(curved, g, axis, border) + part
        smooth = even_pass(smooth, g, axis, border)
    assert curved is not None
    return curved


def _ggm(base: Float32, scale: SeparableScale, border: str) -> Float32:
    total: Float32 | None = None
    for slope in _gradient(base, scale.smooth, scale.first, border):
        total = slope * slope if total is None else fma(slope, slope, total)
    assert total is not None
    return np.sqrt(total)


def _gradient(base: Float32, smooth: Float32, first: Float32, border: str) -> list[Float32]:
    slopes = []
    for along in range(base.ndim):
        slope = base
        for axis in range(base.ndim):
            half = first if axis == along else smooth
            slope = (odd_pass if axis == along else even_pass)(slope, half, axis, border)
        slopes.append(slope)
    return slopes


def _hessian(base: Float32, scale: SeparableScale, border: str) -> list[Float32]:
    """Return the second derivatives along each pair of axes: zz, zy, zx, yy, yx, xx."""
    parts = []
    for pair in combinations_with_replacement(range(base.ndim), 2):
        part = base
        for axis in range(base.ndim):
            if pair.count(axis) == 1:
                part = odd_pass(part, scale.first, axis, border)
            else:
                part = even_pass(part, scale.second if axis in pair else scale.smooth, axis, border)
        parts.append(part)
    return parts


def _tensor(base: Float32, scale: SeparableScale, border: str) -> list[Float32]:
    """Return the structure tensor's entries: zz, zy, zx, yy, yx, xx."""
    assert scale.inner_smooth is not None
    assert scale.inner_first is not None
    slopes = _gradient(base, scale.inner_smooth, scale.inner_first, border)
    return [_gaussian(a * b, scale.smooth, border) for a, b in combinations_with_replacement(slopes, 2)]


def _eigenvalues(matrix: list[Float32]) -> tuple[Float32, ...]:
    return eigenvalues_2d(*matrix) if len(matrix) == 3 else eigenvalues_3d(*matrix)


_OPERATORS = {"GS": _gs, "LoG": _log, "GGM": _ggm, "DoG": _dog}

_MATRICES: dict[str, Callable[[Float32, SeparableScale, str], list[Float32]]] = {"HE": _hessian, "ST": _tensor}
