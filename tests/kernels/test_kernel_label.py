"""Decision and label image: the kernels around CuPy's components against the plain twins, on every level."""

import numpy as np
import pytest
from cudahost import bodies_objects
from cudahost.levels import open_engine
from cudahost.sparse_array import sparse
from cudahost.standin_cupy import ndarray

from compdistort.backend.base import SegmentRule
from compdistort.backend.device import label as device_label
from compdistort.errors import ConfigError, ResourceError

BODIES = [
    bodies_objects.check_threshold,
    bodies_objects.check_smoothed_threshold,
    bodies_objects.check_labels_2d,
    bodies_objects.check_labels_3d,
    bodies_objects.check_border_rule,
    bodies_objects.check_holes,
    bodies_objects.check_components_in_any_order,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_masks_and_labels_are_the_plain_twins(engine, body):
    body(engine)


@pytest.mark.parametrize("mode", ["plain", "checked"])
@pytest.mark.parametrize(
    "body", [bodies_objects.check_far_voxels, bodies_objects.check_far_holes], ids=lambda body: body.__name__
)
def test_no_index_is_cut_to_32_bits(mode, body):
    body(open_engine(mode))


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (2, 0, 3)])
def test_images_without_pixels(engine, shape):
    rule = SegmentRule(foreground=0, connectivity=8 if len(shape) == 2 else 6, include_holes=True, exclude_border=True)
    labels = engine.label(engine.to_device(np.zeros(shape, bool)), rule)
    assert (labels.shape, labels.dtype) == (shape, np.int32)
    mask = engine.threshold(engine.to_device(np.zeros(shape)), rule)
    assert (mask.shape, mask.dtype) == (shape, np.bool_)


@pytest.mark.parametrize(("shape", "connectivity"), [((3, 3), 6), ((3, 3, 3), 8), ((3, 3), 5)])
def test_connectivity_must_fit_the_axes(shape, connectivity):
    engine = open_engine("plain")
    with pytest.raises(ConfigError, match=f"connectivity {connectivity} does not belong to an image of {len(shape)}"):
        engine.label(engine.to_device(np.ones(shape, bool)), SegmentRule(foreground=0, connectivity=connectivity))


def test_more_objects_than_labels_hold_are_refused():
    engine = open_engine("plain")
    find = engine.cuda.label
    engine.cuda.label = lambda image, structure: (find(image, structure)[0], device_label.MAX_OBJECTS + 1)
    with pytest.raises(ResourceError, match="2147483648 separate objects, labels hold 2147483647"):
        engine.label(engine.to_device(np.ones((3, 3), bool)), SegmentRule(foreground=0))


def test_a_cupy_whose_indices_overflow_is_refused():
    engine = open_engine("plain")
    engine.cuda.label = lambda _image, _structure: (engine.to_device(np.zeros(1, np.int32)), 0)
    volume = ndarray(sparse((2, 2**15, 2**15 + 1), np.bool_))
    with pytest.raises(ResourceError, match="this CuPy cannot label 2147549184 voxels"):
        engine.label(volume, SegmentRule(foreground=0, connectivity=6))


def test_rows_beyond_the_grid_are_reached():
    bodies_objects.check_tall_labels(open_engine("plain"))
