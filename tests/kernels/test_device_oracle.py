"""The CUDA engine against programs that are not ours: scikit-image on the host, cuCIM on a device that has it.

cuCIM has scikit-image's names, so one body serves both; where cuCIM or a device is missing its case skips aloud.
"""

from importlib import import_module

import numpy as np
import pytest
from cudahost.levels import open_engine

from compdistort.backend.base import SegmentRule
from compdistort.features import FeatureSpec, build_bank

SHAPE = (61, 131)


class Oracle:
    """One library of filters and measures, and the engine on the level where it runs."""

    def __init__(self, level, package):
        self.engine = open_engine(level)
        self.filters, self.measure = (import_module(f"{package}.{name}") for name in ("filters", "measure"))
        self.on_device = level == "device"

    def give(self, array):
        return self.engine.to_device(array) if self.on_device else array

    def take(self, array):
        return self.engine.to_host(array) if self.on_device else np.asarray(array)


@pytest.fixture(params=[("plain", "skimage"), ("device", "cucim.skimage")], ids=["skimage", "cucim"])
def oracle(request):
    level, package = request.param
    pytest.importorskip(package.split(".", maxsplit=1)[0])
    return Oracle(level, package)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(5).gamma(2.0, 400.0, SHAPE).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.7, 1.6, 5.0])
def test_gaussian(oracle, image, sigma):
    bank = build_bank(FeatureSpec(set="plain", sigmas=(sigma,)), 2, SHAPE)
    stack = oracle.engine.to_host(oracle.engine.feature_stack(oracle.engine.to_device(image), bank))
    smooth = stack[[operator for operator, _ in bank.columns].index("GS")]
    wanted = oracle.filters.gaussian(oracle.give(image), sigma, mode="reflect", truncate=4.0, preserve_range=True)
    assert np.abs(smooth - oracle.take(wanted)).max() < 1e-5 * image.max()
    other = oracle.filters.gaussian(oracle.give(image), 1.02 * sigma, mode="reflect", truncate=4.0, preserve_range=True)
    assert np.abs(smooth - oracle.take(other)).max() > 1e-5 * image.max()


@pytest.mark.parametrize("connectivity", [4, 8])
def test_objects_and_their_areas(oracle, connectivity):
    mask = np.random.default_rng(6).random(SHAPE) < 0.45
    rule = SegmentRule(foreground=1, connectivity=connectivity)
    labels = oracle.engine.label(oracle.engine.to_device(mask), rule)
    found = oracle.measure.label(oracle.give(mask), connectivity=1 if connectivity == 4 else 2)
    wanted = oracle.measure.regionprops_table(found, properties=("area",))["area"]
    on_host = oracle.engine.to_host(labels)
    areas = np.bincount(on_host.ravel())[1:]
    assert sorted(areas) == sorted(oracle.take(wanted).astype(int))
