"""Volumes that are larger than memory: opened and checked as a whole, read plane by plane."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.files import decoding_errors, naming, resource_errors
from compdistort.io.names import split_dataset
from compdistort.io.pixels import Crop, Image, Kind, check_crop, check_pixels, check_size
from compdistort.io.volume_formats import open_source
from compdistort.io.volume_source import AGAIN, Shape, Source, Span

VOLUME_KINDS = ("raw", "labels", "any")
DEFAULT_LAYER_BYTES = 2 * 2**30
"""Largest plane and largest layer of chunks unless the caller says otherwise (2 GiB)."""


class Volume:
    """An open volume, of which a few planes are in memory at a time; made by `open_volume`.

    It is a context manager, and serves one thread at a time. Where chunks reach over several planes, one layer of them
    is kept, so that planes asked for in their order are decoded once.

    Parameters
    ----------
    path : Path
        For messages.
    source : Source
        What is read.
    kind : {"raw", "labels", "any"}
        Purpose.
    crop : sequence of (start, stop) or None
        Part of the last axes.
    max_bytes : int
        Largest layer of chunks.

    Attributes
    ----------
    path : Path
        File or folder.
    shape : tuple of three int
        Planes, rows, columns, after the crop.
    dtype : numpy.dtype
        Type of the voxels that `read_planes` returns.
    voxel_um : tuple of three float, or None
        Distance of planes, rows and columns in micrometres, where the file gives all three.
    layer_planes : int
        Planes that are decoded together; 1 where they are stored one by one.
    layer_bytes : int
        Memory that is kept between two calls at most; 0 where planes are stored one by one.
    """

    def __init__(self, path: Path, source: Source, kind: Kind, crop: Crop | None, max_bytes: int) -> None:
        self.path, self._source, self._kind = path, source, kind
        self._box = _box(path, source.shape, crop)
        planes, rows, columns = (stop - start for start, stop in self._box)
        self.shape: Shape = (planes, rows, columns)
        self.voxel_um = source.voxel_um
        self._stored = source.dtype.newbyteorder("=")
        self.layer_planes = min(source.chunk[0], source.shape[0])
        layer = (min(self.layer_planes, self.shape[0]), *self.shape[1:])
        if self.layer_planes > 1:
            check_size(path, layer, self._stored, None, max_bytes)
        self.layer_bytes = int(np.prod(layer, dtype=object)) * self._stored.itemsize if self.layer_planes > 1 else 0
        if kind != "labels":
            source.require_chunks(*self._box)
        self._kept: tuple[Span, Image] | None = None
        self.dtype = self._type()

    def _type(self) -> np.dtype[Any]:
        """Return the type that the purpose gives; refuse one that can be judged without the other planes."""
        kind = self._stored.kind
        if (self._kind == "raw" and self._stored != np.uint16) or (self._kind == "labels" and kind == "f"):
            (first, _), rows, columns = self._box
            check_pixels(f"{self.path}: plane {first}", self._decode((first, first + 1), rows, columns)[0], self._kind)
        if self._kind == "labels" and kind in "bi":
            return np.dtype(f"u{self._stored.itemsize}")
        return self._stored

    def __enter__(self) -> Self:
        """Return the volume."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file, and forget what is kept."""
        self._kept = None
        self._source.close()

    def read_planes(self, start: int, stop: int) -> Image:
        """Read some planes.

        Parameters
        ----------
        start, stop : int
            First plane, and one past the last, of the cropped volume.

        Returns
        -------
        ndarray of shape (stop - start, rows, columns), `dtype`
            In C order, native byte order; the caller's own.

        Raises
        ------
        ImageFormatError
            Planes that do not exist, or damage, with the part of the file that is damaged.
        ResourceError
            What the disk or the memory refuses.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ImageFormatError(
                f"{self.path}: has no planes {start}:{stop}",
                f"choose some of 0:{self.shape[0]} (first : one past last)",
            )
        first = self._box[0][0]
        with resource_errors(self.path):
            block = np.empty((stop - start, *self.shape[1:]), self._stored)
            for planes in _layers(first + start, first + stop, self.layer_planes):
                block[planes[0] - first - start : planes[1] - first - start] = self._read(planes)
            if self._stored.kind in "fi":
                for plane, pixels in enumerate(block, first + start):
                    check_pixels(f"{self.path}: plane {plane}", pixels, self._kind)
        return block.view(self.dtype)

    def _read(self, planes: Span) -> Image:
        """Read planes of one layer of chunks; keep the layer if more of it will be asked for."""
        _, rows, columns = self._box
        first = planes[0] // self.layer_planes * self.layer_planes
        layer = (max(first, self._box[0][0]), min(first + self.layer_planes, self._box[0][1]))
        if planes == layer:
            self._kept = None
            return self._decode(planes, rows, columns)
        if self._kept is None or self._kept[0] != layer:
            self._kept = None  # before the next one is there: never two of them
            self._kept = (layer, self._decode(layer, rows, columns))
        kept = self._kept[1][planes[0] - layer[0] : planes[1] - layer[0]]
        if planes[1] == layer[1]:
            self._kept = None
        return kept

    def _decode(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Read a box; if it is damaged, find the first part of it that is."""
        try:
            with decoding_errors(f"{self.path}: planes {planes[0]} to {planes[1] - 1}", "be read", AGAIN):
                return self._source.read(planes, rows, columns)
        except ImageFormatError as error:
            depth, height, width = self._source.chunk
            pieces = product(_layers(*planes, depth), _layers(*rows, height), _layers(*columns, width))
            for piece in pieces:
                where = f"{self.path}: {self._source.part(piece[0][0], piece[1][0], piece[2][0])}"
                with naming(where), decoding_errors(where, "be read", AGAIN):
                    self._source.read(*piece)
            raise error from None


