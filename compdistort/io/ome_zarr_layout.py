"""What the folder of an OME-Zarr image says about itself, believed only as far as it does no harm."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore

from compdistort.errors import ImageFormatError
from compdistort.io.voxels import VoxelUm, voxel_um

AXIS_ORDER = ("t", "c", "z", "y", "x")
AGAIN = "copy it again, or write it again"
_CODECS = {
    "blosc", "bytes", "crc32c", "delta", "gzip", "lz4", "lzma", "bz2", "packbits", "sharding_indexed", "shuffle",
    "transpose", "zlib", "zstd", "compdistort.vsq",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One array of an OME-Zarr image.

    Attributes
    ----------
    axes : tuple of str
        Names of its axes, of t c z y x in this order.
    folder : Path
        Folder of the array.
    voxel_um : tuple of three float, or None
        Size of a voxel along z, y and x in micrometres, where the folder gives it.
    """

    axes: tuple[str, ...]
    folder: Path
    voxel_um: VoxelUm | None


def open_level(path: Path, dataset: str | None = None) -> tuple[Level, "zarr.Array[Any]"]:
    """Open one array of an OME-Zarr image; nothing of its pixels is read.

    Parameters
    ----------
    path : Path
        Folder with ``.zattrs`` (0.4) or ``zarr.json`` (0.5) and a multiscales entry.
    dataset : str, optional
        Path of the array in it; default the first, which is the finest.

    Returns
    -------
    Level
        What it is.
    zarr.Array
        Its array, for reading.

    Raises
    ------
    ImageFormatError
        No image, axes in another order, a path that leaves the folder, a codec that may run code.
    """
    scales = _multiscales(path)
    axes = tuple(str(axis["name"] if isinstance(axis, dict) else axis).lower() for axis in scales["axes"])
    if [axis for axis in AXIS_ORDER if axis in axes] != list(axes) or axes[-2:] != ("y", "x"):
        raise ImageFormatError(
            f"{path}: has axes {' '.join(axes)}", "write them in the order t c z y x (of these, y and x at the end)"
        )
    levels = {str(level["path"]): level for level in scales["datasets"]}
    name = next(iter(levels)) if dataset is None else dataset
    if name not in levels:
        raise ImageFormatError(f"{path}: has no data set {name!r}", f"choose one of {', '.join(levels)}")
    folder = _inside(path, name)
    _check_codecs(path, folder)
    array = zarr.open_array(LocalStore(folder, read_only=True), mode="r")
    if len(axes) != array.ndim:
        raise ImageFormatError(f"{path}: names {len(axes)} axes for an array of {array.ndim}", AGAIN)
    return Level(axes=axes, folder=folder, voxel_um=_voxel(scales, levels[name])), array


def _json(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ImageFormatError(f"{path}: is no JSON object", AGAIN)
    return data


def _multiscales(path: Path) -> dict[str, Any]:
    """Return the first multiscales entry."""
    if (path / "zarr.json").is_file():
        attributes = _json(path / "zarr.json").get("attributes", {}).get("ome", {})
    else:
        attributes = _json(path / ".zattrs") if (path / ".zattrs").is_file() else {}
    scales = attributes.get("multiscales")
    if not isinstance(scales, list) or not scales:
        raise ImageFormatError(
            f"{path}: is a Zarr folder without an OME image",
            "give the folder that holds 'multiscales' (for a plate, one field)",
        )
    return dict(scales[0])


def _voxel(scales: Mapping[str, Any], level: Mapping[str, Any]) -> VoxelUm | None:
    """Size of a voxel: the scale of the level times that of the whole image, in the units of the axes."""
    axes = [axis for axis in scales["axes"] if isinstance(axis, dict)]
    factors = [1.0] * len(axes)
    for each in (*level.get("coordinateTransformations", ()), *scales.get("coordinateTransformations", ())):
        if each.get("type") == "scale" and len(each.get("scale", ())) == len(axes):
            factors = [factor * float(scale) for factor, scale in zip(factors, each["scale"], strict=True)]
    sizes = {axis["name"]: (size, axis.get("unit")) for axis, size in zip(axes, factors, strict=True)}
    found = [sizes.get(name, (None, None)) for name in "zyx"]
    return voxel_um([size for size, _ in found], [unit for _, unit in found])


def _inside(path: Path, name: str) -> Path:
    """Return the folder of a data set; refuse a name that leads out of the image folder."""
    parts = name.replace("\\", "/").split("/")
    folder = path / name
    bad = not name or "\0" in name or ".." in parts or Path(name).is_absolute() or ":" in name
    if bad or not folder.resolve().is_relative_to(path.resolve()):
        raise ImageFormatError(
            f"{path}: data set path {name!r} leads out of the folder",
            "do not use this file: it was made to read others",
        )
    if not folder.is_dir():
        raise ImageFormatError(f"{path}: data set {name!r} is missing", AGAIN)
    return folder


def _check_codecs(path: Path, folder: Path) -> None:
    """Allow coders that only decode bytes: a registered one such as 'pickle' would run code."""
    for codec in _codec_names(folder):
        if codec.removeprefix("numcodecs.") not in _CODECS:
            raise ImageFormatError(
                f"{path}: uses the coder '{codec}'", f"write it with one of {', '.join(sorted(_CODECS))}"
            )


def _codec_names(folder: Path) -> list[str]:
    if (folder / "zarr.json").is_file():
        return _names(_json(folder / "zarr.json").get("codecs", []), "name")
    meta = _json(folder / ".zarray")
    return _names([meta.get("compressor"), *(meta.get("filters") or [])], "id")


def _names(codecs: Sequence[Any], key: str) -> list[str]:
    """List the names of codecs, those inside a shard included."""
    names: list[str] = []
    for codec in codecs:
        if codec is None:
            continue
        if isinstance(codec, str):
            names.append(codec)
            continue
        names.append(str(codec[key]))
        inner = codec.get("configuration") or {}
        names += _names([*inner.get("codecs", []), *inner.get("index_codecs", [])], key)
    return names
