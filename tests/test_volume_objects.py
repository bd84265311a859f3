"""Volumes slab by slab on every engine, as runs: the bits of the whole volume in memory; labels of planes from runs."""

import tracemalloc
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compdistort.backend import get_backend
from compdistort.backend.base import VOLUME_COLUMNS, Runs, SegmentRule
from compdistort.backend.compiled.bits import pack_mask
from compdistort.backend.compiled.components import drop_unowned, find_components, paint
from compdistort.backend.compiled.engine import Engine
from compdistort.backend.compiled.measure import read_labels
from compdistort.backend.compiled.runs import plane_labels, projected_labels
from compdistort.backend.plain.runs import runs_of_labels
from compdistort.backend.reach import bank_reach, planes_around
from compdistort.errors import ConfigError, InputError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import train_classifier
from compdistort.segment import plane_probability, segment, segment_planes

SHAPE = (18, 26, 70)
SPEC = FeatureSpec(set="ilastik", sigmas=(0.7, 1.6))
RULES = {
    "dropped": {"min_size": 40},
    "plain": {},
    "filled": {"include_holes": True, "connectivity": 26},
    "inside": {"exclude_border": True, "connectivity": 18, "strict": True, "max_size": 300},
}


class Planes:
    """A volume that notes what is asked of it."""

    def __init__(self, image):
        self.image, self.shape, self.dtype, self.asked = image, image.shape, image.dtype, []

    def read_planes(self, start, stop):
        self.asked.append((start, stop))
        return np.ascontiguousarray(self.image[start:stop])


def _rule(**changes):
    return SegmentRule(foreground=1, **{"connectivity": 6, **changes})


def _blobs(shape, seed):
    """Balls and shells."""
    draw = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    mean = np.full(shape, 200.0)
    for number, (cz, cy, cx) in enumerate(draw.uniform(0, shape, (28, 3))):
        distance = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        mean += 700 * np.exp(-((distance - number % 4) ** 2))
    return draw.poisson(mean).astype(np.uint16)


@pytest.fixture(scope="module")
def volume():
    """Balls and shells, uint16."""
    return _blobs(SHAPE, 9)


@pytest.fixture(scope="module")
def classifier(volume):
    """Of balls and shells, some of them small: rules have something to drop."""
    labels = np.where(volume > 450, 2, np.where(volume < 250, 1, 0)).astype(np.uint8)
    labels[np.random.default_rng(1).random(SHAPE) > 0.05] = 0
    return train_classifier(volume, labels, SPEC, preset="ilastik", seed=3, backend=get_backend("cpu"))[0]


@pytest.fixture(scope="module")
def chain(classifier):
    """Bank and forest."""
    return build_bank(SPEC, 3, SHAPE), classifier.forest


@pytest.fixture(scope="module")
def at_once(volume, chain):
    """Runs and table by rule, from the label volume of the plain twins."""
    plain = get_backend("numpy")
    probability = plain.image_probability(volume, *chain, 1)
    found = {}
    for name, changes in RULES.items():
        labels = plain.label(plain.threshold(probability, _rule(**changes)), _rule(**changes))
        found[name] = runs_of_labels(labels), plain.measure(labels)
    return found


def same_runs(got, wanted):
    for field in fields(Runs):
        a, b = getattr(got, field.name), getattr(wanted, field.name)
        np.testing.assert_array_equal(a, b, err_msg=field.name)
        assert getattr(a, "dtype", type(a)) == getattr(b, "dtype", type(b)), field.name


@pytest.mark.parametrize("slab", [1, 4, 99])
@pytest.mark.parametrize("name", RULES)
def test_every_engine_finds_what_is_in_the_whole_volume(backend, volume, chain, at_once, name, slab):
    runs, table = backend.volume_objects(Planes(volume), *chain, _rule(**RULES[name]), slab)
    same_runs(runs, at_once[name][0])
    np.testing.assert_array_equal(table, at_once[name][1])
    assert table.shape == (runs.n_objects, len(VOLUME_COLUMNS))
    assert runs.owner.min() > 0


def test_the_rules_of_these_tests_differ(at_once):
    """Negative control: each rule has objects, and not those of another."""
    tables = [table.tobytes() for _, table in at_once.values()]
    assert len(set(tables)) == len(RULES)
    assert min(runs.n_objects for runs, _ in at_once.values()) > 3


