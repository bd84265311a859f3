"""Volumes of any size written plane by plane, whole or not at all."""

import html
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.files import atomic_path, require_place, require_space
from compdistort.io.names import TIFF_SUFFIXES
from compdistort.io.pixels import Image
from compdistort.io.volume_source import Shape
from compdistort.io.voxels import VoxelUm

CHUNK = (4, 512, 512)
"""Planes, rows and columns of a chunk: the writer keeps one layer of them, and readers of one plane decode four."""

_OME_TYPES = {
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "int8": "int8", "int16": "int16", "int32": "int32",
    "float32": "float", "float64": "double",
}  # fmt: skip
_BIGTIFF_BYTES = 2**32 - 2**25


class _Target(Protocol):
    """A file that takes planes in their order."""

    def append(self, planes: Image) -> None: ...

    def finish(self) -> None: ...


class VolumeWriter:
    """Takes the planes of a volume in their order; made by `volume_writer`.

    Attributes
    ----------
    shape : tuple of three int
        Planes, rows, columns of the whole volume.
    dtype : numpy.dtype
        Type of a voxel.
    written : int
        Planes so far.
    """

    def __init__(self, path: Path, shape: Shape, dtype: np.dtype[Any], target: _Target) -> None:
        self.shape, self.dtype, self.written = shape, dtype, 0
        self._path, self._target = path, target

    def write_planes(self, planes: Image) -> None:
        """Write the next planes.

        Parameters
        ----------
        planes : ndarray of shape (n, rows, columns), type of the volume
            Any number of planes that the volume still has room for.

        Raises
        ------
        ConfigError
            Another size or type, or more planes than the volume has.
        """
        if planes.ndim != 3 or planes.shape[1:] != self.shape[1:] or planes.dtype != self.dtype:
            raise ConfigError(
                f"{self._path}: planes of shape {planes.shape} and type {planes.dtype} do not fit a volume of "
                f"shape {self.shape} and type {self.dtype}",
                "give planes of its size and type",
            )
        if self.written + len(planes) > self.shape[0]:
            raise ConfigError(
                f"{self._path}: {self.written + len(planes)} planes are given for a volume of {self.shape[0]}",
                "open it with as many planes as there are",
            )
        self._target.append(planes)
        self.written += len(planes)

    def finish(self) -> None:
        """Write what is kept; refuse a volume with planes missing."""
        if self.written != self.shape[0]:
            raise ConfigError(
                f"{self._path}: {self.written} of {self.shape[0]} planes were given", "write all planes of the volume"
            )
        self._target.finish()


