"""Why scenes distort differently: outlines are where compression moves pixels, so their share of an object matters."""

from dataclasses import dataclass

import numpy as np

from compdistort.report.inputs import ReportInput
from compdistort.report.pictures import boundary

BOUNDARY = {"Area": "Perim.", "Volume": "Surface"}
"""What bounds an object, by what its size is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Shape of the scene in a few numbers; NaN where there is no object.

    Pixels of a volume are those of the plane that is shown.

    Attributes
    ----------
    n_objects : int
        Objects of the raw image.
    cover : float
        Fraction of the image that objects cover.
    median_size : float
        Median area or volume of an object, own unit.
    boundary_pixels : float
        Mean number of outline pixels of an object.
    boundary_share : float
        Fraction of all object pixels that lie on an outline.
    boundary_per_size : float
        Sum of the perimeters (surfaces) over the sum of the areas (volumes), 1 / unit of length.
    contrast : float
        Mean grey level inside minus outside the objects, in units of the mean pixel noise; NaN where images go through
        steps, after which the noise of a pixel is not known.
    """

    n_objects: int
    cover: float
    median_size: float
    boundary_pixels: float
    boundary_share: float
    boundary_per_size: float
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
            median_size=nan,
            boundary_pixels=nan,
            boundary_share=nan,
            boundary_per_size=nan,
            contrast=nan,
        )
    outline = int(boundary(report.labels).sum())
    measurands = report.measurands
    size, border = (
        report.raw_values[:, measurands.index(name)] for name in (measurands.size, BOUNDARY[measurands.size])
    )
    seen = n if measurands.ndim == 2 else int(np.unique(report.labels[inside]).size)
    step = float(report.raw[inside].mean() - report.raw[~inside].mean()) if not inside.all() else float("nan")
    noise = float(report.sigma_dn.mean()) if report.recorded is None else 0.0
    return Geometry(
        n_objects=n,
        cover=float(inside.mean()),
        median_size=float(np.median(size)),
        boundary_pixels=outline / seen,
        boundary_share=outline / int(inside.sum()),
        boundary_per_size=float(border.sum() / size.sum()),
        contrast=step / noise if noise > 0 else float("nan"),
    )
