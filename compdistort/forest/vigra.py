"""Between the trees of vigra, which ilastik stores, and the flat arrays that every backend reads.

A tree of vigra is two arrays. `topology`: number of columns, number of classes, then nodes from index 2 on; an inner
node is (0, p, left, right, column), a leaf (0x40000000, p). `parameters`: the threshold of an inner node at p + 1, the
class frequencies of a leaf from p + 1 on. It goes left where x < threshold, float32 against float64; a flat forest
where x <= threshold, both float32. For every float32 x the two say the same if the second threshold is the last float32
below the first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float32, Float64, Int32
from compdistort.errors import ModelFileError
from compdistort.forest.validate import MAX_CLASSES, MAX_DEPTH, MAX_FEATURES, build_forest

LEAF = 0x40000000
ROOT = 2
_INNER = 0
_INNER_SIZE, _LEAF_SIZE = 5, 2
_TRAIN = "train it again in ilastik, and save"

VigraTree = tuple[Int32, Float64]
Int64 = NDArray[np.int64]


def below(threshold: Float64) -> Float32:
    """Return the largest float32 below each threshold: ``x < threshold`` exactly where ``x <= below(threshold)``.

    Parameters
    ----------
    threshold : ndarray of shape (n,), float64
        In the units of the features.

    Returns
    -------
    ndarray of shape (n,), float32
        -infinity where there is no float32 below.

    Examples
    --------
    >>> import numpy as np
    >>> [float(x) for x in below(np.array([1.0, 0.1, 0.0]))]
    [0.9999999403953552, 0.09999999403953552, -1.401298464324817e-45]
    """
    with np.errstate(over="ignore", under="ignore"):
        nearest = threshold.astype(np.float32)
        lower = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) >= threshold, lower, nearest)


def from_vigra(trees: Sequence[VigraTree], n_columns: int, n_classes: int) -> FlatForest:
    """Return vigra's trees as a flat forest, nodes of a tree level by level, siblings side by side.

    Parameters
    ----------
    trees : sequence of (ndarray of shape (n,), int32; ndarray of shape (m,), float64)
        Topology and parameters, of unknown origin.
    n_columns, n_classes : int
        What every tree must be for.

    Returns
    -------
    FlatForest

    Raises
    ------
    ModelFileError
        If there is no tree, or a tree is for other columns or classes, points out of itself, backwards or twice to one
        node, has a node of another kind, a threshold that is not finite, or frequencies that do not sum to 1.
    """
    _require(0 < n_columns <= MAX_FEATURES, f"it reads {n_columns} columns")
    _require(0 < n_classes <= MAX_CLASSES, f"it knows {n_classes} classes")
    _require(len(trees) > 0, "it has no tree")
    parts = [_flatten_tree(k, *tree, n_columns, n_classes) for k, tree in enumerate(trees)]
    sizes = [part[0].size for part in parts]
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    leaves = [len(part[3]) for part in parts]
    leaf_start = np.concatenate([[0], np.cumsum(leaves)[:-1]])
    left = [
        part[2] + np.where(part[0] < 0, rows, nodes) for part, rows, nodes in zip(parts, leaf_start, root, strict=True)
    ]
    _require(sum(sizes) <= np.iinfo(np.int32).max, f"it has {sum(sizes)} nodes")
    return build_forest(
        feature=np.concatenate([part[0] for part in parts]),
        threshold=np.concatenate([part[1] for part in parts]),
        left=np.concatenate(left).astype(np.int32),
        root=root,
        leaf_value=np.concatenate([part[3] for part in parts]),
        n_features=n_columns,
    )


def to_vigra(forest: FlatForest, columns: Sequence[int] | None = None) -> list[VigraTree]:
    """Return a flat forest as trees of vigra, which give the same probabilities for every float32 row.

    Parameters
    ----------
    forest : FlatForest
        The trees; its bins, if any, are not needed.
    columns : sequence of int, optional
        New number of each feature, where the columns are in another order there.

    Returns
    -------
    list of (ndarray of shape (n,), int32; ndarray of shape (m,), float64)
        Topology and parameters of each tree, in order. The numbers of training rows, which a flat forest does not keep
        and no prediction reads, are written as 1.
    """
    new = np.arange(forest.n_features) if columns is None else np.asarray(columns)
    stops = [*forest.root[1:], forest.feature.size]
    return [_tree_to_vigra(forest, int(a), int(b), new) for a, b in zip(forest.root, stops, strict=True)]


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ModelFileError(f"the forest of the project is not valid ({what})", _TRAIN)


def _flatten_tree(
    number: int, topology: Int32, parameters: Float64, n_columns: int, n_classes: int
) -> tuple[NDArray[np.int16], Float32, Int64, Float64]:
    """Return feature, threshold, left (relative to the tree; in a leaf its row) and leaf values of one tree."""
    where = f"tree {number}: "
    _require(topology.size > ROOT, where + "no node")
    _require(tuple(topology[:ROOT]) == (n_columns, n_classes), where + f"columns and classes {topology[:ROOT]}")
    levels = _levels(where, topology)
    at = np.concatenate(levels)
    leaf = topology[at] == LEAF
    parameter = topology[at + 1].astype(np.int64)
    need = np.where(leaf, n_classes, 1)
    _require(int(leaf.sum()) * (n_classes + 1) <= parameters.size, where + "more leaves than frequencies")
    _require(bool(((parameter >= 0) & (parameter + need < parameters.size)).all()), where + "a parameter out of range")
    column = np.where(leaf, -1, topology[np.where(leaf, ROOT, at + _INNER_SIZE - 1).clip(max=topology.size - 1)])
    _require(bool(((column < n_columns) & (leaf | (column >= 0))).all()), where + "a column out of range")
    position = np.zeros(topology.size, np.int64)
    position[at] = np.arange(at.size)
    child = topology[np.where(leaf, ROOT, at + 2).clip(max=topology.size - 1)]
    left = np.where(leaf, np.cumsum(leaf) - 1, position[np.where(leaf, ROOT, child)])
    threshold = np.where(leaf, 0.0, parameters[parameter + 1])
    _require(bool(np.isfinite(threshold).all()), where + "a threshold that is not finite")
    values = parameters[(parameter[leaf] + 1)[:, None] + np.arange(n_classes)]
    return column.astype(np.int16), np.where(leaf, np.float32(0), below(threshold)), left, values


def _levels(where: str, topology: Int32) -> list[Int64]:
    """Return the indices of the nodes level by level; every one lies inside, behind its parent, and is met once."""
    met = np.zeros(topology.size, np.bool_)
    level = np.array([ROOT], np.int64)
    levels: list[Int64] = []
    while level.size:
        _require(len(levels) <= MAX_DEPTH, where + f"more than {MAX_DEPTH} levels")
        _require(bool((level + 1 < topology.size).all()), where + "a node out of range")
        kind = topology[level]
        _require(bool(((kind == LEAF) | (kind == _INNER)).all()), where + "a node of an unknown kind")
        _require(not met[level].any() and np.unique(level).size == level.size, where + "a node with two parents")
        met[level] = True
        levels.append(level)
        inner = level[kind == _INNER]
        _require(bool((inner + _INNER_SIZE <= topology.size).all()), where + "a node out of range")
        children = topology[inner[:, None] + [2, 3]].astype(np.int64)
        _require(bool((children > inner[:, None]).all()), where + "a child that is not behind its parent")
        level = children.ravel()
    return levels


def _tree_to_vigra(forest: FlatForest, start: int, stop: int, new: NDArray[np.int64]) -> VigraTree:
    feature = forest.feature[start:stop]
    leaf = feature < 0
    n_classes = forest.n_classes
    at = ROOT + np.cumsum(np.where(leaf, _LEAF_SIZE, _INNER_SIZE)) - np.where(leaf, _LEAF_SIZE, _INNER_SIZE)
    need = np.where(leaf, 1 + n_classes, 2)
    parameter = np.cumsum(need) - need
    topology = np.zeros(ROOT + int(np.where(leaf, _LEAF_SIZE, _INNER_SIZE).sum()), np.int32)
    parameters = np.ones(int(need.sum()), np.float64)
    topology[:ROOT] = (forest.n_features, n_classes)
    topology[at] = np.where(leaf, LEAF, _INNER)
    topology[at + 1] = parameter
    inner, leaves = np.flatnonzero(~leaf), np.flatnonzero(leaf)
    left = forest.left[start:stop].astype(np.int64)
    child = left[inner] - start
    topology[at[inner] + 2], topology[at[inner] + 3] = at[child], at[child + 1]
    topology[at[inner] + 4] = new[feature[inner]]
    threshold = forest.threshold[start:stop][inner].astype(np.float64)
    parameters[parameter[inner] + 1] = np.nextafter(threshold, np.inf)
    parameters[(parameter[leaves] + 1)[:, None] + np.arange(n_classes)] = forest.leaf_value[left[leaves]]
    return topology, parameters
