"""What is predicted of an image: the parameters of its objects and its totals, for planes and for volumes.

Scores, reports and studies take a `Measurands` and know nothing else of the number of axes. Planes: the 19 parameters
of Pomarico et al. (2022) in pixels, `PLANAR`. Volumes: `volume_measurands`, in units of the voxels' size.
"""

from compdistort.measurands.base import TOTAL_MEANINGS, Measurands, Parameter, Total, unit_of
from compdistort.measurands.planar import PARAMETER_INFO, PARAMETER_SLICE, PLANAR
from compdistort.measurands.spatial import UNIT_VOXEL, Voxel, volume_measurands

__all__ = [
    "PARAMETER_INFO",
    "PARAMETER_SLICE",
    "PLANAR",
    "TOTAL_MEANINGS",
    "UNIT_VOXEL",
    "Measurands",
    "Parameter",
    "Total",
    "Voxel",
    "measurands_of",
    "unit_of",
    "volume_measurands",
]


def measurands_of(ndim: int, voxel_um: Voxel | None = None) -> Measurands:
    """Return what is predicted of images of a number of axes (see `PLANAR`, `volume_measurands`)."""
    return PLANAR if ndim == 2 else volume_measurands(voxel_um)
