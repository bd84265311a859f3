"""Where blocks get their pixels: an image in memory, a replicate drawn where it is read, a volume slab by slab."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import NoiseTables, UInt16
from compdistort.backend.compiled.noise import replicate
from compdistort.backend.noise_arguments import check_noise_arguments, crop_tables


class Source(Protocol):
    """An image that is read piece by piece; any number of threads may read at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return ([planes,] rows, columns)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the pixels."""
        ...

    def read(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Return pixels of plane z (0 in 2D), ends excluded: shape (rows, columns), perhaps a view."""
        ...

    def whole(self) -> NDArray[Any]:
        """Return all pixels, C-contiguous."""
        ...

    def hold(self, first: int, last: int) -> None:
        """Be told that planes first..last - 1 are read next, and no others until it is called again."""
        ...


class Pixels:
    """An image in memory (see `Source`).

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns)
        Pixels.
    """

    def __init__(self, image: NDArray[Any]) -> None:
        self.shape, self.dtype = image.shape, image.dtype
        self._image, self._volume = image, image.reshape((1, *image.shape)[-3:])

    def read(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Return a view of the pixels."""
        return self._volume[z, slice(*rows), slice(*columns)]

    def whole(self) -> NDArray[Any]:
        """Return the image itself."""
        return self._image

    def hold(self, first: int, last: int) -> None:
        """Do nothing: all planes are there."""


class Drawn:
    """A replicate of a raw image (see `Source`): noise depends on place and number alone, so any piece can be drawn.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    noise : NoiseTables
        Law of every grey level.
    key : tuple of two int
        Philox key.
    number : int
        The replicate.

    Raises
    ------
    ValueError
        As `backend.plain.noise.replicate`.
    """

    def __init__(self, raw: UInt16, noise: NoiseTables, key: tuple[int, int], number: int) -> None:
        self.shape, self.dtype = raw.shape, raw.dtype
        self._raw, self._noise, self._key, self._numbers = raw, noise, key, range(number, number + 1)
        self._volume = check_noise_arguments(raw, noise, self._numbers, (0, 0, 0)).volume

    def read(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> UInt16:
        """Draw the pixels."""
        part = np.ascontiguousarray(self._volume[z, slice(*rows), slice(*columns)])
        tables = crop_tables(self._noise, rows, columns)
        return replicate(part, tables, self._key, self._numbers, (z, rows[0], columns[0]))[0]

    def whole(self) -> UInt16:
        """Draw the whole replicate."""
        return replicate(self._raw, self._noise, self._key, self._numbers)[0]

    def hold(self, first: int, last: int) -> None:
        """Do nothing: any pixel can be drawn at any time."""


AT_ONCE = 8
"""Planes asked for at a time: they are there twice for a moment."""


class PlaneReader(Protocol):
    """A volume of which planes can be had, such as an open file; one thread at a time asks."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (planes, rows, columns)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the pixels."""
        ...

    def read_planes(self, start: int, stop: int) -> NDArray[Any]:
        """Return planes start..stop - 1: shape (stop - start, rows, columns), C-contiguous."""
        ...


class Slabs:
    """A volume of which some consecutive planes are in memory at a time (see `Source`).

    Planes that are still wanted stay when the slab moves on, so that each is asked for once.

    Parameters
    ----------
    reader : PlaneReader
        Where planes come from.
    """

    def __init__(self, reader: PlaneReader) -> None:
        self.shape, self.dtype = reader.shape, reader.dtype
        self._reader, self._first, self._last = reader, 0, 0
        self._planes: NDArray[Any] = np.empty((0, *reader.shape[1:]), reader.dtype)

    def hold(self, first: int, last: int) -> None:
        """Read the planes that are not there yet, and forget those before the first.

        Raises
        ------
        ValueError
            If the slab moves back.
        """
        if first < self._first or last < self._last:
            raise ValueError(f"planes {first} to {last} are asked for after {self._first} to {self._last}")
        kept = self._planes[first - self._first : self._last - self._first]
        room = self._planes
        if last - first > len(room):
            room = np.empty((last - first, *self.shape[1:]), self.dtype)
        room[: len(kept)] = kept  # also where both are one memory
        for start in range(first + len(kept), last, AT_ONCE):
            stop = min(start + AT_ONCE, last)
            room[start - first : stop - first] = self._reader.read_planes(start, stop)
        self._first, self._last, self._planes = first, last, room

    def read(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Return a view of the pixels."""
        return self._planes[z - self._first, slice(*rows), slice(*columns)]

    def whole(self) -> NDArray[Any]:
        """Return all planes, read anew."""
        return self._reader.read_planes(0, self.shape[0])
