"""VSQ files back to images, whole or some planes, plane by plane; what a file says, and whether it is whole."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq.container import VsqFile, open_vsq
from compdistort.codecs.vsq.tiff_carrier import page_header
from compdistort.codecs.vsq.tiff_restore import IndexTiff, is_index_tiff, open_index_tiff
from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.files import atomic_path, require_output, require_space
from compdistort.io.images import TIFF_SUFFIXES, write_ome_zarr, write_png, write_tiff
from compdistort.io.planes import groups
from compdistort.io.volume_write import volume_writer
from compdistort.io.voxels import VoxelUm

OUTPUTS = (".tif", ".tiff", ".zarr", ".npy", ".png")
"""What decoded images are written as."""


@contextmanager
def opened_vsq(path: Path, *, dtype: Any = np.uint16, keep_going: bool = False) -> Iterator[VsqFile | IndexTiff]:
    """Open a .vsq file, or a TIFF of index pages.

    Parameters
    ----------
    path : Path
        File.
    dtype : numpy.dtype or what makes one
        uint16 or float32.
    keep_going : bool
        Go on behind damaged chunks or pages.

    Yields
    ------
    VsqFile or IndexTiff

    Raises
    ------
    ImageFormatError
        Another file, or damage.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        with open_vsq(path, dtype=dtype, keep_going=keep_going, threads=os.cpu_count() or 1) as file:
            yield file
        return
    if not path.is_file():
        raise ImageFormatError(f"{path}: does not exist, or is no plain file", "correct the path")
    if not is_index_tiff(path):
        raise ImageFormatError(f"{path}: holds an image, not VSQ indices", "there is nothing to decode")
    with open_index_tiff(path, dtype=dtype, keep_going=keep_going) as pages:
        yield pages


def inspect_file(path: Path) -> dict[str, Any]:
    """Return what a VSQ file says of itself; no chunk is decoded.

    Returns
    -------
    dict
        JSON-ready: ``file``, ``bytes`` and ``header``.

    Raises
    ------
    ImageFormatError
        Another file, or a damaged header.
    """
    with opened_vsq(path) as file:
        return {"file": str(path), "bytes": path.stat().st_size, "header": _told(file)}


def check_file(path: Path) -> dict[str, Any]:
    """Decode all of a VSQ file, and compare checksums.

    Returns
    -------
    dict
        As `inspect_file`, with ``damaged``: what does not hold, a line a chunk or page.

    Raises
    ------
    ImageFormatError
        Another file, or a damaged header.
    """
    with opened_vsq(path) as file:
        damaged = file.check()
    return {**inspect_file(path), "damaged": damaged}


def decode_file(
    path: Path, out: Path, *, planes: str = "", fractions: bool = False, keep_going: bool = False
) -> dict[str, Any]:
    """Decode a VSQ file to an image file.

    Parameters
    ----------
    path : Path
        ``.vsq`` file, or TIFF of index pages.
    out : Path
        Image to write, one of `OUTPUTS`; a single plane is written as an image of two axes.
    planes : str
        Planes to decode, ``"first:one past last"`` or one number; default all.
    fractions : bool
        Write float32 without the last rounding to whole grey levels.
    keep_going : bool
        Write 0 for the pixels of damaged chunks or pages, and name them in the result; else nothing is written.

    Returns
    -------
    dict
        JSON-ready: ``file``, ``output``, ``shape``, ``dtype``, ``voxel_um``, ``damaged``, ``header``.

    Raises
    ------
    ConfigError
        An output of another kind, or planes that are none.
    ImageFormatError
        Another file, or damage.
    ResourceError
        If the file cannot be written.
    """
    if out.suffix.lower() not in OUTPUTS:
        raise ConfigError(f"{out}: cannot write files of type '{out.suffix}'", f"use one of {', '.join(OUTPUTS)}")
    require_output(out, [path])
    with opened_vsq(path, dtype=np.float32 if fractions else np.uint16, keep_going=keep_going) as file:
        first, last = _span(planes, file.shape[0])
        damaged = _write(out, file, first, last)
        n = last - first
        return {
            "file": str(path),
            "output": str(out),
            "shape": list(file.shape[1:] if n == 1 else (n, *file.shape[1:])),
            "dtype": file.dtype.name,
            "voxel_um": file.header.voxel_um,
            "damaged": damaged,
            "header": _told(file),
        }


def _told(file: VsqFile | IndexTiff) -> dict[str, Any]:
    return file.header.to_dict() if isinstance(file, VsqFile) else page_header(file.header)


def _span(words: str, n_planes: int) -> tuple[int, int]:
    """Return the planes that ``"3"``, ``"2:5"`` or nothing name."""
    if not words:
        return 0, n_planes
    first, colon, last = words.partition(":")
    good = first.isdecimal() and (last.isdecimal() if colon else True)
    span = (int(first), int(last) if colon else int(first) + 1) if good else (0, 0)
    if not 0 <= span[0] < span[1] <= n_planes:
        raise ConfigError(
            f"--planes {words} are none of {n_planes} planes", f"write a number, or first:last in 0:{n_planes}"
        )
    return span


def _write(out: Path, file: VsqFile | IndexTiff, first: int, last: int) -> list[str]:
    """Write planes as they are decoded; return what is damaged."""
    metadata = {"decoded_from": _told(file)}
    suffix, voxel_um = out.suffix.lower(), file.header.voxel_um
    if suffix == ".npy":
        _write_npy(out, file, first, last)
    elif last - first > 1 or (voxel_um is not None and suffix != ".png"):
        _write_volume(out, file, (first, last), voxel_um, metadata)
    else:
        _write_plane(out, file.read_planes(first, last)[0], metadata)
    return list(file.damaged)


def _write_volume(
    out: Path, file: VsqFile | IndexTiff, span: tuple[int, int], voxel_um: VoxelUm | None, metadata: Mapping[str, Any]
) -> None:
    shape = (span[1] - span[0], file.shape[1], file.shape[2])
    with volume_writer(out, shape, file.dtype, voxel_um=voxel_um, metadata=metadata) as writer:
        for start, stop in groups(*span):
            writer.write_planes(file.read_planes(start, stop))


def _write_plane(out: Path, plane: NDArray[Any], metadata: Mapping[str, Any]) -> None:
    if out.suffix.lower() == ".png":
        if plane.dtype != np.uint16:
            raise ConfigError(f"{out}: PNG holds whole grey levels", "write .tif, .zarr or .npy with --fractions")
        write_png(out, plane)
    elif out.suffix.lower() == ".zarr":
        write_ome_zarr(out, plane, None, metadata)
    else:
        write_tiff(out, plane, metadata)


def _write_npy(out: Path, file: VsqFile | IndexTiff, first: int, last: int) -> None:
    n = last - first
    shape = file.shape[1:] if n == 1 else (n, *file.shape[1:])
    require_space(out, int(np.prod(shape)) * file.dtype.itemsize)
    with atomic_path(out) as partial, partial.open("wb") as target:
        header = {"descr": np.lib.format.dtype_to_descr(file.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(target, header)
        for start, stop in groups(first, last):
            target.write(file.read_planes(start, stop).tobytes())
