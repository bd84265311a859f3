"""Bodies of the noise kernels (see `bodies`): Philox, tables of levels, sensor maps, and places of every kind."""

import hashlib
from dataclasses import replace
from functools import cache, partial
from itertools import count
from math import prod
from unittest import mock

import numpy as np
from cudahost.bodies import same_bits
from cudahost.sparse_array import only_last_blocks, sparse
from cudahost.standin_cupy import ndarray
from golden import noise_tables as golden

from compdistort.backend.base import PixelMaps
from compdistort.backend.device import noise as device_noise
from compdistort.backend.plain.noise import SENTINEL, voxel_words
from compdistort.backend.plain.noise import replicate as plain_replicate
from compdistort.replicate import noise_tables
from compdistort.replicate.tables import search_guide
from compdistort.rng import MULTIPLIERS, ROUNDS, WEYL, Stream, derive_key, philox4x32
from compdistort.sensor.model import SensorMaps, SensorModel, SensorRegion

KEY = derive_key(2022, Stream.NOISE)
PLANE = (11, 37)
LAWS = ("poisson-gaussian", "gaussian")
MAPS = ("gain", "offset", "read_variance")
RANDOM123 = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
"""Counter, key, answer: Random123, tests/kat_vectors, lines "philox4x32 10"."""


def _scalar(**changes):
    values = {"offset_dn": 100.3, "gain_e_per_dn": 0.46, "read_noise_e": 1.6, "bits": 12}
    return SensorModel.scalar(**(values | changes))


def _regions():
    parts = (
        SensorRegion(name="a", offset_dn=90.0, gain_e_per_dn=0.5, read_noise_e=2.0, rows=(0, 5), columns=(0, 20)),
        SensorRegion(name="b", offset_dn=120.5, gain_e_per_dn=2.5, read_noise_e=9.0, rows=(0, 11), columns=(20, 37)),
        SensorRegion(name="c", offset_dn=101.5, gain_e_per_dn=4.0, read_noise_e=1.0, rows=(5, 11), columns=(0, 20)),
    )
    return SensorModel(regions=parts, frame_shape=PLANE, bits=12)


def _maps():
    rng = np.random.default_rng(8)
    gain, offset = rng.uniform(0.3, 3.0, PLANE), rng.uniform(90, 130, PLANE)
    read = rng.uniform(0, 3, PLANE) * (rng.random(PLANE) > 0.1)
    maps = SensorMaps(gain_e_per_dn=gain, offset_dn=offset, read_noise_e=read)
    return SensorModel(regions=_regions().regions, maps=maps, frame_shape=PLANE, bits=12)


@cache
def tables(sensor, law="poisson-gaussian"):
    """Return the tables of a sensor: ``"scalar"``, ``"regions"`` or ``"maps"``."""
    return noise_tables({"scalar": _scalar, "regions": _regions, "maps": _maps}[sensor](), law)


def all_levels(shape):
    """Grey levels from far below the offset to the top of 12 bits, every fourth an exact one of the scalar sensor."""
    place = np.arange(prod(shape))
    return np.where(place % 4, place * 1237 % 4096, 101 + place % 217).astype(np.uint16).reshape(shape)


def compare(engine, raw, noise, numbers, origin, what):
    """Draw on the device and by the plain twin; return what both drew."""
    got = engine.to_host(engine.replicate(engine.to_device(raw), noise, KEY, numbers, origin))
    same_bits(got, plain_replicate(raw, noise, KEY, numbers, origin), what)
    return got


def check_philox(engine):
    """Random123's known answers, and 300 counters of every size against NumPy."""
    counters = np.random.default_rng(1).integers(0, 2**32, (300, 4)) >> np.arange(300)[:, None] % 33
    keys = np.random.default_rng(2).integers(0, 2**32, (300, 2))
    for i, (counter, key, _) in enumerate(RANDOM123):
        counters[i], keys[i] = counter, key
    words = engine.to_device(np.zeros((300, 4), np.uint32))
    arguments = [engine.to_device(each.astype(np.uint32)) for each in (counters, keys)]
    with engine.cuda.here():
        engine.cuda.launch("replicate.philox_known", (2,), (256,), *arguments, words, 300)
    got = engine.to_host(words)
    assert got[:3].tolist() == [list(answer) for *_, answer in RANDOM123]
    for i in range(300):
        same_bits(got[i], np.array(philox4x32(tuple(counters[i]), tuple(map(int, keys[i])))), f"counter {i}")


def check_laws(engine):
    """Every kind of sensor and both laws, in 2D and 3D, off the group of four, in three replicates."""
    for sensor in ("scalar", "regions", "maps"):
        for law in LAWS:
            for shape in (PLANE, (3, *PLANE)):
                raw, what = all_levels(shape), f"{sensor}, {law}, {shape}"
                compare(engine, raw, tables(sensor, law), range(3, 9, 2), (2, 5, 6), what)


