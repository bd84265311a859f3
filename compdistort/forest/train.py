"""Training: annotated images in, a classifier and an honest report of its quality out.

scikit-learn grows the trees. The forest that is returned has seen every annotated pixel; the held-out figures come
from a forest of the same kind and seed that has not seen the pixels it is judged on.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compdistort.backend.base import Backend, FlatForest, Float64, UInt8
from compdistort.errors import AnnotationError, ConfigError
from compdistort.features import FeatureSpec
from compdistort.forest.classifier import Classifier, foreground_index
from compdistort.forest.flatten import flatten
from compdistort.forest.holdout import split_blocks
from compdistort.forest.presets import build_estimator
from compdistort.forest.report import Classes, HeldOut, TrainingReport, judge, weaknesses
from compdistort.forest.rows import Image, Rows, check_annotations, check_classes, collect_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a forest is grown: preset, seed, and whether classes weigh the same."""

    preset: str
    seed: int
    balanced: bool


def train_classifier(
    images: Image | Sequence[Image],
    labels: Image | Sequence[Image],
    spec: FeatureSpec,
    preset: str,
    seed: int,
    backend: Backend[Any],
    *,
    foreground: int | None = None,
    held_out: Image | Sequence[Image] | None = None,
    class_names: Sequence[str] | None = None,
    balanced: bool = True,
) -> tuple[Classifier, TrainingReport]:
    """Train a random forest on sparse annotations.

    Parameters
    ----------
    images : ndarray of shape ([planes,] rows, columns), or sequence of such
        uint8, uint16 or float32.
    labels : ndarray or sequence of ndarray, of the shapes of the images
        0 = not annotated, 1 to 255 = class.
    spec : FeatureSpec
        Features, computed on whole images.
    preset : str
        ``weka`` or ``ilastik``; see `PRESETS`.
    seed : int
        Seed of the forest and of the held-out squares, 0 to 2^32 - 1.
    backend : Backend
        Engine.
    foreground : int, optional
        Annotation value of the objects; default: the highest.
    held_out : ndarray or sequence of ndarray of the shapes of the images, optional
        Annotations of the same images for judging only; pixels annotated in both are not judged. Without them about a
        quarter of `labels` is kept back for a first forest, and the final one is trained on all of `labels` again.
    class_names : sequence of str, optional
        One a class in the order of their values.
    balanced : bool
        Every class weighs the same, however many pixels were drawn of it. Weka and ilastik do not do this.

    Returns
    -------
    Classifier
        Ready for use; its `training` is the report as JSON-ready data.
    TrainingReport
        Held-out quality, out-of-bag error, numbers of pixels.

    Raises
    ------
    AnnotationError
        If annotations do not fit the images or cannot train a classifier.
    ConfigError
        If the preset or the foreground value does not exist, or the features do not fit the images.
    """
    pictures = _as_list(images)
    drawn = _checked(labels, pictures, "annotations")
    classes = _classes(drawn, class_names, foreground)
    test = None if held_out is None else _held_out_rows(held_out, drawn, pictures, spec, backend, classes)
    rows = collect_rows(pictures, drawn, spec, backend)
    recipe = Recipe(preset=preset, seed=seed, balanced=balanced)
    estimator = _fit(rows, recipe, oob=True)
    oob_error, oob_note = _out_of_bag(estimator, rows)
    forest = flatten(estimator)
    if test is None:
        quality, why_not = _judge_split(rows, recipe, backend, classes)
    else:
        quality = _judge(forest, test, backend, classes, "given annotations that were not trained on")
        why_not = ""
    report = TrainingReport(
        features=spec,
        image_dtype=pictures[0].dtype.name,
        preset=preset,
        n_trees=forest.n_trees,
        seed=seed,
        balanced=balanced,
        n_pixels=classes.count(rows.pixels.value),
        foreground=classes.names[classes.foreground],
        oob_error=oob_error,
        held_out=quality,
        warnings=(*oob_note, *weaknesses(oob_error, quality, why_not)),
    )
    classifier = Classifier(
        features=spec,
        forest=forest,
        class_names=classes.names,
        class_values=classes.values,
        foreground=classes.foreground,
        ndim=pictures[0].ndim,
        training=report.to_dict(),
    )
    return classifier, report


