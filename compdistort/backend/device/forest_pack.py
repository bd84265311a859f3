"""A forest as the CUDA kernels and the streaming voter read it: packed nodes, and only the features that it tests."""

from dataclasses import dataclass, replace

import numpy as np

from compdistort.backend.base import FlatForest, Float64, Int32, SeparableBank, UInt32
from compdistort.errors import ConfigError

MAX_THREADS = 512
"""Threads of a block: FOREST_THREADS of `kernels/forest.cu`."""

MAX_FLOATS = 12288
"""Feature values that a block holds: FOREST_FLOATS of `kernels/forest.cu`."""

_WARP = 32
_WORD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the votes of a forest are to become.

    Attributes
    ----------
    classes : range
        Classes whose probabilities are wanted, one row of the output each.
    threshold : float or None
        Where given, the output is the mask ``P >= threshold`` of the only class; None = probabilities.
    strict : bool
        ``P > threshold`` instead.
    """

    classes: range
    threshold: float | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedForest:
    """A forest as `kernels/forest.cu` reads it.

    Attributes
    ----------
    nodes : ndarray of shape (n_nodes, 2), uint32
        Threshold's bits, and slot << shift | left child, counted from the root of the tree. In a leaf: its vote for
        the second class where votes are counted, else its row of `value`; and 0.
    value : ndarray of shape (n_leaves, n_classes), float64, or None
        Class values of the leaves; None where votes are counted: two classes and pure leaves, all sums whole numbers.
    shift : int
        Bits of a child.
    threads : int
        Threads of a block: whole warps where the features of that many voxels fit.
    """

    nodes: UInt32
    value: Float64 | None
    shift: int
    threads: int


def narrow(forest: FlatForest) -> tuple[Int32, FlatForest]:
    """Return the features that a forest tests, and the same forest over these alone.

    Parameters
    ----------
    forest : FlatForest
        The trees.

    Returns
    -------
    used : ndarray of shape (n_used,), int32
        Ascending; the first feature where no tree tests any.
    narrowed : FlatForest
        Its feature k is feature ``used[k]`` of `forest`.
    """
    inner = forest.feature >= 0
    used = np.unique(forest.feature[inner]).astype(np.int32)
    if used.size == 0:
        used = np.zeros(1, np.int32)
    slot = np.where(inner, np.searchsorted(used, forest.feature), -1).astype(np.int16)
    return used, replace(forest, feature=slot, n_features=used.size)


def narrow_bank(bank: SeparableBank, used: Int32) -> SeparableBank:
    """Return a bank of some columns alone, and of the scales that these need.

    Parameters
    ----------
    bank : SeparableBank
        Filters.
    used : ndarray of shape (n_used,), int32
        Columns to keep, ascending.

    Returns
    -------
    SeparableBank
    """
    columns = [bank.columns[k] for k in used]
    scales = sorted({at for _, at in columns})
    return replace(
        bank,
        names=tuple(bank.names[k] for k in used),
        columns=tuple((operator, scales.index(at)) for operator, at in columns),
        scales=tuple(bank.scales[at] for at in scales),
    )


def pack(narrowed: FlatForest) -> PackedForest:
    """Pack a forest that tests every one of its features.

    Parameters
    ----------
    narrowed : FlatForest
        From `narrow`.

    Returns
    -------
    PackedForest

    Raises
    ------
    ConfigError
        If a node does not fit 64 bits, or the features of one voxel do not fit a block.
    """
    inner = narrowed.feature >= 0
    shift = _child_bits(narrowed)
    first = np.repeat(narrowed.root, np.diff(np.append(narrowed.root, inner.size)))
    counted = _counts(narrowed.leaf_value)
    row = np.where(inner, 0, narrowed.left)
    leaf = narrowed.leaf_value[row, 1] if counted else row
    child = (narrowed.left.astype(np.int64) - first) | (narrowed.feature.astype(np.int64) << shift)
    nodes = np.empty((inner.size, 2), np.uint32)
    nodes[:, 0] = np.where(inner, narrowed.threshold.view(np.uint32), leaf.astype(np.uint32))
    nodes[:, 1] = np.where(inner, child, 0)
    value = None if counted else np.ascontiguousarray(narrowed.leaf_value)
    return PackedForest(nodes=nodes, value=value, shift=shift, threads=_threads(narrowed.n_features))


def _child_bits(narrowed: FlatForest) -> int:
    """Return the bits of a child; refuse a forest whose children and slots need more than a word together."""
    largest = int(np.diff(np.append(narrowed.root, narrowed.feature.size)).max())
    child_bits = (largest - 1).bit_length()
    if child_bits + (narrowed.n_features - 1).bit_length() > _WORD or narrowed.n_features > MAX_FLOATS:
        raise ConfigError(
            f"a tree of {largest} nodes over {narrowed.n_features} features is too large for the CUDA engine",
            "train with max_leaf_nodes, or use --device numpy",
        )
    return child_bits


def _threads(n_used: int) -> int:
    """Return how many voxels' features fit a block, in whole warps if possible.

    Examples
    --------
    >>> _threads(3), _threads(25), _threads(384), _threads(500)
    (512, 480, 32, 24)
    """
    fit = min(MAX_THREADS, MAX_FLOATS // n_used)
    return fit - fit % _WARP if fit >= _WARP else fit


def _counts(leaf_value: Float64) -> bool:
    """Return whether the votes of a forest are whole numbers for one of two classes."""
    pure = np.isin(leaf_value, (0.0, 1.0)).all() and (leaf_value.sum(axis=1) == 1).all()
    return bool(pure) and leaf_value.shape[1] == 2
