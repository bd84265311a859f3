"""The law of a pixel's noise as the quantiser takes it: numbers, a table over the grey level, or one set a pixel."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CalibrationError, ConfigError
from compdistort.sensor.model import SensorModel

Float64 = NDArray[np.float64]

MAX_TABLE = 4096
_LARGEST = 1e9
"""Beyond which no number of a law is believed: the quantiser's arithmetic is safe below."""
_MAP_NAMES = ("offset_dn", "gain_dn_per_e", "read_noise_dn")


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceTable:
    """Noise variance measured at some grey levels; linear between them, constant beyond.

    Attributes
    ----------
    levels_dn : tuple of float
        Mean grey levels, DN, rising.
    variances_dn2 : tuple of float
        Noise variance at each, DN^2, > 0.
    """

    levels_dn: tuple[float, ...]
    variances_dn2: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("levels_dn", "variances_dn2"):
            object.__setattr__(self, name, tuple(_number(name, each) for each in getattr(self, name)))
        rising = all(a < b for a, b in zip(self.levels_dn, self.levels_dn[1:], strict=False))
        good = len(self.levels_dn) == len(self.variances_dn2) and 2 <= len(self.levels_dn) <= MAX_TABLE
        if not (good and rising and min(self.variances_dn2) > 0):
            raise ConfigError(
                f"a table of {len(self.levels_dn)} levels and {len(self.variances_dn2)} variances is not usable",
                f"give 2 to {MAX_TABLE} rising levels_dn and a variance above 0 for each",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseMaps:
    """One offset, gain and read noise a pixel.

    Attributes
    ----------
    offset_dn, gain_dn_per_e, read_noise_dn : ndarray of shape (rows, columns), float64
        As in `NoiseLaw`.
    """

    offset_dn: Float64
    gain_dn_per_e: Float64
    read_noise_dn: Float64

    def __post_init__(self) -> None:
        arrays = [getattr(self, name) for name in _MAP_NAMES]
        fits = len({each.shape for each in arrays}) == 1 and arrays[0].ndim == 2
        good = fits and all(each.dtype == np.float64 and np.isfinite(each).all() for each in arrays)
        if not (good and (self.gain_dn_per_e > 0).all() and (self.read_noise_dn >= 0).all()):
            raise ConfigError(
                f"noise maps of shapes {[each.shape for each in arrays]} are not usable",
                "give finite float64 maps of one shape, gains above 0 and read noise not below 0",
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseMaps) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in _MAP_NAMES
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """128-bit BLAKE2b of shape and values, in hexadecimal digits."""
        shape = repr(self.offset_dn.shape).encode()
        raw = b"".join(np.ascontiguousarray(getattr(self, name), "<f8").tobytes() for name in _MAP_NAMES)
        return hashlib.blake2b(shape + raw, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLaw:
    """Noise variance of a pixel at a grey level y: ``read_noise_dn**2 + gain_dn_per_e * max(y - offset_dn, 0)``.

    Attributes
    ----------
    offset_dn : float
        Grey level without light, DN.
    gain_dn_per_e : float
        K in DN/e-, > 0; of an EMCCD times its excess noise factor squared.
    read_noise_dn : float
        Standard deviation without light, DN, without the 1/12 DN^2 of rounding.
    max_dn : int
        Largest grey level, at which pixels are saturated.
    estimated : bool
        True where the numbers come from the image itself and not from calibration frames.
    table : VarianceTable or None
        Overrules gain and read noise.
    maps : NoiseMaps or None
        Overrule the numbers, which are then their medians.

    Examples
    --------
    >>> law = NoiseLaw(offset_dn=100, gain_dn_per_e=2.0, read_noise_dn=3.0)
    >>> law.variance_dn2(np.array([90, 100, 150])).tolist()
    [9.0, 9.0, 109.0]
    >>> NoiseLaw.from_config(law.to_config()) == law
    True
    """

    offset_dn: float
    gain_dn_per_e: float
    read_noise_dn: float
    max_dn: int = 65535
    estimated: bool = False
    table: VarianceTable | None = None
    maps: NoiseMaps | None = None

    def __post_init__(self) -> None:
        for name in _MAP_NAMES:
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name, value, good, wanted in (
            ("gain_dn_per_e", self.gain_dn_per_e, self.gain_dn_per_e > 1 / _LARGEST, "above 0"),
            ("read_noise_dn", self.read_noise_dn, self.read_noise_dn >= 0, "not below 0"),
            ("max_dn", self.max_dn, type(self.max_dn) is int and 1 <= self.max_dn <= 65535, "1 to 65535"),
            ("estimated", self.estimated, isinstance(self.estimated, bool), "true or false"),
        ):
            if not good:
                raise ConfigError(f"noise law: {name} = {value!r} is not possible", f"it must be {wanted}")
        if self.table is not None and self.maps is not None:
            raise ConfigError("noise law: both a variance table and maps are given", "give one of them")

    @classmethod
    def from_sensor(cls, sensor: SensorModel, *, frames: int = 1, allow_estimated: bool = False) -> Self:
        """Return the law of a calibrated sensor.

        Parameters
        ----------
        sensor : SensorModel
            Of the whole frame, of regions, or of pixels; regions become maps.
        frames : int
            The image is the mean of so many frames: gain and read variance are divided by it.
        allow_estimated : bool
            Take a sensor that was estimated from a single image, too; the law says so.

        Raises
        ------
        CalibrationError
            If the sensor is estimated and that is not allowed: no claim about noise can rest on it.
        ConfigError
            If `frames` is no whole number from 1.
        """
        if type(frames) is not int or frames < 1:
            raise ConfigError(f"frames = {frames!r} is not possible", "use a whole number, 1 or more")
        if sensor.estimated and not allow_estimated:
            raise CalibrationError(
                "the sensor model is an estimate from a single image, and nothing can be promised about added noise",
                "calibrate the camera, or allow it on purpose (allow_estimated = true); the result is then marked",
            )
        gain, offset, read = (np.asarray(each, np.float64) for each in sensor.parameters())
        values = {"offset_dn": offset, "gain_dn_per_e": gain / frames, "read_noise_dn": np.sqrt(read / frames)}
        return cls(
            offset_dn=float(np.median(offset)),
            gain_dn_per_e=float(np.median(values["gain_dn_per_e"])),
            read_noise_dn=float(np.median(values["read_noise_dn"])),
            max_dn=sensor.max_dn,
            estimated=sensor.estimated,
            maps=NoiseMaps(**values) if gain.ndim == 2 else None,
        )

    @property
    def digest(self) -> str | None:
        """Content hash of the maps; None without."""
        return None if self.maps is None else self.maps.digest

    def variance_dn2(self, levels: NDArray[Any]) -> Float64:
        """Return the noise variance at grey levels.

        Parameters
        ----------
        levels : ndarray of any shape; (..., rows, columns) of the maps where there are maps
            Grey levels, DN.

        Returns
        -------
        ndarray of the shape of `levels`, float64
            DN^2, without the 1/12 DN^2 of rounding.
        """
        y = np.asarray(levels, np.float64)
        if self.table is not None:
            return np.interp(y, self.table.levels_dn, self.table.variances_dn2)
        law = self if self.maps is None else self.maps
        signal: Float64 = np.maximum(y - law.offset_dn, 0.0)
        return np.asarray(law.read_noise_dn**2 + law.gain_dn_per_e * signal, np.float64)

    def scaled(self, lattice: int) -> Self:
        """Return the law of ``y / lattice``, for words that hold grey levels times a power of two."""
        if lattice == 1:
            return self
        table = self.table and VarianceTable(
            levels_dn=tuple(level / lattice for level in self.table.levels_dn),
            variances_dn2=tuple(variance / lattice**2 for variance in self.table.variances_dn2),
        )
        maps = self.maps and NoiseMaps(**{name: getattr(self.maps, name) / lattice for name in _MAP_NAMES})
        numbers = {name: getattr(self, name) / lattice for name in _MAP_NAMES}
        return replace(self, **numbers, max_dn=max(1, self.max_dn // lattice), table=table, maps=maps)

    def crop(self, rows: slice, columns: slice) -> Self:
        """Return the law of a part of the frame: itself unless there are maps."""
        if self.maps is None:
            return self
        cut = {name: np.ascontiguousarray(getattr(self.maps, name)[rows, columns]) for name in _MAP_NAMES}
        return replace(self, maps=NoiseMaps(**cut))

    def arrays(self) -> dict[str, Float64]:
        """Return the maps by name; empty where there are none."""
        return {} if self.maps is None else {name: getattr(self.maps, name) for name in _MAP_NAMES}

    def to_config(self) -> dict[str, Any]:
        """Return the law as JSON data; of maps only their content hash (``maps``), the arrays are in `arrays`."""
        config = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("table", "maps")
        }
        if self.table is not None:
            names = ("levels_dn", "variances_dn2")
            config["table"] = {name: list(getattr(self.table, name)) for name in names}
        return config if self.maps is None else config | {"maps": self.digest}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], arrays: Mapping[str, Float64] | None = None) -> Self:
        """Return the law that `to_config` and `arrays` gave.

        Raises
        ------
        ConfigError
            If a value is missing, unknown or impossible, or the maps are not those that the configuration names.
        """
        known = {field.name for field in fields(cls)}
        given = dict(config)
        unknown, missing = set(given) - known, set(_MAP_NAMES) - set(given)
        if unknown or missing:
            raise ConfigError(
                f"noise law: unknown {sorted(unknown)}, missing {sorted(missing)}", f"it has {', '.join(sorted(known))}"
            )
        digest, table = given.pop("maps", None), given.pop("table", None)
        maps = NoiseMaps(**arrays) if arrays else None
        if digest != (None if maps is None else maps.digest):
            raise ConfigError(
                "noise law: its per-pixel maps are missing or others", "give the sensor model of the image"
            )
        return cls(**given, table=None if table is None else _table(table), maps=maps)


def _table(config: Any) -> VarianceTable:
    if not isinstance(config, Mapping) or set(config) != {"levels_dn", "variances_dn2"}:
        raise ConfigError("noise law: its table is not usable", "give levels_dn and variances_dn2")
    return VarianceTable(levels_dn=tuple(config["levels_dn"]), variances_dn2=tuple(config["variances_dn2"]))


def _number(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not (number and abs(value) <= _LARGEST):
        raise ConfigError(f"noise law: {name} = {value!r} is not possible", f"give a number up to {_LARGEST:g}")
    return float(value)
