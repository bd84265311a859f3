"""The JSON form of a sensor model: what its fields are called and how they are checked."""

import math
from typing import Any

from compdistort.errors import CalibrationError
from compdistort.sensor.regions import AGAIN, SensorRegion, require

FORMAT = "compdistort-sensor"
VERSION = 1


def parse_fields(data: Any, where: str) -> dict[str, Any]:
    """Check the JSON data of a sensor file and return the arguments of `SensorModel`, and `kind`."""
    require(isinstance(data, dict) and data.get("format") == FORMAT, f"{where}: is no {FORMAT} file")
    if data.get("version") != VERSION:
        raise CalibrationError(
            f"{where}: version {data.get('version')!r} of the sensor file is unknown (this program reads {VERSION})",
            "update compdistort, or calibrate again",
        )
    try:
        shape = data["frame_shape"]
        return {
            "kind": str(data["kind"]),
            "regions": tuple(_parse_region(item) for item in data["regions"]),
            "frame_shape": None if shape is None else _pair(shape),
            "bits": int(data["bits"]),
            "estimated": bool(data["estimated"]),
            "source": dict(data["source"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CalibrationError):
            raise CalibrationError(f"{where}: {error.what}", error.remedy) from error
        raise CalibrationError(f"{where}: unusable entry ({type(error).__name__}: {error})", AGAIN) from error


def _parse_region(item: dict[str, Any]) -> SensorRegion:
    covariance = item.get("covariance")
    saturation = item.get("saturation_dn")
    region = SensorRegion(
        name=str(item["name"]),
        rows=_pair(item["rows"]),
        columns=_pair(item["columns"]),
        offset_dn=float(item["offset_dn"]),
        gain_e_per_dn=float(item["gain_e_per_dn"]),
        read_noise_e=float(item["read_noise_e"]),
        saturation_dn=None if saturation is None else float(saturation),
        covariance=None if covariance is None else tuple(tuple(float(v) for v in row) for row in covariance),
    )
    told = float(item.get("gain_dn_per_e", region.gain_dn_per_e))
    if not math.isclose(told, region.gain_dn_per_e, rel_tol=1e-4):
        raise CalibrationError(
            f"{region.name}: gain_e_per_dn {region.gain_e_per_dn} and gain_dn_per_e {told} contradict each other",
            "correct one of the two: each is the reciprocal of the other",
        )
    return region


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
