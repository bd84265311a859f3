"""What every engine demands of the sampler's arguments, and tables of a part of the image."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from compdistort.backend.records import NoiseTables, PixelMaps, UInt8, UInt16

MAX_REPLICATES = 1 << 32
COORDINATES = 1 << 32


class NoiseArguments(NamedTuple):
    """Checked arguments: the image as a volume, and the region of every pixel."""

    volume: UInt16
    region: UInt8


def check_noise_arguments(
    raw: UInt16, noise: NoiseTables, replicates: range, origin: tuple[int, int, int]
) -> NoiseArguments:
    """Return the image as (planes, rows, columns), and the region index of each (row, column).

    Raises
    ------
    ValueError
        Wrong number of axes, tables of another shape, grey levels above the tables' top, or a place or replicate
        number that does not fit the counter.
    """
    shape = check_noise_place(raw, noise, replicates, origin)
    check_largest_level(int(raw.max()) if raw.size else 0, noise)
    region = np.zeros(shape[1:], np.uint8) if noise.region is None else noise.region
    return NoiseArguments(raw.reshape(shape), region)


def check_noise_place(
    raw: Any, noise: NoiseTables, replicates: range, origin: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return the shape of an image of any library as (planes, rows, columns); its values are not looked at.

    Raises
    ------
    ValueError
        Wrong number of axes, tables of another shape, or a place or replicate number that does not fit the counter.
    """
    if raw.ndim not in (2, 3):
        raise ValueError(f"raw must have 2 or 3 axes, not {raw.ndim}")
    plane = raw.shape[-2:]
    for name, array in (("region map", noise.region), ("sensor maps", None if noise.maps is None else noise.maps.gain)):
        if array is not None and array.shape != plane:
            raise ValueError(f"the tables' {name} has shape {array.shape}, the image {plane}: crop the tables as well")
    if len(replicates) and not 0 <= min(replicates) <= max(replicates) < MAX_REPLICATES:
        raise ValueError(f"replicates {replicates} must lie in 0 .. 2**32 - 1")
    shape = (raw.shape[0] if raw.ndim == 3 else 1, *plane)
    if any(o < 0 or o + n > COORDINATES for o, n in zip(origin, shape, strict=True)):
        raise ValueError(f"origin {origin} must be whole numbers >= 0 that fit 32 bits")
    return shape


def check_largest_level(largest: int, noise: NoiseTables) -> None:
    """Refuse an image whose largest grey level (DN) lies above the tables' top.

    Raises
    ------
    ValueError
        If it does.
    """
    if largest > noise.top:
        raise ValueError(f"raw holds {largest} DN, above the tables' top of {noise.top} DN")


def crop_tables(tables: NoiseTables, rows: tuple[int, int], columns: tuple[int, int]) -> NoiseTables:
    """Return the tables of a crop of the image; draw with its `origin` for the same noise.

    Parameters
    ----------
    tables : NoiseTables
        Tables of the whole image.
    rows, columns : tuple of int
        First and one past the last row and column.

    Returns
    -------
    NoiseTables
        Region and sensor maps cropped; all else shared.
    """
    part = (slice(*rows), slice(*columns))
    region = None if tables.region is None else np.ascontiguousarray(tables.region[part])
    maps = tables.maps and PixelMaps(
        gain=np.ascontiguousarray(tables.maps.gain[part]),
        offset=np.ascontiguousarray(tables.maps.offset[part]),
        read_variance=np.ascontiguousarray(tables.maps.read_variance[part]),
    )
    return replace(tables, region=region, maps=maps)
