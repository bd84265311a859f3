"""Pairs of objects that share a voxel: from runs, against what is counted in label images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from compdistort.backend.base import SegmentRule
from compdistort.backend.compiled.bits import pack_mask
from compdistort.backend.compiled.components import Runs, find_components, paint
from compdistort.backend.compiled.measure import read_labels
from compdistort.backend.compiled.overlap import overlap_pairs
from compdistort.errors import InputError
from compdistort.match import overlapping


@st.composite
def label_pairs(draw):
    """Two images of one shape, of any density, ids side by side and in pieces."""
    lead = draw(st.sampled_from(((), (3,), (1,))))
    shape = (*lead, draw(st.integers(1, 5)), draw(st.sampled_from((1, 2, 9, 70))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def image():
        share, most = draw(st.sampled_from((0.0, 0.1, 0.5, 0.95, 1.0))), draw(st.sampled_from((2, 4, 200)))
        ids = np.where(rng.random(shape) < share, rng.integers(0, most, shape), 0)
        return np.minimum(ids, ids.size).astype(np.int32)

    return image(), image()


@settings(deadline=None)
@given(label_pairs())
def test_pairs_are_those_of_the_labels(pair):
    a, b = pair
    found = overlap_pairs(read_labels(a), read_labels(b))
    wanted = overlapping(a, b)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == np.int64


def _runs(seed, share, min_size, shape=(30, 40, 70)):
    field = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 1.5)
    field += 0.02 * np.random.default_rng(seed).normal(size=shape)
    rule = SegmentRule(foreground=0, connectivity=26, min_size=min_size)
    return find_components(pack_mask(field > np.quantile(field, 1 - share)), shape, rule)


def test_segmented_volumes():
    """Runs that a rule has dropped belong to nobody."""
    a, b = _runs(1, 0.15, 3), _runs(2, 0.2, 40)
    assert (a.owner == 0).any()
    wanted = overlapping(paint(a), paint(b))
    assert wanted[0].size > 20
    np.testing.assert_array_equal(overlap_pairs(a, b), wanted)
    np.testing.assert_array_equal(overlap_pairs(b, a), np.array(sorted(zip(*wanted[::-1], strict=True))).T)


def test_comparison_can_fail():
    """Negative control: an image moved by one column has other pairs."""
    rng = np.random.default_rng(4)
    a, b = (rng.integers(0, 6, (4, 5, 60)).astype(np.int32) * (rng.random((4, 5, 60)) < 0.1) for _ in range(2))
    found = overlap_pairs(read_labels(a), read_labels(b))
    moved = overlapping(a, np.roll(b, 1, axis=2))
    assert not np.array_equal(found, moved)


def test_touching_is_not_sharing():
    a, b = np.zeros((1, 1, 9), np.int32), np.zeros((1, 1, 9), np.int32)
    a[..., 2:4] = 1
    b[..., :2], b[..., 4:] = 1, 2
    assert overlap_pairs(read_labels(a), read_labels(b))[0].size == 0
    b[..., 3] = 2
    assert [ids.tolist() for ids in overlap_pairs(read_labels(a), read_labels(b))] == [[1], [2]]


def test_other_shapes_are_refused():
    a, b = (read_labels(np.ones((2, columns, 4), np.int32)) for columns in (3, 4))
    with pytest.raises(InputError, match=r"shapes \(2, 3, 4\) and \(2, 4, 4\)"):
        overlap_pairs(a, b)


def test_ids_and_columns_at_the_end_of_int32():
    top = 2**31 - 1
    shape = (1, 2, top)
    row_start = np.array([0, 0, 1])
    place = [np.array([value], np.int32) for value in (top - 2, top)]
    a = Runs(shape, row_start, *place, np.array([3], np.int32), 3)
    b = Runs(shape, row_start, *place, np.array([top], np.int32), top)
    assert [ids.tolist() for ids in overlap_pairs(a, b)] == [[3], [top]]


def test_pairs_that_take_turns_are_listed_once():
    """Two objects beside each other in every row: each row repeats both pairs."""
    a = np.ones((1, 50, 8), np.int32)
    b = np.repeat([[1, 2]], 4, axis=1).astype(np.int32) + np.zeros((1, 50, 1), np.int32)
    assert [ids.tolist() for ids in overlap_pairs(read_labels(a), read_labels(b))] == [[1, 1], [1, 2]]
