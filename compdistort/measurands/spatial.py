"""What is predicted of a volume: size, surface, place and shape of its objects, in units of the voxels' size."""

import math
from functools import partial

import numpy as np

from compdistort.backend.base import VOLUME_COLUMNS, Float64
from compdistort.backend.surface import SURFACE_COLUMNS, surface_area
from compdistort.errors import ConfigError
from compdistort.measurands.base import MICROMETRE, PX, TOTAL_MEANINGS, Measurands, Parameter, Total, mean_of

Voxel = tuple[float, float, float]
"""Size of a voxel: (plane, row, column)."""

UNIT_VOXEL: Voxel = (1.0, 1.0, 1.0)


def volume_measurands(voxel_um: Voxel | None = None) -> Measurands:
    """Return what is predicted of a volume.

    Parameters
    ----------
    voxel_um : (plane, row, column), optional
        Size of a voxel in micrometres; without it lengths are in voxels, which then count as cubes.

    Returns
    -------
    Measurands
        Volume; surface area (marching cubes at 0.5 of the object's mask); centre of mass; diameter of the sphere of
        the same volume; sphericity pi^(1/3) (6 V)^(2/3) / S; extent along each axis. Totals: N, V, SA and the mean
        volume.

    Raises
    ------
    ConfigError
        If a size is not above zero.

    Examples
    --------
    >>> volume_measurands().names
    ('Volume', 'Surface', 'XM', 'YM', 'ZM', 'EquivDiam', 'Sphericity', 'Width', 'Height', 'Depth')
    >>> volume_measurands((6.0, 1.5, 1.5)).parameter("Volume").step
    13.5
    """
    voxel, length = (UNIT_VOXEL, PX) if voxel_um is None else (voxel_um, MICROMETRE)
    if len(voxel) != 3 or not all(math.isfinite(side) and side > 0 for side in voxel):
        raise ConfigError(f"voxel size {voxel} is unusable", "give three lengths above 0: plane, row, column")
    step = math.prod(voxel)
    z, y, x = voxel
    return Measurands(
        ndim=3,
        columns=VOLUME_COLUMNS,
        parameters=(
            Parameter("Volume", "volume", "volume", step, None, None, "volume", length),
            Parameter("Surface", "surface area", "area", 0.0, None, None, "surface area", length),
            Parameter("XM", "centre of mass, x", "position", 0.0, None, None, "centre of mass, column", length),
            Parameter("YM", "centre of mass, y", "position", 0.0, None, None, "centre of mass, row", length),
            Parameter("ZM", "centre of mass, z", "position", 0.0, None, None, "centre of mass, plane", length),
            Parameter(
                "EquivDiam", "equivalent diameter", "length", 0.0, "equivalent_diameter_area", None,
                "diameter of the sphere of the same volume", length,
            ),
            Parameter(
                "Sphericity", "sphericity", "ratio", 0.0, None, None, "surface of that sphere / surface of the object"
            ),
            Parameter("Width", "width", "length", x, None, None, "extent over columns", length),
            Parameter("Height", "height", "length", y, None, None, "extent over rows", length),
            Parameter("Depth", "depth", "length", z, None, None, "extent over planes", length),
        ),
        table_totals=(
            Total("N", TOTAL_MEANINGS["N"], "count", 1.0),
            Total("V", TOTAL_MEANINGS["V"], "volume", step, length=length),
            Total("SA", TOTAL_MEANINGS["SA"], "area", length=length),
            Total("mean_volume", TOTAL_MEANINGS["mean_volume"], "volume", decides=False, length=length),
        ),
        size="Volume",
        centre=("XM", "YM", "ZM"),
        of_table=partial(_volume_parameters, voxel),
        of_image=partial(_volume_totals, step),
    )  # fmt: skip


def _volume_parameters(voxel: Voxel, values: Float64) -> Float64:
    column = {name: values[:, k] for k, name in enumerate(VOLUME_COLUMNS)}
    z, y, x = voxel
    volume = column["Volume"] * math.prod(voxel)
    surface = surface_area(values[:, [VOLUME_COLUMNS.index(name) for name in SURFACE_COLUMNS]], voxel)
    found = (
        volume, surface, column["XM"] * x, column["YM"] * y, column["ZM"] * z, np.cbrt(6 / np.pi * volume),
        np.cbrt(np.pi) * np.cbrt(6 * volume) ** 2 / surface, column["Width"] * x, column["Height"] * y,
        column["Depth"] * z,
    )  # fmt: skip
    return np.stack(found, axis=1)


def _volume_totals(step: float, parameters: Float64) -> tuple[float, ...]:
    """Return the totals: images of as many voxels have one and the same volume, whatever objects share them."""
    n_objects, surface = float(parameters.shape[0]), math.fsum(parameters[:, 1].tolist())
    volume = step * round(math.fsum(parameters[:, 0].tolist()) / step)
    return n_objects, volume, surface, mean_of(volume, n_objects)
