"""Volumes slab by slab: the same bits as at once, every plane asked for once and in order, bounded memory."""

import numpy as np
import pytest

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.backend.compiled.components import paint
from compdistort.backend.compiled.engine import Engine
from compdistort.backend.compiled.fused import FusedVotes
from compdistort.backend.planes import AT_ONCE, Slabs
from compdistort.errors import ConfigError, InputError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import train_classifier

SHAPE = (41, 50, 70)
RULE = SegmentRule(foreground=1, connectivity=6, min_size=3)


class Planes:
    """A volume that notes what is asked of it."""

    def __init__(self, image):
        self.image, self.shape, self.dtype, self.asked = image, image.shape, image.dtype, []

    def read_planes(self, start, stop):
        self.asked.append((start, stop))
        return np.ascontiguousarray(self.image[start:stop])


@pytest.fixture(scope="module")
def volume():
    """A volume of blobs, uint16."""
    draw = np.random.default_rng(7)
    z, y, x = np.indices(SHAPE)
    mean = np.full(SHAPE, 200.0)
    for cz, cy, cx in draw.uniform(0, SHAPE, (25, 3)):
        mean += 900 * np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.2**2))
    return draw.poisson(mean).astype(np.uint16)


@pytest.fixture(scope="module", params=["ilastik", "vigra", "planar", "plain"])
def chain(request, volume):
    """Bank and forest for the volume."""
    planar = (1.6,) if request.param == "planar" else ()
    name = "ilastik" if request.param == "planar" else request.param
    spec = FeatureSpec(set=name, sigmas=(0.7, 1.6, 3.5), planar=planar)
    labels = np.where(volume > 700, 2, np.where(volume < 260, 1, 0)).astype(np.uint8)
    labels[np.random.default_rng(1).random(SHAPE) > 0.1] = 0
    classifier, _ = train_classifier(volume, labels, spec, preset="ilastik", seed=3, backend=get_backend("cpu"))
    return build_bank(spec, 3, SHAPE), classifier.forest


@pytest.fixture(scope="module")
def at_once(volume, chain):
    """Labels and table of the whole volume."""
    return Engine(1).objects(volume, *chain, RULE)


@pytest.mark.parametrize(("slab", "threads"), [(1, 2), (3, 1), (14, 2), (17, 1), (41, 1), (100, 2)])
def test_slabs_leave_no_trace(volume, chain, at_once, slab, threads):
    reader = Planes(volume)
    runs, table = Engine(threads).volume_runs(reader, *chain, RULE, slab)
    np.testing.assert_array_equal(paint(runs), at_once.labels)
    np.testing.assert_array_equal(table, at_once.values)
    assert len(table) > 10
    # Every plane once, in order: what the file system has to read does not grow with the number of slabs.
    assert [start for start, _ in reader.asked] == [0, *(stop for _, stop in reader.asked[:-1])]
    assert reader.asked[-1][1] == SHAPE[0]


def test_no_more_planes_are_held_than_the_forecast_says(volume, chain, monkeypatch):
    engine, held, hold = Engine(1), [], Slabs.hold

    def watched(self, first, last):
        held.append(last - first)
        hold(self, first, last)

    monkeypatch.setattr(Slabs, "hold", watched)
    engine.volume_runs(Planes(volume), *chain, RULE, 4)
    assert max(held) == FusedVotes(*chain, SHAPE, 1, 4).planes_held() < SHAPE[0]
    few, many = (engine.slab_bytes(SHAPE, *chain, slab, 2) for slab in (4, 20))
    assert many > few > 2 * SHAPE[1] * SHAPE[2] * max(held)


def test_threads_share_a_slab_that_is_narrower_than_a_tile(volume, chain):
    image = np.tile(volume[:12], (1, 3, 1))
    votes = FusedVotes(*chain, image.shape, 3, 7)
    assert [(tile.y0, tile.y1) for tile in votes._used.tiles[:3]] == [(0, 64), (64, 128), (128, 150)]
    runs, table = Engine(3).volume_runs(Planes(image), *chain, RULE, 7)
    found = Engine(1).objects(image, *chain, RULE)
    np.testing.assert_array_equal(paint(runs), found.labels)
    np.testing.assert_array_equal(table, found.values)


@pytest.mark.parametrize("slab", [5, 41])
def test_the_set_fast_holds_all_planes_and_asks_for_each_once(volume, slab):
    spec = FeatureSpec(set="fast", sigmas=(0.7, 1.6, 3.5))
    labels = np.where(volume > 700, 2, np.where(volume < 260, 1, 0)).astype(np.uint8)
    labels[np.random.default_rng(1).random(SHAPE) > 0.05] = 0
    classifier, _ = train_classifier(volume, labels, spec, preset="ilastik", seed=3, backend=get_backend("cpu"))
    chain, reader = (build_bank(spec, 3, SHAPE), classifier.forest), Planes(volume)
    runs, table = Engine(2).volume_runs(reader, *chain, RULE, slab)
    found = Engine(1).objects(volume, *chain, RULE)
    np.testing.assert_array_equal(paint(runs), found.labels)
    np.testing.assert_array_equal(table, found.values)
    assert reader.asked == [(first, min(first + AT_ONCE, SHAPE[0])) for first in range(0, SHAPE[0], AT_ONCE)]


@pytest.mark.parametrize("most", [0, 30], ids=["grows", "known"])
def test_what_is_held_lies_in_one_memory_where_its_size_is_known(volume, most):
    slabs = Slabs(Planes(volume), most)
    rooms = set()
    for first, last in ((0, 20), (0, 25), (7, 37), (11, 41)):
        slabs.hold(first, last)
        rooms.add(slabs.planes.__array_interface__["data"][0])
        np.testing.assert_array_equal(slabs.planes, volume[first:last])
    assert (len(rooms) == 1) == (most == 30)


def test_a_slab_that_moves_back_is_a_fault(volume):
    slabs = Slabs(Planes(volume))
    slabs.hold(3, 9)
    assert (slabs.read(8, (2, 5), (1, 9)) == volume[8, 2:5, 1:9]).all()
    slabs.hold(5, 30)
    assert all((slabs.read(z, (0, 50), (0, 70)) == volume[z]).all() for z in range(5, 30))
    for span in ((4, 31), (6, 29)):
        with pytest.raises(ValueError, match="are asked for after 5 to 30"):
            slabs.hold(*span)


def test_pixels_that_are_not_finite_are_refused_by_name(volume, chain):
    image = volume.astype(np.float32)
    runs, table = Engine(1).volume_runs(Planes(image), *chain, RULE, 9)
    assert len(table) > 10
    assert runs.shape == SHAPE
    image[20, 20, 20] = np.nan
    with pytest.raises(InputError, match="feature plane 0 is NaN"):
        Engine(1).volume_runs(Planes(image), *chain, RULE, 9)


def test_a_smoothed_probability_needs_the_whole_volume(volume, chain):
    rule = SegmentRule(foreground=1, connectivity=6, smoothing_px=1.0)
    with pytest.raises(ConfigError, match="smoothing_px = 1 needs the probability of a whole volume"):
        Engine(1).volume_runs(Planes(volume), *chain, rule, 9)
