"""Object measurement: the kernels' whole-number counts against the plain twin, on every level."""

import numpy as np
import pytest
from cudahost import bodies_objects
from cudahost.levels import open_engine

from compdistort.backend.device import measure as device_measure
from compdistort.backend.plain import measure as plain_measure

BODIES = [
    bodies_objects.check_small_shapes,
    bodies_objects.check_winding_shapes,
    bodies_objects.check_hulls,
    bodies_objects.check_hull_extents,
    bodies_objects.check_random_labels,
    bodies_objects.check_ids_in_pieces,
    bodies_objects.check_tables,
    bodies_objects.check_wrong_ids,
    bodies_objects.check_long_row,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_counts_are_the_plain_twins(engine, body):
    body(engine)


@pytest.mark.parametrize("mode", ["plain", "checked"])
def test_no_index_is_cut_to_32_bits(mode):
    bodies_objects.check_far_pixels(open_engine(mode))


def test_rows_beyond_the_grid_are_reached():
    bodies_objects.check_tall_counts(open_engine("plain"))


def test_all_shapes_of_up_to_four_pixels_are_meant():
    """8-connected fixed polyplets: 1, 4, 20, 110."""
    sizes = np.bincount([len(shape) for shape in bodies_objects.small_shapes()])
    assert sizes.tolist() == [0, 1, 4, 20, 110]


@pytest.mark.parametrize("slab_bytes", [1, 24 * 12 * 7, None])
def test_counts_do_not_depend_on_the_groups_of_objects(slab_bytes):
    bodies_objects.check_random_labels(open_engine("plain", slab_bytes=slab_bytes))


def test_groups_of_objects_shrink_until_they_fit_the_memory():
    """Scratch of all objects at once does not fit, that of a few does."""
    labels = np.repeat(np.arange(1, 41, dtype=np.int32)[None] * (np.arange(40) % 2 == 0), 30, axis=0)
    labels = np.where(labels, (labels + 1) // 2, 0).astype(np.int32)
    engine = open_engine("plain", largest=30 * 40 * 4)
    with engine.cuda.here():
        got = device_measure.count_shapes(engine.cuda, engine.to_device(labels))
    np.testing.assert_array_equal(got, plain_measure.count_shapes(labels))


def test_a_walk_that_does_not_close_ends(tmp_path):
    """Four steps a pixel bound it, whatever a kernel does wrong: here it never knows where it began."""
    from cudahost.mutation import Mutation

    lost = Mutation("lost", "measure.cu", "x == x_first && y == y_first", "x < 0", bodies_objects.check_tables)
    engine = open_engine("plain", directory=lost.plant(tmp_path / "kernels"))
    with engine.cuda.here():
        counts = device_measure.count_shapes(engine.cuda, engine.to_device(np.ones((3, 5), np.int32)))
    assert counts[0, 12] == 4 * 15
