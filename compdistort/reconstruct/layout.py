"""Which sample every pixel of an image reads: the plan of a back-projection for one geometry and one detector."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.beam import PLACE_BITS, BeamPlan
from compdistort.errors import ConfigError
from compdistort.reconstruct.geometry import INTERPOLATIONS, ParallelBeam

Int64 = NDArray[np.int64]

TAPS = dict(zip(INTERPOLATIONS, (1, 2, 4), strict=True))
"""Samples that each interpolation reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where filtered projections lie and what of them is read.

    Attributes
    ----------
    before : int
        Zeros before the first pixel of a projection.
    length : int
        Pixels of a projection with the zeros around it.
    start : int
        First of these that the plan reads.
    plan : BeamPlan
        The plan.
    """

    before: int
    length: int
    start: int
    plan: BeamPlan


def beam_layout(beam: ParallelBeam, n_pixels: int) -> Layout:
    """Return the layout of projections of `n_pixels`.

    Parameters
    ----------
    beam : ParallelBeam
        Geometry.
    n_pixels : int
        Pixels of a projection.

    Returns
    -------
    Layout

    Raises
    ------
    ConfigError
        If the centre of rotation lies outside the detector, or the axis outside the image.
    """
    taps, size = TAPS[beam.interpolation], beam.size(n_pixels)
    if size < 1 or n_pixels < taps:
        raise ConfigError(
            f"{n_pixels} pixels of a projection are too few for {beam.interpolation!r} and {size} rows of an image"
        )
    axis, length = beam.axis(size), math.ceil(math.sqrt(2) * n_pixels) if beam.circle else n_pixels
    before = length // 2 - n_pixels // 2
    turn = np.deg2rad(beam.angles_deg)
    columns, rows = _places(np.cos(turn)), _places(-np.sin(turn))
    starts = _places(beam.centre(n_pixels) + before - axis * np.cos(turn) + axis * np.sin(turn))
    left, right = _computed(size, axis, circle=beam.circle)
    low, high = _reached(starts, columns, rows, left, right)
    start, end = max(0, low >> PLACE_BITS), min(length - 1, -(-high >> PLACE_BITS))
    if start > end:
        raise ConfigError("no pixel of the image is seen by the detector", "check centre_px, axis_px and output_size")
    plan = BeamPlan(
        starts=starts - (start << PLACE_BITS),
        columns=columns,
        rows=rows,
        first=0,
        last=(end - start) << PLACE_BITS,
        n_samples=end - start + taps,
        taps=taps,
        left=left,
        right=right,
        scale=float(np.float32(np.pi / (2 * len(beam.angles_deg)))),
    )
    return Layout(before=before, length=length, start=start, plan=plan)


def _places(pixels: NDArray[np.float64]) -> Int64:
    """Return places in 2^-32 pixels."""
    return np.rint(pixels * 2.0**PLACE_BITS).astype(np.int64)


def _computed(size: int, axis: float, *, circle: bool) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the columns of each row that are computed: all, or those in the circle."""
    squares = (np.arange(size) - axis) ** 2
    inside = np.add.outer(squares, squares) <= (size // 2) ** 2 if circle else np.ones((size, size), bool)
    count = inside.sum(1)
    left = np.where(count > 0, inside.argmax(1), 0)
    return left.astype(np.int32), (left + count).astype(np.int32)


def _reached(
    starts: Int64, columns: Int64, rows: Int64, left: NDArray[np.int32], right: NDArray[np.int32]
) -> tuple[int, int]:
    """Return the smallest and the largest place of all pixels: they are at the ends of rows."""
    some = np.flatnonzero(left < right)
    ends = [starts + np.multiply.outer(some, rows) + np.multiply.outer(x[some], columns) for x in (left, right - 1)]
    return int(min(each.min() for each in ends)), int(max(each.max() for each in ends))
