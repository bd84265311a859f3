"""Codes: what the fast loops write equals the obvious twins, and decides every test of a forest as the features do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend.base import FeatureBins, FlatForest
from compdistort.backend.bitsliced.codes import encoder_of
from compdistort.backend.compiled import codes as loops
from compdistort.backend.compiled import forest as descent
from compdistort.backend.plain import codes as plain
from compdistort.errors import ConfigError, InputError
from compdistort.forest import flatten

TINY, HUGE, INF = np.float32(1e-45), np.finfo(np.float32).max, np.float32(np.inf)
EXTREMES = np.array([-INF, -HUGE, -1, -TINY, -0.0, 0.0, TINY, 1.1754944e-38, 1, HUGE, INF], np.float32)
floats = st.floats(width=32, allow_nan=False)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def _forest(limits, n_features=None, bins=None):
    """One stump for each threshold of each feature; `limits` maps features to thresholds."""
    pairs = [(feature, limit) for feature, own in limits.items() for limit in own]
    nodes = 3 * np.arange(len(pairs), dtype=np.int32)
    feature, threshold = np.full(nodes.size * 3, -1, np.int16), np.zeros(nodes.size * 3, np.float32)
    feature[nodes], threshold[nodes] = [feature for feature, _ in pairs], [limit for _, limit in pairs]
    left = np.tile(np.array([0, 0, 1], np.int32), nodes.size)
    left[nodes] = nodes + 1
    return FlatForest(
        feature=feature, threshold=threshold, left=left, root=nodes, depth=np.ones(nodes.size, np.int32),
        leaf_value=np.eye(2), n_features=n_features or max(limits, default=0) + 1, bins=bins,
    )  # fmt: skip


def _encoded(forest, features):
    encoder = encoder_of(forest)
    rows = np.ascontiguousarray(features[list(encoder.used)])
    out, nan_counts = np.zeros(rows.shape, encoder.dtype), np.zeros(len(rows), np.int64)
    encoder.encode(rows, out, nan_counts)
    return encoder, out, nan_counts


def _around(limits):
    """Return the thresholds, their neighbours and the extremes."""
    with np.errstate(over="ignore", under="ignore"):
        sides = [np.nextafter(limits, INF), np.nextafter(limits, -INF)]
    return np.concatenate([limits, *sides, EXTREMES])


def _assert_ranks(*limits, more=()):
    """Encode every feature around the thresholds of all; compare with the twin."""
    limits = [np.asarray(own, np.float32) for own in limits]
    values = np.concatenate([*(_around(own) for own in limits), np.asarray(more, np.float32)])
    features = np.tile(values, (len(limits), 1))
    encoder, found, nan_counts = _encoded(_forest(dict(enumerate(limits))), features)
    assert encoder.used == tuple(range(len(limits)))
    assert np.array_equal(found, plain.ranks(features, limits))
    assert not nan_counts.any()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(floats, min_size=1, max_size=40), min_size=1, max_size=3), st.lists(floats, max_size=20))
def test_ranks_of_any_floats(limits, more):
    _assert_ranks(*limits, more=more)


SPREADS = {
    "even": np.linspace(-5, 5, 300),
    "one threshold": [3.0],
    "the extremes": EXTREMES,
    "adjacent": np.arange(300, dtype=np.int32).view(np.float32),
    "adjacent, and far": [*np.arange(0x3F800000, 0x3F800100, dtype=np.int32).view(np.float32), -HUGE, HUGE],
    "differences overflow": np.linspace(-1, 1, 100) * float(HUGE),
    "all octaves": [s * 2.0**e for e in range(-149, 128) for s in (-1, 1)],
    "skewed": np.exp(3 * np.random.default_rng(0).normal(size=2000)),
    "Cauchy": np.random.default_rng(1).standard_cauchy(700),
    "subnormal differences": [1.0, *(np.arange(1, 20) * 2.0**-149)],
    "largest number": np.random.default_rng(2).normal(size=66_000).astype(np.float32)[:65_000],
}


@pytest.mark.parametrize("name", SPREADS)
def test_ranks_of_hard_thresholds(name):
    limits = np.asarray(SPREADS[name], np.float32)
    own = np.unique(limits)
    values = np.concatenate([_around(own), np.random.default_rng(3).normal(size=1000).astype(np.float32)])
    _, found, _ = _encoded(_forest({0: own}), values[None])
    assert np.array_equal(found[0], np.searchsorted(own, values))
    if own.size < 3000:
        _assert_ranks(own)


def test_hard_and_easy_features_share_a_table():
    """Maps of one and of several ramps, long and short lists in one encoder."""
    _assert_ranks(SPREADS["skewed"], [1.0], SPREADS["even"], SPREADS["all octaves"])


@pytest.mark.parametrize(("n", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_the_smallest_type_that_holds_the_ranks(n, dtype):
    forest = _forest({0: np.arange(n, dtype=np.float32)})
    encoder, found, _ = _encoded(forest, np.array([[-1.0, n]], np.float32))
    assert encoder.dtype == dtype
    assert found.tolist() == [[0, n]]


def test_too_many_thresholds_are_refused():
    forest = _forest({0: np.arange(65_536, dtype=np.float32)})
    with pytest.raises(ConfigError, match="65536 distinct thresholds"):
        encoder_of(forest)


@pytest.mark.parametrize("n_pixels", [0, 1, 511, 512, 513, 4096])
def test_any_number_of_pixels(n_pixels):
    features = np.random.default_rng(4).normal(size=(2, n_pixels)).astype(np.float32)
    limits = [np.linspace(-1, 1, 50, dtype=np.float32), np.zeros(1, np.float32)]
    assert np.array_equal(_encoded(_forest(dict(enumerate(limits))), features)[1], plain.ranks(features, limits))


def _trained(n_features=9, on=None, **options):
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(600, n_features)).astype(np.float32)
    labels = rows[:, 0] + rows[:, 1] * rows[:, 2] + draw.normal(size=600) > 0
    grown = rows if on is None else np.ascontiguousarray(plain.bin_codes(rows.T, on).T.astype(np.float32))
    return RandomForestClassifier(12, random_state=0, **options).fit(grown, labels), rows


def _assert_decides(forest, features):
    """At every inner node, x <= threshold exactly where code(x) <= node_code."""
    encoder, codes, _ = _encoded(forest, features)
    assert encoder.used == tuple(np.unique(forest.feature[forest.feature >= 0]))
    for node in np.flatnonzero(forest.feature >= 0):
        passes = features[forest.feature[node]] <= forest.threshold[node]
        assert np.array_equal(codes[encoder.used.index(forest.feature[node])] <= encoder.node_code[node], passes)
    return encoder


@pytest.mark.parametrize("options", [{}, {"max_depth": 1, "max_features": 1}, {"max_leaf_nodes": 8}])
def test_codes_decide_as_the_features(options):
    estimator, rows = _trained(**options)
    forest = flatten(estimator)
    limits = forest.threshold[forest.feature >= 0]
    values = np.random.default_rng(6).choice(_around(limits), (9, 2000))
    encoder = _assert_decides(forest, np.concatenate([values, rows.T], axis=1))
    assert (encoder.node_code[forest.feature < 0] == 0).all()
    assert (len(encoder.used) < 9) == ("max_depth" in options)  # stumps leave features unused


def test_a_code_one_too_high_decides_otherwise():
    """Negative control of the check above."""
    forest = _forest({0: np.arange(20, dtype=np.float32)})
    features = np.arange(-1, 21, dtype=np.float32)[None]
    encoder, codes, _ = _encoded(forest, features)
    node = forest.root[7]
    assert np.array_equal(codes[0] <= encoder.node_code[node], features[0] <= 7)
    assert not np.array_equal(codes[0] <= encoder.node_code[node] + 1, features[0] <= 7)


def test_nan_is_counted_and_its_code_in_range():
    forest = _forest({1: np.arange(300, dtype=np.float32), 4: np.zeros(1, np.float32)}, n_features=6)
    features = np.zeros((6, 700), np.float32)
    features[1, [0, 600]], features[4, 699], features[0] = np.nan, -np.float32(np.nan), np.nan
    _, codes, nan_counts = _encoded(forest, features)
    assert nan_counts.tolist() == [2, 1]
    assert codes[0].max() <= 300
    assert codes[1].max() <= 1
    encoder = encoder_of(forest)
    encoder.encode(np.ascontiguousarray(features[[1, 4]]), codes, nan_counts)
    assert nan_counts.tolist() == [4, 2]


def _of_every_kind():
    """Encoders of ranks and of bins, with codes of one byte and of two, and features for them."""
    few, many = ({1: np.linspace(-2, 2, n, dtype=np.float32)} for n in (9, 700))
    features = np.random.default_rng(7).normal(size=(2, 1500)).astype(np.float32)
    for limits in (few, many):
        yield encoder_of(_forest(limits, 2)), features[1:].copy()
    on_bins = _forest({1: np.arange(3, dtype=np.float32) + 0.5}, 2)
    for top in (255, 65535):
        yield encoder_of(plain.forest_on_bins(on_bins, _bins([[-2, 2]] * 2, top))), features[1:].copy()


def test_codes_of_a_part_are_those_of_the_whole():
    for encoder, rows in _of_every_kind():
        rows[0, [0, 512, 1400]] = np.nan
        whole, part = (np.empty((1, n), encoder.dtype) for n in (1500, 700))
        encoder.encode(rows, whole, np.zeros(1, np.int64))
        for skip, n_nan in ((0, 2), (1, 1), (513, 0), (800, 1)):
            nan_counts = np.zeros(1, np.int64)
            encoder.encode(rows, part, nan_counts, skip)
            assert np.array_equal(part, whole[:, skip : skip + 700])
            assert nan_counts[0] == n_nan
        with pytest.raises(AssertionError):
            encoder.encode(rows, part, nan_counts, 801)


def test_what_is_kept_on_disk_has_one_signature():
    """Two processes that compile one function for other arguments at once may keep wrong code."""
    for encoder, rows in _of_every_kind():
        encoder.encode(rows, np.empty(rows.shape, encoder.dtype), np.zeros(1, np.int64))
    for loop in ("cells_of", "_ranks_in_bytes", "_ranks_in_words", "_bins_in_bytes", "_bins_in_words"):
        assert len(getattr(loops, loop).signatures) == 1, loop


def test_twins_refuse_nan():
    features = np.array([[0.0], [np.nan]], np.float32)
    with pytest.raises(InputError, match="feature plane 1 is NaN"):
        plain.ranks(features, [np.zeros(1, np.float32)] * 2)
    with pytest.raises(InputError, match="feature plane 1 is NaN"):
        plain.bin_codes(features, _bins([[0.0, 1.0]] * 2, 255))


def _bins(knots, top):
    knot = np.array(knots, np.float32)
    level = np.tile(np.round(np.linspace(0, top, knot.shape[1])).astype(np.float32), (len(knot), 1))
    return FeatureBins(top=top, knot=knot, level=level)


@st.composite
def random_bins(draw):
    n_knots = draw(st.sampled_from([2, 2, 3, 4]))
    row = st.lists(finite, min_size=n_knots, max_size=n_knots, unique_by=lambda x: x + 0.0)
    knots = draw(st.lists(row.map(sorted), min_size=1, max_size=2))
    return _bins(knots, draw(st.sampled_from([255, 65_535])))


@settings(max_examples=100, deadline=None)
@given(random_bins(), st.lists(floats, max_size=30))
def test_bins_of_any_floats(bins, more):
    """Twins agree, codes never fall, the outer codes are taken, and edges are edges."""
    ends = plain._edges(*np.indices((len(bins.knot), 5)), bins)  # the five lowest edges
    values = np.sort(np.concatenate([_around(bins.knot.ravel()), _around(ends.ravel()), np.array(more, np.float32)]))
    features = np.tile(values, (len(bins.knot), 1))
    expected = plain.bin_codes(features, bins)
    assert (np.diff(expected.astype(np.int64), axis=1) >= 0).all()
    assert (expected[:, 0] == 0).all()
    assert (expected[:, -1] == bins.top).all()
    forest = _forest({f: np.unique(own) for f, own in enumerate(ends)}, bins=bins)
    encoder, found, nan_counts = _encoded(forest, features)
    assert found.dtype == expected.dtype == encoder.dtype
    assert np.array_equal(found, expected)
    assert not nan_counts.any()
    for k, edge in enumerate(ends.T):
        assert np.array_equal(expected <= k, features <= edge[:, None])


@pytest.mark.parametrize("knots", [[-1.0, 3.0], [-HUGE, HUGE], [0.0, TINY], [0.0, 0.1, 1.0, 50.0], [1.0, 1.0000001]])
def test_every_edge_is_one(knots):
    bins = _bins([knots], 255)
    edges = plain.bin_edges(bins)
    assert edges.shape == (1, 255)
    assert edges.dtype == np.float32
    values = np.concatenate([_around(edges[0]), np.random.default_rng(7).normal(size=500).astype(np.float32)])
    codes = plain.bin_codes(values[None], bins)
    assert np.array_equal(codes[0] <= np.arange(255)[:, None], values <= edges[0][:, None])


def test_all_edges_of_16_bits():
    bins = _bins([[-2.0, 5.0]], 65_535)
    edges = plain.bin_edges(bins)[0]
    k = np.arange(65_535)
    assert (plain.bin_codes(edges[None], bins)[0] <= k).all()
    assert (plain.bin_codes(np.nextafter(edges, INF)[None], bins)[0] > k).all()


@pytest.mark.parametrize("top", [255, 65_535])
@pytest.mark.parametrize("knots", [[-2.0, 2.0], [-3.0, -0.5, 0.5, 3.0]])
def test_a_forest_on_bins_decides_as_scikit_learns(top, knots):
    bins = _bins([knots] * 9, top)
    estimator, rows = _trained(on=bins)
    forest = plain.forest_on_bins(flatten(estimator), bins)
    features = np.concatenate([rows.T, np.random.default_rng(8).normal(size=(9, 1500)).astype(np.float32)], axis=1)
    codes = plain.bin_codes(features, bins).T.astype(np.float32)
    assert np.array_equal(descent.forest_proba(features, forest), estimator.predict_proba(codes).T)
    limits = forest.threshold[forest.feature >= 0]
    _assert_decides(forest, np.random.default_rng(9).choice(_around(limits), (9, 2000)))


def test_code_thresholds_outside_the_bins():
    bins = _bins([[0.0, 1.0]], 255)
    forest = plain.forest_on_bins(_forest({0: [0.0, 0.5, 254.9, 255.0, 300.5]}), bins)
    found = forest.threshold[forest.feature >= 0]
    edges = plain.bin_edges(bins)[0]
    assert found.tolist() == [edges[0], edges[0], edges[254], np.inf, np.inf]
    _assert_decides(forest, np.array([_around(edges)]))
    for wrong in (-0.5, np.nan):
        with pytest.raises(ConfigError, match="bins start at 0"):
            plain.forest_on_bins(_forest({0: [wrong]}), bins)


def test_thresholds_that_are_no_edges_are_refused():
    bins = _bins([[0.0, 1.0]], 255)
    forest = plain.forest_on_bins(_forest({0: [7.0]}), bins)
    assert encoder_of(forest).node_code[0] == 7
    lower = np.nextafter(forest.threshold, -INF)
    with pytest.raises(ConfigError, match="no edge of its bins"):
        encoder_of(replace(forest, threshold=lower))
    with pytest.raises(ConfigError, match="threshold of the forest is NaN"):
        encoder_of(_forest({0: [np.nan]}))


def test_maps_of_five_knots_are_refused():
    bins = _bins([[0.0, 1.0, 2.0, 3.0, 4.0]], 255)
    with pytest.raises(ConfigError, match="5 knots; use 4 at most"):
        encoder_of(plain.forest_on_bins(_forest({0: [0.5]}), bins))


def test_a_forest_of_leaves_has_nothing_to_encode():
    encoder, codes, _ = _encoded(_forest({}, n_features=3), np.zeros((3, 512), np.float32))
    assert encoder.used == ()
    assert codes.shape == (0, 512)
