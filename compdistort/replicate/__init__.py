"""Raw-equivalent replicates: what the camera would have read in another exposure of the same scene."""

from compdistort.backend.noise_arguments import crop_tables
from compdistort.replicate.diagnostics import (
    LawDistance,
    SaturationReport,
    law_distance,
    noise_notices,
    saturation_report,
)
from compdistort.replicate.drawing import (
    PixelSums,
    draw,
    draw_uploaded,
    pixel_deviation,
    pixel_mean,
    pixel_sums,
    pixel_variance,
)
from compdistort.replicate.tables import LAWS, noise_tables, tables_sha256

__all__ = [
    "LAWS",
    "LawDistance",
    "PixelSums",
    "SaturationReport",
    "crop_tables",
    "draw",
    "draw_uploaded",
    "law_distance",
    "noise_notices",
    "noise_tables",
    "pixel_deviation",
    "pixel_mean",
    "pixel_sums",
    "pixel_variance",
    "saturation_report",
    "tables_sha256",
]
