"""The noise sampler as compiled loops; equals `compdistort.backend.plain.noise` to the bit.

One image row at a time stays in cache: its records once, then for every replicate the random words, the branch-free
quantiles and the exact levels. A loop voxel by voxel is far slower. What vectorises stands in loops of its own, apart
from the table look-ups; those copy a record of four float32 as two float64. Unsigned indices and flat arrays matter: a
signed index adds a wrap-around test, a second axis a stride that the compiler does not know, and both stop it.
"""

import numpy as np
from numba import njit

from compdistort.backend.base import NoiseTables, UInt8, UInt16
from compdistort.backend.compiled.intrinsics import ctlz32, fma32
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.noise_arguments import check_noise_arguments
from compdistort.rng import MULTIPLIERS, ROUNDS, WEYL

M0, M1 = MULTIPLIERS
W0, W1 = WEYL
END = np.uint32(0xFFFFFFFF)
"""End of a cumulative law."""

STEPS = 2
"""Steps of the search that are made without a branch."""

_NO_MAP = np.zeros((0, 0), np.float32)


def replicate(
    raw: UInt16,
    noise: NoiseTables,
    key: tuple[int, int],
    replicates: range,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> UInt16:
    """Draw replicates of a raw image; see `compdistort.backend.plain.noise.replicate`.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    noise : NoiseTables
        Law of every grey level.
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
    return draw(volume, region, noise, key, replicates, origin).reshape(len(replicates), *raw.shape)


def draw(
    volume: UInt16,
    region: UInt8,
    noise: NoiseTables,
    key: tuple[int, int],
    replicates: range,
    origin: tuple[int, int, int],
) -> UInt16:
    """Draw replicates of what was checked before; parameters as `replicate`, `volume` with three axes.

    Parameters
    ----------
    region : ndarray of shape (rows, columns), uint8
        Region of each pixel.

    Returns
    -------
    ndarray of shape (len(replicates), *volume.shape), uint16
    """
    out = np.empty((len(replicates), *volume.shape), np.uint16)
    maps = noise.maps
    sensor = (_NO_MAP,) * 3 if maps is None else (maps.gain, maps.offset, maps.read_variance)
    place = np.array([*origin, *key, noise.top, maps is not None, noise.law == "gaussian"], np.int64)
    _replicate(
        volume,
        out,
        region,
        noise.level.reshape(-1).view(np.float64),
        noise.level.shape[1],
        noise.cdf,
        noise.guide,
        noise.quantile.reshape(-1).view(np.float64),
        *sensor,
        np.array(replicates, np.uint32),
        place,
    )
    return out


@kept_loop
def _replicate(volume, out, region, level, n_levels, cdf, guide, cubics, gain, offset, read_variance, numbers, place):
    z0, y0, x0, key0, key1, top, use_maps, gaussian = place
    planes, rows, columns = volume.shape
    group0, shift = x0 >> 2, x0 & 3
    n_groups = ((x0 + columns - 1) >> 2) - group0 + 1
    words = np.empty(4 * n_groups, np.uint32)
    record = np.empty(4 * columns, np.float32)
    piece, cubic, fraction = (
        np.empty(columns, np.int32),
        np.empty(4 * columns, np.float32),
        np.empty(columns, np.float32),
    )
    for z in range(planes):
        for y in range(rows):
            n_exact = 0
            if use_maps:
                _map_row(volume[z, y], gain[y], offset[y], read_variance[y], gaussian, record)
            else:
                _table_row(volume[z, y], region[y], level, n_levels, record.view(np.float64))
                n_exact = _count_exact(record.view(np.int32))
            for i in range(numbers.size):
                _words(words, group0, n_groups, np.uint32(y0 + y), np.uint32(z0 + z), numbers[i], key0, key1)
                if n_exact < columns:
                    _pieces(words[shift:], piece, fraction)
                    _cubics(piece, cubics, cubic.view(np.float64))
                    _quantile_row(words[shift:], fraction, cubic, record, np.float32(top), out[i, z, y])
                if n_exact > 0:
                    _exact_row(words[shift:], record.view(np.int32), cdf, guide, out[i, z, y])


@njit(nogil=True, error_model="numpy", inline="always")
def _philox(c0, c1, c2, c3, k0, k1):
    for _ in range(ROUNDS):
        p0, p1 = np.uint64(c0) * np.uint64(M0), np.uint64(c2) * np.uint64(M1)
        c0, c1, c2, c3 = (
            np.uint32(p1 >> np.uint64(32)) ^ c1 ^ k0,
            np.uint32(p1),
            np.uint32(p0 >> np.uint64(32)) ^ c3 ^ k1,
            np.uint32(p0),
        )
        k0, k1 = np.uint32(k0 + np.uint32(W0)), np.uint32(k1 + np.uint32(W1))
    return c0, c1, c2, c3


@njit(nogil=True, error_model="numpy")
def _words(words, group0, n_groups, row, plane, number, key0, key1):
    """Fill the random words of one row, from the group of four that holds its first voxel."""
    k0, k1 = np.uint32(key0), np.uint32(key1)
    for i in range(np.uintp(n_groups)):
        a, b, c, d = _philox(np.uint32(group0 + i), row, plane, number, k0, k1)
        at = np.uintp(4) * i
        words[at] = a
        words[at + np.uintp(1)] = b
        words[at + np.uintp(2)] = c
        words[at + np.uintp(3)] = d


@njit(nogil=True, error_model="numpy")
def _table_row(source, region, level, n_levels, record):
    """Copy the records of one row; `level` and `record` seen as float64, two an entry."""
    for x in range(np.uintp(source.size)):
        at = np.uintp(2) * (np.uintp(region[x]) * np.uintp(n_levels) + np.uintp(source[x]))
        first, second = level[at], level[at + np.uintp(1)]
        record[np.uintp(2) * x] = first
        record[np.uintp(2) * x + np.uintp(1)] = second


@njit(nogil=True, error_model="numpy")
def _count_exact(record):
    """Return how many records of a row take the exact path."""
    n = np.int32(0)
    for x in range(np.uintp(record.size // 4)):
        n += np.int32(record[np.uintp(4) * x + np.uintp(3)] >= 0)
    return n


@njit(nogil=True, error_model="numpy")
def _map_row(source, gain, offset, read_variance, gaussian, record):
    """Compute the records of one row from the sensor maps (see `map_law` of the plain twin)."""
    zero = np.float32(0)
    for x in range(np.uintp(source.size)):
        mean = np.float32(source[x])
        signal = mean - offset[x]
        variance = max(fma32(gain[x], signal, read_variance[x]), zero)
        sd = np.float32(np.sqrt(variance))
        skew = zero
        if signal > zero and variance > zero and not gaussian:
            skew = (gain[x] * gain[x] * signal) / (np.float32(6) * variance * sd)
        at = np.uintp(4) * x
        record[at] = mean
        record[at + np.uintp(1)] = sd / np.float32(np.sqrt(fma32(np.float32(2) * skew, skew, np.float32(1))))
        record[at + np.uintp(2)] = skew


@njit(nogil=True, error_model="numpy")
def _pieces(words, piece, fraction):
    """Find the cubic of every word, and where in its piece the word lies, in [0, 1)."""
    for x in range(np.uintp(piece.size)):
        u = words[x]
        upper = u >> np.uint32(31)
        t = u ^ np.uint32(-np.int32(upper))
        octave = ctlz32(np.uint32(t | np.uint32(1)))
        m = np.uint32(t << octave)
        piece[x] = np.int32((octave - np.uint32(1)) * np.uint32(16) + ((m >> np.uint32(27)) & np.uint32(15)))
        fraction[x] = np.float32(np.int32((m >> np.uint32(3)) & np.uint32(0xFFFFFF))) * np.float32(2.0**-24)


@njit(nogil=True, error_model="numpy")
def _cubics(piece, cubics, cubic):
    """Copy the cubics of one row; both seen as float64, two an entry."""
    for x in range(np.uintp(piece.size)):
        at = np.uintp(2) * np.uintp(np.uint32(piece[x]))
        first, second = cubics[at], cubics[at + np.uintp(1)]
        cubic[np.uintp(2) * x] = first
        cubic[np.uintp(2) * x + np.uintp(1)] = second


@njit(nogil=True, error_model="numpy")
def _quantile_row(words, fraction, cubic, record, top, out):
    """Draw one row; pixels of the exact path get a number too, which `_exact_row` overwrites."""
    for x in range(np.uintp(out.size)):
        at, f = np.uintp(4) * x, fraction[x]
        z = fma32(cubic[at + np.uintp(3)], f, cubic[at + np.uintp(2)])
        z = fma32(fma32(z, f, cubic[at + np.uintp(1)]), f, cubic[at])
        z = -z if words[x] >> np.uint32(31) else z
        skewed = fma32(record[at + np.uintp(2)], fma32(z, z, np.float32(-1)), z)
        v = fma32(record[at + np.uintp(1)], skewed, record[at])
        v = v if v > np.float32(0) else np.float32(0)  # also what is no number: a record of the exact path
        v = v if v < top else top
        v = (v + np.float32(8388608)) - np.float32(8388608)  # rounds half to even for 0 <= v < 2**22, and vectorises
        out[x] = np.uint16(np.int32(v))


@njit(nogil=True, error_model="numpy")
def _exact_row(words, record, cdf, guide, out):
    """Search the cumulative law of every exact pixel; the first steps without a branch, as most words take few."""
    for x in range(np.uintp(out.size)):
        at = np.uintp(4) * x
        row = record[at + np.uintp(3)]
        if row >= 0:
            u = words[x]
            start = np.uintp(np.uint32(record[at + np.uintp(1)]))
            k = start + np.uintp(guide[np.uintp(row) * np.uintp(64) + np.uintp(u >> np.uint32(26))])
            for _ in range(STEPS):
                k += np.uintp((u >= cdf[k]) & (cdf[k] != END))
            while u >= cdf[k] and cdf[k] != END:
                k += np.uintp(1)
            out[x] = np.uint16(record[at] + np.int32(k - start))