@contextmanager
def volume_writer(
    path: Path | str,
    shape: Shape,
    dtype: Any,
    *,
    voxel_um: VoxelUm | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[VolumeWriter]:
    """Write a volume plane by plane, as OME-Zarr 0.5 (``.zarr``) or OME-TIFF (``.tif``; BigTIFF above 4 GB).

    The file takes its name when the block ends without an error and all planes are there; else nothing is left. Equal
    planes give equal bytes, however they are handed over. At most `CHUNK` [0] planes are kept in memory.

    Parameters
    ----------
    path : Path or str
        File or folder; an older one is replaced.
    shape : tuple of three int
        Planes, rows, columns.
    dtype : numpy.dtype or what makes one
        uint8 to uint64, int8 to int64, float32 or float64; in TIFF at most 32 bits for whole numbers.
    voxel_um : tuple of three float, optional
        Distance of planes, rows and columns in micrometres, written into the file.
    metadata : mapping, optional
        Written as JSON: attribute ``compdistort`` in OME-Zarr, a comment annotation in OME-TIFF.

    Yields
    ------
    VolumeWriter

    Raises
    ------
    ImageFormatError
        A shape, type or suffix that cannot be written.
    ConfigError
        Planes that do not fit, or not all planes.
    ResourceError
        If the disk has no room for the volume before compression, or refuses to write.
    """
    path, kind = Path(path), np.dtype(dtype).newbyteorder("=")
    suffix = path.suffix.lower()
    if len(shape) != 3 or min(shape) < 1 or kind.kind not in "uif" or kind.name == "float16":
        raise ImageFormatError(f"{path}: cannot write {kind} of shape {shape} as a volume", "give integers or floats")
    if suffix in TIFF_SUFFIXES and kind.name not in _OME_TYPES:
        raise ImageFormatError(
            f"{path}: cannot write {kind} as OME-TIFF", "use uint32 or less, or end the name in .zarr"
        )
    if suffix != ".zarr" and suffix not in TIFF_SUFFIXES:
        raise ImageFormatError(f"{path}: cannot write a volume of type '{suffix}'", "end the name in .zarr or .tif")
    require_place(path)
    require_space(path, math.prod(shape) * kind.itemsize)
    making = _zarr_target if suffix == ".zarr" else _tiff_target
    with (
        atomic_path(path) as partial,
        making(partial, path.stem, shape, kind, voxel_um, dict(metadata or {})) as target,
    ):
        writer = VolumeWriter(path, shape, kind, target)
        yield writer
        writer.finish()


class _ZarrTarget:
    """Gathers the planes of one layer of chunks, so that each chunk is written once."""

    def __init__(self, array: Any) -> None:
        self._array, self._at, self._held = array, 0, 0
        self._layer = np.empty((array.chunks[0], *array.shape[1:]), array.dtype)

    def append(self, planes: Image) -> None:
        while len(planes):
            count = min(len(planes), len(self._layer) - self._held)
            self._layer[self._held : self._held + count] = planes[:count]
            self._held += count
            planes = planes[count:]
            if self._held == len(self._layer):
                self.finish()

    def finish(self) -> None:
        if self._held:
            self._array[self._at : self._at + self._held] = self._layer[: self._held]
        self._at, self._held = self._at + self._held, 0


@contextmanager
def _zarr_target(
    partial: Path, name: str, shape: Shape, dtype: np.dtype[Any], voxel_um: VoxelUm | None, metadata: dict[str, Any]
) -> Iterator[_Target]:
    from compdistort.io import ome_zarr  # noqa: PLC0415  zarr takes half a second to import

    chunks = tuple(min(n, size) for n, size in zip(CHUNK, shape, strict=True))
    yield _ZarrTarget(
        ome_zarr.create_ome_zarr(partial, name, shape, dtype, chunks, ("z", "y", "x"), voxel_um, metadata)
    )


class _TiffTarget:
    """One page a plane; the first carries the description of all."""

    def __init__(self, file: Any, description: str) -> None:
        self._file, self._description = file, description

    def append(self, planes: Image) -> None:
        for plane in planes:
            self._file.write(
                plane,
                photometric="minisblack",
                compression="zlib",
                predictor=plane.dtype.kind in "ui",
                description=self._description,
                metadata=None,
                contiguous=False,
                software="compdistort",
            )
            self._description = ""

    def finish(self) -> None:
        """Do nothing: every page is written already."""


@contextmanager
def _tiff_target(
    partial: Path, name: str, shape: Shape, dtype: np.dtype[Any], voxel_um: VoxelUm | None, metadata: dict[str, Any]
) -> Iterator[_Target]:
    import tifffile  # noqa: PLC0415

    big = math.prod(shape) * dtype.itemsize > _BIGTIFF_BYTES
    with tifffile.TiffWriter(partial, bigtiff=big) as file:
        yield _TiffTarget(file, _ome_xml(name, shape, dtype, voxel_um, metadata))


def _ome_xml(name: str, shape: Shape, dtype: np.dtype[Any], voxel_um: VoxelUm | None, metadata: dict[str, Any]) -> str:
    """Return the header of an OME-TIFF, in ASCII; sizes without a unit are micrometres in OME."""
    planes, rows, columns = shape
    sizes = {} if voxel_um is None else dict(zip("ZYX", voxel_um, strict=True))
    physical = "".join(f' PhysicalSize{axis}="{size!r}"' for axis, size in sizes.items())
    word = html.escape(name).encode("ascii", "xmlcharrefreplace").decode()
    note = ""
    if metadata:
        text = html.escape(json.dumps(metadata, sort_keys=True))
        note = (
            '<StructuredAnnotations><CommentAnnotation ID="Annotation:0" Namespace="compdistort">'
            f"<Value>{text}</Value></CommentAnnotation></StructuredAnnotations>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="{word}">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{_OME_TYPES[dtype.name]}" '
        f'SizeX="{columns}" SizeY="{rows}" SizeZ="{planes}" SizeC="1" SizeT="1"{physical}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="{planes}"/></Pixels></Image>'
        f"{note}</OME>"
    )
