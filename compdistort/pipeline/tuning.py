"""Choosing the probability of objects and their smallest size, on images that a forest was not grown on.

Forests are grown leaving one training image out at a time; the left-out image is segmented at every level of a grid,
and its objects are compared with the true ones. What is chosen has seen the training images alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float64, SegmentRule, UInt8
from compdistort.detection import detection_scores
from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec, build_bank, feature_names
from compdistort.forest.bins import NONE, fit_bins
from compdistort.forest.grow import Recipe, grow
from compdistort.forest.rows import Image, Rows, check_classes, collect_rows
from compdistort.forest.train import N_SAMPLE
from compdistort.measurands import measurands_of
from compdistort.pipeline.inputs import DEFAULT_CONNECTIVITY

Bool = NDArray[np.bool_]

GRID_PARTS = ("thresholds", "min_sizes", "mean_f1")
"""Parts of a stored tuning that hold the whole grid; reports leave them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The pairs that compete.

    Attributes
    ----------
    levels : tuple of float
        Levels of the probability (or of another value), rising.
    min_sizes : tuple of int
        Smallest sizes of an object, pixels or voxels, rising.
    """

    levels: tuple[float, ...] = tuple(percent / 100 for percent in range(10, 95, 5))
    min_sizes: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The chosen pair, and how every pair did.

    Attributes
    ----------
    threshold : float
        Level of the probability: an object is where it is reached.
    min_size : int
        Smallest object, pixels or voxels.
    radius_px : float
        Largest distance of the centres of a found and a true object.
    source : str
        Which pixels the forests had not seen.
    f1 : tuple of float
        Of the chosen pair, one a left-out image.
    thresholds, min_sizes : tuple
        The grid.
    mean_f1 : tuple of tuple of float
        Mean over the left-out images, one row a threshold, one column a smallest size.
    """

    threshold: float
    min_size: int
    radius_px: float
    source: str
    f1: tuple[float, ...]
    thresholds: tuple[float, ...]
    min_sizes: tuple[int, ...]
    mean_f1: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready data."""
        return asdict(self)


def true_table(mask: Bool, rule: SegmentRule, backend: Backend[Any]) -> Float64:
    """Return the object table of a mask: its connected parts, whatever their size.

    Parameters
    ----------
    mask : ndarray of shape ([planes,] rows, columns), bool
        True in the objects.
    rule : SegmentRule
        Its connectivity.
    backend : Backend
        Engine.

    Returns
    -------
    ndarray of shape (n_objects, n_columns), float64
    """
    return backend.measure(backend.label(backend.to_device(mask), replace(rule, min_size=1, max_size=0)))


def f1_of_grid(
    value: Any, true: Float64, grid: Grid, rule: SegmentRule, radius: float, backend: Backend[Any]
) -> Float64:
    """Return the F1 of every pair of a grid on one image.

    Parameters
    ----------
    value : array of shape ([planes,] rows, columns), float64
        Probability of the objects, in the engine's library.
    true : ndarray of shape (n_objects, n_columns), float64
        Table of the true objects.
    grid : Grid
        The pairs.
    rule : SegmentRule
        From value to objects; its threshold and smallest size are the grid's.
    radius : float
        Largest distance of the centres of a pair, pixels.
    backend : Backend
        Engine.

    Returns
    -------
    ndarray of shape (n_levels, n_min_sizes), float64
        Objects that are too small are left out of the found ones, never of the true ones.
    """
    measurands = measurands_of(value.ndim)
    size = measurands.columns.index(measurands.size)
    scores = np.empty((len(grid.levels), len(grid.min_sizes)))
    for row, level in zip(scores, grid.levels, strict=True):
        here = replace(rule, threshold=level, min_size=1)
        found = backend.measure(backend.label(backend.threshold(value, here), here))
        row[:] = [
            detection_scores(found[found[:, size] >= least], true, radius, measurands).f1 for least in grid.min_sizes
        ]
    return scores


def choose(scores: Float64) -> tuple[int, int]:
    """Return which pair of a grid has the highest mean F1.

    Parameters
    ----------
    scores : ndarray of shape (n_images, n_levels, n_min_sizes), float64
        F1 of every pair on every image.

    Returns
    -------
    (int, int)
        Index of the level and of the smallest size; of equal pairs that of the higher level, then of the smaller size.
    """
    mean = scores.mean(axis=0)
    level, size = np.unravel_index(int(np.argmax(mean[::-1])), mean.shape)
    return len(mean) - 1 - int(level), int(size)


def tune(
    images: Sequence[Image],
    masks: Sequence[Bool],
    labels: Sequence[UInt8],
    spec: FeatureSpec,
    recipe: Recipe,
    backend: Backend[Any],
    *,
    bins: str = NONE,
    radius: float = 3.0,
    grid: Grid | None = None,
) -> Tuning:
    """Choose threshold and smallest size on images that the forests were not grown on.

    Parameters
    ----------
    images : sequence of ndarray, each of shape ([planes,] rows, columns)
        Training images. A single one is cut across its longest axis into two halves, each of them an image of its own;
        an object that the cut goes through counts as one in each.
    masks : sequence of ndarray, bool
        Every object of the images.
    labels : sequence of ndarray, uint8
        Annotations drawn of the masks (see `annotations_from_mask`), which the forests are grown on.
    spec, recipe
        Features, and how a forest is grown.
    backend : Backend
        Engine.
    bins : str
        As in `train_classifier`; the codes are those of all training images.
    radius : float
        Largest distance of the centres of a found and a true object, pixels.
    grid : Grid, optional
        The pairs that compete.

    Returns
    -------
    Tuning

    Raises
    ------
    AnnotationError
        If the images that are left have annotations of one class only.
    ConfigError
        If the radius is not above zero.
    """
    if not 0 < radius < np.inf:
        raise ConfigError(f"radius is {radius}", "give a number of pixels above 0, such as 3")
    grid = grid or Grid()
    source = "images left out of the forest, one at a time"
    if len(images) == 1:
        images, masks, labels = (_halves(each[0]) for each in (images, masks, labels))
        source = "halves of the one image, left out of the forest in turn"
    ndim = images[0].ndim
    rule = SegmentRule(foreground=1, connectivity=DEFAULT_CONNECTIVITY[ndim])
    rows = collect_rows(images, labels, spec, backend, n_sample=0 if bins == NONE else N_SAMPLE)
    maps = None if bins == NONE else fit_bins(bins, rows.sample, rows.features, feature_names(spec)).maps
    scores = np.empty((len(images), len(grid.levels), len(grid.min_sizes)))
    for k, (image, mask) in enumerate(zip(images, masks, strict=True)):
        _, forest = grow(_without(rows, k), recipe, maps, oob=False)
        bank = build_bank(spec, ndim, image.shape)
        probability = backend.image_probability(backend.to_device(image), bank, forest, rule.foreground)
        scores[k] = f1_of_grid(probability, true_table(mask, rule, backend), grid, rule, radius, backend)
    level, size = choose(scores)
    return Tuning(
        threshold=grid.levels[level],
        min_size=grid.min_sizes[size],
        radius_px=float(radius),
        source=source,
        f1=tuple(scores[:, level, size].tolist()),
        thresholds=grid.levels,
        min_sizes=grid.min_sizes,
        mean_f1=tuple(tuple(row) for row in scores.mean(axis=0).tolist()),
    )


def _without(rows: Rows, left_out: int) -> Rows:
    """Return the rows of all images but one."""
    kept = rows.take(rows.pixels.image != left_out)
    # Two classes: the foreground is the second of them.
    check_classes(kept.pixels.value)
    return kept


def _halves(image: NDArray[Any]) -> list[NDArray[Any]]:
    axis = int(np.argmax(image.shape))
    return [np.ascontiguousarray(part) for part in np.array_split(image, 2, axis=axis)]
