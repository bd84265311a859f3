"""Random forest as its definition says: every tree is descended, its leaf's class values are added in tree order."""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float32, Float64
from compdistort.errors import InputError

_CHUNK = 1 << 16


def forest_proba(features: Float32, forest: FlatForest) -> Float64:
    """Return class probabilities.

    Parameters
    ----------
    features : ndarray of shape (n_features, n_pixels), float32
        One plane a feature. Infinities take their natural place; NaN is refused.
    forest : FlatForest
        The trees.

    Returns
    -------
    ndarray of shape (n_classes, n_pixels), float64
        Float64 sums of leaf values in the order of the trees, divided by their number: the arithmetic, and so the
        bits, of scikit-learn's ``predict_proba`` with ``n_jobs=1``.

    Raises
    ------
    InputError
        If a feature is NaN.
    """
    refuse_nan(np.isnan(features).sum(axis=1))
    n_pixels = features.shape[1]
    out = np.zeros((forest.n_classes, n_pixels), np.float64)
    for start in range(0, n_pixels, _CHUNK):
        part = slice(start, start + _CHUNK)
        for root, depth in zip(forest.root, forest.depth, strict=True):
            rows = _leaf_rows(features[:, part], forest, int(root), int(depth))
            out[:, part] += forest.leaf_value[rows].T
    out /= forest.n_trees
    return out


def refuse_nan(counts: NDArray[np.integer]) -> None:
    """Raise for the first plane that holds NaN.

    Parameters
    ----------
    counts : ndarray of shape (n_features,), integer
        How many pixels of each plane are NaN.

    Raises
    ------
    InputError
        If any is above zero.
    """
    if counts.any():
        plane = int(np.flatnonzero(counts)[0])
        raise InputError(
            f"feature plane {plane} is NaN in {int(counts[plane])} pixels", "look for NaN or huge values in the image"
        )


def _leaf_rows(features: Float32, forest: FlatForest, root: int, depth: int) -> NDArray[np.int32]:
    """Return the row of `leaf_value` that each pixel reaches in one tree."""
    pixels = np.arange(features.shape[1])
    node = np.full(features.shape[1], root)
    for _ in range(depth):
        tested = forest.feature[node]
        right = features[tested, pixels] > forest.threshold[node]
        node = np.where(tested < 0, node, forest.left[node] + right)
    rows: NDArray[np.int32] = forest.left[node]
    return rows
