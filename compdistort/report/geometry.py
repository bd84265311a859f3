"""Why scenes distort differently: outlines are where compression moves pixels, so their share of an object matters."""

from dataclasses import dataclass

import numpy as np

from compdistort.backend.base import PARAMETERS
from compdistort.report.inputs import ReportInput
from compdistort.report.pictures import boundary

_AREA, _PERIMETER = PARAMETERS.index("Area"), PARAMETERS.index("Perim.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Shape of the scene in a few numbers; NaN where there is no object.

    Attributes
    ----------
    n_objects : int
        Objects of the raw image.
    cover : float
        Fraction of the image that objects cover.
    median_area_px2 : float
        Median area of an object.
    boundary_pixels : float
        Mean number of outline pixels of an object.
    boundary_share : float
        Fraction of all object pixels that lie on an outline.
    perimeter_per_area : float
        Sum of the perimeters over the sum of the areas, 1/px.
    contrast : float
        Mean grey level inside minus outside the objects, in units of the mean pixel noise.
    """

    n_objects: int
    cover: float
    median_area_px2: float
    boundary_pixels: float
    boundary_share: float
    perimeter_per_area: float
    contrast: float


def scene_geometry(report: ReportInput) -> Geometry:
    """Measure the raw image's objects.

    Parameters
    ----------
    report : ReportInput
        The study.
    """
    inside = report.labels > 0
    n = len(report.raw_values)
    if n == 0 or not inside.any():
        nan = float("nan")
        return Geometry(
            n_objects=n,
            cover=float(inside.mean()),
            median_area_px2=nan,
            boundary_pixels=nan,
            boundary_share=nan,
            perimeter_per_area=nan,
            contrast=nan,
        )
    outline = int(boundary(report.labels).sum())
    area, perimeter = report.raw_values[:, _AREA], report.raw_values[:, _PERIMETER]
    step = float(report.raw[inside].mean() - report.raw[~inside].mean()) if not inside.all() else float("nan")
    noise = float(report.sigma_dn.mean())
    return Geometry(
        n_objects=n,
        cover=float(inside.mean()),
        median_area_px2=float(np.median(area)),
        boundary_pixels=outline / n,
        boundary_share=outline / int(inside.sum()),
        perimeter_per_area=float(perimeter.sum() / area.sum()),
        contrast=step / noise if noise > 0 else float("nan"),
    )
