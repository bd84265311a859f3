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
    """Half kernels of one length on the device.

    Attributes
    ----------
    taps : array of shape (radius + 1, 4), float32
        Weights from the centre outwards: Gaussian, first derivative, second derivative (per pixel, per pixel^2), 0.
    radius : int
        Pixels to either side of the centre.
    """

    taps: Any
    radius: int


@dataclass(frozen=True, slots=True)
class Planes:
    """Planes (rows in 2D) of an image on the device: all of them, or a range.

    Attributes
    ----------
    array : array of shape ([planes,] rows, columns), float32
        Pixels, DN.
    first : int
        Place of the first of them in the image.
    n : int
        How many the image has.
    """

    array: Any
    first: int
    n: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Kernels of one scale on the device.

    Attributes
    ----------
    presmooth : Half or None
        Gaussian by which the image is smoothed before all others, if at all.
    filters : Half
        Gaussian and its first two derivatives.
    narrow : Half
        The narrower Gaussian of the difference of Gaussians.
    """

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
        Gaussian along the axes before x, and the narrow Gaussian; DN.
    slope_y, slope_z : array of the same shape, float32
        The first derivative along y or z, Gaussian along the other; DN per pixel.
    bend : array of the same shape, float32
        Sum of the second derivatives; DN per pixel^2.
    """

    smooth: Any
    slope_y: Any = None
    slope_z: Any = None
    bend: Any = None
    fine: Any = None


def upload(cuda: Cuda, *halves: Float32) -> Half:
    """Return half kernels on the device.

    Parameters
    ----------
    cuda : Cuda
        The device.
    *halves : ndarray of shape (radius + 1,), float32
        Weights from the centre outwards: a Gaussian, or a Gaussian and its first two derivatives.

    Returns
    -------
    Half
    """
    table = np.zeros((halves[0].size, 4), np.float32)
    for column, half in enumerate(halves):
        table[:, column] = half
    return Half(cuda.upload(table), len(table) - 1)


def gaussian(
    cuda: Cuda, source: Planes, half: Half, border: str, slab: tuple[int, int], target: Any, between: Any
) -> None:
    """Smooth the planes (rows in 2D) of a slab along every axis.

    Parameters
    ----------
    cuda : Cuda
        The device.
    source : Planes
        What is smoothed: the slab and, on either side, the planes that the kernel reaches, as far as there are any.
    half : Half
        A Gaussian.
    border : str
        ``"mirror"`` or ``"reflect"``: how the image goes on beyond its edge.
    slab : (int, int)
        First plane of the result, and the one behind the last.
    target : array of shape (slab planes, rows, columns) or (slab rows, columns), float32
        The result, in the unit of `source`.
    between : array of the shape of `target`, float32
        Room for a temporary.

    Raises
    ------
    ValueError
        If an axis is longer than 2^27 pixels.
    """
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
    """Run the y passes of an image.

    Parameters
    ----------
    cuda : Cuda
        The device.
    base : Planes
        What is filtered, DN: the slab and, on either side, the rows that the kernels reach, as far as there are any.
    scale : Scale
        Kernels of one scale.
    border : str
        ``"mirror"`` or ``"reflect"``: how the image goes on beyond its edge.
    slab : (int, int)
        First row of the result, and the one behind the last.
    room : sequence of 4 arrays of shape (slab rows, columns), float32
        Where the results go; what they held is lost.
    fine : bool
        Whether the narrow Gaussian is wanted too.

    Returns
    -------
    Lines
        Arrays of `room`.

    Raises
    ------
    ValueError
        If an axis is longer than 2^27 pixels.
    """
    smooth, slope, curve, narrow = room
    _first_axis(cuda, base, scale.filters, border, slab, smooth, slope, curve)
    if fine:
        _first_axis(cuda, base, scale.narrow, border, slab, narrow)
    return Lines(smooth=smooth, slope_y=slope, bend=curve, fine=narrow if fine else None)


def volume_lines(
    cuda: Cuda, base: Planes, scale: Scale, border: str, slab: tuple[int, int], room: Sequence[Any], *, fine: bool
) -> Lines:
    """Run the z and y passes of a volume.

    Parameters
    ----------
    cuda : Cuda
        The device.
    base : Planes
        What is filtered, DN: the slab and, on either side, the planes that the kernels reach, as far as there are any.
    scale : Scale
        Kernels of one scale.
    border : str
        ``"mirror"`` or ``"reflect"``: how the image goes on beyond its edge.
    slab : (int, int)
        First plane of the result, and the one behind the last.
    room : sequence of 7 arrays of shape (slab planes, rows, columns), float32
        Where the results go; what they held is lost.
    fine : bool
        Whether the narrow Gaussian is wanted too.

    Returns
    -------
    Lines
        Arrays of `room`.

    Raises
    ------
    ValueError
        If an axis is longer than 2^27 pixels.
    """
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
    """Run the x pass into the wanted columns.

    Parameters
    ----------
    cuda : Cuda
        The device.
    lines : Lines
        What the passes before gave; `fine` is needed for ``"DoG"`` alone.
    scale : Scale
        The kernels that they were made with.
    border : str
        ``"mirror"`` or ``"reflect"``: how the image goes on beyond its edge.
    columns : mapping of str to array of the shape of `lines.smooth`, float32
        Where the results go, by operator: GS (DN), LoG (DN per pixel^2), GGM (DN per pixel), DoG (DN).
    """
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
