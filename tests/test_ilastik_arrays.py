"""Every array of the ilastik oracle is compared: the features here, the others where it says.

An array that no test compares makes this file fail: columns are found by listing what a file holds. The compiled engine
is run; the plain one has the same bits.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ilastik_columns import shares

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.features import FeatureSpec, build_bank
from compdistort.features.kernels import first_derivative, gaussian, window_radius
from compdistort.io.ilastik import read_project
from compdistort.pipeline.ilastik_project import classifier_of

pytestmark = pytest.mark.data

FAMILIES = {
    "ilastik_full": ("ilastik", False),
    "ilastik_planes": ("ilastik", False),
    "ilastik_in2d_planes": ("ilastik", True),
    "vigra_plain_planes": ("vigra", False),
}
"""Files of features by the end of their names: the set, and whether all sigmas are planar."""

COLUMNS = {
    "img2d_ilastik_full": 28, "img2d_ilastik_planes": 13, "img2d_vigra_plain_planes": 41,
    "real3d_ilastik_full": 24, "real3d_ilastik_planes": 11, "real3d_vigra_plain_planes": 35,
    "synth3d_ilastik_full": 8, "synth3d_ilastik_planes": 33, "synth3d_vigra_plain_planes": 41,
    "synth3d_ilastik_in2d_planes": 12,
}  # fmt: skip
"""Files of features, and how many columns each holds."""

ELSEWHERE = {
    "synth3d_rf": ("test_ilastik_arrays.py", "test_ilastik_project.py"),
    "synth3d_threshold": ("test_ilastik_arrays.py", "test_segment.py"),
    "real_projects": ("test_ilastik_arrays.py", "test_ilastik_project.py"),
}
"""Other files, and the tests that name each of their arrays."""


@pytest.fixture(scope="module")
def folder(shared_oracle):
    return shared_oracle / "ilastik"


def family_of(file):
    image = file.split("_", 1)[0]
    return image, *FAMILIES[file.removeprefix(f"{image}_")]


@pytest.mark.parametrize("file", COLUMNS)
def test_every_column_of_a_file(folder, file):
    image, name, planar = family_of(file)
    columns = dict(np.load(folder / f"{file}.npz"))
    planes = columns.pop("planes", slice(None))
    assert len(columns) == COLUMNS[file]
    found = shares(get_backend("numba"), np.load(folder / "inputs.npz")[image], columns, name, planes, planar=planar)
    assert found.keys() == columns.keys()
    assert {column: share for column, share in found.items() if share > 1} == {}


def test_training_rows_are_those_of_ilastik(folder):
    """`train_x` and `train_y`: the columns `feature_names` of the labelled voxels, in raster order."""
    inputs, forest = np.load(folder / "inputs.npz"), np.load(folder / "synth3d_rf.npz")
    image, labels = inputs["synth3d"].astype(np.float32), inputs["synth3d_labels"]
    bank = build_bank(FeatureSpec(set="ilastik"), 3, image.shape)
    words = {"GS": "Gaussian Smoothing", "LoG": "Laplacian of Gaussian", "GGM": "Gaussian Gradient Magnitude"}
    words["DoG"] = "Difference of Gaussians"
    named = [f"{words[name.split('_s')[0]]} (σ={name.split('_s')[1]})" for name in bank.names]
    theirs = forest["feature_names"].tolist()
    assert sorted(theirs) == sorted(named), theirs
    stack = get_backend("numba").feature_stack(image, bank)
    rows = np.stack([stack[named.index(name)][labels > 0] for name in theirs], 1)
    assert np.array_equal(labels[labels > 0], forest["train_y"])
    assert np.abs(rows - forest["train_x"]).max() <= 2e-6 * image.max()


def with_exchanged_widths(bank):
    """The bank of a build of ilastik without fastfilters: gradient at q, its products averaged at q / 2."""
    scales, columns, own = list(bank.scales), list(bank.columns), {}
    for row, (operator, at) in enumerate(bank.columns):
        if operator.startswith("ST") and at not in own:
            q = min(bank.scales[at].sigma_px, 1.0)
            outer, none = gaussian(q / 2, window_radius(q / 2, 2)), np.zeros(window_radius(q / 2, 2) + 1, np.float32)
            radius, own[at] = window_radius(q, 2), len(scales)
            inner = {"inner_smooth": gaussian(q, radius), "inner_first": first_derivative(q, radius)}
            scales.append(replace(bank.scales[at], smooth=outer, first=none, second=none, narrow=none, **inner))
        columns[row] = (operator, own[at] if operator.startswith("ST") else at)
    return replace(bank, scales=tuple(scales), columns=tuple(columns))


def test_a_project_of_a_build_without_fastfilters(folder):
    """`mitocheck_prob_vigra_tyx`, but for a vote of a few pixels; with the widths of `ilastik`, of most of them."""
    real = np.load(folder / "real_projects.npz")
    theirs = real["mitocheck_prob_vigra_tyx"][..., 1]
    images = np.ascontiguousarray(real["mitocheck_raw_txy"].transpose(0, 2, 1))
    classifier = classifier_of(read_project(folder / "ilastik-1.2.0rc10.ilp"))
    bank, engine = build_bank(classifier.features, 2, images[0].shape), get_backend("numba")

    def changed(filters):
        ours = np.stack([engine.image_probability(image, filters, classifier.forest, 1) for image in images])
        return (np.abs(ours - theirs) > 1e-6).mean(), np.count_nonzero((ours >= 0.5) != (theirs >= 0.5))

    share, pixels = changed(with_exchanged_widths(bank))
    assert share < 0.01
    assert pixels <= 10
    assert changed(bank)[0] > 0.5


def test_hysteresis_is_two_label_images_of_ours(folder):
    """`hysteresis_core0.8_final0.5`: the objects at 0.5 that hold a voxel of a core, both of 10 to 10^6 voxels."""
    theirs = np.load(folder / "synth3d_threshold.npz")["hysteresis_core0.8_final0.5"]
    probability = np.load(folder / "synth3d_rf.npz")["prob_vigra"][..., 1].astype(np.float64, order="C")
    engine, rule = get_backend("numba"), SegmentRule(foreground=1, connectivity=6, smoothing_px=1.0, max_size=10**6)
    core, final = (
        engine.label(engine.threshold(probability, level), level)
        for level in (replace(rule, threshold=0.8, min_size=10), replace(rule, threshold=0.5, min_size=10))
    )
    kept = np.where(np.isin(final, np.unique(final[core > 0])), final, 0)
    assert kept.any()
    assert (kept != final).any()
    ours, expected = (np.unique(labels, return_inverse=True)[1].reshape(labels.shape) for labels in (kept, theirs))
    assert np.array_equal(ours, expected)


def test_no_array_of_the_folder_is_left_out(folder):
    files = {file.stem for file in folder.glob("*.npz")}
    assert files == {*COLUMNS, *ELSEWHERE, "inputs"}
    assert set(np.load(folder / "inputs.npz").files) == {"synth3d", "synth3d_labels", "real3d", "img2d"}
    for file, tests in ELSEWHERE.items():
        text = "".join((Path(__file__).parent / test).read_text() for test in tests)
        assert [name for name in np.load(folder / f"{file}.npz").files if name not in text] == []
