"""What the back-projection kernel must do (see `cudahost.bodies`)."""

from dataclasses import replace

import numpy as np
from cudahost.bodies import same_bits
from cudahost.sparse_array import launch_last, sparse
from cudahost.standin_cupy import ndarray

from compdistort.backend.beam import PLACE_BITS, BeamPlan
from compdistort.backend.plain.backproject import backproject as plain_backproject

ONE = 1 << PLACE_BITS
SCALE = float(np.float32(0.37))


def places(values):
    return np.rint(np.asarray(values, np.float64) * ONE).astype(np.int64)


def plan_of(degrees, n_samples, size, taps, centre=None):
    """A disc of pixels around an axis off the middle; nothing is read beyond the samples."""
    turn = np.deg2rad(degrees)
    axis, centre = size // 2, n_samples / 2 if centre is None else centre
    half = np.arange(size) * 3 % (axis + 1)
    return BeamPlan(
        starts=places(centre - axis * np.cos(turn) + axis * np.sin(turn)),
        columns=places(np.cos(turn)),
        rows=places(-np.sin(turn)),
        first=0,
        last=(n_samples - taps) * ONE,
        n_samples=n_samples,
        taps=taps,
        left=(axis - half).astype(np.int32),
        right=np.minimum(axis + 2 * half, size).astype(np.int32),
        scale=SCALE,
    )


def noise(plan, planes, seed=5):
    shape = (planes, plan.n_angles, plan.n_samples)
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def compare(engine, projections, plan, what):
    got = engine.to_host(engine.backproject(engine.to_device(projections), plan))
    same_bits(got, plain_backproject(projections, plan), what)


def check_backproject_shapes(engine):
    """Planes that fill no group, images that fill no block, more rows than columns of a block, a single pixel."""
    for taps in (1, 2, 4):
        for planes, n_angles, n_samples, size in ((1, 2, 7, 1), (3, 5, 20, 9), (5, 3, 31, 33), (9, 4, 16, 40)):
            plan = plan_of(np.arange(n_angles) * 37.3 + 1, n_samples, size, taps)
            compare(engine, noise(plan, planes), plan, f"{taps} taps, {planes} planes of {size}")


def check_backproject_whole_images(engine):
    """Every pixel is computed: many places lie beyond the detector, on either side, and add nothing."""
    for taps in (1, 2, 4):
        plan = plan_of([10.0, 100.0, 190.0, 280.0, 333.0], 12, 35, taps, centre=3.3)
        size = np.full(35, 35, np.int32)
        plan = replace(plan, left=size * 0, right=size)
        compare(engine, noise(plan, 2), plan, f"{taps} taps, every pixel")


def check_backproject_limits(engine):
    """Places exactly on the first and the last that are read, and one unit beyond; halves of one tap go down."""
    for taps in (1, 2, 4):
        last = (12 - taps) * ONE
        values = [0, -1, 1, last, last + 1, last - 1, ONE // 2, ONE // 2 - 1, ONE // 2 + 1, 3 * ONE // 2, 5 * ONE + 17]
        plan = BeamPlan(
            starts=np.array(values, np.int64), columns=places(np.zeros(11)), rows=places(np.zeros(11)), first=0,
            last=last, n_samples=12, taps=taps, left=np.zeros(1, np.int32), right=np.ones(1, np.int32), scale=SCALE,
        )  # fmt: skip
        # one angle at a time, so that no other hides what it adds
        for k in range(len(values)):
            keep = slice(k, k + 1)
            one = replace(plan, starts=plan.starts[keep], columns=plan.columns[keep], rows=plan.rows[keep])
            compare(engine, 1 + np.abs(noise(one, 2, seed=k)), one, f"{taps} taps at {values[k]}")
        compare(engine, noise(plan, 2), replace(plan, first=ONE // 2), f"{taps} taps, all places")


def check_backproject_order(engine):
    """Sums whose rounding shows the order of the angles and of the taps."""
    for taps in (2, 4):
        plan = plan_of(np.arange(24) * 7.7, 40, 12, taps)
        spread = noise(plan, 4) * 10.0 ** np.linspace(-3, 3, 24, dtype=np.float32)[:, None]
        compare(engine, spread.astype(np.float32), plan, f"{taps} taps, wide range")


def check_backproject_strides(engine):
    """A grid that is smaller than the images: every thread goes on in strides of it."""
    plan = plan_of([3.0, 50.0, 141.0], 40, 45, 2)
    samples, images = engine.to_device(noise(plan, 6)), engine.to_device(np.zeros((6, 45, 45), np.float32))
    parts = [engine.to_device(part) for part in (plan.starts, plan.columns, plan.rows, plan.left, plan.right)]
    limits = (6, 3, 40, 45, plan.first, plan.last, 2, plan.scale)
    with engine.cuda.here():
        engine.cuda.launch("backproject.images", (1, 2, 1), (32, 8), samples, *parts, *limits, images)
    same_bits(engine.to_host(images), plain_backproject(noise(plan, 6), plan), "a small grid")


def check_backproject_far_planes(engine):
    """The last pixels of more than 2^32, from the last samples of planes of over 2^31. For kernels that g++ built."""
    planes, n_angles, n_samples, size = 6, 5, 2**29, 2**15
    samples, images = sparse((planes, n_angles, n_samples)), sparse((planes, size, size))
    samples[-2:, :, -64:] = np.random.default_rng(2).normal(size=(2, 5, 64)).astype(np.float32)
    near = plan_of([1.0, 46.0, 90.0, 120.0, 170.0], 64, 33, 2)
    square = np.full(size, size, np.int32)
    back = np.int64(size - 33)
    starts = near.starts - back * (near.columns + near.rows) + np.int64(n_samples - 64) * ONE
    parts = [engine.to_device(part) for part in (starts, near.columns, near.rows, square * 0, square)]
    limits = (planes, n_angles, n_samples, size, (n_samples - 64) * ONE, (n_samples - 2) * ONE, 2, SCALE)
    grid = (size // 32, size // 8, 2)
    launch_last(engine, "backproject.images", grid, (32, 8), ndarray(samples), *parts, *limits, ndarray(images))
    whole = replace(near, left=np.zeros(33, np.int32), right=np.full(33, 33, np.int32))
    wanted = plain_backproject(np.ascontiguousarray(samples[-2:, :, -64:]), whole)
    assert np.ptp(wanted[:, -8:, -32:]) > 0
    same_bits(images[-2:, -8:, -32:], wanted[:, -8:, -32:], "the last block")
