"""Launches of `kernels/forest.cu`: features and votes slab by slab, so that all feature planes never exist at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, SegmentRule, SeparableBank
from compdistort.backend.device import convolve, label
from compdistort.backend.device import features as _features
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.features import DeviceBank
from compdistort.backend.device.forest_pack import PackedForest, Wanted, narrow, narrow_bank, pack
from compdistort.backend.device.kernels import blocks_for
from compdistort.backend.device.streaming import HostVotes
from compdistort.backend.plain.forest import refuse_nan

Vote = Callable[[Any, int], None]
"""Takes features of shape (n_rows, n) and the place of their first pixel in the output."""

_CLASSES = 4
_NAN_THREADS, _NAN_BLOCKS = 256, 1024


def forest_proba(cuda: Cuda, features: Any, forest: FlatForest, voter: str) -> Any:
    """Return class probabilities (see `compdistort.backend.plain.forest.forest_proba`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    features : array of shape (n_features, ...), float32
        Planes on the device.
    forest : FlatForest
        The trees.
    voter : str
        ``"device"`` or ``"cpu"``.

    Returns
    -------
    array of shape (n_classes, ...), float64

    Raises
    ------
    InputError
        If a feature is NaN.
    """
    planes = features.reshape(forest.n_features, prod(features.shape[1:]))
    refuse_nan(_nan_counts(cuda, planes))
    out = cuda.empty((forest.n_classes, planes.shape[1]), np.float64)
    with _votes(cuda, forest, Wanted(classes=range(forest.n_classes)), out, voter, by_slot=False) as vote:
        vote(planes, 0)
    return out.reshape(forest.n_classes, *features.shape[1:])


def image_mask(cuda: Cuda, image: Any, bank: DeviceBank, forest: FlatForest, rule: SegmentRule, voter: str) -> Any:
    """Return the mask of an image: features, votes and decision, slab by slab.

    Parameters
    ----------
    cuda : Cuda
        The device.
    image : array of shape ([planes,] rows, columns), uint8, uint16 or float32
        Pixels on the device, DN.
    bank : DeviceBank
        Filters.
    forest : FlatForest
        The trees.
    rule : SegmentRule
        The class, and the decision about its probability.
    voter : str
        ``"device"`` or ``"cpu"``.

    Returns
    -------
    array of the shape of `image`, bool

    Raises
    ------
    InputError
        If a feature is NaN.
    """
    if rule.smoothing_px > 0:
        probability = image_probability(cuda, image, bank, forest, rule.foreground, voter)
        return label.threshold(cuda, probability, rule)
    return _all_decided(cuda, image, bank, forest, _decision(forest, rule), voter)


def image_probability(cuda: Cuda, image: Any, bank: DeviceBank, forest: FlatForest, foreground: int, voter: str) -> Any:
    """Return the probability of one class, float64 of the shape of `image`; arguments as `image_mask`."""
    return _all_decided(cuda, image, bank, forest, Wanted(classes=_only(forest, foreground)), voter)


def part_mask(
    cuda: Cuda, image: Any, bank: DeviceBank, forest: FlatForest, rule: SegmentRule, voter: str, planes: range
) -> tuple[Any, NDArray[np.int64]]:
    """Return the mask of some planes of a part of a volume, the others being there for the filters alone.

    Parameters
    ----------
    cuda, image, bank, forest, rule, voter
        As `image_mask`; `rule.smoothing_px` is not applied.
    planes : range
        The planes.

    Returns
    -------
    mask : array of shape (len(planes), rows, columns), bool
    counts : ndarray of shape (n_features,), int64
        How many values of each feature are NaN: none, or there is no mask.
    """
    return _decided(cuda, image, bank, forest, _decision(forest, rule), voter, planes)


def part_probability(
    cuda: Cuda, image: Any, bank: DeviceBank, forest: FlatForest, foreground: int, voter: str, planes: range
) -> Any:
    """Return the probability of one class in some planes, float64; arguments as `part_mask`.

    Raises
    ------
    InputError
        If a feature is NaN there.
    """
    wanted = Wanted(classes=_only(forest, foreground))
    found, counts = _decided(cuda, image, bank, forest, wanted, voter, planes)
    refuse_nan(counts)
    return found


def _decision(forest: FlatForest, rule: SegmentRule) -> Wanted:
    return Wanted(classes=_only(forest, rule.foreground), threshold=rule.threshold, strict=rule.strict)


def _only(forest: FlatForest, foreground: int) -> range:
    """Return one class as a range; a negative index counts from the last."""
    index = range(forest.n_classes)[foreground]
    return range(index, index + 1)


def _all_decided(cuda: Cuda, image: Any, bank: DeviceBank, forest: FlatForest, wanted: Wanted, voter: str) -> Any:
    """Return what the votes on every pixel become; refuse NaN."""
    found, counts = _decided(cuda, image, bank, forest, wanted, voter, range(image.shape[0]))
    refuse_nan(counts)
    return found


def _decided(
    cuda: Cuda, image: Any, bank: DeviceBank, forest: FlatForest, wanted: Wanted, voter: str, planes: range
) -> tuple[Any, NDArray[np.int64]]:
    """Return what the votes on the pixels of some planes (rows in 2D) become, and the NaN of each feature.

    Of separable filters only those that the forest tests are computed, unless the image could bring forth NaN: that is
    refused in any feature.
    """
    out = cuda.empty((1, len(planes) * prod(image.shape[1:])), np.float64 if wanted.threshold is None else np.bool_)
    may_be_nan = image.dtype == np.float32  # whole numbers up to 65535 overflow no filter: no inf - inf
    by_slot = isinstance(bank, SeparableBank) and not may_be_nan
    kept = _tested_columns(cuda, bank, forest) if isinstance(bank, SeparableBank) and by_slot else bank
    with _votes(cuda, forest, wanted, out, voter, by_slot=by_slot) as vote:
        copies = 2 if voter == "cpu" else 1
        counts = _vote_in_slabs(cuda, image, planes, kept, vote, copies=copies, may_be_nan=may_be_nan)
    return out.reshape(len(planes), *image.shape[1:]), counts


def _vote_in_slabs(
    cuda: Cuda, image: Any, planes: range, bank: DeviceBank, vote: Vote, *, copies: int, may_be_nan: bool
) -> NDArray[np.int64]:
    """Vote on every slab's features; return how many of each feature's pixels are NaN, where that can be."""
    pixels = convolve.as_float(cuda, image)
    n_rows, across = len(bank.names), image.shape[1:]
    counts = np.zeros(n_rows, np.int64)

    def work(start: int, stop: int) -> None:
        features = cuda.empty((n_rows, stop - start, *across), np.float32)
        _features.feature_slab(cuda, pixels, bank, planes.start + start, planes.start + stop, features, 0)
        flat = features.reshape(n_rows, (stop - start) * prod(across))
        found = _nan_counts(cuda, flat) if may_be_nan else np.zeros_like(counts)
        if not found.any():
            vote(flat, start * prod(across))
        np.add(counts, found, out=counts)  # last: a slab that runs out of memory before is counted once

    each = _features.scratch_bytes(image.shape, bank) + copies * 4 * n_rows * prod(across)
    cuda.in_slabs(len(planes), each, work)
    return counts


def _tested_columns(cuda: Cuda, bank: SeparableBank, forest: FlatForest) -> SeparableBank:
    """Return the bank of the columns that the forest tests: the same object each time, as its own tables need.

    The forest is kept with it, so that its id is not given away.
    """
    kind = f"columns tested by forest {id(forest)}"
    return cuda.memo(kind, bank, lambda: (forest, narrow_bank(bank, narrow(forest)[0])))[1]


@contextmanager
def _votes(cuda: Cuda, forest: FlatForest, wanted: Wanted, out: Any, voter: str, *, by_slot: bool) -> Iterator[Vote]:
    """Yield what votes into `out`, of shape (classes, n); complete, or queued on this stream, at the end.

    With `by_slot` the features handed to it are only those that the forest tests.
    """
    if voter == "cpu":
        with HostVotes(cuda, forest, wanted, out, by_slot=by_slot) as votes:
            yield votes.vote
    else:
        on_device = cuda.memo("forest", forest, lambda: _DeviceForest.of(cuda, forest))
        yield partial(_vote, cuda, on_device, wanted, out, by_slot=by_slot)


@dataclass(frozen=True, slots=True)
class _DeviceForest:
    """A packed forest on the device.

    Attributes
    ----------
    packed : PackedForest
        On the host, its `shift` and `threads` in use.
    rows, nodes, root, value
        As in `kernels/forest.cu`, on the device.
    n_trees, n_classes : int
        Sizes.
    """

    packed: PackedForest
    rows: Any
    nodes: Any
    root: Any
    value: Any
    n_trees: int
    n_classes: int

    @classmethod
    def of(cls, cuda: Cuda, forest: FlatForest) -> "_DeviceForest":
        used, narrowed = narrow(forest)
        packed = pack(narrowed)
        return cls(
            packed=packed,
            rows=cuda.upload(used),
            nodes=cuda.upload(packed.nodes),
            root=cuda.upload(forest.root),
            value=None if packed.value is None else cuda.upload(packed.value),
            n_trees=forest.n_trees,
            n_classes=forest.n_classes,
        )


def _vote(
    cuda: Cuda, forest: _DeviceForest, wanted: Wanted, out: Any, features: Any, first: int, *, by_slot: bool
) -> None:
    """Launch the votes on features of shape (n_rows, n) into ``out[:, first : first + n]``."""
    n, threads = features.shape[1], forest.packed.threads
    grid = (blocks_for(n, threads),)
    rows = None if by_slot else forest.rows
    for start in range(0, len(wanted.classes), _CLASSES):
        part = wanted.classes[start : start + _CLASSES]
        target = out[start : start + len(part), first : first + n]
        outputs = (target, None) if wanted.threshold is None else (None, target)
        rule = (part.start, len(part), wanted.threshold or 0.0, wanted.strict, n, n)
        sizes = (forest.rows.size, forest.n_trees, forest.packed.shift)
        trees = (features, rows, forest.nodes, forest.root)
        if forest.value is None:
            cuda.launch("forest.count_votes", grid, (threads,), *trees, *outputs, *sizes, *rule)
        else:
            values = (forest.value, *outputs)
            cuda.launch("forest.sum_votes", grid, (threads,), *trees, *values, *sizes, forest.n_classes, *rule)


def _nan_counts(cuda: Cuda, planes: Any) -> NDArray[np.int64]:
    """Return how many values of each row of the features, of shape (n_rows, n), are NaN."""
    counts = cuda.zeros((len(planes),), np.uint64)
    grid = (blocks_for(planes.shape[1], _NAN_THREADS, _NAN_BLOCKS), len(planes))
    cuda.launch("forest.count_nan", grid, (_NAN_THREADS,), planes, counts, planes.shape[1])
    return cuda.download(counts).astype(np.int64)
