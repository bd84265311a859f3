"""The noise sampler as compiled loops; equals `compdistort.backend.plain.noise` to the bit.

One image row at a time stays in cache: its records once, then for every replicate the random words, the branch-free
quantiles (both vectorise) and the exact levels. A loop voxel by voxel is far slower. Unsigned indices matter:
a signed one adds a wrap-around test that stops vectorisation.
"""

import numpy as np
from numba import njit

from compdistort.backend.base import NoiseTables, UInt16
from compdistort.backend.compiled.intrinsics import ctlz32, fma32
from compdistort.backend.noise_arguments import check_noise_arguments
from compdistort.rng import MULTIPLIERS, ROUNDS, WEYL

M0, M1 = MULTIPLIERS
W0, W1 = WEYL
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
    out = np.empty((len(replicates), *volume.shape), np.uint16)
    maps = noise.maps
    sensor = (_NO_MAP,) * 3 if maps is None else (maps.gain, maps.offset, maps.read_variance)
    place = np.array([*origin, *key, noise.top, maps is not None, noise.law == "gaussian"], np.int64)
    level = noise.level.reshape(-1, 4)
    _replicate(
        volume,
        out,
        region,
        level,
        level.view(np.int32),
        noise.level.shape[1],
        noise.cdf,
        noise.guide,
        np.ascontiguousarray(noise.quantile.T),
        *sensor,
        np.array(replicates, np.uint32),
        place,
    )
    return out.reshape(len(replicates), *raw.shape)


@njit(nogil=True, cache=True, error_model="numpy")
def _replicate(
    volume, out, region, level, level_bits, n_levels, cdf, guide, cubics, gain, offset, read_variance, numbers, place
):
    z0, y0, x0, key0, key1, top, use_maps, gaussian = place
    planes, rows, columns = volume.shape
    group0, shift = x0 >> 2, x0 & 3
    n_groups = ((x0 + columns - 1) >> 2) - group0 + 1
    words = np.empty(4 * n_groups, np.uint32)
    record = np.empty((3, columns), np.float32)
    exact = np.empty((3, columns), np.int32)
    for z in range(planes):
        for y in range(rows):
            if use_maps:
                _map_row(volume[z, y], gain[y], offset[y], read_variance[y], gaussian, record)
                n_exact = 0
            else:
                n_exact = _table_row(volume[z, y], region[y], level, level_bits, n_levels, record, exact)
            for i in range(numbers.size):
                _words(words, group0, n_groups, np.uint32(y0 + y), np.uint32(z0 + z), numbers[i], key0, key1)
                _quantile_row(words[shift:], record, cubics, np.float32(top), out[i, z, y])
                if n_exact:
                    _exact_row(words[shift:], exact, cdf, guide, out[i, z, y])


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
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


@njit(nogil=True, cache=True, error_model="numpy")
def _words(words, group0, n_groups, row, plane, number, key0, key1):
    """Fill the random words of one row, from the group of four that holds its first voxel."""
    k0, k1 = np.uint32(key0), np.uint32(key1)
    for i in range(n_groups):
        a, b, c, d = _philox(np.uint32(group0 + i), row, plane, number, k0, k1)
        words[4 * i] = a
        words[4 * i + 1] = b
        words[4 * i + 2] = c
        words[4 * i + 3] = d


@njit(nogil=True, cache=True, error_model="numpy")
def _table_row(source, region, level, level_bits, n_levels, record, exact):
    """Look up the records of one row; return how many of its pixels take the exact path."""
    n_exact = 0
    for x in range(source.size):
        at = np.uintp(region[x]) * np.uintp(n_levels) + np.uintp(source[x])
        row = level_bits[at, 3]
        exact[0, x] = row
        if row >= 0:
            n_exact += 1
            exact[1, x] = level_bits[at, 0]
            exact[2, x] = level_bits[at, 1]
            record[0, x] = 0
            record[1, x] = 0
            record[2, x] = 0
        else:
            record[0, x] = level[at, 0]
            record[1, x] = level[at, 1]
            record[2, x] = level[at, 2]
    return n_exact


@njit(nogil=True, cache=True, error_model="numpy")
def _map_row(source, gain, offset, read_variance, gaussian, record):
    """Compute the records of one row from the sensor maps (see `map_law` of the plain twin)."""
    zero = np.float32(0)
    for x in range(source.size):
        mean = np.float32(source[x])
        signal = mean - offset[x]
        variance = max(fma32(gain[x], signal, read_variance[x]), zero)
        sd = np.float32(np.sqrt(variance))
        skew = zero
        if signal > zero and variance > zero and not gaussian:
            skew = (gain[x] * gain[x] * signal) / (np.float32(6) * variance * sd)
        record[0, x] = mean
        record[1, x] = sd / np.float32(np.sqrt(fma32(np.float32(2) * skew, skew, np.float32(1))))
        record[2, x] = skew


@njit(nogil=True, cache=True, error_model="numpy")
def _quantile_row(words, record, cubics, top, out):
    mean, sd, skew = record[0], record[1], record[2]
    t0, t1, t2, t3 = cubics[0], cubics[1], cubics[2], cubics[3]
    for x in range(out.size):
        u = words[x]
        upper = u >> np.uint32(31)
        t = u ^ np.uint32(-np.int32(upper))
        octave = ctlz32(np.uint32(t | np.uint32(1)))
        m = np.uint32(t << octave)
        i = np.uintp(np.uint32((octave - np.uint32(1)) * np.uint32(16) + ((m >> np.uint32(27)) & np.uint32(15))))
        f = np.float32(np.int32((m >> np.uint32(3)) & np.uint32(0xFFFFFF))) * np.float32(2.0**-24)
        z = fma32(fma32(fma32(t3[i], f, t2[i]), f, t1[i]), f, t0[i])
        z = -z if upper else z
        v = fma32(sd[x], fma32(skew[x], fma32(z, z, np.float32(-1)), z), mean[x])
        v = min(max(v, np.float32(0)), top)
        v = (v + np.float32(8388608)) - np.float32(8388608)  # rounds half to even for 0 <= v < 2**22, and vectorises
        out[x] = np.uint16(np.int32(v))


@njit(nogil=True, cache=True, error_model="numpy")
def _exact_row(words, exact, cdf, guide, out):
    for x in range(out.size):
        row = exact[0, x]
        if row >= 0:
            u = words[x]
            k = np.uintp(exact[2, x]) + np.uintp(guide[np.uintp(row) * np.uintp(64) + np.uintp(u >> np.uint32(26))])
            start = k
            while u >= cdf[k] and cdf[k] != np.uint32(0xFFFFFFFF):
                k += np.uintp(1)
            first = exact[1, x] + np.int32(start - np.uintp(exact[2, x]))
            out[x] = np.uint16(first + np.int32(k - start))
