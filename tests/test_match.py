"""Pairing of objects: against brute force, by construction, and with controls that must fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from compdistort.backend.base import MEASURE_COLUMNS, PARAMETERS
from compdistort.backend.compiled.measure import measure_objects
from compdistort.errors import ConfigError, InputError
from compdistort.match import MatchCounts, align, count_matches, match_objects, overlapping
from compdistort.score import results

XM = MEASURE_COLUMNS.index("XM")

# Centres on a grid of half pixels: many exact ties and many distances of exactly 3.
centres = arrays(
    np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=st.integers(0, 24).map(lambda k: k / 2)
)


def _table(points):
    points = np.asarray(points, np.float64).reshape(-1, 2)
    values = np.tile(np.arange(len(MEASURE_COLUMNS), dtype=np.float64), (len(points), 1))
    values[:, XM : XM + 2] = points
    return values


def _pairs(result):
    return list(zip(result.raw_index.tolist(), result.other_index.tolist(), strict=True))


def _squared(raw, other):
    return ((raw[:, None, :] - other[None, :, :]) ** 2).sum(-1)


def _greedy(raw, other, radius):
    """The definition: repeat { take the closest free pair, lowest ids first } until none is within the radius."""
    squared = _squared(raw, other)
    pairs = []
    while squared.size and squared.min() <= radius**2:
        i, j = (int(k) for k in np.unravel_index(np.argmin(squared), squared.shape))
        pairs.append((i, j))
        squared[i, :] = squared[:, j] = np.inf
    return sorted(pairs)


@given(centres, centres, st.sampled_from([0.5, 1.0, 3.0, 5.0]))
@settings(deadline=None)
def test_equals_the_definition(raw, other, radius):
    assert _pairs(match_objects(_table(raw), _table(other), radius)) == _greedy(raw, other, radius)


@given(centres, centres)
@settings(deadline=None)
def test_papers_rule_takes_the_nearest(raw, other):
    squared = _squared(raw, other)
    expected = [(i, int(np.argmin(row))) for i, row in enumerate(squared) if row.size and row.min() <= 9]
    assert _pairs(match_objects(_table(raw), _table(other), one_to_one=False)) == expected


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50), st.floats(-50, 50))
@settings(deadline=None, max_examples=40)
def test_order_of_rows_role_and_place_do_not_matter(seed, dx, dy):
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0, 30, (25, 2))
    other = rng.uniform(0, 30, (30, 2))
    pairs = _pairs(match_objects(_table(raw), _table(other)))
    swapped = _pairs(match_objects(_table(other), _table(raw)))
    assert sorted((i, j) for j, i in swapped) == pairs
    p, q = rng.permutation(25), rng.permutation(30)
    shuffled = _pairs(match_objects(_table(raw[p]), _table(other[q])))
    assert sorted((int(p[i]), int(q[j])) for i, j in shuffled) == pairs
    shift = np.array([dx, dy])
    assert _pairs(match_objects(_table(raw + shift), _table(other + shift))) == pairs


def test_the_radius_belongs_to_the_circle():
    assert _pairs(match_objects(_table([[10, 10]]), _table([[13, 10]]))) == [(0, 0)]
    assert not _pairs(match_objects(_table([[10, 10]]), _table([[np.nextafter(13, 14), 10]])))


def test_same_centre_comes_before_near():
    raw, other = _table([[10, 10], [11, 10]]), _table([[11, 10], [11.5, 10]])
    assert _pairs(match_objects(raw, other)) == [(0, 1), (1, 0)]
    assert _pairs(match_objects(raw, other, one_to_one=False)) == [(0, 0), (1, 0)]


def test_ties_go_to_the_lowest_ids():
    square = [[0, 0], [2, 0], [0, 2], [2, 2]]
    assert _pairs(match_objects(_table([[1, 1]]), _table(square))) == [(0, 0)]
    assert _pairs(match_objects(_table(square), _table([[1, 1], [1, 1]]))) == [(0, 0), (1, 1)]


@pytest.mark.parametrize(("n_raw", "n_other"), [(0, 0), (0, 3), (3, 0)])
def test_images_without_objects(n_raw, n_other):
    raw, other = _table(np.ones((n_raw, 2))), _table(np.ones((n_other, 2)))
    pairs = match_objects(raw, other)
    assert len(pairs) == 0
    assert align(raw, other, pairs).shape == (n_raw, 19)
    assert np.isnan(align(raw, other, pairs)).all()


def test_align_puts_rows_where_the_raw_objects_are():
    raw, other = _table([[0, 0], [9, 9], [20, 20]]), _table([[20, 21], [0, 1]])
    other[:, MEASURE_COLUMNS.index("Area")] = [7, 8]
    pairs = match_objects(raw, other)
    aligned = align(raw, other, pairs)
    np.testing.assert_array_equal(aligned[:, 0], [8, np.nan, 7])
    assert aligned.shape == (3, len(PARAMETERS))
    first = MEASURE_COLUMNS.index("Area")
    narrow = other[:, first : first + len(PARAMETERS)]
    np.testing.assert_array_equal(align(raw, narrow, match_objects(raw, narrow)), aligned)


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_impossible_radius_is_refused(radius):
    with pytest.raises(ConfigError, match="radius"):
        match_objects(_table([[1, 1]]), _table([[1, 1]]), radius)


def test_impossible_tables_are_refused():
    with pytest.raises(InputError, match="shape"):
        match_objects(np.zeros((3, 5)), _table([[1, 1]]))
    with pytest.raises(InputError, match="finite"):
        match_objects(_table([[np.nan, 1]]), _table([[1, 1]]))


def _image(*boxes):
    mask = np.zeros((40, 60), bool)
    for y0, y1, x0, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return ndimage.label(mask, np.ones((3, 3)), output=np.int32)[0]


def _count(raw, other, *, one_to_one=True):
    pairs = match_objects(measure_objects(raw), measure_objects(other), one_to_one=one_to_one)
    return count_matches(int(raw.max()), int(other.max()), overlapping(raw, other), pairs)


def test_an_image_matches_itself():
    labels = _image((2, 5, 2, 5), (10, 20, 10, 12), (30, 31, 50, 51))
    assert _count(labels, labels) == MatchCounts(n_raw=3, n_other=3, matched=3, lost=0, new=0, split=0, merged=0)


def test_fates_by_construction():
    """One object kept, one lost, one new, one split in two, two merged into one."""
    raw = _image((2, 8, 2, 8), (2, 6, 20, 24), (20, 26, 2, 22), (20, 26, 30, 38), (20, 26, 40, 48))
    other = _image((2, 8, 2, 9), (2, 6, 50, 54), (20, 26, 2, 11), (20, 26, 13, 22), (20, 26, 30, 48))
    expected = {"n_raw": 5, "n_other": 5, "matched": 1, "lost": 4, "new": 4, "split": 1, "merged": 1}
    assert _count(raw, other) == MatchCounts(**expected)
    back = expected | {"split": 1, "merged": 1}
    assert _count(other, raw) == MatchCounts(**back)


def test_split_needs_two_overlaps_not_two_neighbours():
    raw = _image((10, 20, 10, 20))
    other = _image((10, 20, 10, 20), (10, 20, 21, 30))
    assert _count(raw, other).split == 0


def test_shared_partners_are_not_counted_as_new():
    raw, other = _image((2, 3, 2, 3), (2, 3, 4, 5)), _image((2, 3, 3, 4))
    counts = _count(raw, other, one_to_one=False)
    assert (counts.matched, counts.lost, counts.new) == (2, 0, 0)


@given(arrays(np.bool_, (12, 12)), arrays(np.bool_, (12, 12)))
@settings(deadline=None, max_examples=40)
def test_counts_add_up(one, two):
    raw, other = (ndimage.label(mask, output=np.int32)[0] for mask in (one, two))
    counts = _count(raw, other)
    assert counts.matched + counts.lost == counts.n_raw
    assert counts.matched + counts.new == counts.n_other
    split = sum(np.unique(other[(raw == i) & (other > 0)]).size > 1 for i in range(1, counts.n_raw + 1))
    merged = sum(np.unique(raw[(other == i) & (raw > 0)]).size > 1 for i in range(1, counts.n_other + 1))
    assert (counts.split, counts.merged) == (split, merged)


def test_images_of_other_shape_are_refused():
    with pytest.raises(InputError, match="shapes"):
        overlapping(np.zeros((3, 4), np.int32), np.zeros((4, 3), np.int32))


def test_unrelated_images_match_by_chance_only():
    """Negative control: in a field of density 1e-3 a circle of 3 px holds a stranger with probability 2.8 %.

    n = 2,000 points; null: number matched <= binomial(n, 1 - exp(-density pi 9)); alpha = 1e-6 (4.9 sigma); seed 3.
    The same points moved by 0.5 px must fail that bound.
    """
    rng = np.random.default_rng(3)
    n, side = 2000, np.sqrt(2000 / 1e-3)
    raw, stranger = rng.uniform(0, side, (n, 2)), rng.uniform(0, side, (n, 2))
    chance = 1 - np.exp(-1e-3 * np.pi * 9)
    bound = n * chance + 4.9 * np.sqrt(n * chance * (1 - chance))
    assert 0 < len(match_objects(_table(raw), _table(stranger))) <= bound
    assert len(match_objects(_table(raw), _table(raw + rng.normal(0, 0.5, raw.shape)))) > bound


def test_many_points():
    """190,000 objects, each displaced less than half the spacing of a jittered grid: every one finds its own."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(np.arange(436.0), np.arange(436.0)), axis=-1).reshape(-1, 2) * 9
    moved = grid + rng.uniform(-1.5, 1.5, grid.shape)
    pairs = match_objects(_table(grid), _table(moved))
    np.testing.assert_array_equal(pairs.raw_index, np.arange(len(grid)))
    np.testing.assert_array_equal(pairs.other_index, np.arange(len(grid)))


def test_scores_use_the_same_counts():
    assert results.MatchCounts is MatchCounts
