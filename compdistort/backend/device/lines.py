"""What the passes of separable filters read and write on the device; `passes` launches them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from compdistort.backend.base import Float32
from compdistort.backend.device.cuda import Cuda


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
    planar : bool
        Whether the planes of a volume are filtered each by itself.
    """

    presmooth: Half | None
    filters: Half
    narrow: Half
    planar: bool = False

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
