"""Counts of grey levels: what a codec or a sensor has to know of all pixels, of images of any size."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

N_LEVELS = 65536
_AT_ONCE = 2**16
"""Pixels counted at a time: NumPy counts numbers of 8 bytes, and these stay in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class GreyLevels:
    """How many pixels of an image have each grey level.

    Attributes
    ----------
    counts : ndarray of shape (65536,), int64
        Pixels at every grey level, DN; at least one in all.

    Examples
    --------
    >>> levels = GreyLevels.of_planes([np.array([[7, 9], [9, 12]], np.uint16)])
    >>> levels.size, levels.minimum, levels.maximum, levels.at_rank(2)
    (4, 7, 12, 9)
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.counts.shape != (N_LEVELS,) or not self.counts.any():
            raise ValueError(
                f"counts of shape {self.counts.shape}, {self.counts.sum()} pixels in all: no image has them"
            )

    @classmethod
    def of_planes(cls, planes: Iterable[NDArray[Any]]) -> Self:
        """Count planes that come one after another, or an image as one plane.

        Parameters
        ----------
        planes : iterable of ndarray of any shape, uint16
            Grey values, DN.

        Returns
        -------
        GreyLevels
            Of all planes together.

        Raises
        ------
        ValueError
            If a plane is not uint16, or there is no pixel at all.
        """
        counts = np.zeros(N_LEVELS, np.int64)
        for plane in planes:
            if plane.dtype != np.uint16:
                raise ValueError(f"grey levels are counted of uint16, not {plane.dtype}")
            pixels = plane.ravel()
            for start in range(0, pixels.size, _AT_ONCE):
                counts += np.bincount(pixels[start : start + _AT_ONCE], minlength=N_LEVELS)
        return cls(counts)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self.counts.sum())

    @property
    def minimum(self) -> int:
        """Lowest grey level that occurs, DN."""
        return int(np.flatnonzero(self.counts)[0])

    @property
    def maximum(self) -> int:
        """Highest grey level that occurs, DN."""
        return int(np.flatnonzero(self.counts)[-1])

    def at_rank(self, rank: int) -> int:
        """Return the grey level of a pixel of the sorted image, DN.

        Parameters
        ----------
        rank : int
            Its place, 0 (lowest) to `size` - 1 (highest).

        Returns
        -------
        int

        Raises
        ------
        IndexError
            If there is no such pixel.
        """
        if not 0 <= rank < self.size:
            raise IndexError(f"rank {rank} of {self.size} pixels")
        return int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))

    def at_ranks(self, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return `at_rank` of several places at once.

        Parameters
        ----------
        ranks : ndarray of shape (n,), int64
            Places in the sorted image.

        Returns
        -------
        ndarray of shape (n,), int64
            Grey levels, DN.

        Raises
        ------
        IndexError
            If there is no such pixel.
        """
        if ranks.size and not 0 <= ranks.min() <= ranks.max() < self.size:
            raise IndexError(f"ranks {ranks.min()} to {ranks.max()} of {self.size} pixels")
        return np.searchsorted(np.cumsum(self.counts), ranks, side="right").astype(np.int64)

    def below(self, level: float) -> int:
        """Return how many pixels are darker than a grey level, DN."""
        return int(self.counts[: int(np.clip(np.ceil(level), 0, N_LEVELS))].sum())

    def at_least(self, level: float) -> int:
        """Return how many pixels are not darker than a grey level, DN."""
        return self.size - self.below(level)