def check_maps(engine):
    """Noise of some 10000 DN, so that a last bit lost in a pixel's law shows in 10^5 draws; levels about offsets."""
    rng, shape = np.random.default_rng(4), (40, 64)
    maps = PixelMaps(
        gain=rng.uniform(3000, 30000, shape).astype(np.float32),
        offset=rng.uniform(50, 5000, shape).astype(np.float32),
        read_variance=rng.uniform(0, 1e8, shape).astype(np.float32) * (rng.random(shape) > 0.3),
    )
    raw = rng.integers(0, 65536, shape).astype(np.uint16)
    raw[::5] = maps.offset[::5] - 2 + rng.integers(0, 5, (8, 64))
    for law in LAWS:
        noise = replace(tables("maps", law), top=65535, maps=maps)
        compare(engine, raw, noise, range(40), (0, 0, 0), f"wide noise, {law}")


def check_places(engine):
    """Rows of every length and shift, whole groups and not; numbers in steps, backwards, and up to the last."""
    noise = tables("scalar")
    for columns in (1, 2, 3, 4, 5, 8, 130):
        for x0 in range(4):
            compare(engine, all_levels((2, columns)), noise, range(2), (0, 1, x0), f"{columns} columns from {x0}")
    raw, last = all_levels((2, 3, 9)), (2**32 - 2, 2**32 - 3, 2**32 - 9)
    for numbers in (range(2**32 - 1, 2**32), range(2**32 - 1, 0, -(2**31)), range(40, 7, -11), range(1, 2, 2**40)):
        compare(engine, raw, noise, numbers, last, f"{numbers} at the end of the counter")
    compare(engine, all_levels((4, 8)), noise, range(5), (2**32 - 1, 0, 2**32 - 8), "whole groups at the end")


def check_empty(engine):
    """No replicates, and images without a voxel."""
    assert compare(engine, all_levels(PLANE), tables("scalar"), range(0), (0, 0, 0), "none").shape == (0, *PLANE)
    for shape in ((0, 5), (3, 0), (0, 3, 5)):
        got = engine.replicate(engine.to_device(np.zeros(shape, np.uint16)), tables("scalar"), KEY, range(2))
        assert got.shape == (2, *shape)


def check_strides(engine):
    """A grid of fewer blocks than the image has rows and planes."""
    with mock.patch.object(device_noise, "MAX_GRID", (4, 2, 2)):
        compare(engine, all_levels((5, *PLANE)), tables("regions"), range(2), (0, 0, 1), "strides, levels")
        compare(engine, all_levels((5, *PLANE)), tables("maps"), range(2), (0, 0, 0), "strides, maps")
        compare(engine, all_levels((5, 35, 4)), tables("scalar"), range(2), (0, 0, 0), "strides, whole groups")


def check_ends(engine):
    """Levels 0, the offset and the top: clipped at both ends, never wrapped; no variance, no change."""
    for law in LAWS:
        low = noise_tables(_scalar(offset_dn=2.0), law)
        bright = compare(engine, np.full((6, 40), 4095, np.uint16), low, range(4), (0, 0, 0), "at the top")
        assert bright.max() == 4095
        assert bright.min() > 3600
        rows = np.repeat(np.arange(6, dtype=np.uint16)[:, None], 41, axis=1)
        dark = compare(engine, rows, low, range(4), (0, 0, 0), "dark")
        assert dark.min() == 0
        assert dark.max() < 60
    still = compare(engine, np.full((3, 9), 40, np.uint16), tables("scalar"), range(3), (0, 0, 0), "no variance")
    assert (still == 40).all()
    wide = noise_tables(_scalar(bits=16))
    compare(engine, np.array([[0, 1, 65534, 65535, 65535, 40000]], np.uint16), wide, range(8), (0, 0, 0), "16 bits")


def _records(*rows):
    """Return tables of 12 bits whose first levels have the records given."""
    level = tables("scalar", "gaussian").level.copy()
    level[0, : len(rows)] = rows
    return replace(tables("scalar", "gaussian"), level=level)


def check_rounding(engine):
    """Means half way between two numbers go to the even one, beyond the ends to the end."""
    row, means = np.int32(-1).view(np.float32), (0.5, 1.5, 2.5, 101.5, 4094.5, 4095.5, 5e3, -0.5, -3.0, 3e9, -3e9)
    noise = _records(*((mean, 0, 0, row) for mean in means))
    raw = np.arange(len(means), dtype=np.uint16)[None]
    got = compare(engine, raw, noise, range(2), (0, 0, 0), "ties")
    assert got[0].tolist() == [[0, 2, 2, 102, 4094, 4095, 4095, 0, 0, 4095, 0]]


