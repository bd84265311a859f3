"""Back-projection: the kernel against the plain twin, on every level."""

from dataclasses import replace

import numpy as np
import pytest
from cudahost.bodies_backproject import (
    check_backproject_far_planes,
    check_backproject_limits,
    check_backproject_order,
    check_backproject_shapes,
    check_backproject_strides,
    check_backproject_whole_images,
    noise,
    plan_of,
)
from cudahost.levels import open_engine

BODIES = (
    check_backproject_shapes,
    check_backproject_whole_images,
    check_backproject_limits,
    check_backproject_order,
    check_backproject_strides,
)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_images_are_the_plain_twins(engine, body):
    body(engine)


def test_no_index_is_cut_to_32_bits():
    check_backproject_far_planes(open_engine("plain"))


def test_no_planes_give_no_images(engine):
    plan = plan_of([0.0, 90.0], 8, 5, 2)
    assert engine.to_host(engine.backproject(engine.to_device(noise(plan, 0)), plan)).shape == (0, 5, 5)


def test_projections_that_do_not_fit_are_refused(engine):
    plan = plan_of([0.0, 90.0], 8, 5, 2)
    for shape in ((1, 3, 8), (1, 2, 9), (2, 8)):
        with pytest.raises(ValueError, match="must have the shape"):
            engine.backproject(engine.to_device(np.zeros(shape, np.float32)), plan)
    with pytest.raises(TypeError, match="projections must be float32"):
        engine.backproject(engine.to_device(np.zeros((1, 2, 8))), plan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"taps": 3}, "taps must be one of"),
        ({"first": -1}, "do not stay in 8 samples"),
        ({"last": 7 << 32}, "do not stay in 8 samples"),
        ({"left": np.full(5, -1, np.int32)}, "left and right must lie in"),
        ({"right": np.full(5, 6, np.int32)}, "left and right must lie in"),
        ({"right": np.full(4, 4, np.int32)}, "one left and right a row"),
        ({"starts": np.zeros(3, np.int64)}, "one start"),
        ({"scale": 0.1}, "scale must be a float32"),
    ],
)
def test_a_plan_that_would_read_elsewhere_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(plan_of([0.0, 90.0], 8, 5, 2), **change)


def test_a_plan_of_other_types_is_refused():
    plan = plan_of([0.0, 90.0], 8, 5, 2)
    for change in ({"starts": plan.starts.astype(np.float64)}, {"left": plan.left.astype(np.int64)}):
        with pytest.raises(TypeError, match="must be int64, left and right int32"):
            replace(plan, **change)
