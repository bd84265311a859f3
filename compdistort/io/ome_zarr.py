"""OME-Zarr 0.4 and 0.5 folders: one image of the full resolution, read without trusting what the folder says."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from compdistort.errors import ImageFormatError
from compdistort.io.files import atomic_path, decoding_errors
from compdistort.io.ome_zarr_layout import AGAIN, AXIS_ORDER, open_level
from compdistort.io.pixels import Image, check_size
from compdistort.io.voxels import VoxelUm

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_CHUNK = 1024


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
    with decoding_errors(path, "be read as OME-Zarr", AGAIN):
        level, array = open_level(path)
        _check_array(path, level.folder, array, max_bytes, missing_chunks)
        return _spatial(path, level.axes, array, page)


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
    chunks = tuple(min(n, _CHUNK) if axis in "yx" else 1 for axis, n in zip(names, image.shape, strict=True))
    with atomic_path(path) as partial:
        create_ome_zarr(partial, path.stem, image.shape, image.dtype, chunks, names, None, metadata)[...] = image


def create_ome_zarr(
    folder: Path,
    name: str,
    shape: Sequence[int],
    dtype: "np.dtype[Any]",
    chunks: Sequence[int],
    axes: Sequence[str],
    voxel_um: VoxelUm | None,
    metadata: Mapping[str, Any] | None,
) -> "zarr.Array[Any]":
    """Create an OME-Zarr 0.5 folder whose pixels are still to be written.

    Parameters
    ----------
    folder : Path
        Folder to create.
    name : str
        Name of the image.
    shape, chunks : sequence of int
        Sizes of the image and of its chunks.
    dtype : numpy.dtype
        Type of a pixel.
    axes : sequence of str
        Their names, of t c z y x in this order.
    voxel_um : tuple of three float, or None
        Size of a voxel along z, y and x; None = pixels without a unit.
    metadata : mapping or None
        Written as the attribute ``compdistort``.

    Returns
    -------
    zarr.Array
        The array to fill.
    """
    attributes = _attributes(name, axes, voxel_um, metadata)
    group = zarr.create_group(LocalStore(folder), zarr_format=3, attributes=attributes)
    return group.create_array(
        "0",
        shape=tuple(shape),
        dtype=dtype,
        chunks=tuple(chunks),
        dimension_names=tuple(axes),
        fill_value=0,
        # an absent chunk could be a lost one: empty chunks are written too
        config={"write_empty_chunks": True},
    )


def _attributes(
    name: str, axes: Sequence[str], voxel_um: VoxelUm | None, metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    sizes = {} if voxel_um is None else dict(zip("zyx", voxel_um, strict=True))
    scale = [{"type": "scale", "scale": [float(sizes.get(axis, 1.0)) for axis in axes]}]
    multiscale = {
        "name": name,
        "axes": [
            {"name": axis, "type": _TYPES[axis]} | ({"unit": "micrometer"} if axis in sizes else {}) for axis in axes
        ],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    attributes: dict[str, Any] = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
    return attributes | ({"compdistort": dict(metadata)} if metadata else {})
