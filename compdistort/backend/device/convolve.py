"""Separable filters on the device, slab by slab; the launches of single passes are in `passes`.

A slab is a range of planes (rows in 2D). Its first pass reads the whole image, so it needs no halo of its own; only a
pre-smoothed copy is made with the planes that the next kernel reaches. A planar scale reads the planes of the slab
alone, as so many images.
"""

from math import prod
from typing import Any

import numpy as np

from compdistort.backend.base import SeparableBank, SeparableScale
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import blocks_for
from compdistort.backend.device.lines import Planes, Scale, upload
from compdistort.backend.device.passes import (
    finish,
    gaussian,
    image_lines,
    planar_gaussian,
    planar_lines,
    volume_lines,
)
from compdistort.backend.plain.convolve import probability_kernel

_LINES = {2: 4, 3: 7}
"""Arrays of a slab's size that one scale takes, by axes of the image."""


class _Scratch:
    """One allocation that is handed out piece by piece and taken back in reverse."""

    def __init__(self, cuda: Cuda, planes: int, plane: tuple[int, ...]) -> None:
        self._room, self._plane, self.used = cuda.empty((planes, *plane), np.float32), plane, 0

    def take(self, planes: int) -> Any:
        """Return room for so many planes."""
        self.used += planes
        return self._room[self.used - planes : self.used]


def as_float(cuda: Cuda, image: Any) -> Any:
    """Return pixels as float32, exactly; float32 itself is not copied.

    Parameters
    ----------
    cuda : Cuda
        The device.
    image : array of any shape, uint8, uint16 or float32
        Pixels on the device, DN.

    Returns
    -------
    array of the shape of `image`, float32
    """
    if image.dtype == np.float32:
        return image
    out = cuda.empty(image.shape, np.float32)
    kernel = {1: "to_float.from_u8", 2: "to_float.from_u16"}[image.dtype.itemsize]
    cuda.launch(kernel, (blocks_for(image.size, 256),), (256,), image, out, image.size)
    return out


def smooth(cuda: Cuda, probability: Any, sigma_px: float) -> Any:
    """Smooth a probability (see `compdistort.backend.plain.convolve.smooth_probability`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    probability : array of shape ([planes,] rows, columns), float32
        Probability of one class, on the device.
    sigma_px : float
        Standard deviation in pixels, the same on every axis.

    Returns
    -------
    array of the shape of `probability`, float32
    """
    half = upload(cuda, probability_kernel(sigma_px))
    out = cuda.empty(probability.shape, np.float32)
    source = Planes(probability, 0, len(probability))

    def work(start: int, stop: int) -> None:
        between = cuda.empty((stop - start, *probability.shape[1:]), np.float32)
        gaussian(cuda, source, half, "mirror", (start, stop), out[start:stop], between)

    cuda.in_slabs(len(probability), 4 * prod(probability.shape[1:]), work)
    return out


def scratch_planes(bank: SeparableBank, ndim: int) -> int:
    """Return how many float32 planes (rows in 2D) of temporaries a plane of a slab takes, at most.

    A slab of one plane takes as many; a larger one fewer each, since the planes that its pre-smoothed copy has beyond
    it do not grow.
    """
    return _slab_planes(bank, ndim, 1)


def separable_slab(cuda: Cuda, pixels: Any, bank: SeparableBank, start: int, stop: int, out: Any, first: int) -> None:
    """Write the features of the planes (rows in 2D) ``start <= z < stop`` of an image.

    Parameters
    ----------
    cuda : Cuda
        The device.
    pixels : array of shape ([planes,] rows, columns), float32
        The whole image, DN.
    bank : SeparableBank
        Filters.
    start, stop : int
        The slab, along the first axis of `pixels`.
    out : array of shape (n_features, n, ...), float32
        Room for n planes (rows) a feature, the other axes as those of `pixels`.
    first : int
        Place of plane `start` along the second axis of `out`.

    Raises
    ------
    ValueError
        If the bank holds a column twice, the kernels of a scale do not have one length, or an axis is longer than
        2^27 pixels.
    """
    scales = cuda.memo("separable", bank, lambda: tuple(_scale(cuda, scale) for scale in bank.scales))
    scratch = _Scratch(cuda, _slab_planes(bank, pixels.ndim, stop - start), pixels.shape[1:])
    image = Planes(pixels, 0, len(pixels))
    for index, scale in enumerate(scales):
        columns = {name: out[row, first : first + stop - start] for name, row in _rows(bank, index).items()}
        if not columns:
            continue
        scratch.used = 0
        if scale.planar and pixels.ndim == 3:
            _planar(cuda, pixels[start:stop], scale, bank.border, scratch, columns)
            continue
        base = _presmoothed(cuda, image, scale, bank.border, (start, stop), scratch)
        _filter(cuda, base, scale, bank.border, (start, stop), scratch, columns)


