"""Reading and writing images: one door for TIFF, PNG, npy, HDF5 and OME-Zarr, with one set of rules.

Every refusal is an `ImageFormatError` of one line that names the file, the value and the remedy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.files import atomic_path, resource_errors, sha256_file
from compdistort.io.names import HDF5_SUFFIXES, TIFF_SUFFIXES, file_format, is_zarr, plane_files, split_dataset
from compdistort.io.pixels import (
    DEFAULT_MAX_BYTES,
    KINDS,
    Crop,
    Image,
    Kind,
    check_pixels,
    check_size,
    crop_image,
    parse_crop,
)
from compdistort.io.png_npy import read_npy, read_png, write_png
from compdistort.io.tiff import read_tiff, write_tiff
from compdistort.io.volume import open_volume

__all__ = [
    "DEFAULT_MAX_BYTES",
    "TIFF_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Crop",
    "atomic_path",
    "parse_crop",
    "read_image",
    "read_stack",
    "resource_errors",
    "sha256_file",
    "write_image",
    "write_ome_zarr",
    "write_png",
    "write_tiff",
]

WRITABLE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".zarr")
"""What `write_image` can write."""
_FORMATS = {**dict.fromkeys(TIFF_SUFFIXES, "TIFF"), ".png": "PNG", ".npy": "npy"}
_USE = "use TIFF, PNG, npy, HDF5, an OME-Zarr folder or a folder of TIFF files"


def read_image(
    path: Path | str,
    *,
    kind: Kind = "raw",
    crop: Crop | None = None,
    page: int | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """Read an image or a stack, checked for its purpose.

    Parameters
    ----------
    path : Path or str
        TIFF, OME-TIFF, PNG, npy, OME-Zarr 0.4 or 0.5 folder, or a folder of TIFF files (one plane each, in the order of
        their names, numbers compared as numbers). A volume in an HDF5 file is named as ``FILE.h5::DATASET``, or as
        ``FILE.h5`` where it is the only one.
    kind : {"raw", "labels", "mask", "any"}
        Purpose: ``raw`` wants uint16, ``labels`` whole numbers >= 0, ``mask`` two values (returned as bool), ``any``
        takes every plain number. Nothing is converted on a guess.
    crop : sequence of (start, stop), optional
        Part of the last axes, e.g. ``((y0, y1), (x0, x1))``.
    page : int, optional
        One plane of a stack.
    max_bytes : int
        Largest image read, in bytes, checked against the header before memory is asked for.

    Returns
    -------
    ndarray of shape (rows, columns) or (planes, rows, columns)
        An axis of one plane is dropped.

    Raises
    ------
    ImageFormatError
        Missing, damaged, lying, colour, NaN, or of the wrong kind.
    ResourceError
        If the file may not be read, the image takes more than `max_bytes`, or memory runs out.
    """
    path = Path(path)
    if kind not in KINDS:
        raise ConfigError(f"image kind '{kind}' does not exist", f"use one of {', '.join(KINDS)}")
    with resource_errors(path):
        image = _read(path, kind, page, max_bytes)
        image = image[0] if image.ndim == 3 and image.shape[0] == 1 else image
        return check_pixels(path, crop_image(path, image, crop), kind)


def read_stack(
    paths: Sequence[Path | str] | Path | str,
    *,
    kind: Kind = "raw",
    crop: Crop | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Image:
    """Read frames of one size from one or several files or folders, one after another.

    Parameters
    ----------
    paths : path, or sequence of paths
        Each an image, a stack or a folder; see `read_image`.
    kind, crop
        As for `read_image`; the crop is of rows and columns.
    max_bytes : int
        Largest size of all frames together.

    Returns
    -------
    ndarray of shape (frames, rows, columns)

    Raises
    ------
    ImageFormatError
        As `read_image`; frames of different size or type.
    """
    files = [Path(paths)] if isinstance(paths, Path | str) else [Path(p) for p in paths]
    if not files:
        raise ImageFormatError("no file is given", "give at least one")
    parts: list[Image] = []
    for file in files:
        image = read_image(file, kind=kind, crop=crop, max_bytes=max_bytes - sum(part.nbytes for part in parts))
        parts.append(image if image.ndim == 3 else image[None])
    return _join(files, parts)


def write_image(path: Path | str, array: Image) -> None:
    """Write by suffix: ``.png``, ``.zarr`` or TIFF; see `write_png`, `write_ome_zarr`, `write_tiff`."""
    suffix = Path(path).suffix.lower()
    if suffix in TIFF_SUFFIXES:
        write_tiff(path, array)
    elif suffix == ".png":
        write_png(path, array)
    elif suffix == ".zarr":
        write_ome_zarr(path, array)
    else:
        raise ImageFormatError(
            f"{path}: cannot write an image of type '{suffix}'", "end the name in .tif, .png or .zarr"
        )


def write_ome_zarr(
    path: Path | str, array: Image, axes: Sequence[str] | None = None, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an OME-Zarr 0.5 folder; see `compdistort.io.ome_zarr.write_ome_zarr`."""
    from compdistort.io import ome_zarr  # noqa: PLC0415  zarr takes half a second to import

    ome_zarr.write_ome_zarr(path, array, axes, metadata)


