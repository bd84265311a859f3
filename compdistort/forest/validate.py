"""Is this a forest? Checks that make a foreign forest safe to run, and that find its depth.

The loops of the backends follow child indices without asking; these checks are the reason why they may.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FeatureBins, FlatForest, Float32, Float64, Int32
from compdistort.backend.plain.codes import threshold_codes
from compdistort.errors import ConfigError, ModelFileError
from compdistort.forest.bins import bin_problem

MAX_FEATURES, MAX_CLASSES, MAX_TREES = 4096, 255, 100_000
MAX_DEPTH = 10_000
"""Larger forests are refused: no training of a pixel classifier makes them."""

_SUM_TOLERANCE = 1e-6
Bool = NDArray[np.bool_]


def build_forest(
    *,
    feature: NDArray[np.int16],
    threshold: Float32,
    left: Int32,
    root: Int32,
    leaf_value: Float64,
    n_features: int,
    bins: FeatureBins | None = None,
) -> FlatForest:
    """Return a forest from arrays of unknown origin, its depth computed anew.

    Parameters
    ----------
    feature, threshold, left, root, leaf_value, n_features, bins
        As in `FlatForest`.

    Returns
    -------
    FlatForest

    Raises
    ------
    ModelFileError
        If a node points anywhere but forward inside its own tree, a node has no parent or two, a leaf, a feature or a
        class value is out of range, a threshold is not finite or no edge of its bins, the bins are no rising maps to
        whole numbers, or a limit of this module is passed.
    """
    n_nodes = feature.size
    _require(0 < n_features <= MAX_FEATURES, f"{n_features} features")
    _require(
        leaf_value.ndim == 2 and 0 < leaf_value.shape[1] <= MAX_CLASSES, f"class values of shape {leaf_value.shape}"
    )
    _require(threshold.shape == left.shape == (n_nodes,), "node arrays of different lengths")
    _require(root.ndim == 1 and 0 < root.size <= MAX_TREES, f"{root.size} trees")
    _require(int(root[0]) == 0 and bool((np.diff(root) > 0).all()) and int(root[-1]) < n_nodes, "trees out of order")
    _check_values(feature, threshold, left, leaf_value, n_features)
    depth = _depths(feature >= 0, left, root)
    forest = FlatForest(
        feature=feature,
        threshold=threshold,
        left=left,
        root=root,
        depth=depth,
        leaf_value=leaf_value,
        n_features=n_features,
    )
    return forest if bins is None else _on_bins(forest, bins)


def _on_bins(forest: FlatForest, bins: FeatureBins) -> FlatForest:
    """Return the forest with bins; every threshold must be the largest value of its bin, or engines would disagree."""
    problem = bin_problem(bins, forest.n_features)
    _require(not problem, problem)
    found = replace(forest, bins=bins)
    try:
        threshold_codes(found)
    except ConfigError as error:
        raise ModelFileError(f"holds no valid forest ({error.what})", "train the classifier again") from error
    return found


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ModelFileError(f"holds no valid forest ({what})", "train the classifier again")


def _check_values(
    feature: NDArray[np.int16], threshold: Float32, left: Int32, leaf_value: Float64, n_features: int
) -> None:
    inner = feature >= 0
    _require(bool((feature >= -1).all()) and bool((feature < n_features).all()), "a feature out of range")
    _require(bool(np.isfinite(threshold).all()), "a threshold that is not finite")
    rows = left[~inner]
    _require(bool((rows >= 0).all()) and bool((rows < len(leaf_value)).all()), "a leaf out of range")
    good = np.isfinite(leaf_value).all() and (leaf_value >= 0).all() and (leaf_value <= 1 + _SUM_TOLERANCE).all()
    _require(bool(good), "class values outside 0 to 1")
    _require(bool((np.abs(leaf_value.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()), "class values that do not sum to 1")


def _depths(inner: Bool, left: Int32, root: Int32) -> Int32:
    """Return the depth of every tree; every node but a root must have one parent, and that before it."""
    n_nodes = inner.size
    sizes = np.diff(np.append(root, n_nodes))
    end = np.repeat(root + sizes, sizes)
    parents = np.flatnonzero(inner)
    children = left[parents].astype(np.int64)
    forward = (children > parents) & (children + 1 < end[parents])
    _require(bool(forward.all()), "a child outside its tree or before its parent")
    n_parents = np.bincount(np.concatenate([children, children + 1]), minlength=n_nodes)
    n_parents[root] += 1
    _require(bool((n_parents == 1).all()), "a node without a parent, or with two")
    tree = np.repeat(np.arange(root.size), sizes)
    depth = np.zeros(root.size, np.int32)
    level = root.astype(np.int64)
    for step in range(1, MAX_DEPTH + 2):
        level = left[level[inner[level]]].astype(np.int64)
        if level.size == 0:
            return depth
        depth[tree[level]] = step
        level = np.concatenate([level, level + 1])
    raise ModelFileError(f"holds a tree deeper than {MAX_DEPTH}", "train the classifier again")
