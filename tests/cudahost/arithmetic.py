"""Oracles of the tests' own kernels `arithmetic` and `instructions`: the same results by NumPy and Python integers."""

from math import copysign, isnan

import numpy as np

FLOATS = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 1.17549e-38, 0.5, 1.5, 2.5, -2.5, 1.0000001, 3.1415927, -7.25, 16777217.0,
     2147483500.0, 2147483648.0, -2147483648.0, 4294967040.0, 4294967296.0, 9.2233715e18, 9.2233720e18, -9.2233720e18,
     1.8446743e19, 1.8446744e19, 3.4028235e38, -3.4028235e38, np.inf, -np.inf, np.nan],
    np.float32,
)  # fmt: skip
DOUBLES = np.append(
    FLOATS.astype(np.float64),
    [5e-324, 2.2250738585072014e-308, 1e-46, 7.006492321624085e-46, 1 + 2**-24, 1 + 2**-24 + 2**-50, 1 + 3 * 2**-24,
     3.4028235677973366e38, 3.40282356779733e38, 2147483647.5, 2147483646.5, -2147483648.5, 4294967295.5,
     9007199254740993.0, 1.7976931348623157e308],
)  # fmt: skip
INTEGERS = np.array(
    [0, 1, -1, 2, 3, 7, -7, 31, 32, 127, 128, 255, 256, 32767, 65535, 65536, 16777217, 33554433, 2**31 - 1, 2**31,
     -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, 2**53 + 1, 2**62 + 2**38 + 1, 2**63 - 1, -(2**63), -(2**63) + 1],
    np.int64,
)  # fmt: skip


def pairs(values):
    """Every value with every value."""
    return (each.ravel().copy() for each in np.meshgrid(values, values, indexing="ij"))


def words(values):
    """The bits of floats, all ones for NaN."""
    kind = {4: np.uint32, 8: np.uint64}[values.dtype.itemsize]
    return np.where(np.isnan(values), kind(2 ** (8 * values.dtype.itemsize) - 1), values.view(kind))


def _extreme(x, y, pick):
    """Minimum or maximum of two numbers: NaN gives the other, and -0 is below +0."""
    if isnan(x) or isnan(y):
        return y if isnan(x) else x
    return pick(x, y, key=lambda v: (v, copysign(1.0, v)))


def _extremes(x, y, pick):
    return np.array([_extreme(a, b, pick) for a, b in zip(x.tolist(), y.tolist(), strict=True)], x.dtype)


def _relations(x, y):
    return (x < y) | (x <= y).astype(int) << 1 | (x == y).astype(int) << 2 | (x != y).astype(int) << 3 | ~(x >= y) << 4


def floats(x, y, fused):
    """Rows of the kernel `floats`; `fused` is the fused multiply-add with -1.5."""
    with np.errstate(all="ignore"):
        rows = (
            x + y, x - y, x * y, x / y, np.sqrt(x), fused, x * y - np.float32(1.5), _extremes(x, y, min),
            _extremes(x, y, max), np.abs(x), -x, np.floor(x), np.rint(x), np.where(x < y, x, y),
        )  # fmt: skip
    return np.array([*map(words, rows), _relations(x, y).astype(np.uint32)])


def doubles(x, y):
    """Rows of the kernel `doubles`."""
    with np.errstate(all="ignore"):
        rows = (
            x + y, x - y, x * y, x / y, np.sqrt(x), x * y - 1.5, _extremes(x, y, min), _extremes(x, y, max),
            np.rint(x), x.astype(np.float32).astype(np.float64),
        )  # fmt: skip
    return np.array([*map(words, rows), _relations(x, y).astype(np.uint64)])


