"""Passes of separable filters along one axis: launches of `kernels/convolve.cu` and `kernels/columns.cu`.

A pass along the first axis reads the image as far as its kernel reaches and writes the planes (rows in 2D) of a slab.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from compdistort.backend.base import Float32
from compdistort.backend.device.cuda import Cuda

_BLOCK, _LANES, _SPAN = (32, 8), 32, 64
"""Threads of a block, lines it works on, outputs it makes of each: as `kernels/line_sums.cuh` says."""

_LONGEST = 2**27
"""Pixels an axis may have: 32 rows of them are told apart by 32 bits."""


@dataclass(frozen=True, slots=True)
class Half:
    """Half kernels on the device: taps of shape (r + 1, 4), float32: Gaussian, first and second derivative, 0."""

    taps: Any
    radius: int


@dataclass(frozen=True, slots=True)
class Planes:
    """Planes of an image in memory, the first of them plane `first` of `n`."""

    array: Any
    first: int
    n: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Kernels of one scale: pre-smoothing or None; Gaussian with its derivatives; narrow Gaussian."""

    presmooth: Half | None
    filters: Half
    narrow: Half

    @property
    def reach(self) -> int:
        """Planes to either side that the filters read."""
        return max(self.filters.radius, self.narrow.radius)


@dataclass(frozen=True, slots=True)
class Lines:
    """What the x pass reads: arrays of one shape, None where there is no such axis or nothing wants them.

    Attributes
    ----------
    smooth, fine : array of shape ([planes,] rows, columns), float32
        Gaussian along the axes before x, and the narrow Gaussian.
    slope_y, slope_z : array of the same shape, float32
        The first derivative along y or z, Gaussian along the other.
    bend : array of the same shape, float32
        Sum of the second derivatives.
    """

    smooth: Any
    slope_y: Any = None
    slope_z: Any = None
    bend: Any = None
    fine: Any = None


def upload(cuda: Cuda, *halves: Float32) -> Half:
    """Return a Gaussian, or a Gaussian and its first two derivatives, on the device."""
    table = np.zeros((halves[0].size, 4), np.float32)
    for column, half in enumerate(halves):
        table[:, column] = half
    return Half(cuda.upload(table), len(table) - 1)


def gaussian(
    cuda: Cuda, source: Planes, half: Half, border: str, slab: tuple[int, int], target: Any, between: Any
) -> None:
    """Write the planes of a slab, smoothed along every axis, to `target`; `between` is of its size."""
    if target.ndim == 3:
        _first_axis(cuda, source, half, border, slab, target)
        _y_of_volume(cuda, target, half, border, between)
    else:
        _first_axis(cuda, source, half, border, slab, between)
    rows, nx = target.size // target.shape[-1], target.shape[-1]
    grid = _grid(nx, rows)
    cuda.launch("columns.even_x", grid, _BLOCK, between, target, half.taps, half.radius, _repeat(border), rows, nx)


def image_lines(
    cuda: Cuda, base: Planes, scale: Scale, border: str, slab: tuple[int, int], room: Sequence[Any], *, fine: bool
) -> Lines:
    """Run the y passes of an image into four arrays of the slab's size; the narrow one only if `fine`."""
    smooth, slope, curve, narrow = room
    _first_axis(cuda, base, scale.filters, border, slab, smooth, slope, curve)
    if fine:
        _first_axis(cuda, base, scale.narrow, border, slab, narrow)
    return Lines(smooth=smooth, slope_y=slope, bend=curve, fine=narrow if fine else None)


def volume_lines(
    cuda: Cuda, base: Planes, scale: Scale, border: str, slab: tuple[int, int], room: Sequence[Any], *, fine: bool
) -> Lines:
    """Run the z and y passes of a volume into seven arrays of the slab's size; the narrow ones only if `fine`."""
    smooth, slope, curve, smooth_y, slope_y, bend, slope_z = room
    planes, ny, nx = smooth.shape
    half = scale.filters
    _first_axis(cuda, base, half, border, slab, smooth, slope, curve)
    cuda.launch(
        "convolve.volume_y", _grid(ny, nx, planes), _BLOCK, smooth, slope, curve, smooth_y, slope_y, bend, slope_z,
        half.taps, half.radius, _repeat(border), ny, nx,
    )  # fmt: skip
    if fine:  # the lines along z have been read: their arrays are free
        _first_axis(cuda, base, scale.narrow, border, slab, slope)
        _y_of_volume(cuda, slope, scale.narrow, border, smooth)
    return Lines(smooth=smooth_y, slope_y=slope_y, slope_z=slope_z, bend=bend, fine=smooth if fine else None)


def finish(cuda: Cuda, lines: Lines, scale: Scale, border: str, columns: Mapping[str, Any]) -> None:
    """Run the x pass into the wanted columns, by operator."""
    nx = lines.smooth.shape[-1]
    rows = lines.smooth.size // nx
    wanted = [columns.get(operator) for operator in ("GS", "LoG", "GGM", "DoG")]
    cuda.launch(
        "columns.columns_x", _grid(nx, rows), _BLOCK,
        lines.smooth, lines.slope_y, lines.slope_z, lines.bend, lines.fine, *wanted,
        scale.filters.taps, scale.filters.radius, scale.narrow.taps, scale.narrow.radius, _repeat(border), rows, nx,
    )  # fmt: skip


def _first_axis(cuda: Cuda, source: Planes, half: Half, border: str, slab: tuple[int, int], *targets: Any) -> None:
    """Run the pass along the first axis: Gaussian into one target, Gaussian and derivatives into three."""
    if max(source.n, *source.array.shape) > _LONGEST:
        raise ValueError(f"an axis of the image has more than {_LONGEST} pixels; crop it")
    inner = prod(source.array.shape[1:])
    kernel = "convolve.three_along" if len(targets) == 3 else "convolve.even_along"
    cuda.launch(
        kernel, _grid(slab[1] - slab[0], inner), _BLOCK, source.array, *targets, half.taps, half.radius,
        _repeat(border), source.n, source.first, *slab, inner,
    )  # fmt: skip


def _y_of_volume(cuda: Cuda, volume: Any, half: Half, border: str, target: Any) -> None:
    planes, ny, nx = volume.shape
    cuda.launch(
        "convolve.even_along", _grid(ny, nx, planes), _BLOCK, volume, target, half.taps, half.radius, _repeat(border),
        ny, 0, 0, ny, nx,
    )  # fmt: skip


def _repeat(border: str) -> int:
    """Return whether the edge pixel stands twice: `border` as the kernels know it."""
    return {"mirror": 0, "reflect": 1}[border]


def _grid(along: int, lines: int, outer: int = 1) -> tuple[int]:
    """Return the blocks for so many outputs along the lines, and so many lines."""
    return (-(-along // _SPAN) * -(-lines // _LANES) * outer,)