def check_ties(engine):
    """Random words meet a step of a cumulative law once in 2^32: the steps are put where the words are."""
    raw, origin = np.full((2, 3, 40), 7, np.uint16), (1, 2, 3)
    words = voxel_words(raw.shape, KEY, 5, origin)
    steps = np.sort(words.ravel())[::3]
    for cdf, first in ((steps, 1000), (steps + np.uint32(1), 1001)):
        law = np.append(cdf, np.uint32(SENTINEL))
        record = np.array([first, 0, 0, 0], np.int32).view(np.float32)
        noise = replace(_records(*[record] * 8), cdf=law, guide=search_guide(law))
        got = compare(engine, raw, noise, range(5, 6), origin, "ties with the law")
        same_bits(got[0].astype(np.int64), first + np.searchsorted(law, words, side="right"), "NumPy's search")


def counter_of(words, key):
    """Return the counter whose Philox words these are: every round undone."""
    inverse = [pow(m, -1, 1 << 32) for m in MULTIPLIERS]
    low = 0xFFFFFFFF
    c0, c1, c2, c3 = words
    for i in reversed(range(ROUNDS)):
        k0, k1 = ((k + i * w) & low for k, w in zip(key, WEYL, strict=True))
        before0, before2 = c3 * inverse[0] & low, c1 * inverse[1] & low
        high0, high1 = before0 * MULTIPLIERS[0] >> 32, before2 * MULTIPLIERS[1] >> 32
        c0, c1, c2, c3 = before0, c0 ^ high1 ^ k0, before2, c2 ^ high0 ^ k1
    return c0, c1, c2, c3


def voxel_with_word(word, lane):
    """Return the origin of a voxel and the replicate in which it draws this very word, as word `lane` of its group."""
    group, y, z, number = next(c for c in map(partial(_counter, word, lane), count()) if c[0] < 1 << 30)
    return (z, y, 4 * group + lane), number


def _counter(word, lane, other):
    """Return a counter of the word and three others; a quarter of them are groups at x < 2^32."""
    words = [other * WEYL[0] & 0xFFFFFFFF] * 4
    words[lane] = word
    return counter_of(words, KEY)


def check_rare_words(engine):
    """The first and last words, and those about the middle, by the voxels that draw them."""
    for i, word in enumerate((0, 1, 2, 2**31 - 1, 2**31, 2**32 - 3, 2**32 - 2, 2**32 - 1)):
        origin, number = voxel_with_word(word, i % 4)
        assert voxel_words((1, 1, 1), KEY, number, origin)[0, 0, 0] == word
        for level in (150, 300, 2000, 3500):  # two exact, two not
            image = np.full((1, 1), level, np.uint16)
            what = f"word {word:#x} at {level} DN"
            compare(engine, image, tables("scalar"), range(number, number + 1), origin, what)


def check_golden(engine):
    """The committed block has its committed hash, on every level."""
    got = engine.replicate(engine.to_device(golden.raw_block()), golden.load(), KEY, *golden.PLACE)
    assert hashlib.sha256(engine.to_host(got).astype("<u2").tobytes()).hexdigest() == golden.SHA256


def check_levels_above_top_are_refused(engine):
    """One voxel above the top, in the last place of a row that fills no group, with and without replicates."""
    for sensor in ("scalar", "maps"):
        raw = all_levels((2, *PLANE))
        raw[1, 7, 36] = 4097
        for numbers in (range(1), range(0)):
            try:
                message = engine.replicate(engine.to_device(raw), tables(sensor), KEY, numbers)
            except ValueError as error:
                message = str(error)
            assert message == "raw holds 4097 DN, above the tables' top of 4095 DN", f"{sensor}, {numbers}: {message}"


def check_beyond_31_bits(engine):
    """The last rows of two replicates of 2.2 gigavoxels; on the CPU all else stays untouched pages."""
    shape, last = (1300, 1300, 1300), all_levels((1, 1300))
    raw = _huge(engine, shape, last[0])
    for noise in (tables("scalar"), _huge_maps(shape[1:])):
        with only_last_blocks(engine, 11, "replicate.draw"):
            got = engine.replicate(raw, noise, KEY, range(6, 8))
        maps = noise.maps and PixelMaps(**{name: getattr(noise.maps, name)[-1:] for name in MAPS})
        wanted = plain_replicate(last, replace(noise, maps=maps), KEY, range(6, 8), (1299, 1299, 0))
        for r in range(2):
            same_bits(engine.to_host(got[r][-1, -1]), wanted[r, 0], f"last row of replicate {r}")


def _huge_maps(plane):
    gain = np.ascontiguousarray(np.broadcast_to(np.linspace(0.5, 2, plane[1], dtype=np.float32), plane))
    return replace(tables("maps"), maps=PixelMaps(gain=gain, offset=100 - gain, read_variance=gain))


def _huge(engine, shape, last_row):
    """Return zeros but for the last row; on the CPU all arrays made from here on take no memory until written."""
    with engine.cuda.here() as stream:
        if engine.cuda.cp.ndarray is ndarray:
            engine.cuda.empty = _untouched
            raw = _untouched(shape, np.uint16)
        else:
            raw = engine.cuda.zeros(shape, np.uint16)
        raw[-1, -1].set(last_row)
        stream.synchronize()
        return raw


def _untouched(shape, dtype):
    return ndarray(sparse(shape, dtype, before=2**31))
