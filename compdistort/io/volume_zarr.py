"""OME-Zarr volumes: chunks are decoded as they are asked for, and known to be there before the first is."""

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from compdistort.errors import ImageFormatError
from compdistort.io.ome_zarr_layout import Level, open_level
from compdistort.io.pixels import Image
from compdistort.io.volume_source import Shape, Span, check_volume, choose


class ZarrVolume:
    """One array of an OME-Zarr image.

    Parameters
    ----------
    path : Path
        Folder of the image.
    dataset : str or None
        Path of the array in it; None = the first, which is the finest.
    channel, time : int or None
        What to read of several.
    max_bytes : int
        Largest plane and largest chunk.

    Raises
    ------
    ImageFormatError
        As `compdistort.io.ome_zarr_layout.open_level`; several channels or times without a choice.
    """

    def __init__(
        self, path: Path, dataset: str | None, *, channel: int | None, time: int | None, max_bytes: int
    ) -> None:
        level, self._array = open_level(path, dataset)
        self._path, self._level = path, level
        sizes = dict(zip(level.axes, self._array.shape, strict=True))
        c = choose(path, "channel", sizes.get("c", 1), channel)
        t = choose(path, "time", sizes.get("t", 1), time)
        self._place = {"c": c, "t": t}
        self.shape: Shape = (sizes.get("z", 1), sizes["y"], sizes["x"])
        self.dtype = np.dtype(self._array.dtype)
        self.voxel_um = level.voxel_um
        self.chunk = _spatial(level, self._array.chunks)
        check_volume(path, self.shape, self.dtype, self.chunk, None, max_bytes)
        # Chunks of other channels and times come along with what is read.
        whole = math.prod(self._array.chunks) * self.dtype.itemsize
        if whole > max_bytes:
            raise ImageFormatError(
                f"{path}: one chunk takes {whole} bytes, above the limit of {max_bytes}", "write it with smaller chunks"
            )

    def read(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return a box of shape (planes, rows, columns)."""
        spans = {"z": planes, "y": rows, "x": columns}
        box = np.asarray(
            self._array[tuple(slice(*spans[a]) if a in spans else self._place[a] for a in self._level.axes)]
        )
        return box.reshape([stop - start for start, stop in spans.values()])

    def require_chunks(self, planes: Span, rows: Span, columns: Span) -> None:
        """Refuse a box of which a chunk is missing: writers leave out empty ones, but in raw data it may be lost.

        Raises
        ------
        ImageFormatError
            With the first chunk that is missing.
        """
        for key, plane in self._files(planes, rows, columns):
            if not (self._level.folder / key).is_file():
                raise ImageFormatError(
                    f"{self._path}: chunk {key} (from plane {plane}) is missing",
                    "complete the copy, or write it with empty chunks (write_empty_chunks)",
                )

    def _files(self, planes: Span, rows: Span, columns: Span) -> Iterator[tuple[str, int]]:
        """Yield the name of every file that holds part of a box, and its first plane."""
        stored = self._array.shards or self._array.chunks
        size = dict(zip(self._level.axes, stored, strict=True))
        spans = {"z": planes, "y": rows, "x": columns}
        ranges = []
        for axis in self._level.axes:
            start, stop = spans.get(axis) or (self._place[axis], self._place[axis] + 1)
            ranges.append(range(start // size[axis], -(-stop // size[axis])))
        z = self._level.axes.index("z") if "z" in self._level.axes else None
        for place in product(*ranges):
            yield self._array.metadata.encode_chunk_key(place), 0 if z is None else place[z] * stored[z]

    def part(self, plane: int, row: int, column: int) -> str:
        """Name the file that holds a voxel."""
        key, first = next(self._files((plane, plane + 1), (row, row + 1), (column, column + 1)))
        return f"chunk {key} (from plane {first})"

    def close(self) -> None:
        """Nothing stays open between two reads."""


def _spatial(level: Level, sizes: tuple[int, ...]) -> Shape:
    named = dict(zip(level.axes, sizes, strict=True))
    return named.get("z", 1), named["y"], named["x"]
