"""Parallel-beam tomography: raw projections to line integrals, filtered back-projection, contrast of the volume."""

from compdistort.reconstruct.attenuation import LineIntegrals, attenuation
from compdistort.reconstruct.centre import CentreSearch, find_centre
from compdistort.reconstruct.contrast import (
    ContrastStretch,
    StretchLimits,
    contrast_stretch,
    stretch_between,
    stretch_limits,
)
from compdistort.reconstruct.geometry import FILTERS, INTERPOLATIONS, SIZES, ParallelBeam
from compdistort.reconstruct.volume import reconstruct, reconstruction_bytes

__all__ = [
    "FILTERS",
    "INTERPOLATIONS",
    "SIZES",
    "CentreSearch",
    "ContrastStretch",
    "LineIntegrals",
    "ParallelBeam",
    "StretchLimits",
    "attenuation",
    "contrast_stretch",
    "find_centre",
    "reconstruct",
    "reconstruction_bytes",
    "stretch_between",
    "stretch_limits",
]