def _slab_planes(bank: SeparableBank, ndim: int, planes: int) -> int:
    base = 0
    for scale in bank.scales:
        if scale.presmooth is not None:
            reach = 0 if scale.planar and ndim == 3 else max(scale.smooth.size, scale.narrow.size) - 1
            base = max(base, planes + 2 * reach)
    return base + max(base, _LINES[ndim] * planes)


def _rows(bank: SeparableBank, index: int) -> dict[str, int]:
    """Return where the columns of one scale lie in the stack, by operator."""
    rows: dict[str, int] = {}
    for row, (operator, at) in enumerate(bank.columns):
        if at == index:
            if operator in rows:
                raise ValueError(f"column {operator} of scale {index} is in the bank twice")
            rows[operator] = row
    return rows


def _scale(cuda: Cuda, scale: SeparableScale) -> Scale:
    if not scale.smooth.size == scale.first.size == scale.second.size:
        raise ValueError(f"Gaussian and derivatives of scale {scale.sigma_px} must have kernels of one length")
    return Scale(
        presmooth=None if scale.presmooth is None else upload(cuda, scale.presmooth),
        filters=upload(cuda, scale.smooth, scale.first, scale.second),
        narrow=upload(cuda, scale.narrow),
        planar=scale.planar,
    )


def _presmoothed(
    cuda: Cuda, image: Planes, scale: Scale, border: str, slab: tuple[int, int], scratch: _Scratch
) -> Planes:
    """Return what the filters read: the image, or its pre-smoothed copy as far as a slab's filters reach."""
    if scale.presmooth is None:
        return image
    start, stop = max(0, slab[0] - scale.reach), min(image.n, slab[1] + scale.reach)
    base, between = scratch.take(stop - start), scratch.take(stop - start)
    gaussian(cuda, image, scale.presmooth, border, (start, stop), base, between)
    scratch.used -= stop - start
    return Planes(base, start, image.n)


def _filter(
    cuda: Cuda,
    base: Planes,
    scale: Scale,
    border: str,
    slab: tuple[int, int],
    scratch: _Scratch,
    columns: dict[str, Any],
) -> None:
    """Write the wanted columns of one scale."""
    planes, ndim = slab[1] - slab[0], base.array.ndim
    if set(columns) == {"GS"}:
        gaussian(cuda, base, scale.filters, border, slab, columns["GS"], scratch.take(planes))
    else:
        room = [scratch.take(planes) for _ in range(_LINES[ndim])]
        make = volume_lines if ndim == 3 else image_lines
        finish(cuda, make(cuda, base, scale, border, slab, room, fine="DoG" in columns), scale, border, columns)


def _planar(cuda: Cuda, planes: Any, scale: Scale, border: str, scratch: _Scratch, columns: dict[str, Any]) -> None:
    """Write the wanted columns of one scale for planes that are images of their own."""
    n = len(planes)
    if scale.presmooth is not None:
        base = scratch.take(n)
        planar_gaussian(cuda, planes, scale.presmooth, border, base, scratch.take(n))
        scratch.used -= n
        planes = base
    if set(columns) == {"GS"}:
        planar_gaussian(cuda, planes, scale.filters, border, columns["GS"], scratch.take(n))
    else:
        room = [scratch.take(n) for _ in range(_LINES[2])]
        finish(cuda, planar_lines(cuda, planes, scale, border, room, fine="DoG" in columns), scale, border, columns)
