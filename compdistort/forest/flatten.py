"""From a scikit-learn forest in memory to the flat arrays that every backend reads."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float32, Float64
from compdistort.errors import ConfigError

_LEAF = -1


def flatten(estimator: Any) -> FlatForest:
    """Return a fitted scikit-learn forest as flat arrays.

    Nodes of a tree are ordered level by level, so that siblings are neighbours and the levels that most pixels pass
    lie together. Leaves keep scikit-learn's own float64 class fractions.

    Parameters
    ----------
    estimator : RandomForestClassifier or ExtraTreesClassifier
        Fitted, one output.

    Returns
    -------
    FlatForest

    Raises
    ------
    ConfigError
        If it is no fitted forest of classification trees with one output.
    """
    trees = [member.tree_ for member in _members(estimator)]
    parts = [_flatten_tree(tree) for tree in trees]
    sizes = [part[0].size for part in parts]
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    leaves = [len(part[3]) for part in parts]
    leaf_start = np.concatenate([[0], np.cumsum(leaves)[:-1]])
    left = [
        part[2] + np.where(part[0] == _LEAF, rows, nodes)
        for part, rows, nodes in zip(parts, leaf_start, root, strict=True)
    ]
    return FlatForest(
        feature=np.concatenate([part[0] for part in parts]),
        threshold=np.concatenate([part[1] for part in parts]),
        left=np.concatenate(left).astype(np.int32),
        root=root,
        depth=np.array([part[4] for part in parts], np.int32),
        leaf_value=np.concatenate([part[3] for part in parts]),
        n_features=int(estimator.n_features_in_),
    )


def round_down(threshold: Float64) -> Float32:
    """Return the largest float32 not above each threshold.

    For every float32 x, ``x <= threshold`` in float64 exactly where ``x <= round_down(threshold)``.

    Parameters
    ----------
    threshold : ndarray of shape (n,), float64
        In the units of the features.

    Returns
    -------
    ndarray of shape (n,), float32

    Examples
    --------
    >>> import numpy as np
    >>> float(round_down(np.array([0.1]))[0]) < 0.1 < float(np.float32(0.1))
    True
    """
    with np.errstate(over="ignore", under="ignore"):  # above the largest float32: infinity, and stepped back below
        nearest = threshold.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > threshold, below, nearest)


def _members(estimator: Any) -> list[Any]:
    members = list(getattr(estimator, "estimators_", []))
    if not members or any(not hasattr(m, "tree_") for m in members) or not hasattr(estimator, "classes_"):
        raise ConfigError(
            f"{type(estimator).__name__} is no fitted forest of classification trees",
            "fit a RandomForestClassifier or an ExtraTreesClassifier",
        )
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise ConfigError(f"the forest has {estimator.n_outputs_} outputs", "fit one label a pixel")
    if estimator.n_features_in_ > np.iinfo(np.int16).max:
        raise ConfigError(f"the forest has {estimator.n_features_in_} features", "use at most 32767")
    return members


def _flatten_tree(
    tree: Any,
) -> tuple[NDArray[np.int16], Float32, NDArray[np.int64], Float64, int]:
    """Return feature, threshold, left (relative to the tree; in a leaf its row), leaf values and depth of one tree."""
    order, depth = _by_levels(tree.children_left, tree.children_right)
    position = np.empty(order.size, np.int64)
    position[order] = np.arange(order.size)
    children = tree.children_left[order]
    is_leaf = children == _LEAF
    left = np.where(is_leaf, np.cumsum(is_leaf) - 1, position[np.where(is_leaf, 0, children)])
    feature = np.where(is_leaf, _LEAF, tree.feature[order]).astype(np.int16)
    threshold = np.where(is_leaf, np.float32(0), round_down(tree.threshold[order]))
    values = np.ascontiguousarray(tree.value[order[is_leaf], 0, :], dtype=np.float64)
    return feature, threshold, left, values, depth


def _by_levels(left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return the nodes of a tree level by level, siblings side by side, and the number of steps to the deepest."""
    levels = [np.zeros(1, np.int64)]
    while True:
        inner = levels[-1][left[levels[-1]] != _LEAF]
        if inner.size == 0:
            return np.concatenate(levels), len(levels) - 1
        levels.append(np.column_stack([left[inner], right[inner]]).ravel())
