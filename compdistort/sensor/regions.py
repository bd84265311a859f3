"""The parts of a sensor model: regions of the frame, and per-pixel maps."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CalibrationError

MAX_MAP_PIXELS = 2**28
MAP_NAMES = ("gain_e_per_dn", "offset_dn", "read_noise_e")
AGAIN = "write the file with `compdistort calibrate` or `estimate-noise`"

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRegion:
    """One part of the frame with one offset, gain and read noise, such as a tap.

    Attributes
    ----------
    name : str
        E.g. ``frame`` or ``tap 0,1``.
    offset_dn : float
        Grey level without light, DN.
    gain_e_per_dn : float
        Conversion gain in e-/DN, > 0.
    read_noise_e : float
        Read noise in e-, without the 1/12 DN^2 of the converter.
    rows, columns : tuple of int
        First and one past the last row and column; both (0, 0) mean everywhere.
    saturation_dn : float or None
        Grey level at which the variance drops; None where it was not reached.
    covariance : 3 x 3 tuple of float, or None
        Of (gain in DN/e-, read variance in DN^2, offset in DN).
    """

    name: str
    offset_dn: float
    gain_e_per_dn: float
    read_noise_e: float
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)
    saturation_dn: float | None = None
    covariance: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        require(math.isfinite(self.offset_dn), f"{self.name}: offset_dn {self.offset_dn} is not finite")
        require(0 < self.gain_e_per_dn < math.inf, f"{self.name}: gain_e_per_dn {self.gain_e_per_dn} is not above 0")
        require(0 <= self.read_noise_e < math.inf, f"{self.name}: read_noise_e {self.read_noise_e} is negative")
        full = self.saturation_dn
        require(
            full is None or self.offset_dn < full < math.inf, f"{self.name}: saturation {full} is not above the offset"
        )
        if self.covariance is not None:
            matrix = np.asarray(self.covariance, np.float64)
            good = matrix.shape == (3, 3) and np.isfinite(matrix).all() and (np.diag(matrix) >= 0).all()
            require(bool(good), f"{self.name}: the covariance is no finite 3 x 3 matrix with variances >= 0")

    @property
    def is_everywhere(self) -> bool:
        """Whether the region is the whole frame, of any shape."""
        return self.rows == (0, 0) and self.columns == (0, 0)

    @property
    def gain_dn_per_e(self) -> float:
        """Conversion gain K in DN/e-."""
        return 1.0 / self.gain_e_per_dn

    @property
    def read_noise_dn(self) -> float:
        """Read noise in DN, without 1/12 DN^2."""
        return self.read_noise_e / self.gain_e_per_dn

    @property
    def read_variance_dn2(self) -> float:
        """Read variance in DN^2, without 1/12 DN^2."""
        return self.read_noise_dn**2

    @property
    def gain_dn_per_e_standard_error(self) -> float | None:
        """Standard error of K in DN/e-; None where it is not known."""
        return None if self.covariance is None else math.sqrt(self.covariance[0][0])

    def crop(self, rows: tuple[int, int], columns: tuple[int, int]) -> "SensorRegion | None":
        """Return the part inside a crop, in the crop's pixels; None where there is none."""
        if self.is_everywhere:
            return self
        y0, y1 = max(self.rows[0], rows[0]) - rows[0], min(self.rows[1], rows[1]) - rows[0]
        x0, x1 = max(self.columns[0], columns[0]) - columns[0], min(self.columns[1], columns[1]) - columns[0]
        if y0 >= y1 or x0 >= x1:
            return None
        return replace(self, rows=(y0, y1), columns=(x0, x1))

    def everywhere(self) -> "SensorRegion":
        """Return the same values for a frame of any shape."""
        return replace(self, rows=(0, 0), columns=(0, 0))

    def describe(self) -> str:
        """Return one line: both gains, offset, read noise."""
        error = self.gain_dn_per_e_standard_error
        interval = "" if error is None else f" +- {1.96 * error:.4f} (95 %)"
        return (
            f"{self.name}: {self.gain_dn_per_e:.4f}{interval} DN/e- = {self.gain_e_per_dn:.4f} e-/DN, "
            f"offset {self.offset_dn:.1f} DN, read noise {self.read_noise_e:.2f} e- = {self.read_noise_dn:.2f} DN"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the region as JSON-safe data; the reciprocal gain and the noise in DN are for the reader."""
        return {
            "name": self.name,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "offset_dn": self.offset_dn,
            "gain_e_per_dn": self.gain_e_per_dn,
            "gain_dn_per_e": self.gain_dn_per_e,
            "gain_dn_per_e_standard_error": self.gain_dn_per_e_standard_error,
            "read_noise_e": self.read_noise_e,
            "read_noise_dn": self.read_noise_dn,
            "saturation_dn": self.saturation_dn,
            "covariance": None if self.covariance is None else [list(row) for row in self.covariance],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorMaps:
    """Per-pixel sensor values.

    Attributes
    ----------
    gain_e_per_dn, offset_dn, read_noise_e : ndarray of shape (rows, columns), float64
        As in `SensorRegion`, one value a pixel.
    """

    gain_e_per_dn: Float64
    offset_dn: Float64
    read_noise_e: Float64

    def __post_init__(self) -> None:
        arrays = [getattr(self, name) for name in MAP_NAMES]
        shapes = {array.shape for array in arrays}
        require(len(shapes) == 1 and arrays[0].ndim == 2, f"per-pixel maps of shapes {shapes} do not fit together")
        require(all(array.dtype == np.float64 for array in arrays), "per-pixel maps must be float64")
        require(
            all(bool(np.isfinite(array).all()) for array in arrays), "per-pixel maps hold values that are not finite"
        )
        require(bool((self.gain_e_per_dn > 0).all()), "per-pixel gain_e_per_dn holds values <= 0")
        require(bool((self.read_noise_e >= 0).all()), "per-pixel read_noise_e holds values < 0")

    def crop(self, rows: tuple[int, int], columns: tuple[int, int]) -> "SensorMaps":
        """Return the maps of a crop."""
        part = (slice(*rows), slice(*columns))
        return SensorMaps(**{name: np.ascontiguousarray(getattr(self, name)[part]) for name in MAP_NAMES})


def validate_model(
    regions: tuple[SensorRegion, ...], maps: SensorMaps | None, shape: tuple[int, int] | None, bits: int
) -> None:
    """Raise CalibrationError unless the parts of a model fit together: regions tile the frame, maps have its shape."""
    require(9 <= bits <= 16, f"bits {bits} is outside 9 to 16: 8-bit data is no raw sensor data")
    require(0 < len(regions) <= 256, f"{len(regions)} regions: a sensor has 1 to 256")
    for region in regions:
        require(
            (region.saturation_dn or 0) < 2**bits and region.offset_dn < 2**bits,
            f"{region.name}: offset or saturation lies above {2**bits - 1} DN, the top of {bits} bits",
        )
    if maps is not None:
        require(
            maps.offset_dn.shape == shape,
            f"per-pixel maps {maps.offset_dn.shape} do not have the frame's shape {shape}",
        )
    if regions[0].is_everywhere:
        require(len(regions) == 1, f"{len(regions)} regions, but '{regions[0].name}' is everywhere")
        return
    if shape is None:
        raise CalibrationError("regions need the shape of their frame", AGAIN)
    require(min(shape) > 0 and shape[0] * shape[1] <= MAX_MAP_PIXELS, f"frame shape {shape} is not usable")
    count = np.zeros(shape, np.uint16)
    for region in regions:
        (y0, y1), (x0, x1) = region.rows, region.columns
        require(0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1], f"{region.name} lies outside the frame {shape}")
        count[y0:y1, x0:x1] += 1
    require(bool((count == 1).all()), "the regions overlap or leave parts of the frame without a model")


def require(condition: bool, what: str) -> None:
    """Raise CalibrationError with `what` unless `condition` holds."""
    if not condition:
        raise CalibrationError(what, AGAIN)
