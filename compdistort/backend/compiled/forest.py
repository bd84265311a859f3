"""Random forest by lock-step descents; the same bits as `backend.plain.forest` and scikit-learn.

Pixels are taken in blocks, their features as order-preserving integers in a small buffer; trees are the outer loop
inside a block. Eight pixels descend side by side, so that their chains of loads hide each other's latency. After
`_FIRST` steps the pixels that are in no leaf yet are listed and go on by `_NEXT` steps at a time: grown-out trees are
more than twice as deep as the mean path. A leaf points to itself, so that no step asks whether it is one.

One node is one 64-bit word: child | feature's place in the block | threshold, from the top; the right child follows the
left one, so a step is ``child + (x > threshold)``.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float32, Float64, Int32, UInt8, UInt32, UInt64
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.plain.forest import refuse_nan
from compdistort.errors import ConfigError

_BLOCK = 256
_LANES = 8
_FIRST, _NEXT = 10, 6
_HALF = 16
_U8 = np.uint64(_LANES)
_LAST = np.uint32(0xFFFFFFFF)

Int64 = NDArray[np.int64]


def forest_proba(features: Float32, forest: FlatForest) -> Float64:
    """Return class probabilities (see `backend.plain.forest.forest_proba`)."""
    out = np.zeros((forest.n_classes, features.shape[1]), np.float64)
    nan_counts = np.zeros(forest.n_features, np.int64)
    PackedForest.of(forest).descend(features, out, nan_counts)
    refuse_nan(nan_counts)
    return out


@dataclass(frozen=True, slots=True)
class PackedForest:
    """A forest as the loops read it.

    Attributes
    ----------
    root, depth : ndarray of shape (n_trees,), int32
        As in `FlatForest`.
    slot : ndarray of shape (n_features,), int32
        Row of each feature in the block; -1 where no tree tests it.
    nodes : ndarray of shape (n_nodes,), uint64
        Packed nodes; children are counted from the root of their tree.
    kind : ndarray of shape (n_nodes,), uint8
        2 in an inner node; in a leaf its vote for the second class where votes are counted, else 0.
    value : ndarray of shape (n_classes, n_nodes), float64
        Class values of the leaves. Without rows where votes are counted: with two classes and pure leaves all sums
        are whole numbers, exact in any type.
    place_bits, block : int
        Bits of a feature's place, and pixels in a block.
    """

    root: Int32
    depth: Int32
    slot: Int32
    nodes: UInt64
    kind: UInt8
    value: Float64
    place_bits: int
    block: int

    @classmethod
    def of(cls, forest: FlatForest) -> "PackedForest":
        """Pack a forest.

        Raises
        ------
        ConfigError
            If a tree is too large.
        """
        inner = forest.feature >= 0
        used = np.unique(forest.feature[inner])
        slot = np.full(max(1, forest.n_features), -1, np.int32)  # one-leaf trees may read no feature
        slot[used] = np.arange(used.size)
        block, place_bits = _layout(forest, used.size)
        first = np.repeat(forest.root, np.diff(np.append(forest.root, forest.feature.size)))
        child = np.where(inner, forest.left, np.arange(inner.size)) - first
        place = np.where(inner, slot[forest.feature], 0) * np.int64(block)
        row = np.where(inner, 0, forest.left)
        counted, values = _votes(forest.leaf_value)
        threshold = np.where(inner, _sortable(forest.threshold), _LAST).astype(np.uint64)
        nodes: UInt64 = (child.astype(np.uint64) << np.uint64(place_bits)) | place.astype(np.uint64)
        return cls(
            root=forest.root.copy(),  # a read-only array would be another signature
            depth=forest.depth.copy(),
            slot=slot,
            nodes=(nodes << np.uint64(32)) | threshold,
            kind=np.where(inner, 2, counted[row]).astype(np.uint8),
            value=np.ascontiguousarray(np.where(inner, 0.0, values[row].T)),
            place_bits=place_bits,
            block=block,
        )

    def descend(self, features: Float32, out: Float64, nan_counts: Int64) -> None:
        """Bring all pixels to their leaves; Python's lock is free meanwhile.

        Parameters
        ----------
        features : ndarray of shape (n_features, n_pixels), float32
            One plane a feature.
        out : ndarray of shape (n_classes, n_pixels), float64
            Takes the probabilities; C order.
        nan_counts : ndarray of shape (n_features,), int64
            The number of pixels that are NaN is added for each plane.
        """
        run, bits = (_run_halves, ()) if self.place_bits == _HALF else (_run_uneven, (self.place_bits,))
        forest = (self.slot, self.nodes, self.kind, self.value, self.root, self.depth)
        run(np.ascontiguousarray(features), *forest, *bits, self.block, out, nan_counts)


def _layout(forest: FlatForest, n_used: int) -> tuple[int, int]:
    """Return pixels in a block and bits of a feature's place, so that child and place fit 32 bits together.

    16 bits for each are the fast layout, to which the block is cut; a huge tree gets more bits for its children.
    """
    child_bits = int(np.diff(np.append(forest.root, forest.feature.size)).max()).bit_length()
    for limit in (_HALF, 2 * _HALF - child_bits):
        block = _BLOCK
        while block >= _LANES:
            place_bits = (n_used * block).bit_length()
            if place_bits <= limit and child_bits <= 2 * _HALF - limit:
                return block, limit
            block //= 2
    raise ConfigError(
        f"a tree of up to {2**child_bits} nodes over {n_used} features is too large for the compiled engine",
        "train with max_leaf_nodes, or use --device numpy",
    )


def _sortable(values: Float32) -> UInt32:
    """Return integers in the order of the floats; -0.0 counts as 0.0."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000)).astype(np.uint32)


