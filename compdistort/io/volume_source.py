"""What every kind of volume file offers to `compdistort.io.volume`, and the checks that they share."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from compdistort.errors import ImageFormatError
from compdistort.io.pixels import Image, check_size
from compdistort.io.voxels import VoxelUm

Span = tuple[int, int]
"""First index and one past the last."""
Shape = tuple[int, int, int]

AGAIN = "it is truncated or damaged: get the file again"


class Source(Protocol):
    """A volume in a file, read box by box.

    Attributes
    ----------
    shape : tuple of three int
        Planes, rows, columns.
    dtype : numpy.dtype
        Type of a voxel as stored, in any byte order.
    voxel_um : tuple of three float, or None
        Size of a voxel, where the file gives it.
    chunk : tuple of three int
        Planes, rows and columns that are decoded together; 1 plane and all of it where planes are stored one by one.
    """

    shape: Shape
    dtype: np.dtype[Any]
    voxel_um: VoxelUm | None
    chunk: Shape

    def read(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return a box of shape (planes, rows, columns), type as stored."""
        ...

    def require_chunks(self, planes: Span, rows: Span, columns: Span) -> None:
        """Refuse a box of which a chunk is missing."""
        ...

    def part(self, plane: int, row: int, column: int) -> str:
        """Name the part of the file that holds a voxel, for a message."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class PlaneWise:
    """What sources have in common that hold planes one by one, each known to be there since the file was opened.

    Parameters
    ----------
    shape : tuple of three int
        Planes, rows, columns.
    dtype : numpy.dtype
        Type as stored.
    voxel_um : tuple of three float, or None
        Size of a voxel.
    """

    def __init__(self, shape: Shape, dtype: np.dtype[Any], voxel_um: VoxelUm | None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.voxel_um = voxel_um
        self.chunk: Shape = (1, shape[1], shape[2])

    def require_chunks(self, planes: Span, rows: Span, columns: Span) -> None:
        """Do nothing: no plane is missing."""

    def empty(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return an array of shape (planes, rows, columns) to fill."""
        return np.empty((planes[1] - planes[0], rows[1] - rows[0], columns[1] - columns[0]), self.dtype)


class FlatSource(PlaneWise):
    """Planes that lie in a file one after another, without compression.

    Parameters
    ----------
    path : Path
        File.
    offset : int
        Byte of the first voxel.
    shape : tuple of three int
        Planes, rows, columns; their bytes lie inside the file.
    dtype : numpy.dtype
        Type as stored.
    voxel_um : tuple of three float, or None
        Size of a voxel.
    """

    def __init__(self, path: Path, offset: int, shape: Shape, dtype: np.dtype[Any], voxel_um: VoxelUm | None) -> None:
        super().__init__(shape, dtype, voxel_um)
        self._offset = offset
        self._file: BinaryIO = path.open("rb")

    def read(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return a box of shape (planes, rows, columns); only its rows are read.

        Raises
        ------
        ValueError
            If the file has become shorter.
        """
        height, width = rows[1] - rows[0], self.shape[2]
        box = self.empty(planes, rows, columns)
        for index, plane in enumerate(range(*planes)):
            self._file.seek(self._offset + (plane * self.shape[1] + rows[0]) * width * self.dtype.itemsize)
            flat = np.fromfile(self._file, self.dtype, height * width)
            box[index] = flat.reshape(height, width)[:, slice(*columns)]
        return box

    def part(self, plane: int, row: int, column: int) -> str:
        """Name the plane."""
        del row, column
        return f"plane {plane}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def check_volume(
    path: Path, shape: Sequence[int], dtype: np.dtype[Any], chunk: Shape, stored: int | None, max_bytes: int
) -> None:
    """Refuse a volume that the file cannot hold, or whose planes or chunks are above the limit.

    Parameters
    ----------
    path : Path
        For the message.
    shape : sequence of int
        Claimed planes, rows, columns.
    dtype : numpy.dtype
        Claimed type.
    chunk : tuple of three int
        Planes, rows and columns that are decoded together.
    stored : int or None
        Bytes of the file; None where they do not bound the volume.
    max_bytes : int
        Largest plane and largest chunk, in bytes.

    Raises
    ------
    ImageFormatError
        As `compdistort.io.pixels.check_size`; a chunk of no voxels.
    """
    check_size(path, shape, dtype, stored, sys.maxsize)
    check_size(path, shape[1:], dtype, None, max_bytes)
    if min(chunk) <= 0:
        raise ImageFormatError(f"{path}: has chunks of {' x '.join(map(str, chunk))} voxels", AGAIN)
    check_size(path, [min(n, size) for n, size in zip(chunk, shape, strict=True)], dtype, None, max_bytes)


def choose(path: Path, what: str, count: int, chosen: int | None) -> int:
    """Return the channel or time to read; it need not be named where there is only one.

    Parameters
    ----------
    path : Path
        For the message.
    what : {"channel", "time"}
        What is chosen.
    count : int
        How many there are.
    chosen : int or None
        The caller's choice, from 0.

    Returns
    -------
    int

    Raises
    ------
    ImageFormatError
        Several and no choice, or a choice that does not exist.
    """
    if chosen is None and count != 1:
        raise ImageFormatError(
            f"{path}: holds {count} {what}s", f"choose one with {what} = 0 to {count - 1}, or save one as its own file"
        )
    if chosen is not None and not 0 <= chosen < count:
        raise ImageFormatError(f"{path}: has no {what} {chosen}", f"choose one from 0 to {count - 1}")
    return chosen or 0
