"""What is predicted of an image: the parameters of its objects and its totals, for planes and for volumes.

Scores, reports and studies take a `Measurands` and know nothing else of the number of axes. Planes: the 19 parameters
of Pomarico et al. (2022) in pixels, `PLANAR`. Volumes: `volume_measurands`, in units of the voxels' size. Both may have
totals at further thresholds and the load of an organ beside them: `Further`.
"""

from compdistort.measurands.base import AT, Further, Measurands, Parameter, Total, total_meaning, unit_of
from compdistort.measurands.further import further_values, with_further
from compdistort.measurands.planar import PARAMETER_INFO, PARAMETER_SLICE, PLANAR
from compdistort.measurands.spatial import UNIT_VOXEL, Voxel, volume_measurands

__all__ = [
    "AT",
    "PARAMETER_INFO",
    "PARAMETER_SLICE",
    "PLANAR",
    "UNIT_VOXEL",
    "Further",
    "Measurands",
    "Parameter",
    "Total",
    "Voxel",
    "further_values",
    "measurands_of",
    "total_meaning",
    "unit_of",
    "volume_measurands",
    "with_further",
]


def measurands_of(ndim: int, voxel_um: Voxel | None = None, further: Further | None = None) -> Measurands:
    """Return what is predicted of images of a number of axes (see `PLANAR`, `volume_measurands`, `with_further`)."""
    of_table = PLANAR if ndim == 2 else volume_measurands(voxel_um)
    return of_table if further is None else with_further(of_table, further)
