"""Is this installation right? Known answers, and every compiled loop against its slow twin, on small random data."""

from collections.abc import Callable
from typing import Any

import numpy as np

from compdistort.backend import get_backend
from compdistort.backend.base import FilterBank, FlatForest, SegmentRule
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key, philox4x32
from compdistort.sensor.model import SensorModel

_SHAPE = (61, 67)
_KNOWN_WORDS = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
_RULE = SegmentRule(foreground=1, min_size=3)
Check = tuple[bool, str]


def _image() -> Any:
    draw = np.random.Generator(np.random.Philox(1))
    return (300 + draw.gamma(2.0, 400.0, _SHAPE)).astype(np.uint16)


def _forest(features: Any) -> tuple[Any, FlatForest]:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - heavy

    rows = features.reshape(len(features), -1).T
    estimator = RandomForestClassifier(25, random_state=0, n_jobs=1)
    estimator.fit(rows[::7], rows[::7, 1] > np.median(rows[:, 1]))
    return estimator, flatten(estimator)


def _equal(name: str, fast: Any, slow: Any) -> Check:
    differ = int(np.count_nonzero(np.asarray(fast) != np.asarray(slow)))
    return differ == 0, f"{np.asarray(slow).size} values, {differ} differ ({name})"


def _philox() -> Check:
    words = tuple(int(word) for word in philox4x32((0, 0, 0, 0), (0, 0)))
    return words == _KNOWN_WORDS, "Random123's known answer"


def _noise(law: str) -> Check:
    tables = noise_tables(SensorModel.scalar(offset_dn=290.0, gain_e_per_dn=0.5, read_noise_e=1.6), law)
    key = derive_key(1, Stream.NOISE)
    fast, slow = (get_backend(name).replicate(_image(), tables, key, range(2)) for name in ("numba", "numpy"))
    return _equal("compiled and plain", fast, slow)


def _features(bank: FilterBank) -> Check:
    fast, slow = (get_backend(name).feature_stack(_image(), bank) for name in ("numba", "numpy"))
    return _equal("compiled and plain", fast, slow)


def _votes() -> Check:
    features = get_backend("numpy").feature_stack(_image(), build_bank(FeatureSpec(set="ilastik"), 2))
    estimator, forest = _forest(features)
    fast, slow = (get_backend(name).forest_proba(features, forest) for name in ("numba", "numpy"))
    expected = estimator.predict_proba(features.reshape(len(features), -1).T).T.reshape(fast.shape)
    good, words = _equal("compiled and scikit-learn", fast, expected)
    return good and bool(np.array_equal(fast, slow)), words


def _objects() -> Check:
    mask = _image() > 1300
    tables = []
    for name in ("numba", "numpy"):
        backend = get_backend(name)
        tables.append(backend.measure(backend.label(mask, _RULE)))
    return _equal("compiled and plain", *tables)


def run_selftest() -> dict[str, Any]:
    """Run every check.

    Returns
    -------
    dict
        ``passed`` (bool) and ``checks``, a list of ``name``, ``passed``, ``detail``.
    """
    checks: dict[str, Callable[[], Check]] = {
        "random numbers": _philox,
        "noise, poisson-gaussian": lambda: _noise("poisson-gaussian"),
        "noise, gaussian": lambda: _noise("gaussian"),
        "features, weka": lambda: _features(build_bank(FeatureSpec(set="weka"), 2)),
        "features, ilastik": lambda: _features(build_bank(FeatureSpec(set="ilastik"), 2)),
        "forest": _votes,
        "objects": _objects,
    }
    results = []
    for name, check in checks.items():
        passed, detail = check()
        results.append({"name": name, "passed": passed, "detail": detail})
    return {"passed": all(item["passed"] for item in results), "checks": results}
