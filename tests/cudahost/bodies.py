"""What every kernel family must do, as one body each: run on every level, on planted bugs, and on a device.

A body takes an engine and raises AssertionError (or the level's own error) where a kernel is wrong. It compares bits
with the plain twins.
"""

import numpy as np

from compdistort.backend.plain.accumulate import accumulate


def same_bits(got, wanted, what):
    """Compare to the bit; -0.0 is not 0.0, but one NaN is as good as another: devices and CPUs make different ones."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.dtype == wanted.dtype, f"{what}: {got.dtype}, not {wanted.dtype}"
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, not {wanted.shape}"
    word = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[wanted.dtype.itemsize]
    differ = np.ascontiguousarray(got).view(word) != np.ascontiguousarray(wanted).view(word)
    if wanted.dtype.kind == "f":
        differ &= ~(np.isnan(got) & np.isnan(wanted))
    bad = np.flatnonzero(differ)
    assert bad.size == 0, (
        f"{what}: {bad.size} of {wanted.size} values differ, the first at "
        f"{np.unravel_index(bad[0], wanted.shape)}: {got.flat[bad[0]]!r}, not {wanted.flat[bad[0]]!r}"
    )


def check_accumulate(engine):
    """Sums over images whose squares need more than 32 bits, of a size that fills no block, onto sums not zero."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 65536, (5, 7, 83)).astype(np.uint16)
    images[:, 0, :5] = 65535
    sums = [np.full((7, 83), start, np.uint64) for start in (11, 2**40)]
    on_device = [engine.to_device(each) for each in sums]
    engine.accumulate(engine.to_device(images), *on_device)
    accumulate(images, *sums)
    for name, got, wanted in zip(("sum1", "sum2"), on_device, sums, strict=True):
        same_bits(engine.to_host(got), wanted, name)