def _votes(leaf_value: Float64) -> tuple[UInt8, Float64]:
    """Return the vote of each leaf to count and the values to add; one of them says nothing."""
    pure = np.isin(leaf_value, (0.0, 1.0)).all() and (leaf_value.sum(axis=1) == 1).all()
    if pure and leaf_value.shape[1] == 2:
        return leaf_value[:, 1].astype(np.uint8), np.empty((len(leaf_value), 0))
    return np.zeros(len(leaf_value), np.uint8), leaf_value


@njit(nogil=True, error_model="numpy")
def _gather(features, slot, start, n, block, keys, nan_counts):
    for f in range(features.shape[0]):
        bad = np.int64(0)
        row = features[f, start : start + n]
        for j in range(n):
            bad += row[j] != row[j]
        nan_counts[f] += bad
        if slot[f] >= 0:
            key = keys[slot[f] * block : slot[f] * block + n]
            for j in range(n):
                bits = np.float32(row[j] + np.float32(0)).view(np.uint32)
                flip = np.uint32(np.int32(bits) >> np.int32(31)) | np.uint32(0x80000000)
                key[j] = bits ^ flip


@njit(nogil=True, error_model="numpy", inline="always")
def _step(nodes, i, keys, j, place_bits):
    # Constant shifts are a tenth faster; Numba compiles one version for each type of place_bits, None or int.
    node = nodes[i]
    if place_bits is None:
        place = (node >> np.uint64(32)) & np.uint64(0xFFFF)
        child = node >> np.uint64(48)
    else:
        place = (node >> np.uint64(32)) & ((np.uint64(1) << np.uint64(place_bits)) - np.uint64(1))
        child = node >> np.uint64(32 + place_bits)
    return child + np.uint64(keys[place + j] > np.uint32(node))


@njit(nogil=True, error_model="numpy", inline="always")
def _keep(kind, i, j, count, at, pixel, c):
    """Count the vote of a pixel in a leaf; put one that is not there yet on the list of those that go on."""
    found = np.uint64(kind[i])
    count[j] += np.uint32(found & np.uint64(1))
    at[j] = i
    pixel[c] = j
    return c + (found >> np.uint64(1))


