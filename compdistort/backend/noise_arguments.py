"""What both twins of the sampler demand of their arguments."""

from typing import NamedTuple

import numpy as np

from compdistort.backend.records import NoiseTables, UInt8, UInt16

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
    if raw.ndim not in (2, 3):
        raise ValueError(f"raw must have 2 or 3 axes, not {raw.ndim}")
    plane = raw.shape[-2:]
    for name, array in (("region map", noise.region), ("sensor maps", None if noise.maps is None else noise.maps.gain)):
        if array is not None and array.shape != plane:
            raise ValueError(f"the tables' {name} has shape {array.shape}, the image {plane}: crop the tables as well")
    if raw.size and int(raw.max()) > noise.top:
        raise ValueError(f"raw holds {int(raw.max())} DN, above the tables' top of {noise.top} DN")
    if len(replicates) and not 0 <= min(replicates) <= max(replicates) < MAX_REPLICATES:
        raise ValueError(f"replicates {replicates} must lie in 0 .. 2**32 - 1")
    volume = raw.reshape(-1, *plane)
    if any(o < 0 or o + n > COORDINATES for o, n in zip(origin, volume.shape, strict=True)):
        raise ValueError(f"origin {origin} must be whole numbers >= 0 that fit 32 bits")
    region = np.zeros(plane, np.uint8) if noise.region is None else noise.region
    return NoiseArguments(volume, region)
