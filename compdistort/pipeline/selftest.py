"""Is this installation right? Known answers, and every engine against its slow twin, on small random data."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from compdistort.backend import get_backend
from compdistort.backend.base import Backend, FilterBank, FlatForest, SegmentRule
from compdistort.errors import BackendUnavailableError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key, philox4x32
from compdistort.sensor.model import SensorModel

_SHAPE = (61, 67)
_KNOWN_WORDS = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
_RULE = SegmentRule(foreground=1, min_size=3)
Check = tuple[bool, str]
Engine = Backend[Any]


def _image() -> Any:
    draw = np.random.Generator(np.random.Philox(1))
    return (300 + draw.gamma(2.0, 400.0, _SHAPE)).astype(np.uint16)


def _forest(features: Any) -> tuple[Any, FlatForest]:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - heavy

    rows = features.reshape(len(features), -1).T
    estimator = RandomForestClassifier(25, random_state=0, n_jobs=1)
    estimator.fit(rows[::7], rows[::7, 1] > np.median(rows[:, 1]))
    return estimator, flatten(estimator)


def _equal(engine: Engine, fast: Any, slow: Any, twin: str = "numpy") -> Check:
    differ = int(np.count_nonzero(np.asarray(fast) != np.asarray(slow)))
    return differ == 0, f"{np.asarray(slow).size} values, {differ} differ ({engine.name} and {twin})"


def _philox() -> Check:
    words = tuple(int(word) for word in philox4x32((0, 0, 0, 0), (0, 0)))
    return words == _KNOWN_WORDS, "Random123's known answer"


def _noise(engine: Engine, slow: Engine, law: str) -> Check:
    tables = noise_tables(SensorModel.scalar(offset_dn=290.0, gain_e_per_dn=0.5, read_noise_e=1.6), law)
    key = derive_key(1, Stream.NOISE)

    def drawn(backend: Engine) -> Any:
        return backend.to_host(backend.replicate(backend.to_device(_image()), tables, key, range(2)))

    return _equal(engine, drawn(engine), drawn(slow))


def _features(engine: Engine, slow: Engine, bank: FilterBank) -> Check:
    def stack(backend: Engine) -> Any:
        return backend.to_host(backend.feature_stack(backend.to_device(_image()), bank))

    return _equal(engine, stack(engine), stack(slow))


def _votes(engine: Engine, slow: Engine) -> Check:
    features = slow.feature_stack(_image(), build_bank(FeatureSpec(set="ilastik"), 2))
    estimator, forest = _forest(features)

    def votes(backend: Engine) -> Any:
        return backend.to_host(backend.forest_proba(backend.to_device(features), forest))

    fast = votes(engine)
    expected = estimator.predict_proba(features.reshape(len(features), -1).T).T.reshape(fast.shape)
    good, words = _equal(engine, fast, expected, "scikit-learn")
    return good and bool(np.array_equal(fast, votes(slow))), words


def _labels(engine: Engine, slow: Engine) -> Check:
    mask = _image() > 1300
    return _equal(engine, engine.to_host(engine.label(engine.to_device(mask), _RULE)), slow.label(mask, _RULE))


def _objects(engine: Engine, slow: Engine) -> Check:
    labels = slow.label(_image() > 1300, _RULE)
    return _equal(engine, engine.measure(engine.to_device(labels)), slow.measure(labels))


def engine_checks(engine: Engine) -> dict[str, Callable[[], Check]]:
    """Return the checks of one engine against the plain one, by name.

    Parameters
    ----------
    engine : Backend
        The engine.

    Returns
    -------
    dict of str to callable
        Each gives whether it passed, and the numbers in words.
    """
    slow = get_backend("numpy")
    return {
        "noise, poisson-gaussian": partial(_noise, engine, slow, "poisson-gaussian"),
        "noise, gaussian": partial(_noise, engine, slow, "gaussian"),
        "features, weka": lambda: _features(engine, slow, build_bank(FeatureSpec(set="weka"), 2)),
        "features, ilastik": lambda: _features(engine, slow, build_bank(FeatureSpec(set="ilastik"), 2)),
        "forest": partial(_votes, engine, slow),
        "labels": partial(_labels, engine, slow),
        "objects": partial(_objects, engine, slow),
    }


def run_selftest() -> dict[str, Any]:
    """Run every check of the CPU engine, and of the CUDA engine where a device can be used.

    Returns
    -------
    dict
        ``passed`` (bool); ``checks``, a list of ``name``, ``passed``, ``detail``; ``skipped``, a list of ``name`` and
        ``reason``.
    """
    checks: dict[str, Callable[[], Check]] = {"random numbers": _philox, **engine_checks(get_backend("numba"))}
    skipped = []
    try:
        checks |= {f"CUDA: {name}": check for name, check in engine_checks(get_backend("cuda")).items()}
    except BackendUnavailableError as error:
        skipped.append({"name": "CUDA engine", "reason": str(error)})
    results = []
    for name, check in checks.items():
        passed, detail = check()
        results.append({"name": name, "passed": passed, "detail": detail})
    return {"passed": all(item["passed"] for item in results), "checks": results, "skipped": skipped}
