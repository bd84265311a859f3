"""Annotations as the annotated pixels alone; no library that reads images is loaded for them."""

from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strokes:
    """Annotations of an image as the annotated pixels alone.

    Attributes
    ----------
    shape : tuple of int
        Shape of the image, ([planes,] rows, columns).
    flat : ndarray of shape (n_pixels,), int64
        Annotated pixels in raster order, as indices into the flat image.
    value : ndarray of shape (n_pixels,), uint8
        Their annotation values, 1 to 255.

    Examples
    --------
    >>> strokes = Strokes.of(np.array([[0, 2], [1, 0]], np.uint8))
    >>> strokes.flat.tolist(), strokes.value.tolist(), strokes.place.tolist()
    ([1, 2], [2, 1], [[0, 1], [1, 0]])
    """

    shape: tuple[int, ...]
    flat: Int64
    value: UInt8

    @classmethod
    def of(cls, labels: UInt8) -> Self:
        """Return the strokes of a label image of shape ([planes,] rows, columns), 0 = not annotated."""
        flat = np.flatnonzero(labels)
        return cls(shape=labels.shape, flat=flat, value=labels.reshape(-1)[flat])

    @property
    def place(self) -> Int64:
        """Where the pixels are: int64 of shape (n_pixels, n_axes)."""
        return np.column_stack(np.unravel_index(self.flat, self.shape)).astype(np.int64, copy=False)

    @property
    def labels(self) -> UInt8:
        """The label image: uint8 of shape `shape`, 0 = not annotated."""
        dense = np.zeros(prod(self.shape), np.uint8)
        dense[self.flat] = self.value
        return dense.reshape(self.shape)

    def take(self, chosen: NDArray[np.bool_]) -> "Strokes":
        """Return the chosen pixels; `chosen` is bool of shape (n_pixels,)."""
        return Strokes(shape=self.shape, flat=self.flat[chosen], value=self.value[chosen])
