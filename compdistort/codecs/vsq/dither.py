"""The dither of the quantiser: uniform numbers that depend on a key alone, the same on every machine.

Philox4x64-10 with key (seed, chunk number), from counter 0: NumPy's raw stream, whose words its versions keep. Each
64-bit word gives four numbers k of 16 bit, the lowest first; the dither is (k + 1/2) / 65536 of a cell.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError
from compdistort.rng import MAX_SEED

FRACTION_BITS = 20
"""Dither and positions count in 2**-20 of a cell."""

CELL = 1 << FRACTION_BITS
"""One cell, in these units."""

_SHIFT = FRACTION_BITS - 16


def dither(size: int, seed: int, chunk: int = 0) -> NDArray[np.int32]:
    """Return the dither of the first pixels of a chunk.

    Parameters
    ----------
    size : int
        How many pixels, in raster order.
    seed, chunk : int
        The key, 0 <= value < 2**64 each. Chunks that share a key share their dither: their errors are correlated.

    Returns
    -------
    ndarray of shape (size,), int32
        In 2**-20 of a cell, above 0 and below 2**20.

    Raises
    ------
    ConfigError
        If half of the key does not fit into 64 bits.

    References
    ----------
    .. [1] Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3, SC11.

    Examples
    --------
    >>> (dither(4, seed=1) >> 4).tolist()
    [33503, 30050, 41595, 19894]
    """
    for name, value in (("seed", seed), ("chunk", chunk)):
        if not 0 <= value <= MAX_SEED:
            raise ConfigError(f"{name} {value} does not fit into 64 bits", "use a whole number from 0 to 2**64 - 1")
    words = np.random.Philox(key=np.array([seed, chunk], np.uint64), counter=0).random_raw((size + 3) // 4)
    numbers = words.astype("<u8", copy=False).view("<u2")[:size].astype(np.int32)
    return (numbers << _SHIFT) + (1 << (_SHIFT - 1))


def content_seed(pixels: NDArray[Any]) -> int:
    """Return a seed that is made of the pixels: the same for the same pixels, another for every other frame.

    Parameters
    ----------
    pixels : ndarray of any shape, uint16
        Raw pixels, DN.

    Returns
    -------
    int
        The 64-bit BLAKE2b of their bytes as little-endian 16-bit words in C order, read as a little-endian number.

    Examples
    --------
    >>> content_seed(np.zeros((2, 2), np.uint16)) == content_seed(np.zeros((2, 2), np.uint16))
    True
    """
    raw = np.ascontiguousarray(pixels, "<u2").tobytes()
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")