def test_runs_that_a_rule_drops_are_gone(volume, chain):
    mask = get_backend("cpu").image_probability(volume, *chain, 1) >= 0.5
    every = find_components(pack_mask(mask), SHAPE, _rule(**RULES["dropped"]))
    runs, _ = Engine(1).volume_runs(Planes(volume), *chain, _rule(**RULES["dropped"]), 5)
    assert 0 < runs.owner.size == np.count_nonzero(every.owner) < every.owner.size
    np.testing.assert_array_equal(paint(runs), paint(every))


def test_an_engine_asks_for_every_plane_once_and_in_order(backend, volume, chain):
    if backend.name == "numpy":
        pytest.skip("the plain twins read the whole volume")
    reader = Planes(volume)
    backend.volume_objects(reader, *chain, _rule(), 4)
    assert [start for start, _ in reader.asked] == [0, *(stop for _, stop in reader.asked[:-1])]
    assert reader.asked[-1][1] == SHAPE[0]
    assert len(reader.asked) > 2


def test_a_volume_without_objects(backend, volume, chain):
    runs, table = backend.volume_objects(Planes(volume), *chain, _rule(threshold=1.0, strict=True), 4)
    same_runs(runs, runs_of_labels(np.zeros(SHAPE, np.int32)))
    assert table.shape == (0, len(VOLUME_COLUMNS))


@pytest.mark.parametrize("plane", [0, 6, -1])
@pytest.mark.parametrize("foreground", [0, -1])
def test_a_plane_has_the_probability_of_the_whole_volume(backend, volume, chain, plane, foreground):
    reader = Planes(volume)
    found = backend.plane_probability(reader, plane, *chain, foreground)
    whole = get_backend("numpy").image_probability(volume, *chain, foreground)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, whole[plane])
    if backend.name != "numpy":
        first = range(SHAPE[0])[plane]
        assert reader.asked == [planes_around(first, first + 1, SHAPE[0], chain[0])]
    with pytest.raises(IndexError):
        backend.plane_probability(reader, SHAPE[0], *chain, foreground)


@pytest.mark.parametrize("name", ["fast", "vigra"])
def test_planes_of_other_sets(name):
    """More planes than the filters reach; `fast` begins at an even one."""
    spec, shape = FeatureSpec(set=name, sigmas=(0.7, 3.5)), (75, 24, 40)
    volume = _blobs(shape, 3)
    labels = np.where(volume > 450, 2, np.where(volume < 250, 1, 0)).astype(np.uint8)
    labels[np.random.default_rng(1).random(shape) > 0.05] = 0
    engine = get_backend("cpu")
    grown, _ = train_classifier(volume, labels, spec, preset="ilastik", seed=3, backend=engine)
    whole = engine.image_probability(volume, build_bank(spec, 3, shape), grown.forest, grown.foreground)
    for plane in (0, 33, 36, 37, 74):
        reader = Planes(volume)
        np.testing.assert_array_equal(plane_probability(reader, plane, grown, engine), whole[plane])
        (asked,) = reader.asked
        assert asked[1] - asked[0] < shape[0]
        assert name != "fast" or asked[0] % 2 == 0


def test_pixels_that_are_not_finite_are_refused_alike(backend, volume, chain, at_once):
    image = volume.astype(np.float32)
    runs, _ = backend.volume_objects(Planes(image), *chain, _rule(), 4)
    same_runs(runs, at_once["plain"][0])
    image[7, 9, 20] = np.nan
    with pytest.raises(InputError) as wanted:
        get_backend("numpy").image_objects(image, *chain, _rule())
    with pytest.raises(InputError) as found:
        backend.volume_objects(Planes(image), *chain, _rule(), 4)
    assert str(found.value) == str(wanted.value)
    with pytest.raises(InputError, match="feature plane 0 is NaN"):
        backend.plane_probability(Planes(image), 7, *chain, 1)


def test_what_no_engine_takes_is_refused_alike(backend, volume, chain):
    def refused(error, words, image=volume, slab=4, **changes):
        with pytest.raises(error, match=words):
            backend.volume_objects(Planes(image), *chain, _rule(**changes), slab)

    refused(ConfigError, "smoothing_px = 1 needs the probability of a whole volume", smoothing_px=1.0)
    refused(ConfigError, "connectivity 8 does not belong to an image of 3 axes", connectivity=8)
    refused(ValueError, "a slab has at least 1 plane, not 0", slab=0)
    refused(ValueError, r"volume must have 3 axes \(planes, rows, columns\), not 2", volume[0])
    refused(ValueError, r"volume has no pixels: its shape is \(0, 26, 70\)", volume[:0])
    refused(TypeError, "volume must be uint8 or uint16 or float32, not int32", volume.astype(np.int32))
    refused(TypeError, "volume must be uint8 or uint16 or float32, not >u2", volume.astype(">u2"))
    with pytest.raises(TypeError, match="not float64"):
        backend.plane_probability(Planes(volume.astype(np.float64)), 0, *chain, 1)


