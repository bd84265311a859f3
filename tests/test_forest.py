"""The forest engine: the bits of scikit-learn's `predict_proba`, and of its slow twin, whatever the trees look like."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor

from compdistort.backend.base import FlatForest, SegmentRule
from compdistort.backend.compiled import forest as compiled
from compdistort.backend.plain import forest as plain
from compdistort.errors import ConfigError, InputError
from compdistort.features import FeatureSpec, feature_names
from compdistort.forest import flatten, from_sklearn
from compdistort.forest.flatten import round_down
from compdistort.forest.validate import build_forest

N_FEATURES = 12


def _training(n_classes=2, n=700, seed=0, n_features=N_FEATURES):
    """Rows with noisy labels: trees grow deep, leaves are many."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(n, n_features)).astype(np.float32)
    score = rows[:, 0] + rows[:, 1] * rows[:, 2] + draw.normal(size=n)
    return rows, np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))


def _planes(n_pixels, seed=1, n_features=N_FEATURES):
    return np.random.default_rng(seed).normal(size=(n_features, n_pixels)).astype(np.float32)


def _assert_exact(estimator, planes):
    forest = flatten(estimator)
    expected = estimator.predict_proba(np.ascontiguousarray(planes.T)).T
    for engine in (plain, compiled):
        found = engine.forest_proba(planes, forest)
        assert found.dtype == np.float64
        assert np.array_equal(found, expected), engine.__name__


FORESTS = {
    "grown out": RandomForestClassifier(20, random_state=0),
    "weka": RandomForestClassifier(20, max_features=2, criterion="entropy", class_weight="balanced", random_state=0),
    "few leaves": RandomForestClassifier(20, max_leaf_nodes=16, random_state=0),
    "large leaves": RandomForestClassifier(20, min_samples_leaf=5, random_state=0),
    "one tree": RandomForestClassifier(1, random_state=0),
    "99 trees": RandomForestClassifier(99, random_state=0),
    "100 trees": RandomForestClassifier(100, max_depth=4, random_state=0),
    "extra trees": ExtraTreesClassifier(20, random_state=0),
    "stumps": RandomForestClassifier(20, max_depth=1, random_state=0),
    "one leaf": RandomForestClassifier(7, min_samples_leaf=400, random_state=0),
}


