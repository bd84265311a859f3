"""Volumes slab by slab on the CUDA engine, on every level: masks of parts, both voters, memory that runs out."""

import numpy as np
import pytest
from cudahost.bodies_forest import PLAIN, VOTERS, image_case
from cudahost.levels import LevelUnavailableError, open_engine

from compdistort.backend.base import SegmentRule
from compdistort.backend.device import forest as device_forest
from compdistort.backend.device import slabs
from compdistort.backend.plain.runs import runs_of_labels
from compdistort.errors import ConfigError, DeviceMemoryError
from compdistort.features import FeatureSpec, build_bank

RULE = SegmentRule(foreground=1, connectivity=6)


class Planes:
    """A volume in memory."""

    def __init__(self, image):
        self.image, self.shape, self.dtype = image, image.shape, image.dtype

    def read_planes(self, start, stop):
        return np.ascontiguousarray(self.image[start:stop])


def standin(**options):
    try:
        return open_engine("plain", **options)
    except LevelUnavailableError as error:
        pytest.skip(str(error))


def check_objects(engine, slab):
    image, bank, forest, probability = image_case("3d")
    runs, table = engine.volume_objects(Planes(image), bank, forest, RULE, slab)
    labels = PLAIN.label(PLAIN.threshold(probability[1], RULE), RULE)
    wanted = runs_of_labels(labels)
    for name in ("row_start", "start", "end", "owner"):
        np.testing.assert_array_equal(getattr(runs, name), getattr(wanted, name))
    np.testing.assert_array_equal(table, PLAIN.measure(labels))
    assert runs.n_objects == len(table) > 3


@pytest.mark.parametrize("slab", [1, 4, 6])
def test_objects_equal_those_of_the_whole_volume(engine, slab):
    check_objects(engine, slab)


def test_planes_equal_those_of_the_whole_volume(engine):
    image, bank, forest, probability = image_case("3d")
    for plane in (0, 3, 5):
        found = engine.plane_probability(Planes(image), plane, bank, forest, 2)
        np.testing.assert_array_equal(found, probability[2, plane])


@pytest.mark.parametrize("voter", VOTERS)
@pytest.mark.parametrize("slab_bytes", [1, 20_000])
def test_both_voters_decide_parts_alike_in_any_pieces(voter, slab_bytes):
    check_objects(standin(voter=voter, slab_bytes=slab_bytes), 4)


def test_a_part_that_runs_out_of_memory_is_halved_with_the_same_objects():
    image, _, forest, _ = image_case("3d")
    tested = np.unique(forest.feature).size - 1
    engine = standin(largest=4 * image.size * tested - 1)
    check_objects(engine, len(image))
    assert engine.cuda.cp.get_default_memory_pool().freed >= 1


def test_memory_for_no_plane_at_all_is_an_error_that_says_so():
    image, bank, forest, _ = image_case("3d")
    engine = standin(largest=image[0].nbytes - 1)
    with pytest.raises(DeviceMemoryError, match="too little free memory"):
        engine.volume_objects(Planes(image), bank, forest, RULE, 1)


def test_only_the_planes_of_a_slab_are_voted_on(monkeypatch):
    """What the filters see around a slab costs no vote."""
    image, bank, forest, _ = image_case("3d")
    voted, vote = [], device_forest._vote

    def watched(cuda, on_device, wanted, out, features, first, *, by_slot):
        voted.append(features.shape[1] // image[0].size)
        vote(cuda, on_device, wanted, out, features, first, by_slot=by_slot)

    monkeypatch.setattr(device_forest, "_vote", watched)
    standin().volume_objects(Planes(image), bank, forest, RULE, 4)
    assert voted == [4, 2]


def test_sets_without_kernels_are_refused():
    spec = FeatureSpec(set="fast", sigmas=(0.7, 3.5))
    image, _, forest, _ = image_case("3d")
    bank = build_bank(spec, 3)
    engine = standin()
    for call in (
        lambda: engine.volume_objects(Planes(image), bank, forest, RULE, 4),
        lambda: engine.plane_probability(Planes(image), 0, bank, forest, 1),
        lambda: engine.slab_bytes(image.shape, bank, forest, 4, 2),
    ):
        with pytest.raises(ConfigError, match="feature set 'fast' is not made on a CUDA device"):
            call()


def test_the_forecast_counts_what_the_host_holds():
    image, bank, forest, _ = image_case("3d")
    shape = (1000, 200, 300)
    on_device, on_host = (slabs.slab_bytes(shape, bank, forest, 16, 2, voter) for voter in ("device", "cpu"))
    most = slabs._most_held(shape[0], bank, 16)
    assert on_device == (most + 16) * 60_000 * 2 + 2 * 16 * 60_000 + 1000 * 200 * 5 * 8
    assert on_host > on_device
    assert image.ndim == 3