def test_the_memory_forecast_grows_with_the_slab(backend, chain):
    shape = (400, 64, 100)
    few, many, all_of_them = (backend.slab_bytes(shape, *chain, slab, 2) for slab in (4, 40, 400))
    assert all_of_them >= many >= few > shape[0] * shape[1] * 2 * 8
    if backend.name != "numpy":
        held = 4 + 2 * bank_reach(chain[0])[0]
        assert held * 64 * 100 * 2 < few < many < all_of_them


@pytest.mark.parametrize("slab", [4, 32])
def test_memory_stays_within_the_forecast(chain, slab):
    """Of what NumPy allocates: planes held, bits, and the threads' own; a second call compiles nothing."""
    image, engine = np.tile(_blobs((40, 64, 128), 5), (3, 1, 1)), Engine(1)
    reader = Planes(image)
    runs, table = engine.volume_runs(reader, *chain, _rule(), slab)
    results = sum(each.nbytes for each in (runs.row_start, runs.start, runs.end, runs.owner, table))
    tracemalloc.start()
    try:
        engine.volume_runs(reader, *chain, _rule(), slab)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    forecast = engine.slab_bytes(image.shape, *chain, slab, 2)
    assert peak <= 1.1 * forecast + 3 * results
    assert forecast <= 2 * peak


def test_segmenting_planes_is_segmenting_the_volume(cpu_backend, volume, classifier):
    rule = SegmentRule(foreground=classifier.foreground, connectivity=6, min_size=4)
    whole = segment(volume, classifier, rule, cpu_backend)
    runs, table = segment_planes(Planes(volume), classifier, rule, cpu_backend, 6)
    np.testing.assert_array_equal(paint(runs), whole.labels)
    np.testing.assert_array_equal(table, cpu_backend.measure(whole.labels))
    np.testing.assert_array_equal(plane_probability(Planes(volume), 3, classifier, cpu_backend), whole.probability[3])


def test_volumes_that_do_not_fit_the_classifier_are_refused(volume, classifier):
    engine = get_backend("cpu")
    with pytest.raises(ConfigError, match="class index 2 does not exist"):
        segment_planes(Planes(volume), classifier, SegmentRule(foreground=2, connectivity=6), engine, 4)
    with pytest.raises(ConfigError, match="the image has 2 axes, the classifier was trained on images of 3"):
        plane_probability(Planes(volume[0]), 0, classifier, engine)


@st.composite
def label_images(draw):
    """Labels of any kind but negative: runs need no components."""
    ndim = draw(st.sampled_from([2, 3]))
    shape = draw(hnp.array_shapes(min_dims=ndim, max_dims=ndim, max_side=9))
    return draw(hnp.arrays(np.int32, shape, elements=st.integers(0, 3)))


@settings(deadline=None)
@given(label_images())
def test_runs_hold_the_labels(labels):
    runs = runs_of_labels(labels)
    np.testing.assert_array_equal(paint(runs), labels)
    volume = labels.reshape(-1, *labels.shape[-2:])
    for plane, wanted in enumerate(volume):
        found = plane_labels(runs, plane)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.int32
    np.testing.assert_array_equal(plane_labels(runs, -1), volume[-1])
    largest = projected_labels(runs)
    np.testing.assert_array_equal(largest, volume.max(axis=0))
    assert largest.dtype == np.int32
    with pytest.raises(IndexError):
        plane_labels(runs, len(volume))


@settings(deadline=None)
@given(label_images())
def test_runs_by_definition_are_those_of_the_compiled_reader(labels):
    """Ids in raster order are not asked for, but none may be above the number of pixels."""
    labels = np.minimum(labels, labels.size)
    same_runs(runs_of_labels(labels), read_labels(labels))


@settings(deadline=None)
@given(label_images(), st.sets(st.integers(1, 3)))
def test_dropped_runs_leave_those_that_stay(labels, dropped):
    runs = runs_of_labels(labels)
    owner = np.where(np.isin(runs.owner, list(dropped)), 0, runs.owner).astype(np.int32)
    marked = Runs(runs.shape, runs.row_start.copy(), runs.start.copy(), runs.end.copy(), owner, runs.n_objects)
    found = drop_unowned(marked)
    kept = np.where(np.isin(labels, list(dropped)), 0, labels)
    wanted = runs_of_labels(kept)
    same_runs(found, Runs(*(getattr(wanted, each.name) for each in fields(Runs)[:-1]), runs.n_objects))