def _whole(x, bits, signed, rounding, narrow):
    """A float as an integer: rounded, saturated; NaN is 0 between 32-bit types, else the top bit alone."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    out = []
    for v in x.tolist():
        if isnan(v):
            value = 0 if narrow and bits == 32 else 2 ** (bits - 1)
        else:
            value = low if v < low else high if v > high else min(max(int(rounding(v)), low), high)
        out.append(wrap(value, bits) if signed else value)
    return [wrap(value, 64) for value in out]


def from_floats(x, y):
    """Rows of the kernel `from_floats`."""
    return np.array([
        _whole(x, 32, True, np.rint, True), _whole(x, 32, True, np.floor, True), _whole(x, 32, True, np.ceil, True),
        _whole(x, 32, False, np.rint, True), _whole(x, 64, True, np.rint, True), _whole(x, 64, False, np.rint, True),
        _whole(y, 32, True, np.rint, False), _whole(y, 32, False, np.rint, False),
        _whole(y, 64, True, np.rint, False), _whole(y, 64, False, np.rint, False),
    ], np.int64)  # fmt: skip


def to_floats(x):
    """Rows of the kernel `to_floats`; Python's own float of an integer is rounded once."""
    kinds = (np.int32, np.uint32, np.int64, np.uint64)
    singles = [words(x.astype(kind).astype(np.float32)).astype(np.uint64) for kind in kinds]
    longs = [words(np.array([float(int(v)) for v in x.astype(kind)])) for kind in kinds]
    small = x.astype(np.uint16).astype(np.float32) + x.astype(np.uint8).astype(np.float32)
    return np.array([*singles, *longs, words(small).astype(np.uint64)])


def wrap(value, bits=64):
    """An integer as a two's complement number of so many bits."""
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _quotient(x, y):
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def _reverse(u, bits=32):
    return int(f"{u:0{bits}b}"[::-1], 2)


def whole_numbers(x, y):
    """Results of the kernel `whole_numbers` for one pair of Python integers."""
    ux, uy = x % 2**64, y % 2**64
    s, t = wrap(x, 32), wrap(y, 32)
    us, ut, by = s % 2**32, t % 2**32, t & 31
    safe, narrow = y not in (0, -1), t not in (0, -1)
    out = (
        ux + uy, ux * uy, ux * uy >> 64, us * ut >> 32, s * t, _quotient(x, y) if safe else 0,
        x - _quotient(x, y) * y if safe else 0, ux // uy if y else 0, ux % uy if y else 0,
        _quotient(s, t) if narrow else 0, s - _quotient(s, t) * t if narrow else 0,
        s >> by, us >> by, (us << by) % 2**32, x >> (y & 63), ux >> (y & 63), min(s, t), max(us, ut), min(x, y),
        max(ux, uy), (ux ^ (uy & ~ux)) | (uy << 3) % 2**64, 32 - us.bit_length(), 64 - ux.bit_length(),
        us.bit_count(), ux.bit_count(), (us & -us).bit_length(), (ux & -ux).bit_length(), _reverse(us),
        ((ut << 32 | us) << by >> 32) % 2**32, x % 2**16, wrap(x, 8), (x % 2**8) * (y % 2**16),
        (s < t) + 2 * (us < ut) + 4 * (x < y) + 8 * (ux <= uy) + 16 * (s == t),
    )  # fmt: skip
    return [wrap(value) for value in out]


def _field(x, at, n, signed):
    """`bfe`: the n bits from place `at` on, the topmost repeated if signed."""
    at, n = at & 255, n & 255
    top = x >> min(at + n - 1, 31) & 1 if signed and n else 0
    return sum((x >> (at + i) & 1 if at + i < 32 else top) << i if i < n else top << i for i in range(32))


def _permuted(x, y, selector):
    both = (y << 32 | x).to_bytes(8, "little")
    chosen = [selector >> 4 * i & 15 for i in range(4)]
    return int.from_bytes(bytes(255 * (both[c & 7] >> 7) if c & 8 else both[c & 7] for c in chosen), "little")


def instructions(x, y, z):
    """Results of the kernel `instructions` for three 32-bit words."""
    full = 2**32 - 1
    clamp, pair, none = min(z, 32), y << 32 | x, full
    magnitude = x ^ full if x >> 31 else x
    at, n = z & 31, z >> 5 & 31
    mask = ((1 << n) - 1) << at & full
    out = (
        _field(x, y, z, False), _field(x, y, z, True), _permuted(x, y, z), pair << (z & 31) >> 32, pair >> (z & 31),
        pair << clamp >> 32, pair >> clamp, x * y + z, (x * y >> 32) + z, x.bit_length() - 1 if x else none,
        magnitude.bit_length() - 1 if magnitude else none, 32 - x.bit_length() if x else none, _reverse(x), x ^ full,
        (x << at & mask) | (y & ~mask), x ^ z, x << (z & 63) if z & 63 < 32 else 0, wrap(x, 32) >> (z & 63),
    )  # fmt: skip
    return [value & full for value in out]
