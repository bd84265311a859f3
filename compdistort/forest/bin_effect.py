"""What bins change: the masks of a forest on bins beside those of float forests of the same recipe.

Any two forests differ, also two on the same features with different seeds. That difference is the yardstick.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, FilterBank, FlatForest, Int32, PlaneReader, Runs, SegmentRule
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest.bins import FittedBins
from compdistort.forest.grow import Recipe, grow, out_of_bag
from compdistort.forest.rows import Image, Picture, Rows
from compdistort.forest.rows_on_disk import WORK_BYTES

Forests = tuple[FlatForest, FlatForest, FlatForest]
Int64 = NDArray[np.int64]

_SLABS = (64, 32, 16, 8, 4, 2)
"""Planes of a volume on disk that are decided together: the first number that memory allows, else 1."""

_SEEDS = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskEffect:
    """The objects of the training images by three forests: on bins, on float features, and that with another seed.

    Attributes
    ----------
    pixels : int
        Of all training images.
    objects, objects_by_float, objects_by_other_seed : int
        Numbers of objects.
    area_px, area_px_by_float, area_px_by_other_seed : int
        Their pixels together.
    changed_px, changed_px_between_seeds : int
        Pixels whose mask differs between bins and float, and between the two float forests.
    overlap, overlap_between_seeds : float
        Dice coefficients of the same pairs of masks; 1 where both are empty.
    """

    pixels: int
    objects: int
    objects_by_float: int
    objects_by_other_seed: int
    area_px: int
    area_px_by_float: int
    area_px_by_other_seed: int
    changed_px: int
    changed_px_between_seeds: int
    overlap: float
    overlap_between_seeds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BinsReport:
    """How features became codes, and what that changes.

    Attributes
    ----------
    kind : str
        ``uint16`` or ``uint8``.
    affine_features : int
        Number of features with an affine map.
    piecewise_features : tuple of str
        Names of those with a piecewise-linear one.
    oob_error_by_float : float or None
        Out-of-bag error of the float forest of the same seed.
    masks : MaskEffect
        On the training images.
    """

    kind: str
    affine_features: int
    piecewise_features: tuple[str, ...]
    oob_error_by_float: float | None
    masks: MaskEffect

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return {**asdict(self), "piecewise_features": list(self.piecewise_features)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes:
    """The training images and how masks are made of them.

    Attributes
    ----------
    images : sequence of ndarray, each of shape ([planes,] rows, columns), or of PlaneReader
        uint8, uint16 or float32.
    spec : FeatureSpec
        Features.
    rule : SegmentRule
        From probability to objects.
    backend : Backend
        Engine.
    most_bytes : int
        Memory for a volume that is decided slab by slab.
    """

    images: Sequence[Picture]
    spec: FeatureSpec
    rule: SegmentRule
    backend: Backend[Any]
    most_bytes: int = WORK_BYTES


def compare_with_float(forest: FlatForest, bins: FittedBins, rows: Rows, recipe: Recipe, scenes: Scenes) -> BinsReport:
    """Grow two float forests, with the seed of the recipe and with the next one, and compare their masks.

    Parameters
    ----------
    forest : FlatForest
        Grown on bins.
    bins : FittedBins
        Those bins.
    rows : Rows
        What it was trained on.
    recipe : Recipe
        How.
    scenes : Scenes
        What is segmented.

    Returns
    -------
    BinsReport

    Raises
    ------
    InputError
        If a feature of an image is NaN.
    """
    estimator, same = grow(rows, recipe, None, oob=True)
    _, other = grow(rows, replace(recipe, seed=(recipe.seed + 1) % _SEEDS), None, oob=False)
    return BinsReport(
        kind=bins.kind,
        affine_features=len(bins.affine),
        piecewise_features=bins.piecewise,
        oob_error_by_float=out_of_bag(estimator, rows)[0],
        masks=mask_effect((forest, same, other), scenes),
    )


def mask_effect(forests: Forests, scenes: Scenes) -> MaskEffect:
    """Segment images with three forests and compare.

    Parameters
    ----------
    forests : tuple of FlatForest
        On bins; on float features; on float features with another seed.
    scenes : Scenes
        What is segmented.

    Returns
    -------
    MaskEffect

    Raises
    ------
    InputError
        If a feature of an image is NaN.
    """
    objects, area, changed = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(2, np.int64)
    for image in scenes.images:
        bank = build_bank(scenes.spec, len(image.shape), image.shape)
        if isinstance(image, np.ndarray):
            n_objects, pixels, differ = _of_image(image, bank, forests, scenes)
        else:
            n_objects, pixels, differ = _of_volume(image, bank, forests, scenes)
        objects += n_objects
        area += pixels
        changed += differ
    total = area[[0, 2]] + area[1]
    overlap = 1 - changed / np.maximum(total, 1)  # 2 |A and B| = |A| + |B| - |A xor B|
    return MaskEffect(
        pixels=sum(math.prod(image.shape) for image in scenes.images),
        objects=int(objects[0]),
        objects_by_float=int(objects[1]),
        objects_by_other_seed=int(objects[2]),
        area_px=int(area[0]),
        area_px_by_float=int(area[1]),
        area_px_by_other_seed=int(area[2]),
        changed_px=int(changed[0]),
        changed_px_between_seeds=int(changed[1]),
        overlap=float(overlap[0]),
        overlap_between_seeds=float(overlap[1]),
    )


def _of_image(
    image: Image, bank: FilterBank, forests: Forests, scenes: Scenes
) -> tuple[list[int], list[int], list[int]]:
    """Return numbers of objects, their pixels, and the pixels that differ from the second mask."""
    backend, rule = scenes.backend, scenes.rule
    features = backend.feature_stack(backend.to_device(image), bank)
    found: list[Int32] = []
    for forest in forests:
        probability = backend.forest_proba(features, forest)[rule.foreground]
        labels = backend.to_host(backend.label(backend.threshold(probability, rule), rule))
        found.append(labels.astype(np.int32, copy=False))
    masks = [labels > 0 for labels in found]
    changed = [int(np.count_nonzero(mask != masks[1])) for mask in (masks[0], masks[2])]
    areas = [int(np.count_nonzero(mask)) for mask in masks]
    return [int(labels.max(initial=0)) for labels in found], areas, changed


def _of_volume(
    volume: PlaneReader, bank: FilterBank, forests: Forests, scenes: Scenes
) -> tuple[list[int], list[int], list[int]]:
    """Return the same of a volume that is decided slab by slab."""
    found = [_runs(volume, bank, forest, scenes) for forest in forests]
    spans = [_spans(runs) for runs in found]
    areas = [int((end - start).sum()) for start, end in spans]
    changed = [areas[k] + areas[1] - 2 * _shared(spans[k], spans[1]) for k in (0, 2)]
    return [runs.n_objects for runs in found], areas, changed


def _runs(volume: PlaneReader, bank: FilterBank, forest: FlatForest, scenes: Scenes) -> Runs:
    backend, shape, itemsize = scenes.backend, volume.shape, volume.dtype.itemsize
    fitting = (n for n in _SLABS if backend.slab_bytes(shape, bank, forest, n, itemsize) <= scenes.most_bytes)
    return backend.volume_objects(volume, bank, forest, scenes.rule, next(fitting, 1))[0]


def _spans(runs: Runs) -> tuple[Int64, Int64]:
    """Return where the runs of objects begin and end in the flat volume; they are rising and apart."""
    line = np.repeat(np.arange(runs.row_start.size - 1), np.diff(runs.row_start)) * runs.shape[-1]
    kept = runs.owner > 0
    return (line + runs.start)[kept], (line + runs.end)[kept]


def _shared(one: tuple[Int64, Int64], other: tuple[Int64, Int64]) -> int:
    """Return how many voxels lie in runs of both."""
    begun = np.concatenate([[0], np.cumsum(other[1] - other[0])])

    def before(place: Int64) -> Int64:
        """Return how many voxels of the other runs lie before a place."""
        at = np.searchsorted(other[0], place)
        beyond = np.maximum(np.append(0, other[1])[at] - place, 0)  # of the run that the place lies in
        return np.asarray(begun[at] - beyond, np.int64)

    return int((before(one[1]) - before(one[0])).sum())


def describe_bins(bins: dict[str, Any]) -> tuple[str, ...]:
    """Return the words of `BinsReport.to_dict`, one sentence a line.

    Parameters
    ----------
    bins : dict
        As in the training report.

    Returns
    -------
    tuple of str
    """
    masks = bins["masks"]
    errors = [f"{bins['oob_error_by_float']:.4f} by a float forest"] if bins["oob_error_by_float"] is not None else []
    return (
        f"works on bins: features rounded to {bins['kind']} before training, {bins['affine_features']} by affine and "
        f"{len(bins['piecewise_features'])} by piecewise-linear maps",
        *(f"out-of-bag error {text} of the same seed" for text in errors),
        f"bins against float, training images: {masks['changed_px']} of {masks['pixels']} pixels differ "
        f"(Dice {masks['overlap']:.4f}), {masks['objects']} against {masks['objects_by_float']} objects, "
        f"area {masks['area_px']} against {masks['area_px_by_float']} pixels",
        f"for comparison, two float forests of different seeds: {masks['changed_px_between_seeds']} pixels differ "
        f"(Dice {masks['overlap_between_seeds']:.4f}), {masks['objects_by_other_seed']} against "
        f"{masks['objects_by_float']} objects, area {masks['area_px_by_other_seed']} against "
        f"{masks['area_px_by_float']} pixels",
    )
