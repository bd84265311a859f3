"""Which sensor `encode` takes its noise law from, and what a header tells of it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compdistort.errors import ConfigError
from compdistort.io.files import sha256_file
from compdistort.sensor.model import SensorModel
from compdistort.sensor.sensor_file import load_sensor


@dataclass(frozen=True, slots=True)
class KnownSensor:
    """A sensor, and where it comes from.

    Attributes
    ----------
    model : SensorModel
        The sensor.
    origin : dict
        JSON-safe, for the header of a file: name, hash and date of the sensor file.
    """

    model: SensorModel
    origin: dict[str, Any]


def sensor_of_file(path: Path) -> KnownSensor:
    """Return the sensor of a file.

    Parameters
    ----------
    path : Path
        Sensor file.

    Returns
    -------
    KnownSensor

    Raises
    ------
    CalibrationError
        If it cannot be read.
    """
    sensor = load_sensor(path)
    date = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    origin = {"sensor": path.name, "sha256": sha256_file(path), "file_date": date, "kind": sensor.kind}
    return KnownSensor(sensor, origin)


def sensor_of_numbers(
    offset_dn: float, gain_e_per_dn: float, read_noise_e: float, saturation_dn: int | None
) -> KnownSensor:
    """Return a sensor of typed numbers.

    Parameters
    ----------
    offset_dn : float
        Grey level without light, DN.
    gain_e_per_dn : float
        Conversion gain, e-/DN.
    read_noise_e : float
        Read noise, e-.
    saturation_dn : int or None
        Largest grey level, 2^9 - 1 to 2^16 - 1; None = 65535.

    Returns
    -------
    KnownSensor

    Raises
    ------
    ConfigError
        If the largest grey level is none of a sensor's.
    CalibrationError
        If a number is not possible.
    """
    top = 65535 if saturation_dn is None else saturation_dn
    bits = top.bit_length()
    if top + 1 != 1 << bits or not 9 <= bits <= 16:
        raise ConfigError(f"--max-dn {top} is no largest grey level", "give 2**bits - 1 of 9 to 16 bits, e.g. 4095")
    model = SensorModel.scalar(offset_dn=offset_dn, gain_e_per_dn=gain_e_per_dn, read_noise_e=read_noise_e, bits=bits)
    return KnownSensor(model, {"sensor": "numbers given on the command line"})


def averaged(sensor: SensorModel, frames: int) -> SensorModel:
    """Return the sensor as the mean of several frames shows it: gain and read variance in DN are divided by them."""
    regions = tuple(
        replace(
            region,
            gain_e_per_dn=region.gain_e_per_dn * frames,
            read_noise_e=region.read_noise_e * frames**0.5,
            covariance=None,
        )
        for region in sensor.regions
    )
    maps = sensor.maps and replace(
        sensor.maps,
        gain_e_per_dn=sensor.maps.gain_e_per_dn * frames,
        read_noise_e=sensor.maps.read_noise_e * frames**0.5,
    )
    return replace(sensor, regions=regions, maps=maps)


def choose_sensor(
    path: Path | None, numbers: tuple[float | None, float | None, float | None], max_dn: int | None
) -> KnownSensor:
    """Return the sensor that a file or typed numbers name.

    Parameters
    ----------
    path : Path or None
        Sensor file.
    numbers : tuple of three float or None
        Offset (DN), conversion gain (e-/DN) and read noise (e-).
    max_dn : int or None
        With numbers: largest grey level.

    Returns
    -------
    KnownSensor

    Raises
    ------
    ConfigError
        Both, neither, or not all three numbers.
    CalibrationError
        If the file cannot be read, or a number is not possible.
    """
    offset, gain, read_noise = numbers
    if path is not None and max_dn is None and all(number is None for number in numbers):
        return sensor_of_file(path)
    if path is None and offset is not None and gain is not None and read_noise is not None:
        return sensor_of_numbers(offset, gain, read_noise, max_dn)
    raise ConfigError(
        "encode needs the noise law of the camera, from one source",
        "give --sensor FILE, or --offset-dn, --gain-e-per-dn and --read-noise-e",
    )
