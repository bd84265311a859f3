"""Two small committed forests and hashes of their votes; ``python tests/golden/votes.py`` writes both anew.

The forests are scikit-learn's, trained once; the pixels come from integer arithmetic and the forests' own thresholds,
so they are the same everywhere.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from compdistort.forest.validate import build_forest

FORESTS = Path(__file__).with_suffix(".npz")
HASHES = Path(__file__).with_suffix(".json")
CASES = ("pure", "impure")
"""Two classes, every leaf all of one; three classes, leaves of five pixels or more."""

N_FEATURES, N_PIXELS = 12, 1003
ARRAYS = ("feature", "threshold", "left", "root", "leaf_value")


def load(case):
    with np.load(FORESTS, allow_pickle=False) as file:
        return build_forest(n_features=N_FEATURES, **{name: file[f"{case}_{name}"] for name in ARRAYS})


def made_up(n_rows, n_columns):
    """Multiples of 1/128 from -4 to 4, by a multiplicative hash of the value's number."""
    number = np.arange(n_rows * n_columns, dtype=np.uint64).reshape(n_rows, n_columns)
    word = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return (((word >> np.uint64(40)) % np.uint64(1024)).astype(np.float32) - 512) / 128


def pixels(forest):
    """Feature planes in which every third pixel lies exactly on thresholds of the forest."""
    planes = made_up(N_FEATURES, N_PIXELS)
    for k in range(N_FEATURES):
        thresholds = np.unique(forest.threshold[forest.feature == k])
        planes[k, ::3] = thresholds[np.arange(planes[k, ::3].size) * 7 % thresholds.size]
    return planes


def vote_hash(probability):
    return hashlib.sha256(np.ascontiguousarray(probability, "<f8")).hexdigest()


def trained(case):
    from sklearn.ensemble import RandomForestClassifier

    rows = made_up(300, N_FEATURES)
    score = rows[:, 0] + rows[:, 1] * rows[:, 2] + 2 * made_up(1, 300)[0]
    if case == "pure":
        forest = RandomForestClassifier(25, max_features=2, criterion="entropy", random_state=0)
        return forest.fit(rows, score > 0)
    return RandomForestClassifier(20, min_samples_leaf=5, random_state=0).fit(rows, np.digitize(score, [-3, 3]))


def main():
    from compdistort.backend.plain.forest import forest_proba
    from compdistort.forest import flatten

    made = {case: flatten(trained(case)) for case in CASES}
    arrays = {f"{case}_{name}": getattr(forest, name) for case, forest in made.items() for name in ARRAYS}
    np.savez_compressed(FORESTS, **arrays)
    hashes = {case: vote_hash(forest_proba(pixels(load(case)), load(case))) for case in CASES}
    HASHES.write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
