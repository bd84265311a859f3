"""Speed of filtered back-projection beside scikit-image's, per plane: 1024 x 1024 pixels from 1200 projections.

With timing off (`--benchmark-disable`) the same runs once, on small projections. `ratio`, the time of scikit-image's
`iradon` over ours for one plane, stands in the extra information of a run.
"""

import time

import numpy as np
import pytest
from skimage.transform import iradon

from compdistort.backend.numpy_backend import NumpyBackend
from compdistort.reconstruct import ParallelBeam, reconstruct

FULL, SMALL = (1200, 1024), (30, 64)
"""Angles and pixels of a projection."""

WANTED = 20
"""Ratio of the time of scikit-image to ours, per plane of a volume."""


def _projections(n_angles, n_pixels, planes):
    noise = np.random.default_rng(0).normal(size=(n_angles, planes, n_pixels))
    return noise.astype(np.float32), np.linspace(0, 180, n_angles, endpoint=False)


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def peer_seconds():
    """Time of scikit-image for one plane, by angles and pixels: the faster of two runs."""
    known = {}

    def measure(shape):
        if shape not in known:
            projections, angles = _projections(*shape, 1)
            known[shape] = min(_seconds(lambda: iradon(projections[:, 0].T, angles)) for _ in range(2))
        return known[shape]

    return measure


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("planes", [1, 4, 16, 32])
def test_planes(benchmark, planes, threads, peer_seconds):
    shape = SMALL if benchmark.disabled else FULL
    projections, angles = _projections(*shape, planes)
    beam, backend = ParallelBeam(angles_deg=angles), NumpyBackend(threads=threads)
    reconstruct(projections[:2, :, :8], beam.changed(angles_deg=angles[:2]), backend)  # compiled, or read from disk
    volume = benchmark.pedantic(reconstruct, (projections, beam, backend), rounds=1 if benchmark.disabled else 3)
    assert volume.shape == (planes, shape[1], shape[1])
    if not benchmark.disabled:
        mine = benchmark.stats.stats.min / planes
        benchmark.extra_info.update(
            seconds_per_plane=mine, peer_seconds_per_plane=peer_seconds(shape), ratio=peer_seconds(shape) / mine
        )
        assert planes < 16 or benchmark.extra_info["ratio"] >= WANTED


@pytest.mark.parametrize("interpolation", ["nearest", "cubic"])
def test_interpolations(benchmark, interpolation):
    shape = SMALL if benchmark.disabled else FULL
    projections, angles = _projections(*shape, 16)
    beam = ParallelBeam(angles_deg=angles, interpolation=interpolation)
    assert np.isfinite(benchmark.pedantic(reconstruct, (projections, beam, NumpyBackend()))).all()
