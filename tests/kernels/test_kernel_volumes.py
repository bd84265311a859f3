"""3D measurement: the kernels' whole-number counts against the plain twin, on every level."""

import numpy as np
import pytest
from cudahost import bodies_volumes
from cudahost.levels import open_engine

from compdistort.backend.device import measure as device_measure
from compdistort.backend.plain import measure as plain_measure

BODIES = [
    bodies_volumes.check_configurations,
    bodies_volumes.check_noise,
    bodies_volumes.check_later_planes,
    bodies_volumes.check_filled,
    bodies_volumes.check_tables,
    bodies_volumes.check_wrong_ids,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_counts_are_the_plain_twins(engine, body):
    body(engine)


@pytest.mark.parametrize("mode", ["plain", "checked"])
def test_no_index_is_cut_to_32_bits(mode):
    bodies_volumes.check_far_voxels(open_engine(mode))


def test_rows_beyond_the_grid_are_reached():
    bodies_volumes.check_rows_beyond_the_grid(open_engine("plain"))


def test_comparison_can_fail():
    """Negative control: a volume mirrored along x has other counts."""
    labels = bodies_volumes.in_raster_order(np.random.default_rng(5).integers(0, 3, (3, 4, 40)))
    mirrored = bodies_volumes.in_raster_order(labels[..., ::-1])
    engine = open_engine("plain")
    with engine.cuda.here():
        counts = device_measure.count_solids(engine.cuda, engine.to_device(labels))
    np.testing.assert_array_equal(counts, plain_measure.count_volumes(labels))
    assert not np.array_equal(counts, plain_measure.count_volumes(mirrored))
