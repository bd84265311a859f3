"""The noise sampler in NumPy: one 32-bit word a voxel and replicate, turned into a digital number.

Exact levels: inversion of a cumulative law held as integers. Other levels: ``mean + sd (z + s (z^2 - 1))`` with z the
normal quantile from a table of cubics. Integers, fused multiply-add, division, square root and rounding only: every
engine gives the same bits.
"""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, Int32, NoiseTables, PixelMaps, UInt16, UInt32
from compdistort.backend.noise_arguments import check_noise_arguments
from compdistort.backend.plain.exact import fma
from compdistort.rng import philox4x32

SENTINEL = 0xFFFFFFFF
"""Last entry of every cumulative law: it ends the search."""

Records = tuple[Float32, Float32, Float32, Int32, Int32, Int32]
"""Mean, sd, skewness / 6, exact row (-1: none), first value and place in `cdf`, each of the image's shape."""


def replicate(
    raw: UInt16,
    noise: NoiseTables,
    key: tuple[int, int],
    replicates: range,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> UInt16:
    """Draw replicates of a raw image (see `Backend.replicate`).

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    noise : NoiseTables
        Law of every grey level; region and sensor maps must have the shape (rows, columns) of `raw`.
    key : tuple of two int
        Philox key.
    replicates : range
        Replicate numbers.
    origin : tuple of int
        (plane, row, column) of the first voxel in the whole volume.

    Returns
    -------
    ndarray of shape (len(replicates), *raw.shape), uint16
    """
    volume, region = check_noise_arguments(raw, noise, replicates, origin)
    records = _table_records(volume, noise, region) if noise.maps is None else _map_records(volume, noise)
    out = np.empty((len(replicates), *volume.shape), np.uint16)
    for image, number in zip(out, replicates, strict=True):
        words = voxel_words(volume.shape, key, number, origin)
        image[...] = _draw(words, records, noise)
    return out.reshape(len(replicates), *raw.shape)


def voxel_words(
    shape: tuple[int, ...], key: tuple[int, int], number: int, origin: tuple[int, int, int] = (0, 0, 0)
) -> UInt32:
    """Return the random word of every voxel.

    Parameters
    ----------
    shape : tuple of int
        (planes, rows, columns).
    key : tuple of two int
        Philox key.
    number : int
        Replicate number.
    origin : tuple of int
        (plane, row, column) of the first voxel.

    Returns
    -------
    ndarray of the shape given, uint32
        Word ``x & 3`` of the counter ``(x >> 2, y, z, number)``.
    """
    z, y, x = (np.arange(start, start + size) for start, size in zip(origin, shape, strict=True))
    words = philox4x32((x >> 2, y[:, None], z[:, None, None], number), key)
    lane = np.broadcast_to(x & 3, shape)
    return np.choose(lane, words)


def normal_quantile(words: UInt32, table: Float32) -> Float32:
    """Return the standard normal quantile of ``(word + 1/2) / 2**32``; the words 0 and 1 share one, as do the last two.

    Parameters
    ----------
    words : ndarray of any shape, uint32
        Random words.
    table : ndarray of shape (496, 4), float32
        Cubics of 31 octaves of 16 pieces; see `compdistort.replicate.law`.

    Returns
    -------
    ndarray of the shape of `words`, float32
    """
    upper = words >> np.uint32(31) == 1
    tail = np.where(upper, ~words, words)
    octave = 32 - np.frexp((tail | np.uint32(1)).astype(np.float64))[1].astype(np.int64)
    mantissa = (tail.astype(np.uint64) << octave.astype(np.uint64)).astype(np.uint32)
    piece = (octave - 1) * 16 + ((mantissa >> np.uint32(27)) & np.uint32(15))
    f = ((mantissa >> np.uint32(3)) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
    c = table[piece]
    z = fma(fma(fma(c[..., 3], f, c[..., 2]), f, c[..., 1]), f, c[..., 0])
    return np.where(upper, -z, z)


def _table_records(volume: UInt16, noise: NoiseTables, region: NDArray[np.uint8]) -> Records:
    record = noise.level[region, volume]
    bits = record.view(np.int32)
    exact = bits[..., 3] >= 0
    mean, sd, skew = (np.where(exact, np.float32(0), record[..., i]) for i in range(3))
    first, start = (np.where(exact, bits[..., i], 0) for i in range(2))
    return mean, sd, skew, bits[..., 3], first, start


def _map_records(volume: UInt16, noise: NoiseTables) -> Records:
    assert noise.maps is not None
    mean = volume.astype(np.float32)
    sd, skew = map_law(mean, noise.maps, gaussian=noise.law == "gaussian")
    none = np.zeros(volume.shape, np.int32)
    return mean, sd, skew, none - 1, none, none


def map_law(mean: Float32, maps: PixelMaps, *, gaussian: bool) -> tuple[Float32, Float32]:
    """Return standard deviation (DN) and skewness / 6 of every pixel from sensor maps, in float32.

    The variance ``K^2 sigma_d^2 + K (y - offset)`` is clipped at 0 as a whole. Pixels below their offset are Gaussian.
    The standard deviation is that of the linear term, ``sqrt(v / (1 + 2 s^2))``, so that the total stays v.

    Parameters
    ----------
    mean : ndarray of shape (..., rows, columns), float32
        Grey levels, DN.
    maps : PixelMaps
        Sensor maps of shape (rows, columns).
    gaussian : bool
        No skewness anywhere.

    Returns
    -------
    tuple of two ndarray of the shape of `mean`, float32
    """
    signal = mean - maps.offset
    variance = np.maximum(fma(maps.gain, signal, maps.read_variance), np.float32(0))
    sd = np.sqrt(variance)
    third = maps.gain * maps.gain * signal
    skewed = (signal > 0) & (variance > 0) & (not gaussian)
    divisor = np.where(skewed, np.float32(6) * variance * sd, np.float32(1))
    skew = np.asarray(np.where(skewed, third / divisor, np.float32(0)), np.float32)
    linear = sd / np.sqrt(fma(np.float32(2) * skew, skew, np.ones_like(skew)))
    return np.asarray(linear, np.float32), skew


def _draw(words: UInt32, records: Records, noise: NoiseTables) -> UInt16:
    mean, sd, skew, row, first, start = records
    z = normal_quantile(words, noise.quantile)
    value = fma(sd, fma(skew, fma(z, z, np.full_like(z, -1)), z), mean)
    out = np.clip(np.rint(value), 0, noise.top).astype(np.uint16)
    where = np.nonzero(row >= 0)
    if where[0].size:
        out[where] = first[where] + _invert(words[where], start[where], noise.cdf)
    return out


def _invert(words: UInt32, start: Int32, cdf: UInt32) -> NDArray[np.int64]:
    """Return how many thresholds of the law that begins at `start` are <= the word, the sentinel excepted."""
    count = np.zeros(words.shape, np.int64)
    going = np.arange(words.size)
    while going.size:
        threshold = cdf[start[going] + count[going]]
        going = going[(words[going] >= threshold) & (threshold != SENTINEL)]
        count[going] += 1
    return count
