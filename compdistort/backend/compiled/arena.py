"""Memory of one worker: laid out by a planner, then taken as one array, so that its size is known without taking it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import UInt8

PIECE = 64
"""Pieces start at whole multiples of this, in bytes: cache lines."""


def aligned_zeros(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    """Return an array of zeros that begins at a cache line, so that a whole vector lies in one.

    NumPy's own begin anywhere, and a vector across two lines takes longer to read or write.

    Parameters
    ----------
    shape : tuple of int
        Shape.
    dtype : dtype
        Type of the elements.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> aligned_zeros((2, 3)).ctypes.data % PIECE
    0
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + PIECE, np.uint8)
    first = -memory.ctypes.data % PIECE
    return memory[first : first + size].view(dtype).reshape(shape)


class Arena:
    """Pieces of memory by address.

    Parameters
    ----------
    memory : ndarray of shape (n,), uint8, or None
        What the pieces are cut from; None only adds up their sizes (addresses then begin at 0).
    """

    def __init__(self, memory: UInt8 | None = None) -> None:
        self.memory = memory
        self.start = 0 if memory is None else -(-memory.ctypes.data // PIECE) * PIECE
        self.end = self.start

    @property
    def size(self) -> int:
        """Bytes that an array must have to hold all pieces cut so far, wherever it starts."""
        return self.end - self.start + PIECE

    def take(self, size: int) -> int:
        """Return the address of a new piece of `size` bytes, which holds zeros."""
        piece = self.end
        self.end += -(-size // PIECE) * PIECE
        return piece

    def view(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array over a piece."""
        assert self.memory is not None
        begin = address - self.memory.ctypes.data
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return self.memory[begin : begin + size].view(dtype).reshape(shape)

    def put(self, values: NDArray[Any]) -> int:
        """Return the address of a new piece with a copy of an array."""
        address = self.take(values.nbytes)
        if self.memory is not None:
            self.view(address, values.shape, values.dtype)[...] = values
        return address
