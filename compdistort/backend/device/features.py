"""Features of an image, or of a slab of it, on the device."""

from typing import Any

import numpy as np

from compdistort.backend.base import FilterBank, HalfGridBank, SeparableBank, WekaBank
from compdistort.backend.device import convolve, weka
from compdistort.backend.device.cuda import Cuda
from compdistort.errors import ConfigError

DeviceBank = SeparableBank | WekaBank
"""Filters that kernels exist for; see `refuse_unmade`."""

OPERATORS = ("GS", "LoG", "GGM", "DoG")
"""Separable features that kernels exist for."""


def refuse_unmade(bank: FilterBank) -> DeviceBank:
    """Return a bank of which every feature can be made on a CUDA device.

    Parameters
    ----------
    bank : FilterBank
        Filters.

    Returns
    -------
    SeparableBank or WekaBank
        The bank itself.

    Raises
    ------
    ConfigError
        If a feature is made by the CPU engines alone.
    """
    if isinstance(bank, HalfGridBank):
        raise ConfigError("feature set 'fast' is not made on a CUDA device", "use --device cpu or --set plain")
    if isinstance(bank, SeparableBank):
        columns = zip(bank.names, bank.columns, strict=True)
        unmade = [name for name, (operator, _) in columns if operator not in OPERATORS]
        if unmade:
            raise ConfigError(
                f"features {', '.join(unmade)} are not made on a CUDA device",
                f"use --device cpu, or only {', '.join(OPERATORS)}",
            )
    return bank


def feature_stack(cuda: Cuda, image: Any, bank: DeviceBank) -> Any:
    """Return the features of one image (see `Backend.feature_stack`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    image : array of shape ([planes,] rows, columns), uint8, uint16 or float32
        Pixels on the device, DN.
    bank : DeviceBank
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


def feature_slab(cuda: Cuda, pixels: Any, bank: DeviceBank, start: int, stop: int, out: Any, first: int) -> None:
    """Write the features of the planes (rows in 2D) ``start <= z < stop`` of an image.

    Parameters
    ----------
    cuda : Cuda
        The device.
    pixels : array of shape ([planes,] rows, columns), float32
        The whole image, so that the slab's neighbours are known.
    bank : DeviceBank
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


def scratch_bytes(shape: tuple[int, ...], bank: DeviceBank) -> int:
    """Return how much temporary memory one plane (row in 2D) takes, without its features."""
    planes = weka.SCRATCH_PLANES if isinstance(bank, WekaBank) else convolve.scratch_planes(bank, len(shape))
    return 4 * planes * int(np.prod(shape[1:]))
