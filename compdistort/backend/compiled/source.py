"""Where blocks get their pixels: an image in memory, a replicate drawn where it is read; `Slabs` is another."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import NoiseTables, UInt8, UInt16
from compdistort.backend.compiled.noise import draw, replicate
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


class _Window(NamedTuple):
    """Rows and columns of an image, with the tables and the regions of these pixels."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    noise: NoiseTables
    region: UInt8


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
        self._volume, region = check_noise_arguments(raw, noise, self._numbers, (0, 0, 0))
        self._window = _Window((0, region.shape[0]), (0, region.shape[1]), noise, region)

    def read(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> UInt16:
        """Draw the pixels."""
        window = self._window
        if window[:2] != (rows, columns):  # a tile reads the same pixels of every plane
            tables = crop_tables(self._noise, rows, columns)
            none = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), np.uint8)
            window = self._window = _Window(rows, columns, tables, none if tables.region is None else tables.region)
        part = np.ascontiguousarray(self._volume[z : z + 1, slice(*rows), slice(*columns)])
        return draw(part, window.region, window.noise, self._key, self._numbers, (z, rows[0], columns[0]))[0, 0]

    def whole(self) -> UInt16:
        """Draw the whole replicate."""
        return replicate(self._raw, self._noise, self._key, self._numbers)[0]

    def hold(self, first: int, last: int) -> None:
        """Do nothing: any pixel can be drawn at any time."""
