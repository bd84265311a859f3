"""Replicates of a raw image as files, with a manifest that says exactly where they come from.

The manifest is written first and again after every batch; each image appears whole or not at all. The same command
into the same folder keeps what the manifest lists and is unchanged, and draws the rest: an interrupted run goes on.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

import compdistort
from compdistort.backend.base import Backend, NoiseTables, UInt16
from compdistort.errors import ConfigError, ResourceError, StoreLockedError
from compdistort.io.files import atomic_path, resource_errors, sha256_file
from compdistort.io.images import read_image, write_ome_zarr, write_tiff
from compdistort.pipeline.environment import RNG
from compdistort.replicate import draw_uploaded, noise_notices, noise_tables, tables_sha256
from compdistort.rng import MAX_SEED, Stream, derive_key
from compdistort.sensor.sensor_file import load_sensor

FORMATS = ("tiff", "ome-zarr")
MANIFEST = "manifest.json"
MAX_REPLICATE = (1 << 32) - 1
BATCH_BYTES = 1 << 26
MAX_ZARR_BYTES = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthOptions:
    """What to draw.

    Attributes
    ----------
    n : int
        Number of replicates.
    seed : int
        64-bit seed.
    first : int
        Number of the first replicate.
    law : str
        Noise law, see `compdistort.replicate.LAWS`.
    file_format : str
        One of `FORMATS`: a TIFF file a replicate, or one OME-Zarr folder with the replicates along t.
    """

    n: int = 10
    seed: int = 1
    first: int = 0
    law: str = "poisson-gaussian"
    file_format: str = "tiff"

    def __post_init__(self) -> None:
        if self.file_format not in FORMATS:
            raise ConfigError(f"--format {self.file_format} is unknown", f"use {' or '.join(FORMATS)}")
        if self.n < 1 or self.first < 0 or self.first + self.n - 1 > MAX_REPLICATE:
            raise ConfigError(
                f"replicates {self.first} to {self.first + self.n - 1} cannot be drawn", "use 0 to 2**32 - 1"
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"--seed {self.seed} does not fit into 64 bits", f"use 0 to {MAX_SEED}")

    @property
    def replicates(self) -> range:
        """Numbers of the replicates."""
        return range(self.first, self.first + self.n)


def synthesize(
    raw_path: Path, sensor_path: Path, folder: Path, options: SynthOptions, backend: Backend[Any]
) -> dict[str, Any]:
    """Draw replicates of a raw image and write them with a manifest.

    Parameters
    ----------
    raw_path : Path
        Raw image or volume, uint16.
    sensor_path : Path
        Sensor file of the same frame.
    folder : Path
        Where to write; made if absent.
    options : SynthOptions
        What to draw.
    backend : Backend
        Engine; all give the same bits.

    Returns
    -------
    dict
        The manifest, JSON-safe, with ``folder``, ``kept`` (how many files were already there) and ``notices``.

    Raises
    ------
    ImageFormatError, CalibrationError
        If the image or the sensor cannot be read, or do not belong together.
    ConfigError
        If the folder holds replicates of another recipe.
    ResourceError
        If the folder cannot be written to, or the OME-Zarr would be too large.
    """
    raw = np.ascontiguousarray(read_image(raw_path, kind="raw"))
    sensor = load_sensor(sensor_path)
    notices = sensor.check_image(raw, str(raw_path))
    tables = noise_tables(sensor, options.law, raw.shape)
    recipe = {
        "format": "compdistort-replicates",
        "version": 1,
        "software": f"compdistort {compdistort.__version__}",
        "raw": {"name": raw_path.name, "sha256": sha256_file(raw_path)},
        "sensor": {"name": sensor_path.name, "sha256": sha256_file(sensor_path), "estimated": sensor.estimated},
        "law": options.law,
        "tables_sha256": tables_sha256(tables),
        "rng": RNG,
        "seed": options.seed,
        "stream": int(Stream.NOISE),
        "key": list(derive_key(options.seed, Stream.NOISE)),
        "file_format": options.file_format,
        "shape": list(raw.shape),
        "dtype": "uint16",
    }
    wanted = _wanted(options, raw)
    with _own_folder(folder):
        files, kept = _write_all(folder, recipe, wanted, raw, tables, options, backend)
    notices += noise_notices(raw, sensor, tables)
    return {"folder": str(folder), **recipe, "files": files, "kept": kept, "notices": list(notices)}


def describe_synthesis(result: dict[str, Any]) -> str:
    """Return the result of `synthesize` for people."""
    numbers = [number for entry in result["files"].values() for number in entry["replicates"]]
    lines = [
        f"{result['folder']}: {len(numbers)} replicates ({min(numbers)} to {max(numbers)}) of {result['raw']['name']}, "
        f"law {result['law']}, seed {result['seed']}"
    ]
    if result["kept"]:
        lines.append(f"{result['kept']} files were there already")
    if result["sensor"]["estimated"]:
        lines.append("notice: the sensor is estimated from a single image, not calibrated")
    lines += [f"notice: {text}" for text in result["notices"]]
    return "\n".join(lines)


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """Make the folder, keep other processes out of it, and clear away what a killed one left half-written."""
    with resource_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise StoreLockedError(f"{folder}: another process is writing to it", "wait until it is done") from error
        try:
            for leftover in folder.glob(".*.partial*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            yield
        finally:
            lock.release()


def _write_all(
    folder: Path,
    recipe: dict[str, Any],
    wanted: dict[str, list[int]],
    raw: UInt16,
    tables: NoiseTables,
    options: SynthOptions,
    backend: Backend[Any],
) -> tuple[dict[str, Any], int]:
    """Write what is missing; return all entries of the manifest, and how many files were there already."""
    files = _kept_files(folder, recipe)
    kept = {name for name, numbers in wanted.items() if name in files and files[name]["replicates"] == numbers}
    _write_manifest(folder, recipe, files)
    missing = [name for name in wanted if name not in kept]
    size = max(1, BATCH_BYTES // max(raw.nbytes, 1))
    image = backend.to_device(raw)
    for start in range(0, len(missing), size):
        for name in missing[start : start + size]:
            numbers = wanted[name]
            images = draw_uploaded(image, tables, backend, options.seed, range(numbers[0], numbers[-1] + 1))
            _write_images(folder / name, images)
            files[name] = {"replicates": numbers, "sha256": sha256_file(folder / name)}
        _write_manifest(folder, recipe, files)
    return files, len(kept)


def _wanted(options: SynthOptions, raw: UInt16) -> dict[str, list[int]]:
    """Return the replicate numbers of every file."""
    if options.file_format == "tiff":
        return {f"replicate_{number:05d}.tif": [number] for number in options.replicates}
    if options.n * raw.nbytes > MAX_ZARR_BYTES:
        raise ResourceError(
            f"one OME-Zarr of {options.n} replicates takes {options.n * raw.nbytes / 2**30:.1f} GiB of memory",
            "draw fewer at a time with --first, or use --format tiff",
        )
    return {f"replicates_{options.first:05d}_{options.n}.zarr": list(options.replicates)}


def _write_images(path: Path, images: UInt16) -> None:
    if path.suffix == ".zarr":
        write_ome_zarr(path, images, ("t", "z", "y", "x") if images.ndim == 4 else ("t", "y", "x"))
    else:
        write_tiff(path, images[0])


def _kept_files(folder: Path, recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of an earlier run of the same recipe whose files are still what they were."""
    path = folder / MANIFEST
    if not path.exists():
        strangers = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("replicate"))
        if strangers:
            raise ConfigError(f"{folder}: holds {strangers[0]} but no {MANIFEST}", "choose another folder")
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        entries = {str(name): (list(e["replicates"]), str(e["sha256"])) for name, e in found["files"].items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{path}: is no manifest of replicates", "choose another folder") from error
    different = [key for key, value in recipe.items() if found.get(key) != value]
    if different:
        raise ConfigError(
            f"{folder}: holds replicates of another recipe (other {', '.join(different)})", "choose another folder"
        )
    return {
        name: {"replicates": numbers, "sha256": digest}
        for name, (numbers, digest) in entries.items()
        if name == Path(name).name and (folder / name).exists() and sha256_file(folder / name) == digest
    }


def _write_manifest(folder: Path, recipe: dict[str, Any], files: dict[str, Any]) -> None:
    ordered = dict(sorted(files.items(), key=lambda item: (item[1]["replicates"][0], item[0])))
    text = json.dumps({**recipe, "files": ordered}, indent=1) + "\n"
    with atomic_path(folder / MANIFEST) as partial:
        partial.write_text(text, encoding="utf-8")
