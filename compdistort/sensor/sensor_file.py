"""Sensor files: readable JSON, and beside it an npz of the per-pixel maps, never a pickle."""

import json
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from compdistort.errors import CalibrationError
from compdistort.io.files import atomic_path, sha256_file
from compdistort.sensor.model import SensorModel
from compdistort.sensor.regions import AGAIN, MAP_NAMES, MAX_MAP_PIXELS, SensorMaps, require

MAX_JSON_BYTES = 16 * 2**20


def save_sensor(path: Path | str, model: SensorModel) -> Path:
    """Write a sensor model as readable JSON; per-pixel maps go to an npz file beside it.

    Parameters
    ----------
    path : Path or str
        JSON file to write; ``sensor.json`` gets its maps in ``sensor.maps.npz``.
    model : SensorModel
        What to write.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ResourceError
        If the folder cannot be written to. Each file appears whole or not at all, the JSON last.
    """
    path = Path(path)
    data = model.to_dict()
    if model.maps is not None:
        beside = path.with_name(path.stem + ".maps.npz")
        with atomic_path(beside) as partial:
            np.savez_compressed(partial, **{name: getattr(model.maps, name) for name in MAP_NAMES})
        data["maps"] = {"file": beside.name, "sha256": sha256_file(beside)}
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def load_sensor(path: Path | str) -> SensorModel:
    """Read a sensor model that `save_sensor` wrote.

    Raises
    ------
    CalibrationError
        Missing or damaged file, unknown format or version, impossible values, maps that do not fit.
    """
    path = Path(path)
    data = _read_json(path)
    entry = data.get("maps") if isinstance(data, dict) else None
    maps = None if entry is None else _read_maps(_maps_path(path, entry))
    return SensorModel.from_dict(data, maps, str(path))


def _maps_path(path: Path, entry: Any) -> Path:
    """Return the file of the maps, found beside the JSON and unchanged since."""
    name = entry.get("file") if isinstance(entry, dict) else None
    good = isinstance(name, str) and name not in {"", ".", ".."} and name == Path(name).name
    require(good, f"{path}: the name of the maps file {name!r} is unusable")
    beside = path.with_name(str(name))
    require(beside.is_file(), f"{beside}: the per-pixel maps of {path.name} are missing")
    require(sha256_file(beside) == entry.get("sha256"), f"{beside}: has changed since {path.name} was written")
    return beside


def _read_json(path: Path) -> Any:
    try:
        size = path.stat().st_size
        require(size <= MAX_JSON_BYTES, f"{path}: {size} bytes is no sensor file (limit {MAX_JSON_BYTES})")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read ({error.strerror})", AGAIN) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CalibrationError(f"{path}: is no JSON ({error})", AGAIN) from error


def _read_maps(path: Path) -> SensorMaps:
    """Read the three arrays after their headers have been found harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _read_member(archive, name, path) for name in MAP_NAMES}
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError) as error:
        if isinstance(error, CalibrationError):
            raise
        raise CalibrationError(f"{path}: is no usable maps file ({error})", AGAIN) from error
    return SensorMaps(**arrays)


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    info = archive.getinfo(name + ".npy")
    with archive.open(info) as file:
        _check_header(file, name, info.file_size, path)
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], name: str, size: int, path: Path) -> None:
    version = np.lib.format.read_magic(file)
    require(version in {(1, 0), (2, 0)}, f"{path}: array '{name}' has an unknown format")
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[version](file)
    require(len(shape) == 2 and dtype == np.float64, f"{path}: array '{name}' is no float64 image")
    pixels = math.prod(shape)
    require(0 < pixels <= MAX_MAP_PIXELS, f"{path}: array '{name}' of {pixels} pixels is too large")
    require(size == file.tell() + 8 * pixels, f"{path}: array '{name}' does not have the size that it states")
