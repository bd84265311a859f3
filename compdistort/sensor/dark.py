"""What dark pairs tell about noise that no replicate can have: correlated pixels and noisy rows or columns."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.sensor.frames import FramePairs
from compdistort.sensor.layout import RegionLayout
from compdistort.sensor.levels import cut

Float64 = NDArray[np.float64]

MAX_CORRELATION = 0.05
MAX_LINE_SHARE = 0.02
"""Shares above which a warning is given: 0.05 changes the noise after smoothing by about 10 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkNoise:
    """Structure of the temporal noise of the dark, dimensionless.

    Attributes
    ----------
    row_neighbour, column_neighbour : float
        Correlation of neighbours in a row, and in a column.
    row_share, column_share : float
        Variance of whole rows, and of whole columns, over the variance of a pixel; 0 for white noise.
    correlation_error, row_error, column_error : float
        Standard errors for white noise.
    """

    row_neighbour: float
    column_neighbour: float
    row_share: float
    column_share: float
    correlation_error: float
    row_error: float
    column_error: float

    def to_dict(self) -> dict[str, float]:
        """Return the numbers as JSON-safe data."""
        return asdict(self)

    def warnings(self, name: str) -> tuple[str, ...]:
        """Return what a reader must know: replicates have independent pixels only."""
        said = []
        for what, value, error, limit in (
            ("neighbours in a row correlate", self.row_neighbour, self.correlation_error, MAX_CORRELATION),
            ("neighbours in a column correlate", self.column_neighbour, self.correlation_error, MAX_CORRELATION),
            ("whole rows carry a share", self.row_share, self.row_error, MAX_LINE_SHARE),
            ("whole columns carry a share", self.column_share, self.column_error, MAX_LINE_SHARE),
        ):
            if abs(value) > max(limit, 4 * error):
                said.append(
                    f"{name}: dark noise is not white, {what} ({value:.3f}); replicates have independent pixels, so"
                    " uncertainties after smoothing come out too small"
                )
        return tuple(said)


def dark_noise(dark: FramePairs, region: RegionLayout) -> DarkNoise:
    """Measure correlation and line noise on the differences of dark pairs.

    Differences hold no fixed pattern. Single values are cut at 6 standard deviations.
    """
    parts = [_standardise(cut(a, region) - cut(b, region)) for a, b in zip(dark.a, dark.b, strict=True)]
    shape = parts[0].shape
    n = len(parts)
    return DarkNoise(
        row_neighbour=float(np.mean([np.mean(d[:, 1:] * d[:, :-1]) for d in parts])),
        column_neighbour=float(np.mean([np.mean(d[1:] * d[:-1]) for d in parts])),
        row_share=float(np.mean([d.mean(axis=1).var(ddof=1) for d in parts])) - 1 / shape[1],
        column_share=float(np.mean([d.mean(axis=0).var(ddof=1) for d in parts])) - 1 / shape[0],
        correlation_error=(n * shape[0] * shape[1]) ** -0.5,
        row_error=(2 / (n * (shape[0] - 1))) ** 0.5 / shape[1],
        column_error=(2 / (n * (shape[1] - 1))) ** 0.5 / shape[0],
    )


def _standardise(difference: Float64) -> Float64:
    d = difference - difference.mean()
    sd = d.std()
    clipped = np.clip(d, -6 * sd, 6 * sd)
    out: Float64 = (clipped - clipped.mean()) / clipped.std()
    return out