def open_volume(
    path: Path | str,
    *,
    dataset: str | None = None,
    crop: Crop | None = None,
    kind: Kind = "raw",
    channel: int | None = None,
    time: int | None = None,
    max_bytes: int = DEFAULT_LAYER_BYTES,
) -> Volume:
    """Open a volume for reading plane by plane. The file is checked as far as that is possible without decoding it.

    Parameters
    ----------
    path : Path or str
        Multi-page TIFF, ImageJ stack, OME-TIFF, HDF5, npy, OME-Zarr 0.4 or 0.5 folder, or a folder of TIFF files (one
        plane each, in the order of their names, numbers compared as numbers, none missing).
    dataset : str, optional
        HDF5: name of the dataset, needed if there are several of three axes; the path may name it instead, as
        ``FILE.h5::DATASET``. OME-Zarr: path of the array, default the finest.
    crop : sequence of (start, stop), optional
        ``((z0, z1), (y0, y1), (x0, x1))`` or ``((y0, y1), (x0, x1))``; what lies outside is not kept in memory.
    kind : {"raw", "labels", "any"}
        Purpose, as for `compdistort.io.images.read_image`. Chunks that were never written count as lost, but for
        labels, where they are empty.
    channel, time : int, optional
        What to read of several, in OME-TIFF, ImageJ and OME-Zarr; from 0.
    max_bytes : int
        Largest plane and largest layer of chunks, in bytes.

    Returns
    -------
    Volume

    Raises
    ------
    ImageFormatError
        Missing, damaged, lying, colour, of the wrong kind, incomplete, or with more than one volume in it.
    ResourceError
        If the file may not be read, or memory runs out.
    """
    path, inside = split_dataset(path)
    if inside is not None and dataset is not None:
        raise ConfigError(f"{path}: two data sets are named, {inside!r} and {dataset!r}", "name one")
    dataset = inside if dataset is None else dataset
    if kind not in VOLUME_KINDS:
        raise ConfigError(f"volume kind '{kind}' does not exist", f"use one of {', '.join(VOLUME_KINDS)}")
    with resource_errors(path), decoding_errors(path, "be opened", AGAIN):
        source = open_source(path, dataset, kind == "labels", channel, time, max_bytes)
        try:
            return Volume(path, source, kind, crop, max_bytes)
        except BaseException:
            source.close()
            raise


def _box(path: Path, shape: Shape, crop: Crop | None) -> tuple[Span, Span, Span]:
    """Return the part of each axis that is read."""
    spans = [(0, n) for n in shape]
    if crop is not None:
        check_crop(path, shape, crop)
        spans[-len(crop) :] = [(int(start), int(stop)) for start, stop in crop]
    return spans[0], spans[1], spans[2]


def _layers(start: int, stop: int, depth: int) -> Iterator[Span]:
    """Cut a range at the borders of chunks of this depth."""
    while start < stop:
        end = min(stop, (start // depth + 1) * depth)
        yield start, end
        start = end