def _read(path: Path, kind: Kind, page: int | None, max_bytes: int) -> Image:
    if path.is_dir():
        return _read_folder(path, kind, page, max_bytes)
    file, dataset = split_dataset(path)
    if file.suffix.lower() in HDF5_SUFFIXES:
        return _read_hdf5(file, dataset, kind, page, max_bytes)
    found = file_format(path, _FORMATS, _USE)
    numbers = kind in ("labels", "mask")
    if found == "TIFF":
        return read_tiff(path, page=page, stored_numbers=numbers, max_bytes=max_bytes)
    image = (
        read_png(path, exact_numbers=kind != "mask", max_bytes=max_bytes)
        if found == "PNG"
        else read_npy(path, max_bytes=max_bytes)
    )
    return _choose(path, image, page)


def _read_hdf5(path: Path, dataset: str | None, kind: Kind, page: int | None, max_bytes: int) -> Image:
    """Read a volume, or a plane of it, of an HDF5 file; in labels and masks chunks that were never written are 0."""
    with open_volume(path, dataset=dataset, kind="labels" if kind == "mask" else kind, max_bytes=max_bytes) as volume:
        _check_page(path, page, volume.shape[0])
        first, last = (0, volume.shape[0]) if page is None else (page, page + 1)
        check_size(path, (last - first, *volume.shape[1:]), volume.dtype, None, max_bytes)
        return volume.read_planes(first, last)


def _read_folder(path: Path, kind: Kind, page: int | None, max_bytes: int) -> Image:
    if is_zarr(path):
        from compdistort.io import ome_zarr  # noqa: PLC0415  zarr takes half a second to import

        return ome_zarr.read_ome_zarr(path, page=page, missing_chunks=kind in ("labels", "mask"), max_bytes=max_bytes)
    files = plane_files(path)
    if not files:
        raise ImageFormatError(f"{path}: holds neither TIFF files nor an OME-Zarr image", _USE)
    _check_page(path, page, len(files))
    files = files if page is None else [files[page]]
    parts: list[Image] = []
    for file in files:
        left = max_bytes - sum(part.nbytes for part in parts)
        image = read_tiff(file, page=None, stored_numbers=kind in ("labels", "mask"), max_bytes=left)
        if image.ndim != 2:
            raise ImageFormatError(
                f"{file}: holds {len(image)} pages", "in a folder that is read as a stack, each file is one plane"
            )
        parts.append(image[None])
    return _join(files, parts)


def _choose(path: Path, image: Image, page: int | None) -> Image:
    planes = image if image.ndim == 3 else image[None]
    _check_page(path, page, len(planes))
    return image if page is None else np.asarray(planes[page])


def _check_page(path: Path, page: int | None, pages: int) -> None:
    if page is not None and not 0 <= page < pages:
        raise ImageFormatError(f"{path}: has no page {page}", f"choose one from 0 to {pages - 1}")


def _join(files: Sequence[Path], parts: Sequence[Image]) -> Image:
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        if (part.shape[1:], part.dtype) != (first.shape[1:], first.dtype):
            raise ImageFormatError(
                f"{file}: is {_words(part)}, {files[0]} is {_words(first)}", "give frames of one size and type"
            )
    return first if len(parts) == 1 else np.concatenate(parts)


def _words(frames: Image) -> str:
    return f"{frames.shape[1]} x {frames.shape[2]} {frames.dtype}"
