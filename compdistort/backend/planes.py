"""Volumes of which a few planes are in memory at a time: who gives the planes, and who holds those that are in work."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.records import SegmentRule
from compdistort.errors import ConfigError

AT_ONCE = 8
"""Planes asked for at a time: they are there twice for a moment."""

PIXELS = ("uint8", "uint16", "float32")
"""Types of voxels that features are made of."""


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
    """A volume of which some consecutive planes are in memory at a time.

    Planes that are still wanted stay when the slab moves on, so that each is asked for once.

    Parameters
    ----------
    reader : PlaneReader
        Where planes come from.
    most : int
        Planes that will be held at a time, where that is known: without it memory that turns out too small is there
        until the larger one is filled.
    """

    def __init__(self, reader: PlaneReader, most: int = 0) -> None:
        self.shape, self.dtype = tuple(reader.shape), reader.dtype
        self._reader, self._first, self._last = reader, 0, 0
        self._room: NDArray[Any] = np.empty((most, *self.shape[1:]), reader.dtype)

    @property
    def planes(self) -> NDArray[Any]:
        """The planes that are held: a view of shape (planes, rows, columns), until others are."""
        return self._room[: self._last - self._first]

    def hold(self, first: int, last: int) -> None:
        """Read the planes that are not there yet, and forget those before the first.

        Raises
        ------
        ValueError
            If the slab moves back.
        """
        if first < self._first or last < self._last:
            raise ValueError(f"planes {first} to {last} are asked for after {self._first} to {self._last}")
        kept = self._room[first - self._first : self._last - self._first]
        room = self._room
        if last - first > len(room):
            room = np.empty((last - first, *self.shape[1:]), self.dtype)
        if room is not self._room or first > self._first:
            # One by one: where both are one memory, NumPy would copy all of them before it writes the first.
            for plane, there in zip(room, kept, strict=False):
                plane[...] = there
        for start in range(first + len(kept), last, AT_ONCE):
            stop = min(start + AT_ONCE, last)
            room[start - first : stop - first] = self._reader.read_planes(start, stop)
        self._first, self._last, self._room = first, last, room

    def read(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Return pixels of plane z, a view of shape (rows, columns)."""
        return self._room[z - self._first, slice(*rows), slice(*columns)]

    def whole(self) -> NDArray[Any]:
        """Return all planes, C-contiguous: those that are held, or else read anew."""
        n = self.shape[0]
        return self.planes if self._last - self._first == n else self._reader.read_planes(0, n)


def require_volume(volume: PlaneReader) -> None:
    """Refuse a volume that no engine takes.

    Raises
    ------
    TypeError
        If its pixels are not one of `PIXELS`, in the machine's byte order.
    ValueError
        If it does not have three axes, or no pixels.
    """
    if volume.dtype.name not in PIXELS or not volume.dtype.isnative:
        raise TypeError(f"volume must be {' or '.join(PIXELS)}, not {volume.dtype}")
    if len(volume.shape) != 3:
        raise ValueError(f"volume must have 3 axes (planes, rows, columns), not {len(volume.shape)}")
    if min(volume.shape) < 1:
        raise ValueError(f"volume has no pixels: its shape is {volume.shape}")


def require_slabs(volume: PlaneReader, rule: SegmentRule, slab: int) -> None:
    """Refuse what cannot be decided slab by slab.

    Parameters
    ----------
    volume : PlaneReader
        The volume.
    rule : SegmentRule
        The decision.
    slab : int
        Planes that are decided together.

    Raises
    ------
    TypeError, ValueError
        As `require_volume`; a slab without planes.
    ConfigError
        If the probability is to be smoothed.
    """
    require_volume(volume)
    if slab < 1:
        raise ValueError(f"a slab has at least 1 plane, not {slab}")
    if rule.smoothing_px > 0:
        raise ConfigError(
            f"smoothing_px = {rule.smoothing_px:g} needs the probability of a whole volume",
            "leave it out, or raise max_memory so that the volume fits",
        )
