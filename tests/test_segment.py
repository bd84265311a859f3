"""From probability to objects: labels against SciPy's definitions and the real ilastik, and the step as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from compdistort.backend.base import SegmentRule
from compdistort.backend.compiled import label as compiled
from compdistort.backend.plain import label as plain
from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import default_spec, train_classifier
from compdistort.io.images import read_image
from compdistort.segment import segment

CONNECTIVITY = {2: (4, 8), 3: (6, 18, 26)}


@st.composite
def masks_and_rules(draw):
    """Small masks of every parity, and any rule."""
    ndim = draw(st.sampled_from([2, 3]))
    shape = draw(hnp.array_shapes(min_dims=ndim, max_dims=ndim, max_side=11))
    mask = draw(hnp.arrays(np.bool_, shape, elements=st.booleans(), fill=st.booleans()))
    rule = SegmentRule(
        foreground=0,
        connectivity=draw(st.sampled_from(CONNECTIVITY[ndim])),
        include_holes=draw(st.booleans()),
        min_size=draw(st.integers(1, 4)),
        max_size=draw(st.sampled_from([0, 0, 6])),
        exclude_border=draw(st.booleans()),
    )
    return mask, rule


@settings(deadline=None)
@given(masks_and_rules())
def test_compiled_labels_are_the_plain_ones(case):
    mask, rule = case
    fast, slow = compiled.label_mask(mask, rule), plain.label_mask(mask, rule)
    assert fast.dtype == slow.dtype == np.int32
    assert np.array_equal(fast, slow)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("seed", range(40))
def test_random_masks_of_odd_and_even_sides(seed, connectivity):
    """Many touching corners: cc3d 4.1.1 itself fails here for bool masks with an odd number of columns."""
    draw = np.random.default_rng(seed)
    mask = draw.random(draw.integers(1, 40, 2)) < draw.uniform(0.2, 0.8)
    rule = SegmentRule(foreground=0, connectivity=connectivity, include_holes=bool(seed % 2))
    assert np.array_equal(compiled.label_mask(mask, rule), plain.label_mask(mask, rule))


@settings(deadline=None)
@given(masks_and_rules())
def test_ids_follow_the_first_pixel_in_raster_order(case):
    mask, rule = case
    labels = compiled.label_mask(mask, rule)
    ids, first = np.unique(labels, return_index=True)
    assert ids[ids > 0].tolist() == list(range(1, labels.max() + 1))
    assert (np.diff(first[ids > 0]) > 0).all()


def _picture(*rows):
    return np.array([[c == "#" for c in row] for row in rows])


RING = _picture(
    "#####....",
    "#...#..##",
    "#.#.#..##",
    "#...#....",
    "#####.#..",
    ".....#.#.",
    "......#..",
)


def _sizes(labels):
    return np.bincount(labels.ravel())[1:].tolist()


@pytest.mark.parametrize("engine", [plain, compiled])
@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, [16 + 4, 4, 1]),
        ({"connectivity": 4}, [16, 4, 1, 1, 1, 1, 1]),
        ({"include_holes": True}, [25 + 5, 4]),
        # The diamond's centre is open to the outside through its corners: no hole for 4-connected objects.
        ({"include_holes": True, "connectivity": 4}, [25, 4, 1, 1, 1, 1]),
        ({"min_size": 2}, [20, 4]),
        ({"max_size": 4}, [4, 1]),
        ({"exclude_border": True}, [1]),
        ({"include_holes": True, "min_size": 10}, [30]),
    ],
)
def test_rules_on_a_drawn_mask(engine, changes, sizes):
    labels = engine.label_mask(RING, SegmentRule(foreground=0, **changes))
    assert _sizes(labels) == sizes


@pytest.mark.parametrize("engine", [plain, compiled])
def test_holes_in_3d(engine):
    cube = np.zeros((5, 6, 7), bool)
    cube[1:4, 1:5, 1:6] = True
    cube[2, 2:4, 2:5] = False
    rule = SegmentRule(foreground=0, connectivity=6, include_holes=True)
    assert _sizes(engine.label_mask(cube, rule)) == [3 * 4 * 5]
    cube[1, 1, 1] = cube[1, 1, 2] = cube[1, 2, 2] = False  # a way out
    assert _sizes(engine.label_mask(cube, rule)) == [np.count_nonzero(cube)]


@pytest.mark.parametrize("engine", [plain, compiled])
@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (2, 0, 3)])
def test_empty_images(engine, shape):
    connectivity = 8 if len(shape) == 2 else 6
    rule = SegmentRule(foreground=0, connectivity=connectivity, include_holes=True, exclude_border=True)
    assert engine.label_mask(np.zeros(shape, bool), rule).shape == shape


@pytest.mark.parametrize("engine", [plain, compiled])
@pytest.mark.parametrize(("shape", "connectivity"), [((3, 3), 6), ((3, 3, 3), 8), ((3, 3), 5)])
def test_connectivity_must_fit_the_axes(engine, shape, connectivity):
    with pytest.raises(ConfigError, match=f"connectivity {connectivity} does not belong to an image of {len(shape)}"):
        engine.label_mask(np.ones(shape, bool), SegmentRule(foreground=0, connectivity=connectivity))


def _scene(seed=0, side=64):
    """Bright discs on a noisy background, uint16, and their mask."""
    draw = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(draw.normal(size=(side, side)), 4) > 0.04
    image = draw.poisson(np.where(truth, 900, 500) + 40 * ndimage.gaussian_filter(draw.normal(size=truth.shape), 2))
    return image.astype(np.uint16), truth


SPEC = FeatureSpec(set="plain", sigmas=(0.7, 1.6))


@pytest.fixture(scope="module")
def classifier():
    from compdistort.backend import get_backend

    image, truth = _scene()
    labels = np.where(np.random.default_rng(1).random(truth.shape) < 0.1, 1 + truth, 0).astype(np.uint8)
    return train_classifier(image, labels, SPEC, "ilastik", 0, get_backend("numba"))[0]


def test_segment_is_the_chain_of_its_steps(cpu_backend, classifier):
    image, truth = _scene(seed=7)
    rule = SegmentRule(foreground=classifier.foreground, min_size=5)
    found = segment(image, classifier, rule, cpu_backend)
    features = cpu_backend.feature_stack(image, build_bank(SPEC, 2, image.shape))
    probability = cpu_backend.forest_proba(features, classifier.forest)[1]
    assert found.probability.dtype == np.float64
    assert np.array_equal(found.probability, probability)
    assert np.array_equal(found.labels, cpu_backend.label(probability >= 0.5, rule))
    assert np.array_equal(found.mask, found.labels > 0)
    assert 2 * (found.mask & truth).sum() / (found.mask.sum() + truth.sum()) > 0.95


def test_the_other_class_gives_the_complement(cpu_backend, classifier):
    """With strict decisions for one and not for the other class, ties included."""
    image, _ = _scene(seed=8)
    inside = segment(image, classifier, SegmentRule(foreground=1), cpu_backend)
    outside = segment(image, classifier, SegmentRule(foreground=0, strict=True), cpu_backend)
    assert np.array_equal(inside.mask, ~outside.mask)


def test_an_image_without_objects(cpu_backend, classifier):
    image = np.full((40, 40), 500, np.uint16)
    found = segment(image, classifier, SegmentRule(foreground=1, threshold=1.0, strict=True), cpu_backend)
    assert not found.mask.any()
    assert found.labels.max() == 0


def test_what_does_not_fit_is_refused(cpu_backend, classifier):
    image, _ = _scene()
    with pytest.raises(ConfigError, match="the image has 3 axes, the classifier was trained on images of 2"):
        segment(image[None], classifier, SegmentRule(foreground=1, connectivity=6), cpu_backend)
    with pytest.raises(ConfigError, match="class index 2 does not exist"):
        segment(image, classifier, SegmentRule(foreground=2), cpu_backend)


ILASTIK = {
    "default_channel1": {"smoothing_px": 1.0, "min_size": 10, "max_size": 1_000_000},
    "no_smoothing_no_size_filter": {},
    "no_smoothing_min10": {"min_size": 10, "max_size": 1_000_000},
}
"""Label images of the real thresholding applet, method "simple", and the rules that make them."""


@pytest.mark.data
@pytest.mark.parametrize("name", ILASTIK)
def test_ilastiks_thresholding_applet(cpu_backend, shared_oracle, name):
    """ilastik leaves gaps where it drops objects; the objects and their order are the same."""
    probability = np.load(shared_oracle / "ilastik" / "synth3d_rf.npz")["prob_vigra"][..., 1].astype(np.float64)
    expected = np.load(shared_oracle / "ilastik" / "synth3d_threshold.npz")[name]
    rule = SegmentRule(foreground=1, connectivity=6, **ILASTIK[name])
    probability = np.ascontiguousarray(probability)
    labels = cpu_backend.label(cpu_backend.threshold(probability, rule), rule)
    _, renumbered = np.unique(expected, return_inverse=True)
    assert np.array_equal(labels, renumbered.reshape(labels.shape))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ilastik", "weka"])
def test_phase_nist_tiles_that_were_not_trained_on(cpu_backend, shared_data, preset):
    """300 annotated pixels on each of 20 tiles; Dice over 8 other tiles together (0.934 ilastik, 0.950 weka)."""
    if cpu_backend.name == "numpy":
        pytest.skip("minutes long; the engines agree to the bit by other tests")
    tiles = read_image(shared_data / "phase-nist" / "tiles.tif")
    masks = read_image(shared_data / "phase-nist" / "masks.tif", kind="labels") > 0
    draw = np.random.default_rng(0)
    train, test = list(range(0, 40, 2)), list(range(41, 70, 4))
    labels = [_sprinkle(masks[k], 150, draw) for k in train]
    found, _ = train_classifier([tiles[k] for k in train], labels, default_spec(preset), preset, 0, cpu_backend)
    rule = SegmentRule(foreground=found.foreground)
    inside = [segment(tiles[k], found, rule, cpu_backend).mask for k in test]
    both = sum(int((a & masks[k]).sum()) for a, k in zip(inside, test, strict=True))
    either = sum(int(a.sum() + masks[k].sum()) for a, k in zip(inside, test, strict=True))
    assert 2 * both / either >= 0.90


def _sprinkle(mask, n, draw):
    """Return annotations of n random pixels of each class that is there."""
    labels = np.zeros(mask.shape, np.uint8)
    for value, where in ((1, ~mask), (2, mask)):
        chosen = draw.permutation(np.flatnonzero(where))[:n]
        labels.flat[chosen] = value
    return labels
