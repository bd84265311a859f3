"""Randomness as a counter, not a state: Philox4x32-10 in NumPy, keys and streams.

A random word depends on (seed, stream, replicate, plane, row, column) alone. Crops, tiles, threads, block sizes and
engines therefore cannot change it. Every purpose has its own stream, which is another key, never a shifted counter.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compdistort.errors import ConfigError

UInt32 = NDArray[np.uint32]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
MAX_SEED = (1 << 64) - 1
_LOW = 0xFFFFFFFF


class Stream(IntEnum):
    """What a key is used for. A number is never reused or changed: results would change with it."""

    NOISE = 1
    BOOTSTRAP = 2
    DOUBLE_NOISE = 3
    DITHER = 4
    SCENE = 5


def philox4x32(
    counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], key: tuple[int, int]
) -> tuple[UInt32, UInt32, UInt32, UInt32]:
    """Return the four random words of each counter.

    Parameters
    ----------
    counter : four array_like of int, 0 <= value < 2**32
        Counter words, broadcast against each other.
    key : tuple of two int
        Key words, 0 <= value < 2**32.

    Returns
    -------
    tuple of four ndarray of the common shape, uint32

    References
    ----------
    .. [1] Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy as 1, 2, 3, SC11.

    Examples
    --------
    >>> [f"{int(word):08x}" for word in philox4x32((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    low, half = np.uint64(_LOW), np.uint64(32)
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> half) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> half) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + WEYL[0]) & _LOW, (k1 + WEYL[1]) & _LOW
    words: Any = [word.astype(np.uint32) for word in np.broadcast_arrays(c0, c1, c2, c3)]
    return words[0], words[1], words[2], words[3]


def derive_key(seed: int, stream: int) -> tuple[int, int]:
    """Return the Philox key of a seed and a stream.

    Parameters
    ----------
    seed : int
        0 <= seed < 2**64.
    stream : int
        Purpose, see `Stream`; 0 <= stream < 2**64.

    Returns
    -------
    tuple of two int
        First two words of Philox with the stream as counter and the seed as key.

    Raises
    ------
    ConfigError
        If a number does not fit into 64 bits.

    Examples
    --------
    >>> derive_key(1, Stream.NOISE) == derive_key(1, Stream.BOOTSTRAP)
    False
    """
    for name, value in (("seed", seed), ("stream", stream)):
        if not 0 <= value <= MAX_SEED:
            raise ConfigError(f"{name} {value} does not fit into 64 bits", "use a whole number from 0 to 2**64 - 1")
    words = philox4x32((stream & _LOW, stream >> 32, 0, 0), (seed & _LOW, seed >> 32))
    return int(words[0]), int(words[1])


def uniform_words(key: tuple[int, int], count: int, draw: ArrayLike = 0) -> UInt32:
    """Return `count` random words of every draw, e.g. of every bootstrap sample.

    Parameters
    ----------
    key : tuple of two int
        From `derive_key`.
    count : int
        How many.
    draw : int or array_like of shape (...), int
        Numbers of the draws, 0 <= draw < 2**32; each has its own words, and a longer draw begins like a shorter one.

    Returns
    -------
    ndarray of shape (..., count), uint32
        Uniform on 0 .. 2**32 - 1.
    """
    groups = np.arange((count + 3) // 4)
    numbers = np.asarray(draw)[..., None]
    words = np.stack(philox4x32((groups, 0, 0, numbers), key), axis=-1)
    return words.reshape(*numbers.shape[:-1], 4 * groups.size)[..., :count]