def _as_list(images: Image | Sequence[Image]) -> list[Image]:
    pictures = [images] if isinstance(images, np.ndarray) else list(images)
    kinds = sorted({f"{picture.dtype} with {picture.ndim} axes" for picture in pictures})
    if len(kinds) != 1:
        raise ConfigError(f"training images are {' and '.join(kinds) or 'missing'}", "give images of one kind")
    return pictures


def _checked(labels: Image | Sequence[Image], pictures: list[Image], what: str) -> list[UInt8]:
    drawn = [labels] if isinstance(labels, np.ndarray) else list(labels)
    if len(drawn) != len(pictures):
        raise AnnotationError(f"{len(drawn)} {what} for {len(pictures)} images", "give one for each image, in order")
    return [check_annotations(a, p.shape, what) for a, p in zip(drawn, pictures, strict=True)]


def _fit(rows: Rows, recipe: Recipe, *, oob: bool) -> Any:
    estimator = build_estimator(recipe.preset, recipe.seed, balanced=recipe.balanced, oob=oob)
    with warnings.catch_warnings():
        # Said in our own words by `_out_of_bag`.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        estimator.fit(rows.features, rows.pixels.value)
    return estimator


def _out_of_bag(estimator: Any, rows: Rows) -> tuple[float | None, tuple[str, ...]]:
    """Return the error over pixels that some tree did not see, and a note where there are pixels that all trees saw.

    With balanced classes, scikit-learn draws the few pixels of a rare class for nearly every tree.
    """
    votes = np.nan_to_num(estimator.oob_decision_function_)
    judged = votes.sum(axis=1) > 0
    if not judged.any():
        return None, ("no out-of-bag error: every tree saw every annotated pixel",)
    found = estimator.classes_[votes[judged].argmax(axis=1)]
    error = float((found != rows.pixels.value[judged]).mean())
    n_seen = int((~judged).sum())
    return error, (f"out-of-bag error leaves out {n_seen} pixels that every tree saw",) if n_seen else ()


def _classes(drawn: list[UInt8], names: Sequence[str] | None, foreground: int | None) -> Classes:
    values = check_classes(np.concatenate([labels[labels > 0] for labels in drawn]))
    if names is not None and len(names) != len(values):
        raise ConfigError(f"{len(names)} class names for {len(values)} annotated classes", "give one of each")
    return Classes(
        values=values,
        names=tuple(names) if names is not None else tuple(f"class {value}" for value in values),
        foreground=foreground_index(values, foreground),
    )


def _judge(forest: FlatForest, rows: Rows, backend: Backend[Any], classes: Classes, source: str) -> HeldOut:
    planes = backend.to_device(np.ascontiguousarray(rows.features.T))
    probability: Float64 = backend.to_host(backend.forest_proba(planes, forest)).astype(np.float64, copy=False)
    return judge(probability, rows.pixels.value, classes, source)


def _judge_split(rows: Rows, recipe: Recipe, backend: Backend[Any], classes: Classes) -> tuple[HeldOut | None, str]:
    """Judge a forest that was trained without some squares of the annotations; say why where that is impossible."""
    split = split_blocks(rows.pixels, recipe.seed)
    if split is None:
        return (
            None,
            "a class is annotated in one spot or by few pixels; annotate more places, or give held-out annotations",
        )
    first = _fit(rows.take(split.train), recipe, oob=False)
    source = (
        f"annotations in squares of {split.side_px} px kept back from a first forest; "
        "the final forest is trained on all annotations"
    )
    return _judge(flatten(first), rows.take(split.test), backend, classes, source), ""


def _held_out_rows(
    held_out: Image | Sequence[Image],
    drawn: list[UInt8],
    pictures: list[Image],
    spec: FeatureSpec,
    backend: Backend[Any],
    classes: Classes,
) -> Rows:
    """Return the rows of given held-out annotations, without pixels that are trained on."""
    given = _checked(held_out, pictures, "held-out annotations")
    kept = [np.where(trained > 0, np.uint8(0), other) for trained, other in zip(drawn, given, strict=True)]
    found = {int(value) for labels in kept for value in np.unique(labels)} - {0}
    if not found:
        raise AnnotationError(
            "held-out annotations: no pixel of them is free of training annotations", "annotate other pixels"
        )
    if found - set(classes.values):
        raise AnnotationError(
            f"held-out annotations: hold the value {min(found - set(classes.values))}, which is not trained on",
            f"use {', '.join(map(str, classes.values))}",
        )
    return collect_rows(pictures, kept, spec, backend)
