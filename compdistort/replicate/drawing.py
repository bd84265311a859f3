"""Draw raw-equivalent replicates, and sum them pixel by pixel without rounding."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compdistort.backend.base import Backend, Float64, NoiseTables, UInt16, UInt64
from compdistort.rng import Stream, derive_key

BATCH_BYTES = 1 << 27
_EXACT_UINT64 = 1 << 16
"""Replicates below which ``n S2`` and ``S1^2`` fit 64 bits."""


class PixelSums(NamedTuple):
    """Sums over `n` replicates: `sum1` (DN) and `sum2` (DN^2), uint64 of the image's shape."""

    n: int
    sum1: UInt64
    sum2: UInt64


def draw(
    raw: UInt16,
    tables: NoiseTables,
    backend: Backend[Any],
    seed: int,
    replicates: range,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> UInt16:
    """Draw raw-equivalent replicates of an image.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    tables : NoiseTables
        From `noise_tables`.
    backend : Backend
        Engine; all give the same bits.
    seed : int
        64-bit seed.
    replicates : range
        Replicate numbers: number 7 is the same image in any range.
    origin : tuple of int
        (plane, row, column) of the first voxel in the whole volume, for a crop.

    Returns
    -------
    ndarray of shape (len(replicates), *raw.shape), uint16

    Examples
    --------
    >>> from compdistort import SensorModel, get_backend, noise_tables
    >>> sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=2.0, read_noise_e=3.0)
    >>> raw = np.full((2, 4), 500, np.uint16)
    >>> draw(raw, noise_tables(sensor), get_backend("numpy"), seed=1, replicates=range(1)).tolist()
    [[[518, 500, 492, 490], [501, 495, 493, 468]]]
    """
    return draw_uploaded(backend.to_device(raw), tables, backend, seed, replicates, origin)


def draw_uploaded(
    image: Any,
    tables: NoiseTables,
    backend: Backend[Any],
    seed: int,
    replicates: range,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> UInt16:
    """Draw as `draw` does, from an image that is in the engine's library already."""
    drawn = backend.replicate(image, tables, derive_key(seed, Stream.NOISE), replicates, origin)
    return np.asarray(backend.to_host(drawn), np.uint16)


def pixel_sums(
    raw: UInt16,
    tables: NoiseTables,
    backend: Backend[Any],
    seed: int,
    replicates: range,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> PixelSums:
    """Draw replicates in batches and return their exact sums; parameters as in `draw`."""
    image = backend.to_device(raw)
    key = derive_key(seed, Stream.NOISE)
    sums = [backend.to_device(np.zeros(raw.shape, np.uint64)) for _ in range(2)]
    for batch in _batches(replicates, max(1, BATCH_BYTES // max(raw.nbytes, 1))):
        backend.accumulate(backend.replicate(image, tables, key, batch, origin), *sums)
    sum1, sum2 = (np.asarray(backend.to_host(each), np.uint64) for each in sums)
    return PixelSums(len(replicates), sum1, sum2)


def pixel_mean(sum1: UInt64, n: int) -> Float64:
    """Return the mean over `n` replicates in DN: float64 of the shape of `sum1`."""
    return np.asarray(sum1 / n, np.float64)


def pixel_variance(sum1: UInt64, sum2: UInt64, n: int) -> Float64:
    """Return the variance over `n` replicates, ``(n S2 - S1^2) / (n (n - 1))`` in whole numbers up to the division.

    Parameters
    ----------
    sum1, sum2 : ndarray of any shape, uint64
        Sums of x (DN) and x^2 (DN^2) over the replicates.
    n : int
        Number of replicates, >= 2.

    Returns
    -------
    ndarray of the shape of `sum1`, float64
        Unbiased variance, DN^2.

    Raises
    ------
    ValueError
        If n < 2.

    Examples
    --------
    >>> x = np.array([[65535], [65534], [65533]], np.uint64)
    >>> pixel_variance(x.sum(0), (x * x).sum(0), 3).tolist()
    [1.0]
    """
    if n < 2:
        raise ValueError(f"a variance needs at least 2 replicates, not {n}")
    if n < _EXACT_UINT64:
        spread = np.uint64(n) * sum2 - sum1 * sum1
    else:  # 128 bits: Python's whole numbers
        spread = (n * sum2.astype(object) - sum1.astype(object) ** 2).astype(np.float64)
    return np.asarray(spread / (float(n) * (n - 1)), np.float64)


def pixel_deviation(sum1: UInt64, sum2: UInt64, n: int) -> Float64:
    """Return the standard deviation over `n` replicates in DN; parameters as in `pixel_variance`."""
    return np.sqrt(pixel_variance(sum1, sum2, n))


def _batches(replicates: range, size: int) -> Iterator[range]:
    for start in range(0, len(replicates), size):
        yield replicates[start : start + size]
