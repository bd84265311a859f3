"""The sensor model: offset, conversion gain and read noise, for the whole frame, per region or per pixel.

`gain_e_per_dn` is in e-/DN; its reciprocal K [DN/e-] stands beside it wherever a number is shown.
`read_noise_e` excludes the converter's 1/12 DN^2, so that rounding a replicate adds it back.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.errors import CalibrationError
from compdistort.grey_levels import GreyLevels
from compdistort.sensor import check, sensor_format
from compdistort.sensor.regions import SensorMaps, SensorRegion, validate_model

__all__ = ["SensorMaps", "SensorModel", "SensorRegion"]

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorModel:
    """How a sensor turns photo-electrons into digital numbers.

    Attributes
    ----------
    regions : tuple of SensorRegion
        One region with ``rows == columns == (0, 0)`` means the whole frame, whatever its shape. More regions tile
        `frame_shape` without overlap, in the order of their first pixel.
    maps : SensorMaps or None
        Per-pixel values of shape `frame_shape`; they overrule the regions.
    frame_shape : tuple of int or None
        (rows, columns) that regions and maps refer to; None where the model fits any shape.
    bits : int
        Bit depth of the digital numbers, 9 to 16.
    estimated : bool
        True where the model comes from a single image and not from calibration frames.
    source : dict
        Where it comes from, JSON-safe.

    Examples
    --------
    >>> sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=2.0, read_noise_e=4.0)
    >>> sensor.kind, sensor.max_dn, sensor.regions[0].gain_dn_per_e
    ('scalar', 65535, 0.5)
    >>> sensor.variance_dn2(np.array([90.0, 100.0, 300.0])).tolist()
    [0.0, 4.0, 104.0]
    """

    regions: tuple[SensorRegion, ...]
    maps: SensorMaps | None = None
    frame_shape: tuple[int, int] | None = None
    bits: int = 16
    estimated: bool = False
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        validate_model(self.regions, self.maps, self.frame_shape, self.bits)

    @classmethod
    def scalar(
        cls,
        *,
        offset_dn: float,
        gain_e_per_dn: float,
        read_noise_e: float,
        saturation_dn: float | None = None,
        bits: int = 16,
        estimated: bool = False,
        source: dict[str, Any] | None = None,
    ) -> "SensorModel":
        """Return a model of one offset (DN), gain (e-/DN) and read noise (e-) for every pixel of any frame."""
        region = SensorRegion(
            name="frame",
            offset_dn=float(offset_dn),
            gain_e_per_dn=float(gain_e_per_dn),
            read_noise_e=float(read_noise_e),
            saturation_dn=None if saturation_dn is None else float(saturation_dn),
        )
        return cls(regions=(region,), bits=bits, estimated=estimated, source=source or {})

    @property
    def kind(self) -> str:
        """``"scalar"``, ``"regions"`` or ``"pixel"``."""
        if self.maps is not None:
            return "pixel"
        return "scalar" if self.regions[0].is_everywhere else "regions"

    @property
    def max_dn(self) -> int:
        """Largest digital number, ``2**bits - 1``."""
        return (1 << self.bits) - 1

    @property
    def saturation_dn(self) -> float:
        """Lowest saturation of the regions in DN; `max_dn` where none is known."""
        known = [region.saturation_dn for region in self.regions if region.saturation_dn is not None]
        return min([*known, float(self.max_dn)])

    def region_map(self) -> NDArray[np.uint8] | None:
        """Return the index of every pixel's region, uint8 of shape `frame_shape`; None for a scalar model."""
        if self.frame_shape is None or self.regions[0].is_everywhere:
            return None
        out = np.zeros(self.frame_shape, np.uint8)
        for index, region in enumerate(self.regions):
            out[slice(*region.rows), slice(*region.columns)] = index
        return out

    def parameters(self) -> tuple[Float64 | float, Float64 | float, Float64 | float]:
        """Return (gain in DN/e-, offset in DN, read variance in DN^2): numbers, or arrays of shape `frame_shape`."""
        if self.maps is not None:
            gain = 1.0 / self.maps.gain_e_per_dn
            return gain, self.maps.offset_dn, (gain * self.maps.read_noise_e) ** 2
        values = np.array([(r.gain_dn_per_e, r.offset_dn, r.read_variance_dn2) for r in self.regions])
        index = self.region_map()
        if index is None:
            return float(values[0, 0]), float(values[0, 1]), float(values[0, 2])
        return values[index, 0], values[index, 1], values[index, 2]

    def variance_dn2(self, y: NDArray[Any]) -> Float64:
        """Return the noise variance at grey levels `y`, without the 1/12 DN^2 of rounding.

        Parameters
        ----------
        y : ndarray, any shape; (..., rows, columns) of `frame_shape` unless the model is scalar
            Grey levels, DN.

        Returns
        -------
        ndarray of the shape of `y`, float64
            ``max(0, K^2 sigma_d^2 + K (y - offset))`` in DN^2: the total is clipped, never the signal, which would
            inflate the noise of dark areas.
        """
        gain, offset, read_variance = self.parameters()
        total: Float64 = read_variance + gain * (np.asarray(y, np.float64) - offset)
        return np.maximum(total, 0.0)

    def crop(self, rows: tuple[int, int], columns: tuple[int, int]) -> "SensorModel":
        """Return the model of a crop of the frame.

        Parameters
        ----------
        rows, columns : tuple of int
            First and one past the last row and column, in pixels of the frame.

        Raises
        ------
        CalibrationError
            If the crop is empty or reaches beyond the frame.
        """
        if self.frame_shape is None:
            return self
        for name, (start, stop), size in zip(("rows", "columns"), (rows, columns), self.frame_shape, strict=True):
            if not 0 <= start < stop <= size:
                raise CalibrationError(
                    f"crop {name} {start}:{stop} lie outside the sensor's frame of {size} {name}",
                    "crop inside the frame that was calibrated",
                )
        regions = tuple(part for region in self.regions if (part := region.crop(rows, columns)) is not None)
        maps = None if self.maps is None else self.maps.crop(rows, columns)
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        source = {**self.source, "crop": [*rows, *columns]}
        return replace(self, regions=regions, maps=maps, frame_shape=shape, source=source)

    def check_image(
        self, image: NDArray[Any] | PlaneReader, name: str, levels: GreyLevels | None = None
    ) -> tuple[str, ...]:
        """Refuse an image that this sensor cannot have taken; return warnings about one that it can.

        Parameters
        ----------
        image : ndarray of shape (..., rows, columns), uint16; or PlaneReader
            Raw image, DN. Noise is compared in the middle plane.
        name : str
            What to call it in messages, e.g. its path.
        levels : GreyLevels, optional
            The grey levels of the image, where they are counted already.

        Raises
        ------
        CalibrationError
            Another shape than `frame_shape`, the offset above the median grey level, values above the range, or noise
            in flat areas that contradicts the model.
        """
        return check.check_image(self, image, name, levels)

    def describe(self) -> str:
        """Return one line a region: both gains, offset and read noise, marked where estimated."""
        mark = " (estimated from a single image)" if self.estimated else ""
        return "\n".join(region.describe() + mark for region in self.regions)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON-safe data, without the arrays of `maps`."""
        return {
            "format": sensor_format.FORMAT,
            "version": sensor_format.VERSION,
            "kind": self.kind,
            "estimated": self.estimated,
            "bits": self.bits,
            "frame_shape": None if self.frame_shape is None else list(self.frame_shape),
            "regions": [region.to_dict() for region in self.regions],
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, data: Any, maps: SensorMaps | None = None, where: str = "sensor") -> "SensorModel":
        """Return the model that `to_dict` wrote; `maps` holds the arrays of a per-pixel one.

        Raises
        ------
        CalibrationError
            If anything is missing, of the wrong kind or impossible; `where` names the file.
        """
        fields = sensor_format.parse_fields(data, where)
        kind = fields.pop("kind")
        if (kind == "pixel") != (maps is not None):
            raise CalibrationError(f"{where}: kind '{kind}' does not fit its maps", "calibrate again")
        try:
            return cls(maps=maps, **fields)
        except CalibrationError as error:
            raise CalibrationError(f"{where}: {error.what}", error.remedy) from error
