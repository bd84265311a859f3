"""Counts of grey levels: the same figures as those of the sorted image, however it is cut into planes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort import grey_levels
from compdistort.grey_levels import GreyLevels


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**32 - 1),
    top=st.sampled_from([1, 3, 300, 65536]),
    data=st.data(),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_counts_are_those_of_the_sorted_pixels(shape, seed, top, data):
    stack = np.random.default_rng(seed).integers(0, top, shape, dtype=np.uint16)
    ordered = np.sort(stack.ravel())
    levels = GreyLevels.of_planes(stack)
    assert levels.counts.dtype == np.int64
    assert (levels.size, levels.minimum, levels.maximum) == (stack.size, ordered[0], ordered[-1])
    rank = data.draw(st.integers(0, stack.size - 1))
    assert levels.at_rank(rank) == ordered[rank]
    assert (levels.at_rank(0), levels.at_rank(stack.size - 1)) == (ordered[0], ordered[-1])
    again = GreyLevels.of_planes([stack.transpose(2, 0, 1)[:, ::-1]])
    np.testing.assert_array_equal(again.counts, levels.counts)


def test_pixels_that_are_counted_in_parts(monkeypatch):
    image = np.random.default_rng(1).integers(0, 65536, (7, 11), dtype=np.uint16)
    at_once = GreyLevels.of_planes([image])
    for part in (1, 10, 76, 77):
        monkeypatch.setattr(grey_levels, "_AT_ONCE", part)
        np.testing.assert_array_equal(GreyLevels.of_planes([image]).counts, at_once.counts)
    np.testing.assert_array_equal(at_once.counts, np.bincount(image.ravel(), minlength=65536))


def test_planes_come_one_after_another():
    held = []

    def planes():
        for value in (3, 65535):
            held.append(value)
            yield np.full((2, 3), value, np.uint16)

    levels = GreyLevels.of_planes(planes())
    assert held == [3, 65535]
    assert np.flatnonzero(levels.counts).tolist() == [3, 65535]
    assert levels.counts[3] == levels.counts[65535] == 6


def test_what_is_no_image_is_refused():
    for wrong in (np.uint8, np.int64, np.float32, ">u2"):
        with pytest.raises(ValueError, match="counted of uint16, not"):
            GreyLevels.of_planes([np.ones((2, 2), wrong)])
    for empty in ([], [np.empty((0, 4), np.uint16)]):
        with pytest.raises(ValueError, match="0 pixels in all"):
            GreyLevels.of_planes(empty)
    with pytest.raises(ValueError, match=r"counts of shape \(256,\)"):
        GreyLevels(np.ones(256, np.int64))
    levels = GreyLevels.of_planes([np.ones((2, 2), np.uint16)])
    for rank in (-1, 4):
        with pytest.raises(IndexError, match=f"rank {rank} of 4 pixels"):
            levels.at_rank(rank)