@njit(nogil=True, error_model="numpy")
def _descend(nodes, kind, keys, depth, n, place_bits, count, at, pixel):
    """Bring every pixel of the block to its leaf in one tree: `at` is its node, `count` its vote added."""
    c = np.uint64(0)
    first = depth if depth <= _FIRST + _NEXT // 2 else _FIRST
    for group in range((n + _LANES - 1) // _LANES):
        j0 = np.uint64(group) * _U8
        j1, j2, j3, j4 = j0 + np.uint64(1), j0 + np.uint64(2), j0 + np.uint64(3), j0 + np.uint64(4)
        j5, j6, j7 = j0 + np.uint64(5), j0 + np.uint64(6), j0 + np.uint64(7)
        i0 = i1 = i2 = i3 = i4 = i5 = i6 = i7 = np.uint64(0)
        for _ in range(first):
            i0 = _step(nodes, i0, keys, j0, place_bits)
            i1 = _step(nodes, i1, keys, j1, place_bits)
            i2 = _step(nodes, i2, keys, j2, place_bits)
            i3 = _step(nodes, i3, keys, j3, place_bits)
            i4 = _step(nodes, i4, keys, j4, place_bits)
            i5 = _step(nodes, i5, keys, j5, place_bits)
            i6 = _step(nodes, i6, keys, j6, place_bits)
            i7 = _step(nodes, i7, keys, j7, place_bits)
        c = _keep(kind, i0, j0, count, at, pixel, c)
        c = _keep(kind, i1, j1, count, at, pixel, c)
        c = _keep(kind, i2, j2, count, at, pixel, c)
        c = _keep(kind, i3, j3, count, at, pixel, c)
        c = _keep(kind, i4, j4, count, at, pixel, c)
        c = _keep(kind, i5, j5, count, at, pixel, c)
        c = _keep(kind, i6, j6, count, at, pixel, c)
        c = _keep(kind, i7, j7, count, at, pixel, c)
    while c > 0:
        n_open = c
        # The last group is filled up with pixels outside the block that sit in a leaf: a tree's last node is one.
        for u in range(_LANES):
            pixel[c + np.uint64(u)] = n + u
            at[n + u] = nodes.size - 1
        c = np.uint64(0)
        for a in range(np.uint64(0), n_open, _U8):
            j0, j1 = np.uint64(pixel[a]), np.uint64(pixel[a + np.uint64(1)])
            j2, j3 = np.uint64(pixel[a + np.uint64(2)]), np.uint64(pixel[a + np.uint64(3)])
            j4, j5 = np.uint64(pixel[a + np.uint64(4)]), np.uint64(pixel[a + np.uint64(5)])
            j6, j7 = np.uint64(pixel[a + np.uint64(6)]), np.uint64(pixel[a + np.uint64(7)])
            i0, i1, i2, i3 = np.uint64(at[j0]), np.uint64(at[j1]), np.uint64(at[j2]), np.uint64(at[j3])
            i4, i5, i6, i7 = np.uint64(at[j4]), np.uint64(at[j5]), np.uint64(at[j6]), np.uint64(at[j7])
            for _ in range(_NEXT):
                i0 = _step(nodes, i0, keys, j0, place_bits)
                i1 = _step(nodes, i1, keys, j1, place_bits)
                i2 = _step(nodes, i2, keys, j2, place_bits)
                i3 = _step(nodes, i3, keys, j3, place_bits)
                i4 = _step(nodes, i4, keys, j4, place_bits)
                i5 = _step(nodes, i5, keys, j5, place_bits)
                i6 = _step(nodes, i6, keys, j6, place_bits)
                i7 = _step(nodes, i7, keys, j7, place_bits)
            c = _keep(kind, i0, j0, count, at, pixel, c)
            c = _keep(kind, i1, j1, count, at, pixel, c)
            c = _keep(kind, i2, j2, count, at, pixel, c)
            c = _keep(kind, i3, j3, count, at, pixel, c)
            c = _keep(kind, i4, j4, count, at, pixel, c)
            c = _keep(kind, i5, j5, count, at, pixel, c)
            c = _keep(kind, i6, j6, count, at, pixel, c)
            c = _keep(kind, i7, j7, count, at, pixel, c)


@njit(nogil=True, error_model="numpy")
def _add(value, at, total):
    for c in range(total.shape[0]):
        for j in range(total.shape[1]):
            total[c, j] += value[c, at[j]]


@njit(nogil=True, error_model="numpy")
def _run(features, slot, nodes, kind, value, root, depth, place_bits, block, out, nan_counts):
    n_classes, n_pixels = out.shape
    n_trees = root.size
    counted = value.shape[0] == 0
    keys = np.zeros(slot.size * block + _LANES, np.uint32)
    at = np.zeros(block + _LANES, np.uint32)
    pixel = np.zeros(block + _LANES, np.uint32)
    count = np.empty(block + _LANES, np.uint32)
    total = np.empty((n_classes, block), np.float64)
    for start in range(0, n_pixels, block):
        n = min(block, n_pixels - start)
        _gather(features, slot, start, n, block, keys, nan_counts)
        count[:] = 0
        total[:] = 0
        for t in range(n_trees):
            first = root[t]
            last = root[t + 1] if t + 1 < n_trees else nodes.size
            _descend(nodes[first:last], kind[first:last], keys, depth[t], n, place_bits, count, at, pixel)
            if not counted:
                _add(value[:, first:last], at, total)
        for j in range(n):
            if counted:
                total[1, j] = count[j]
                total[0, j] = n_trees - count[j]
            for c in range(n_classes):
                out[c, start + j] = total[c, j] / n_trees


@kept_loop
def _run_halves(features, slot, nodes, kind, value, root, depth, block, out, nan_counts):
    _run(features, slot, nodes, kind, value, root, depth, None, block, out, nan_counts)


@kept_loop
def _run_uneven(features, slot, nodes, kind, value, root, depth, place_bits, block, out, nan_counts):
    _run(features, slot, nodes, kind, value, root, depth, place_bits, block, out, nan_counts)