@pytest.mark.parametrize("name", FORESTS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probability_is_scikit_learns(name, n_classes):
    _assert_exact(FORESTS[name].fit(*_training(n_classes)), _planes(1000))


@pytest.mark.parametrize("n_classes", [4, 5])
def test_more_classes(n_classes):
    _assert_exact(FORESTS["grown out"].fit(*_training(n_classes)), _planes(600))


@pytest.mark.parametrize("n_pixels", [0, 1, 7, 8, 255, 256, 257, 700])
def test_any_number_of_pixels(n_pixels):
    forest = flatten(FORESTS["grown out"].fit(*_training()))
    planes = _planes(n_pixels)
    assert np.array_equal(compiled.forest_proba(planes, forest), plain.forest_proba(planes, forest))


def test_deep_trees_need_more_than_the_first_steps():
    """The lists of pixels that go on are used, several times."""
    estimator = RandomForestClassifier(10, max_features=1, random_state=0).fit(*_training(n=3000, n_features=3))
    assert flatten(estimator).depth.max() > compiled._FIRST + 2 * compiled._NEXT
    _assert_exact(estimator, _planes(2000, n_features=3))


def test_values_on_thresholds_and_their_neighbours():
    rows, labels = _training()
    estimator = RandomForestClassifier(20, random_state=0).fit(rows, labels)
    forest = flatten(estimator)
    draw = np.random.default_rng(3)
    inner = forest.feature >= 0
    planes = np.empty((N_FEATURES, 3000), np.float32)
    for k in range(N_FEATURES):
        planes[k] = draw.choice(forest.threshold[inner & (forest.feature == k)], 3000)
    _assert_exact(estimator, planes)
    _assert_exact(estimator, np.nextafter(planes, np.float32(np.inf)))
    _assert_exact(estimator, rows.T.copy())


def test_negative_zero_and_infinity_take_their_place():
    rows = np.repeat(np.array([[-1.0], [1.0]], np.float32), 40, axis=0)
    estimator = RandomForestClassifier(9, random_state=0).fit(rows, np.repeat([0, 1], 40))
    assert (flatten(estimator).threshold[flatten(estimator).feature >= 0] == 0).all()
    _assert_exact(estimator, np.array([[-0.0, 0.0, 1e-45, -1e-45, 3e38, -3e38]], np.float32))
    infinite = np.array([[-np.inf, np.inf]], np.float32)
    for engine in (plain, compiled):
        assert engine.forest_proba(infinite, flatten(estimator))[1].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("engine", [plain, compiled])
@pytest.mark.parametrize("sign", [1, -1])
def test_nan_is_refused_wherever_it_is(engine, sign):
    forest = flatten(RandomForestClassifier(3, max_depth=1, random_state=0).fit(*_training()))
    unused = int(np.flatnonzero(~np.isin(np.arange(N_FEATURES), forest.feature))[0])
    planes = _planes(300)
    planes[unused, 299] = np.copysign(np.float32(np.nan), np.float32(sign))
    with pytest.raises(InputError, match=f"feature plane {unused} is NaN in 1 pixels"):
        engine.forest_proba(planes, forest)


def _tied_forest(n_for, n_trees=100):
    """Trees of one leaf each, `n_for` of them for the second class."""
    votes = np.arange(n_trees) < n_for
    return FlatForest(
        feature=np.full(n_trees, -1, np.int16),
        threshold=np.zeros(n_trees, np.float32),
        left=np.arange(n_trees, dtype=np.int32),
        root=np.arange(n_trees, dtype=np.int32),
        depth=np.zeros(n_trees, np.int32),
        leaf_value=np.column_stack([~votes, votes]).astype(np.float64),
        n_features=1,
    )


@pytest.mark.parametrize(("n_for", "at_least", "above"), [(49, False, False), (50, True, False), (51, True, True)])
def test_a_tie_is_decided_by_the_rule_alone(cpu_backend, n_for, at_least, above):
    probability = cpu_backend.forest_proba(np.zeros((1, 2, 3), np.float32), _tied_forest(n_for))
    assert (probability[1] == n_for / 100).all()
    for strict, expected in ((False, at_least), (True, above)):
        mask = cpu_backend.threshold(probability[1], SegmentRule(foreground=1, strict=strict))
        assert (mask == expected).all()


def test_ties_of_a_trained_forest_are_scikit_learns():
    rows, labels = _training(n=400)
    estimator = RandomForestClassifier(100, random_state=0).fit(rows, labels)
    planes = _planes(20_000)
    expected = estimator.predict_proba(planes.T.copy())[:, 1]
    found = compiled.forest_proba(planes, flatten(estimator))[1]
    assert (expected == 0.5).sum() > 50
    assert np.array_equal(found >= 0.5, expected >= 0.5)
    assert np.array_equal(found > 0.5, expected > 0.5)


def test_impure_leaves_keep_the_order_of_the_sum():
    """A sum in another order differs in the last bit somewhere: the test above can fail."""
    estimator = RandomForestClassifier(99, min_samples_leaf=5, random_state=0).fit(*_training())
    planes = _planes(3000)
    forest = flatten(estimator)
    members = [member.predict_proba(planes.T.copy()) for member in estimator.estimators_]
    backwards = (sum(reversed(members)) / 99).T
    assert not np.array_equal(compiled.forest_proba(planes, forest), backwards)


def _complete_tree(depth, n_features, seed=0):
    """A tree that splits everywhere."""
    draw = np.random.default_rng(seed)
    n_inner, n_leaves = 2**depth - 1, 2**depth
    nodes = np.arange(n_inner + n_leaves)
    inner = nodes < n_inner
    return build_forest(
        feature=np.where(inner, draw.integers(0, n_features, nodes.size), -1).astype(np.int16),
        threshold=np.where(inner, draw.normal(size=nodes.size), 0).astype(np.float32),
        left=np.where(inner, 2 * nodes + 1, nodes - n_inner).astype(np.int32),
        root=np.zeros(1, np.int32),
        leaf_value=np.eye(2)[draw.integers(0, 2, n_leaves)],
        n_features=n_features,
    )


def test_trees_of_more_than_65536_nodes():
    forest = _complete_tree(16, 3)
    assert compiled._layout(forest, 3)[1] != compiled._HALF
    planes = _planes(1500, n_features=3)
    assert np.array_equal(compiled.forest_proba(planes, forest), plain.forest_proba(planes, forest))


def test_many_features_take_smaller_blocks():
    rows, labels = _training(n_features=400)
    estimator = ExtraTreesClassifier(20, max_features=1, random_state=0).fit(rows, labels)
    used = np.unique(flatten(estimator).feature).size - 1
    assert used * compiled._BLOCK > 2**compiled._HALF
    assert compiled._layout(flatten(estimator), used)[0] < compiled._BLOCK
    _assert_exact(estimator, _planes(600, n_features=400))


def test_a_tree_too_large_for_the_compiled_engine_is_refused():
    forest = SimpleNamespace(root=np.zeros(1, np.int64), feature=np.empty(2**21, np.int8))
    with pytest.raises(ConfigError, match="too large for the compiled engine"):
        compiled._layout(forest, 4000)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
def test_round_down_never_changes_a_decision(threshold, value):
    down = round_down(np.array([threshold]))
    with np.errstate(over="ignore", under="ignore"):
        near = [np.float32(value), down[0], np.nextafter(down[0], np.float32(np.inf))]
    for x in near:
        assert (float(x) <= threshold) == bool(x <= down[0])


def test_flat_arrays_keep_their_promises():
    """Siblings adjacent, children behind their parent, depth and leaf rows right."""
    estimator = RandomForestClassifier(8, random_state=0).fit(*_training(3))
    forest = flatten(estimator)
    assert forest.depth.tolist() == [member.get_depth() for member in estimator.estimators_]
    assert sorted(forest.left[forest.feature < 0]) == list(range(len(forest.leaf_value)))
    again = build_forest(
        feature=forest.feature,
        threshold=forest.threshold,
        left=forest.left,
        root=forest.root,
        leaf_value=forest.leaf_value,
        n_features=N_FEATURES,
    )
    assert np.array_equal(again.depth, forest.depth)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (RandomForestClassifier(), "no fitted forest"),
        (RandomForestRegressor(2).fit(*_training()), "no fitted forest"),
        (RandomForestClassifier(2).fit(_training()[0], np.column_stack([_training()[1]] * 2)), "2 outputs"),
    ],
)
def test_other_estimators_are_refused(estimator, words):
    with pytest.raises(ConfigError, match=words):
        flatten(estimator)


