"""Passes of separable filters along one axis: launches of `kernels/convolve.cu` and `kernels/columns.cu`.

A pass along the first axis reads the image as far as its kernel reaches and writes the planes (rows in 2D) of a slab.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.lines import Half, Lines, Planes, Scale

_BLOCK, _LANES, _SPAN = (32, 8), 32, 64
"""Threads of a block, lines it works on, outputs it makes of each: as `kernels/line_sums.cuh` says."""

_LONGEST = 2**27
"""Pixels an axis may have: 32 rows of them are told apart by 32 bits."""


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
    _x_axis(cuda, between, half, border, target)


def planar_gaussian(cuda: Cuda, planes: Any, half: Half, border: str, target: Any, between: Any) -> None:
    """Smooth planes along rows and columns, each by itself.

    Parameters
    ----------
    cuda : Cuda
        The device.
    planes : array of shape (planes, rows, columns), float32
        Pixels, DN.
    half : Half
        A Gaussian.
    border : str
        ``"mirror"`` or ``"reflect"``: how the image goes on beyond its edge.
    target : array of the shape of `planes`, float32
        The result, DN.
    between : array of the shape of `planes`, float32
        Room for a temporary.

    Raises
    ------
    ValueError
        If an axis is longer than 2^27 pixels.
    """
    _refuse_long(planes.shape)
    _y_of_volume(cuda, planes, half, border, between)
    _x_axis(cuda, between, half, border, target)


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


def planar_lines(cuda: Cuda, planes: Any, scale: Scale, border: str, room: Sequence[Any], *, fine: bool) -> Lines:
    """Run the y passes of planes, each by itself.

    Parameters
    ----------
    cuda : Cuda
        The device.
    planes : array of shape (planes, rows, columns), float32
        What is filtered, DN.
    scale : Scale
        Kernels of one scale.
    border : str
        ``"mirror"`` or ``"reflect"``: how the image goes on beyond its edge.
    room : sequence of 4 arrays of the shape of `planes`, float32
        Where the results go; what they held is lost.
    fine : bool
        Whether the narrow Gaussian is wanted too.

    Returns
    -------
    Lines
        Arrays of `room`, those of an image.

    Raises
    ------
    ValueError
        If an axis is longer than 2^27 pixels.
    """
    _refuse_long(planes.shape)
    smooth, slope, curve, narrow = room
    n, ny, nx = planes.shape
    half = scale.filters
    cuda.launch(
        "convolve.three_along", _grid(ny, nx, n), _BLOCK, planes, smooth, slope, curve, half.taps, half.radius,
        _repeat(border), ny, 0, 0, ny, nx,
    )  # fmt: skip
    if fine:
        _y_of_volume(cuda, planes, scale.narrow, border, narrow)
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
    _refuse_long((source.n, *source.array.shape))
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


def _x_axis(cuda: Cuda, source: Any, half: Half, border: str, target: Any) -> None:
    rows, nx = target.size // target.shape[-1], target.shape[-1]
    grid = _grid(nx, rows)
    cuda.launch("columns.even_x", grid, _BLOCK, source, target, half.taps, half.radius, _repeat(border), rows, nx)


def _refuse_long(shape: Sequence[int]) -> None:
    if max(shape) > _LONGEST:
        raise ValueError(f"an axis of the image has more than {_LONGEST} pixels; crop it")


def _repeat(border: str) -> int:
    """Return whether the edge pixel stands twice: `border` as the kernels know it."""
    return {"mirror": 0, "reflect": 1}[border]


def _grid(along: int, lines: int, outer: int = 1) -> tuple[int]:
    """Return the blocks for so many outputs along the lines, and so many lines."""
    return (-(-along // _SPAN) * -(-lines // _LANES) * outer,)
