"""Class probabilities: ours (compiled and plain) beside scikit-learn's `predict_proba` with one job, same trees.

Run with ``pytest bench/bench_forest.py --benchmark-enable``; all rows of one run share forest, pixels and machine.
`Mpixel_per_s` of a row is computed from its fastest round.
"""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend import get_backend
from compdistort.backend.compiled import forest as compiled
from compdistort.backend.plain import forest as plain
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten

SIDE = 1024
FORESTS = {
    "200 trees grown out": {"n_estimators": 200},
    "200 trees of 32 leaves": {"n_estimators": 200, "max_leaf_nodes": 32},
    "100 trees, leaves of 5": {"n_estimators": 100, "min_samples_leaf": 5},
}


@pytest.fixture(scope="module")
def scene():
    """The 70 Weka features of a micrograph of 1 Mpixel, and 4,000 annotated pixels with 3 % wrong labels."""
    draw = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(draw.normal(size=(SIDE, SIDE)), 6) > 0.037
    texture = ndimage.gaussian_filter(draw.normal(size=truth.shape), 2) * 400
    image = (draw.poisson(np.maximum(500 + 800 * truth + texture, 0) / 2.5) * 2.5).astype(np.uint16)
    bank = build_bank(FeatureSpec(set="weka"), 2, image.shape)
    planes = get_backend("numba").feature_stack(image, bank).reshape(len(bank.names), -1)
    chosen = draw.choice(planes.shape[1], 4000, replace=False)
    labels = truth.ravel()[chosen] ^ (draw.random(4000) < 0.03)
    return planes, planes[:, chosen].T.copy(), labels


@pytest.fixture(scope="module", params=FORESTS)
def fitted(request, scene):
    """A fitted estimator, and its name for the group of rows."""
    estimator = RandomForestClassifier(max_features=2, criterion="entropy", random_state=0, **FORESTS[request.param])
    return estimator.fit(*scene[1:]), request.param


def _record(benchmark, n_pixels, forest):
    if benchmark.stats is not None:
        benchmark.extra_info["Mpixel_per_s"] = n_pixels / benchmark.stats.stats.min / 1e6
    benchmark.extra_info["inner_nodes"] = int((forest.feature >= 0).sum())


@pytest.mark.benchmark(group="forest, 1 Mpixel")
def test_compiled(benchmark, scene, fitted):
    estimator, benchmark.group = fitted
    forest = flatten(estimator)
    compiled.forest_proba(scene[0][:, :1000].copy(), forest)
    found = benchmark.pedantic(compiled.forest_proba, (scene[0], forest), rounds=3)
    _record(benchmark, found.shape[1], forest)
    assert np.array_equal(found[:, :2000], estimator.predict_proba(scene[0][:, :2000].T.copy()).T)


@pytest.mark.benchmark(group="forest, 1 Mpixel")
def test_plain(benchmark, scene, fitted):
    estimator, benchmark.group = fitted
    forest = flatten(estimator)
    planes = scene[0][:, :65536].copy()
    benchmark.pedantic(plain.forest_proba, (planes, forest), rounds=1)
    _record(benchmark, planes.shape[1], forest)


@pytest.mark.benchmark(group="forest, 1 Mpixel")
def test_scikit_learn(benchmark, scene, fitted):
    estimator, benchmark.group = fitted
    rows = scene[0].T.copy()
    found = benchmark.pedantic(estimator.predict_proba, (rows,), rounds=2)
    _record(benchmark, len(found), flatten(estimator))
