"""Features of an image, or of a slab of it, on the device."""

from typing import Any

import numpy as np

from compdistort.backend.base import FilterBank, WekaBank
from compdistort.backend.device import convolve, weka
from compdistort.backend.device.cuda import Cuda


def feature_stack(cuda: Cuda, image: Any, bank: FilterBank) -> Any:
    """Return the features of one image (see `Backend.feature_stack`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    image : array of shape ([planes,] rows, columns), uint8, uint16 or float32
        Pixels on the device, DN.
    bank : FilterBank
        Filters.

    Returns
    -------
    array of shape (n_features, *image.shape), float32
    """
    pixels = convolve.as_float(cuda, image)
    out = cuda.empty((len(bank.names), *image.shape), np.float32)

    def work(start: int, stop: int) -> None:
        feature_slab(cuda, pixels, bank, start, stop, out, start)

    cuda.in_slabs(image.shape[0], scratch_bytes(image.shape, bank), work)
    return out


def feature_slab(cuda: Cuda, pixels: Any, bank: FilterBank, start: int, stop: int, out: Any, first: int) -> None:
    """Write the features of the planes (rows in 2D) ``start <= z < stop`` of an image.

    Parameters
    ----------
    cuda : Cuda
        The device.
    pixels : array of shape ([planes,] rows, columns), float32
        The whole image, so that the slab's neighbours are known.
    bank : FilterBank
        Filters.
    start, stop : int
        The slab, along the first axis of `pixels`.
    out : array of shape (n_features, n, ...), float32
        Room for n planes (rows) a feature, the other axes as those of `pixels`.
    first : int
        Place of plane `start` along the second axis of `out`.
    """
    if isinstance(bank, WekaBank):
        weka.weka_slab(cuda, pixels, bank, start, stop, out, first)
    else:
        convolve.separable_slab(cuda, pixels, bank, start, stop, out, first)


def scratch_bytes(shape: tuple[int, ...], bank: FilterBank) -> int:
    """Return how much temporary memory one plane (row in 2D) takes, without its features."""
    planes = weka.SCRATCH_PLANES if isinstance(bank, WekaBank) else convolve.scratch_planes(bank, len(shape))
    return 4 * planes * int(np.prod(shape[1:]))