SPEC = FeatureSpec(set="plain", sigmas=(1.0, 2.0, 3.5))


def test_import_keeps_labels_and_names():
    rows, labels = _training()
    assert len(feature_names(SPEC)) == N_FEATURES
    numbered = from_sklearn(RandomForestClassifier(3, random_state=0).fit(rows, labels * 4 + 3), SPEC, foreground=3)
    assert (numbered.class_values, numbered.foreground) == ((3, 7), 0)
    named = from_sklearn(RandomForestClassifier(3, random_state=0).fit(rows, np.array(["sky", "cell"])[labels]), SPEC)
    assert (named.class_values, named.class_names, named.foreground) == ((1, 2), ("cell", "sky"), 1)


def test_import_refuses_other_features():
    estimator = RandomForestClassifier(3, random_state=0).fit(*_training())
    with pytest.raises(ConfigError, match="reads 12 features, set 'plain' has 24"):
        from_sklearn(estimator, FeatureSpec(set="plain"))


def test_training_is_not_imported_with_the_engine():
    """`flatten` and the engines must not pull in scikit-learn on their own."""
    assert "sklearn" in sys.modules  # by this test file
    names = {name for module in (plain, compiled) for name in vars(module)}
    assert not {"sklearn", "RandomForestClassifier"} & names
