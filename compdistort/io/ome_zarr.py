"""OME-Zarr 0.4 and 0.5 folders: one image of the full resolution, read without trusting what the folder says."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from compdistort.errors import CompdistortError, ImageFormatError
from compdistort.io.files import atomic_path
from compdistort.io.pixels import Image, check_size

AXIS_ORDER = ("t", "c", "z", "y", "x")
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_CODECS = {
    "blosc", "bytes", "crc32c", "delta", "gzip", "lz4", "lzma", "bz2", "packbits", "sharding_indexed", "shuffle",
    "transpose", "zlib", "zstd",
}  # fmt: skip
_CHUNK = 1024
_AGAIN = "copy it again, or write it again"


def read_ome_zarr(path: Path, *, page: int | None, missing_chunks: bool, max_bytes: int) -> Image:
    """Read the full-resolution image of an OME-Zarr folder.

    Parameters
    ----------
    path : Path
        Folder with ``.zattrs`` (0.4) or ``zarr.json`` (0.5) and a multiscales entry.
    page : int or None
        Plane to read; None = all.
    missing_chunks : bool
        Accept absent chunks as the fill value, which writers leave out where an image is empty (labels, masks); else
        refuse them, because in raw data they may as well be lost.
    max_bytes : int
        Largest image allowed.

    Returns
    -------
    ndarray of shape (rows, columns) or (planes, rows, columns); axes of length 1 are dropped

    Raises
    ------
    ImageFormatError
        No image, axes in another order, several channels or times, a path that leaves the folder, a codec that may run
        code, missing chunks, damage.
    """
    try:
        axes, name = _multiscale(path)
        folder = _inside(path, name)
        _check_codecs(path, folder)
        array = zarr.open_array(LocalStore(folder, read_only=True), mode="r")
        _check_array(path, folder, array, max_bytes, missing_chunks)
        image = _spatial(path, axes, array, page)
    except (CompdistortError, MemoryError):
        raise
    except Exception as error:  # zarr and its codecs raise almost every type there is on damaged folders
        reason = " ".join(str(error).split())[:120]
        raise ImageFormatError(
            f"{path}: cannot be read as OME-Zarr ({type(error).__name__}: {reason})", _AGAIN
        ) from error
    return image


def is_zarr(path: Path) -> bool:
    """Return whether a folder has the metadata file of a Zarr group or array."""
    return any((path / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray"))


def _json(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ImageFormatError(f"{path}: is no JSON object", _AGAIN)
    return data


def _multiscale(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the axes and the path of the first (finest) data set."""
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
    axes = tuple(str(axis["name"] if isinstance(axis, dict) else axis).lower() for axis in scales[0]["axes"])
    if [axis for axis in AXIS_ORDER if axis in axes] != list(axes) or axes[-2:] != ("y", "x"):
        raise ImageFormatError(
            f"{path}: has axes {' '.join(axes)}", "write them in the order t c z y x (of these, y and x at the end)"
        )
    return axes, str(scales[0]["datasets"][0]["path"])


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
        raise ImageFormatError(f"{path}: data set {name!r} is missing", _AGAIN)
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


def _check_array(path: Path, folder: Path, array: "zarr.Array[Any]", max_bytes: int, missing_chunks: bool) -> None:
    stored = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())
    dtype = np.dtype(array.dtype)
    shape = [n for n in array.shape if n != 1]
    shape = [1] * (2 - len(shape)) + shape
    # An image of one value may be stored as no chunk at all, so the length of the files bounds only complete arrays.
    check_size(path, shape, dtype, None if missing_chunks else stored, max_bytes)
    check_size(path, [1, int(np.prod([int(n) for n in array.chunks], dtype=object))], dtype, None, max_bytes)
    wanted = int(
        np.prod([-(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True)], dtype=np.int64)
    )
    if not missing_chunks and (found := _count_chunks(folder)) < wanted:
        raise ImageFormatError(
            f"{path}: {wanted - found} of {wanted} chunks are missing",
            "complete the copy, or write it with empty chunks (write_empty_chunks)",
        )


def _count_chunks(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder)) - sum(
        (folder / name).is_file() for name in ("zarr.json", ".zarray", ".zattrs", ".zmetadata")
    )


def _spatial(path: Path, axes: tuple[str, ...], array: "zarr.Array[Any]", page: int | None) -> Image:
    """Read planes, rows and columns; other axes must have length 1."""
    if len(axes) != array.ndim:
        raise ImageFormatError(f"{path}: names {len(axes)} axes for an array of {array.ndim}", _AGAIN)
    sizes = dict(zip(axes, array.shape, strict=True))
    for axis, what in (("t", "times"), ("c", "channels")):
        if sizes.get(axis, 1) != 1:
            raise ImageFormatError(f"{path}: holds {sizes[axis]} {what}", "save one of them as its own image")
    planes = sizes.get("z", 1)
    if page is not None and not 0 <= page < planes:
        raise ImageFormatError(f"{path}: has no page {page}", f"choose one from 0 to {planes - 1}")
    rows_columns = (slice(None), slice(None))
    lead = [0 if axis in "tc" or planes == 1 else (slice(None) if page is None else page) for axis in axes[:-2]]
    return np.asarray(array[(*lead, *rows_columns)])


def write_ome_zarr(
    path: Path | str, array: Image, axes: Sequence[str] | None = None, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an image as an OME-Zarr 0.5 folder, whole or not at all.

    Parameters
    ----------
    path : Path or str
        Folder; an older one is replaced.
    array : ndarray of shape (rows, columns) or (planes, rows, columns), any plain numeric type
        Image; bool is written as 0 and 1 in 8 bit.
    axes : sequence of str, optional
        Names of the axes, in the order t c z y x; default ``y x`` or ``z y x``. Replicates are written along ``t``.
    metadata : mapping, optional
        Written as the attribute ``compdistort``.

    Raises
    ------
    ImageFormatError
        Axes that do not fit the array, or a type that is no plain number.
    ResourceError
        If the disk refuses.
    """
    path = Path(path)
    image = array.astype(np.uint8) if array.dtype.kind == "b" else array
    names = tuple(axes) if axes is not None else AXIS_ORDER[-array.ndim :]
    if len(names) != image.ndim or [a for a in AXIS_ORDER if a in names] != list(names) or names[-2:] != ("y", "x"):
        raise ImageFormatError(
            f"{path}: axes {' '.join(names)} do not fit shape {image.shape}", "use the order t c z y x"
        )
    if image.dtype.kind not in "uif" or image.size == 0:
        raise ImageFormatError(f"{path}: cannot write {image.dtype} of shape {image.shape}", "give integers or floats")
    with atomic_path(path) as partial:
        group = zarr.create_group(LocalStore(partial), zarr_format=3, attributes=_attributes(path, names, metadata))
        pixels = group.create_array(
            "0",
            shape=image.shape,
            dtype=image.dtype,
            chunks=tuple(min(n, _CHUNK) if axis in "yx" else 1 for axis, n in zip(names, image.shape, strict=True)),
            dimension_names=names,
            fill_value=0,
            # an absent chunk could be a lost one: empty chunks are written too
            config={"write_empty_chunks": True},
        )
        pixels[...] = image


def _attributes(path: Path, axes: tuple[str, ...], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    multiscale = {
        "name": path.stem,
        "axes": [{"name": axis, "type": _TYPES[axis]} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    attributes: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    return attributes | ({"compdistort": dict(metadata)} if metadata else {})
