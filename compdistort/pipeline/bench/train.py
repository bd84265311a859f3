"""Training one pipeline of a benchmark, and judging it on the same pixels as all others."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, FeatureBins, FlatForest, Float64
from compdistort.features import feature_names
from compdistort.forest import Classifier
from compdistort.forest.bins import NONE, fit_bins
from compdistort.forest.grow import Recipe, grow, out_of_bag
from compdistort.forest.holdout import Annotated, split_blocks
from compdistort.forest.report import HeldOut, judge
from compdistort.forest.rows import Rows, collect_rows
from compdistort.forest.train import N_SAMPLE, class_probabilities
from compdistort.pipeline.bench.field import Field
from compdistort.pipeline.bench.options import Pipeline

SQUARE_PX = 32
"""Side of the squares in which judged pixels are counted: neighbours are no independent test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A pipeline with its forest.

    Attributes
    ----------
    pipeline : Pipeline
        What it is.
    classifier : Classifier
        Trained on all annotations.
    oob_error : float or None
        As `train_classifier` gives it.
    held_out : HeldOut or None
        As `train_classifier` gives it; None where no square of the annotations could be kept back.
    squares : ndarray of shape (n_squares, 3), float64, or None
        Judged pixels by squares of the image: those of the foreground that were found, found in all, true in all.
    seconds : float
        Time of the training, features included.
    """

    pipeline: Pipeline
    classifier: Classifier
    oob_error: float | None
    held_out: HeldOut | None
    squares: Float64 | None
    seconds: float

    @property
    def score(self) -> float | None:
        """Dice of the foreground on held-out pixels; without them one minus the out-of-bag error."""
        if self.held_out is not None:
            return self.held_out.dice
        return None if self.oob_error is None else 1 - self.oob_error


def train_pipeline(pipeline: Pipeline, field: Field, seed: int, backend: Backend[Any]) -> Trained:
    """Train a pipeline on all annotations and judge it.

    Without held-out annotations a first forest is judged that has not seen some squares of the annotations. Which
    ones depends on annotations and seed alone, so that they are the same for every pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        Features, bins, forest.
    field : Field
        Image and annotations.
    seed : int
        Of the forest and the held-out squares.
    backend : Backend
        Computes the features.

    Returns
    -------
    Trained

    Raises
    ------
    ConfigError, InputError
        If the features cannot be made for this image.
    """
    began = time.perf_counter()
    spec = pipeline.spec()
    binned = pipeline.bins != NONE
    rows = collect_rows([field.raw], [field.labels], spec, backend, n_sample=N_SAMPLE if binned else 0)
    maps = fit_bins(pipeline.bins, rows.sample, rows.features, feature_names(spec)).maps if binned else None
    estimator, forest = grow(rows, _recipe(pipeline, seed), maps, oob=True)
    seconds = time.perf_counter() - began
    held_out, squares = _judged(pipeline, field, seed, backend, rows, forest, maps)
    oob_error = out_of_bag(estimator, rows)[0]
    classifier = Classifier(
        features=spec,
        forest=forest,
        class_names=field.classes.names,
        class_values=field.classes.values,
        foreground=field.classes.foreground,
        ndim=field.raw.ndim,
        training={
            "image_dtype": field.raw.dtype.name,
            "preset": pipeline.preset,
            "n_trees": forest.n_trees,
            "seed": seed,
        },
    )
    return Trained(
        pipeline=pipeline,
        classifier=classifier,
        oob_error=oob_error,
        held_out=held_out,
        squares=squares,
        seconds=seconds,
    )


def _recipe(pipeline: Pipeline, seed: int) -> Recipe:
    return Recipe(preset=pipeline.preset, seed=seed, balanced=True, trees=pipeline.trees, leaves=pipeline.leaves)


def _judged(
    pipeline: Pipeline,
    field: Field,
    seed: int,
    backend: Backend[Any],
    rows: Rows,
    forest: FlatForest,
    maps: FeatureBins | None,
) -> tuple[HeldOut | None, Float64 | None]:
    if field.held_out is not None:
        test = collect_rows([field.raw], [field.held_out], pipeline.spec(), backend)
        return _judge(forest, test, field, backend, "given annotations that were not trained on")
    split = split_blocks(rows.pixels, seed)
    if split is None:
        return None, None
    _, first = grow(rows.take(split.train), _recipe(pipeline, seed), maps, oob=False)
    source = f"annotations in squares of {split.side_px} px kept back from a first forest"
    return _judge(first, rows.take(split.test), field, backend, source)


def _judge(forest: FlatForest, rows: Rows, field: Field, backend: Backend[Any], source: str) -> tuple[HeldOut, Float64]:
    probability = class_probabilities(forest, rows, backend)
    held_out = judge(probability, rows.pixels.value, field.classes, source)
    found = probability[field.classes.foreground] >= 0.5
    true = rows.pixels.value == field.classes.values[field.classes.foreground]
    return held_out, count_squares(rows.pixels, found, true)


def count_squares(pixels: Annotated, found: NDArray[np.bool_], true: NDArray[np.bool_]) -> Float64:
    """Count judged pixels by squares of the image.

    Parameters
    ----------
    pixels : Annotated
        Where they are.
    found, true : ndarray of shape (n_pixels,), bool
        Called foreground, and annotated so.

    Returns
    -------
    ndarray of shape (n_squares, 3), float64
        Found and true, found, true; squares without judged pixels are left out.
    """
    _, square = np.unique(pixels.place // SQUARE_PX, axis=0, return_inverse=True)
    square = square.ravel()
    weights = (found & true, found, true)
    return np.stack([np.bincount(square, weights=each.astype(np.float64)) for each in weights], axis=1)
