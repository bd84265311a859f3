"""The compiled network: the masks and probabilities of scikit-learn, whatever the forest looks like."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from compdistort.backend.base import FlatForest, SegmentRule
from compdistort.backend.bitsliced import conditions
from compdistort.backend.bitsliced import network as network_module
from compdistort.backend.bitsliced.conditions import condition
from compdistort.backend.bitsliced.descent import Descent, unpacked_bits
from compdistort.backend.bitsliced.voter import Compiled, refuse_used_nan, voter_for
from compdistort.backend.plain import forest as plain
from compdistort.backend.plain.codes import bin_codes, forest_on_bins
from compdistort.errors import InputError
from compdistort.forest.flatten import flatten

N_FEATURES = 6
LEVELS = (0.5, 0.0, 1.0, 0.37, -1.0, 1.5, float("nan"))


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """Nothing is read from, or left in, the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPDISTORT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _training(n_classes=2, n=150, seed=0):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(n, N_FEATURES)).astype(np.float32)
    score = rows[:, 0] + rows[:, 1] * rows[:, 2] + draw.normal(size=n)
    return rows, np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))


def _planes(n_pixels=2048, seed=1):
    return np.random.default_rng(seed).normal(size=(N_FEATURES, n_pixels)).astype(np.float32)


def _mask(voter, planes, rule):
    own = np.ascontiguousarray(planes[list(voter.used)])
    bits, nan_counts = np.empty(planes.shape[1] // 64, np.uint64), np.zeros(len(voter.used), np.int64)
    voter.mask_bits(own, rule, bits, nan_counts)
    refuse_used_nan(voter.used, nan_counts)
    return unpacked_bits(bits).astype(bool)


def _probabilities(voter, planes, n_classes):
    out, nan_counts = np.empty((n_classes, planes.shape[1])), np.zeros(len(voter.used), np.int64)
    voter.probabilities(np.ascontiguousarray(planes[list(voter.used)]), out, nan_counts)
    return out


def _differences(voter, planes, expected):
    """How many pixels differ, over all classes, thresholds and both kinds of comparison."""
    found = 0
    for target in range(len(expected)):
        for level in (*LEVELS, float(np.median(expected[target]))):
            for strict in (False, True):
                wanted = expected[target] > level if strict else expected[target] >= level
                rule = SegmentRule(foreground=target, threshold=level, strict=strict)
                found += int((_mask(voter, planes, rule) != wanted).sum())
    return found


def _assert_exact(forest, planes, expected):
    """Networks and descents, masks and probabilities."""
    compiled = voter_for(forest, wait=True)
    assert isinstance(compiled, Compiled)
    assert set(compiled.networks) == ({1} if compiled.complement else set(range(forest.n_classes)))
    for voter in (compiled, Descent.of(forest)):
        assert _differences(voter, planes, expected) == 0
        assert np.array_equal(_probabilities(voter, planes, forest.n_classes), expected)


FORESTS = {
    "grown out": RandomForestClassifier(10, random_state=0),
    "32 leaves": RandomForestClassifier(10, max_leaf_nodes=32, random_state=0),
    "64 leaves": RandomForestClassifier(10, max_leaf_nodes=64, random_state=0),
    "leaves of 5": RandomForestClassifier(10, min_samples_leaf=5, random_state=0),
    "balanced": RandomForestClassifier(10, min_samples_leaf=5, class_weight="balanced", random_state=0),
    "one tree": RandomForestClassifier(1, random_state=0),
    "99 trees": RandomForestClassifier(99, max_leaf_nodes=8, random_state=0),
    "100 trees": RandomForestClassifier(100, max_depth=3, random_state=0),
    "extra trees": ExtraTreesClassifier(10, random_state=0),
    "stumps": RandomForestClassifier(10, max_depth=1, random_state=0),
    "one leaf": RandomForestClassifier(7, min_samples_leaf=100, random_state=0),
}


@pytest.mark.parametrize("name", FORESTS)
def test_masks_and_probabilities_are_scikit_learns(name):
    estimator, planes = FORESTS[name].fit(*_training()), _planes()
    _assert_exact(flatten(estimator), planes, estimator.predict_proba(planes.T.copy()).T)


@pytest.mark.parametrize("name", ["grown out", "leaves of 5"])
@pytest.mark.parametrize("n_classes", [3, 5])
def test_more_classes(name, n_classes):
    estimator, planes = FORESTS[name].fit(*_training(n_classes)), _planes()
    _assert_exact(flatten(estimator), planes, estimator.predict_proba(planes.T.copy()).T)


def test_one_class():
    estimator = RandomForestClassifier(5, random_state=0).fit(_training()[0], np.zeros(150, int))
    _assert_exact(flatten(estimator), _planes(), np.ones((1, 2048)))


def test_values_on_thresholds_and_their_neighbours():
    rows, labels = _training()
    estimator = FORESTS["grown out"].fit(rows, labels)
    forest = flatten(estimator)
    draw, inner = np.random.default_rng(3), forest.feature >= 0
    on = np.stack([draw.choice(forest.threshold[inner & (forest.feature == k)], 2048) for k in range(N_FEATURES)])
    for planes in (on, np.nextafter(on, np.float32(np.inf)), np.nextafter(on, np.float32(-np.inf))):
        _assert_exact(forest, planes, estimator.predict_proba(planes.T.copy()).T)


def test_negative_zero_and_infinity():
    rows = np.repeat(np.array([[-1.0], [1.0]], np.float32), 40, axis=0)
    forest = flatten(RandomForestClassifier(9, random_state=0).fit(rows, np.repeat([0, 1], 40)))
    planes = np.tile(np.array([[-0.0, 0.0, 1e-45, -1e-45, np.inf, -np.inf, 3e38, -3e38]], np.float32), 64)
    _assert_exact(forest, planes, plain.forest_proba(planes, forest))


def _tied_forest(n_for, n_trees, n_features=1):
    """Trees of one leaf each, `n_for` of them for the second class."""
    return FlatForest(
        feature=np.full(n_trees, -1, np.int16), threshold=np.zeros(n_trees, np.float32),
        left=np.repeat([1, 0], [n_for, n_trees - n_for]).astype(np.int32), root=np.arange(n_trees, dtype=np.int32),
        depth=np.zeros(n_trees, np.int32), leaf_value=np.eye(2), n_features=n_features,
    )  # fmt: skip


@pytest.mark.parametrize("n_trees", [1, 2, 127, 100, 128, 1000])
def test_ties_of_trees_without_a_node(n_trees):
    for n_for in {0, n_trees // 2, (n_trees + 1) // 2, n_trees}:
        forest = _tied_forest(n_for, n_trees)
        planes = np.zeros((1, 512), np.float32)
        _assert_exact(forest, planes, plain.forest_proba(planes, forest))


def test_trees_cut_in_parts(monkeypatch):
    """Subtrees of more nodes than a function takes wait in memory; votes of all kinds of trees are the same."""
    monkeypatch.setattr(network_module, "COST", 8)
    for name in ("grown out", "leaves of 5"):
        estimator, planes = FORESTS[name].fit(*_training(seed=4)), _planes()
        _assert_exact(flatten(estimator), planes, estimator.predict_proba(planes.T.copy()).T)


def test_many_thresholds_need_more_digits(monkeypatch):
    for bits in (2, 3):
        monkeypatch.setattr(conditions, "_DIGIT_BITS", bits)
        monkeypatch.setattr(conditions, "_DIRECT_BITS", bits)
        estimator, planes = FORESTS["grown out"].fit(*_training(seed=bits)), _planes()
        _assert_exact(flatten(estimator), planes, estimator.predict_proba(planes.T.copy()).T)


@given(st.data())
def test_conditions_say_what_the_comparison_says(data):
    """Wherever the code is inside what is known, the chain of steps is ``x <= code``."""
    shifts = data.draw(st.sampled_from([(0,), (4, 0), (3, 0), (5, 2, 0)]))
    low, high = sorted(data.draw(st.tuples(st.integers(0, 255), st.integers(0, 255))))
    code = data.draw(st.integers(0, 255))
    chain = condition(0, code, low, high, shifts)
    for x in range(low, high + 1):
        value = chain
        if not isinstance(chain, bool):
            value = None
            for operation, (_, digit, step) in chain:
                end = 8 if digit == 0 else shifts[digit - 1]
                word = (x & ((1 << end) - 1)) >> shifts[digit] <= step
                value = word if value is None else (value and word if operation == "and" else value or word)
        assert value == (x <= code)


@pytest.mark.parametrize("top", [255, 65535])
def test_forests_on_bins(top):
    from compdistort.backend.base import FeatureBins

    bins = FeatureBins(
        top=top,
        knot=np.tile(np.array([-3, 0.5, 3], np.float32), (N_FEATURES, 1)),
        level=np.tile(np.array([0, top // 3, top], np.float32), (N_FEATURES, 1)),
    )
    rows, labels = _training()
    codes = bin_codes(np.ascontiguousarray(rows.T), bins).T.astype(np.float32)
    estimator = RandomForestClassifier(10, random_state=0).fit(codes, labels)
    forest = forest_on_bins(flatten(estimator), bins)
    planes = _planes()
    expected = estimator.predict_proba(bin_codes(planes, bins).T.astype(np.float32)).T
    assert np.array_equal(plain.forest_proba(planes, forest), expected)
    _assert_exact(forest, planes, expected)


def test_nan_is_refused_by_the_index_of_its_feature():
    rows, labels = _training()
    forest = flatten(RandomForestClassifier(3, random_state=0).fit(rows[:, [0, 3]], labels))
    forest = replace(forest, feature=np.choose(forest.feature, [0, 3], mode="clip").astype(np.int16), n_features=6)
    forest = replace(forest, feature=np.where(flatten_leaves(forest), -1, forest.feature).astype(np.int16))
    planes = _planes()
    planes[3, 700] = np.nan
    planes[2, 5] = np.nan  # read by no tree
    for voter in (voter_for(forest, wait=True), Descent.of(forest)):
        assert voter.used == (0, 3)
        with pytest.raises(InputError, match="feature plane 3 is NaN in 1 pixels"):
            _mask(voter, planes, SegmentRule(foreground=1))


def flatten_leaves(forest):
    """Leaves of trees whose features were renumbered: they have no depth below them."""
    return forest.threshold == 0


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.booleans())
def test_any_split_into_calls_and_threads_gives_the_same_bits(sizes, threads):
    forest = flatten(FORESTS["leaves of 5"].fit(*_training()))
    voter, planes = voter_for(forest, wait=True), _planes(512 * sum(sizes))
    rule = SegmentRule(foreground=1)
    edges = 512 * np.cumsum([0, *sizes])
    found = [None] * len(sizes)

    def one(k):
        found[k] = _mask(voter, planes[:, edges[k] : edges[k + 1]], rule)

    if threads:
        team = [threading.Thread(target=one, args=(k,)) for k in range(len(sizes))]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
    else:
        for k in range(len(sizes)):
            one(k)
    assert np.array_equal(np.concatenate(found), plain.forest_proba(planes, forest)[1] >= 0.5)


@pytest.mark.parametrize("by", [-1, 1])
def test_a_wrong_number_of_votes_is_noticed(by, monkeypatch):
    """Negative control: one vote more or less."""
    estimator, planes = FORESTS["grown out"].fit(*_training()), _planes()
    right = network_module.Sum.needed
    monkeypatch.setattr(network_module.Sum, "needed", lambda own, rule: tuple(k + by for k in right(own, rule)))
    voter = voter_for(flatten(estimator), wait=True)
    assert _differences(voter, planes, estimator.predict_proba(planes.T.copy()).T) > 100


def test_a_band_without_its_sums_is_noticed(monkeypatch):
    """Negative control: rounded sums alone do not give scikit-learn's mask."""
    estimator, planes = FORESTS["leaves of 5"].fit(*_training()), _planes(1 << 14)
    monkeypatch.setattr(Compiled, "_ask", lambda *_: None)
    voter = voter_for(flatten(estimator), wait=True)
    assert _differences(voter, planes, estimator.predict_proba(planes.T.copy()).T) > 10


SLOW = {
    "grown out": (RandomForestClassifier(100, random_state=0), 2),
    "32 leaves": (RandomForestClassifier(100, max_leaf_nodes=32, random_state=0), 2),
    "64 leaves": (RandomForestClassifier(100, max_leaf_nodes=64, random_state=0), 2),
    "leaves of 5": (RandomForestClassifier(100, min_samples_leaf=5, random_state=0), 2),
    "3 classes": (RandomForestClassifier(100, random_state=0), 3),
    "4 classes": (RandomForestClassifier(30, min_samples_leaf=3, random_state=0), 4),
    "5 classes": (RandomForestClassifier(50, random_state=0), 5),
    "1 tree": (RandomForestClassifier(1, random_state=0), 2),
    "99 trees": (RandomForestClassifier(99, random_state=0), 2),
    "500 trees": (RandomForestClassifier(500, random_state=0), 2),
    "extra trees": (ExtraTreesClassifier(100, random_state=0), 2),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SLOW)
def test_four_million_pixels(name):
    estimator, n_classes = SLOW[name]
    estimator.fit(*_training(n_classes, n=2000))
    voter = voter_for(flatten(estimator), wait=True, foreground=1)
    assert voter.compiled
    for seed in range(16):
        planes = _planes(1 << 18, seed)
        expected = estimator.predict_proba(planes.T.copy())[:, 1]
        for level in (0.5, 0.3):
            for strict in (False, True):
                rule = SegmentRule(foreground=1, threshold=level, strict=strict)
                assert np.array_equal(_mask(voter, planes, rule), expected > level if strict else expected >= level)
