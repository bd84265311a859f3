"""Launch of `kernels/replicate.cu`."""

from typing import Any

import numpy as np

from compdistort.backend.base import NoiseTables
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import MAX_GRID, blocks_for
from compdistort.backend.noise_arguments import check_largest_level, check_noise_place

BLOCK = (32, 8)
"""Threads along the groups of four voxels of a row, and along rows."""

_WORD = (1 << 32) - 1


def replicate(
    cuda: Cuda,
    raw: Any,
    noise: NoiseTables,
    key: tuple[int, int],
    replicates: range,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> Any:
    """Draw replicates of a raw image (see `compdistort.backend.plain.noise.replicate`).

    The kernel itself finds grey levels above the tables' top; so the call waits for it, once.

    Parameters
    ----------
    cuda : Cuda
        The device.
    raw : array of shape ([planes,] rows, columns), uint16
        Raw image on the device, DN.
    noise : NoiseTables
        Law of every grey level, uploaded once; region and sensor maps must have the shape (rows, columns) of `raw`.
    key : tuple of two int
        Philox key.
    replicates : range
        Replicate numbers.
    origin : tuple of int
        (plane, row, column) of the first voxel in the whole volume.

    Returns
    -------
    array of shape (len(replicates), *raw.shape), uint16
    """
    shape = check_noise_place(raw, noise, replicates, origin)
    out = cuda.empty((len(replicates), *raw.shape), np.uint16)
    above = cuda.zeros((1,), np.uint32)
    law = cuda.memo("noise", noise, lambda: _upload(cuda, noise))
    place = _place(shape, origin)
    numbers = (replicates.start, replicates.step & _WORD, len(replicates)) if replicates else (0, 0, 0)
    cuda.launch(
        "replicate.draw", _grid(shape, origin[2]), BLOCK, raw, out, above, *law, *place, *key, *numbers, noise.top
    )
    check_largest_level(int(cuda.download(above)[0]), noise)
    return out


def _upload(cuda: Cuda, noise: NoiseTables) -> tuple[Any, ...]:
    """Return the kernel's arguments of the law: quantile to gaussian."""
    quantile, gaussian = cuda.upload(noise.quantile), noise.law == "gaussian"
    if noise.maps is not None:
        parts = (noise.maps.gain, noise.maps.offset, noise.maps.read_variance)
        return (quantile, None, 0, None, None, None, *(cuda.upload(part) for part in parts), gaussian)
    n_regions, n_levels, _ = noise.level.shape
    if n_levels <= noise.top or (noise.region is not None and noise.region.size and noise.region.max() >= n_regions):
        raise IndexError(
            f"{n_regions} tables of {n_levels} levels do not hold every region and level up to {noise.top}"
        )
    level, cdf, guide = (cuda.upload(part) for part in (noise.level, noise.cdf, noise.guide))
    region = None if noise.region is None else cuda.upload(noise.region)
    return (quantile, level, n_levels, cdf, guide, region, None, None, None, gaussian)


def _place(shape: tuple[int, int, int], origin: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the kernel's planes, rows, columns, group0, shift, y0, z0."""
    z0, y0, x0 = origin
    return (*shape, x0 >> 2, x0 & 3, y0, z0)


def _grid(shape: tuple[int, int, int], x0: int) -> tuple[int, int, int]:
    planes, rows, columns = shape
    groups = -(-((x0 & 3) + columns) // 4)
    return blocks_for(groups, BLOCK[0]), blocks_for(rows, BLOCK[1], MAX_GRID[1]), min(planes, MAX_GRID[2])
