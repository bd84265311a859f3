"""The Weka planes: the kernels against the plain twin, ImageJ's own planes and the committed hashes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from cudahost import bodies_weka
from cudahost.levels import open_engine

from compdistort.backend.device.weka import SCRATCH_PLANES
from compdistort.features import FeatureSpec, build_bank

ORACLE = Path(__file__).resolve().parents[1] / "oracle" / "imagej"
BODIES = [
    bodies_weka.check_weka_shapes,
    bodies_weka.check_weka_long_lines,
    bodies_weka.check_weka_radii,
    bodies_weka.check_weka_ends,
    bodies_weka.check_weka_flat,
    bodies_weka.check_weka_steps,
    bodies_weka.check_weka_signed_zero,
    bodies_weka.check_weka_float_pixels,
    bodies_weka.check_weka_slabs,
    bodies_weka.check_weka_tall_slabs,
    bodies_weka.check_weka_golden,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_planes_are_the_plain_twins(engine, body):
    body(engine)


@pytest.mark.parametrize("mode", ["plain", "checked"])
def test_no_index_is_cut_to_32_bits(mode):
    bodies_weka.check_weka_giant(open_engine(mode))


@pytest.mark.parametrize("name", ["f1_phase16", "f3_edge16", "f4_impulse16"])
def test_planes_are_those_of_imagej(name):
    image = tifffile.imread(ORACLE / "images" / f"{name}.tif").astype(np.float32)
    with np.load(ORACLE / "features" / f"{name}_features.npz") as oracle:
        labels, planes = tuple(oracle["labels"]), oracle["features"]
    bank = build_bank(FeatureSpec(set="weka"), 2, image.shape)
    assert bank.names == labels
    for label, got, wanted in zip(
        labels, bodies_weka.slab_planes(open_engine("plain"), image, bank), planes, strict=True
    ):
        bodies_weka.same_bits(got, wanted, f"{name}, {label}")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_stack_made_in_slabs_takes_camera_pixels_as_they_are(dtype):
    image = np.random.default_rng(4).integers(0, 256, (31, 40)).astype(dtype)
    wanted = bodies_weka.weka_stack(image.astype(np.float32), bodies_weka.DEFAULT)
    for slab_bytes in (None, 1, 4 * SCRATCH_PLANES * 40 * 7):
        engine = open_engine("plain", slab_bytes=slab_bytes)
        got = engine.to_host(engine.feature_stack(engine.to_device(image), bodies_weka.DEFAULT))
        bodies_weka.same_bits(got, wanted, f"slabs of {slab_bytes} bytes")


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (150, 151), (100, 162), (50, 250), (0, 300)])
def test_temporaries_stay_within_the_stated_bound(monkeypatch, start, stop):
    engine, taken = open_engine("plain"), []
    empty = engine.cuda.empty
    monkeypatch.setattr(engine.cuda, "empty", lambda *arguments: taken.append(empty(*arguments)) or taken[-1])
    bodies_weka.slab_planes(engine, bodies_weka.camera((300, 20)), bodies_weka.DEFAULT, start, stop)
    rows, around = stop - start, 2 * 28 + 6
    used = sum(array.size for array in taken)
    assert 2 * rows * 20 <= used <= (2 * rows + around) * 20
    assert rows < around or used <= SCRATCH_PLANES * rows * 20
