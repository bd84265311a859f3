"""Training: annotated images in, a classifier and an honest report of its quality out.

scikit-learn grows the trees. The forest that is returned has seen every annotated pixel; the held-out figures come
from a forest of the same kind and seed that has not seen the pixels it is judged on.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from compdistort.backend.base import Backend, FeatureBins, FlatForest, Float64, SegmentRule, UInt8
from compdistort.errors import AnnotationError, ConfigError
from compdistort.features import FeatureSpec, feature_names
from compdistort.forest.bin_effect import Scenes, compare_with_float
from compdistort.forest.bins import NONE, check_kind, fit_bins
from compdistort.forest.classifier import Classifier, foreground_index
from compdistort.forest.grow import Recipe, grow, out_of_bag
from compdistort.forest.holdout import split_blocks
from compdistort.forest.report import Classes, HeldOut, TrainingReport, judge, weaknesses
from compdistort.forest.rows import Image, Picture, Rows, check_annotations, check_classes, collect_rows
from compdistort.forest.rows_on_disk import WORK_BYTES
from compdistort.io.strokes import Strokes

Labels = Image | Strokes

N_SAMPLE = 1 << 16
"""Pixels of an image from which the range of its features is taken, where they become codes."""


def train_classifier(
    images: Picture | Sequence[Picture],
    labels: Labels | Sequence[Labels],
    spec: FeatureSpec,
    preset: str,
    seed: int,
    backend: Backend[Any],
    *,
    foreground: int | None = None,
    held_out: Labels | Sequence[Labels] | None = None,
    class_names: Sequence[str] | None = None,
    balanced: bool = True,
    bins: str = "none",
    rule: SegmentRule | None = None,
    most_bytes: int = WORK_BYTES,
) -> tuple[Classifier, TrainingReport]:
    """Train a random forest on sparse annotations.

    Parameters
    ----------
    images : ndarray of shape ([planes,] rows, columns), or sequence of such
        uint8, uint16 or float32. A volume may be a `PlaneReader`: a few planes of it are in memory at a time.
    labels : ndarray or sequence of ndarray, of the shapes of the images; or Strokes
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
    bins : str
        ``none``, or ``uint16`` or ``uint8``: the forest is grown on features rounded to such codes (see `fit_bins`),
        and two more forests are grown to report what this changes.
    rule : SegmentRule, optional
        How masks are made for that report; its class is replaced by `foreground`. Default: P >= 0.5, 8-connected in 2D,
        6-connected in 3D.
    most_bytes : int
        Memory for planes, features and masks of a volume that is read a few planes at a time; leaves no trace.

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
        If the preset, the bins or the foreground value do not exist, or the features do not fit the images.
    InputError
        If a feature is not finite on an annotated pixel or, with bins, on a pixel of the images.
    """
    check_kind(bins)
    pictures = _as_list(images)
    drawn = _checked(labels, pictures, "annotations")
    classes = _classes(drawn, class_names, foreground)
    collect = partial(collect_rows, pictures, spec=spec, backend=backend, most_bytes=most_bytes)
    test = None if held_out is None else collect(_held_out(held_out, drawn, pictures, classes))
    recipe = Recipe(preset=preset, seed=seed, balanced=balanced)
    rows = collect(drawn, n_sample=0 if bins == NONE else N_SAMPLE)
    fitted = None if bins == NONE else fit_bins(bins, rows.sample, rows.features, feature_names(spec))
    maps = None if fitted is None else fitted.maps
    estimator, forest = grow(rows, recipe, maps, oob=True)
    oob_error, oob_note = out_of_bag(estimator, rows)
    quality, why_not = _judged(forest, test, rows, recipe, maps, backend, classes)
    ndim = len(pictures[0].shape)
    rule = _rule_of(rule, classes, ndim)
    scenes = Scenes(images=pictures, spec=spec, rule=rule, backend=backend, most_bytes=most_bytes)
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
        bins=None if fitted is None else compare_with_float(forest, fitted, rows, recipe, scenes),
    )
    classifier = Classifier(
        features=spec,
        forest=forest,
        class_names=classes.names,
        class_values=classes.values,
        foreground=classes.foreground,
        ndim=ndim,
        training=report.to_dict(),
    )
    return classifier, report


def _rule_of(rule: SegmentRule | None, classes: Classes, ndim: int) -> SegmentRule:
    chosen = rule or SegmentRule(foreground=0, connectivity=8 if ndim == 2 else 6)
    return replace(chosen, foreground=classes.foreground)


def _as_list(images: Picture | Sequence[Picture]) -> list[Picture]:
    pictures = list(images) if isinstance(images, Sequence) else [images]
    kinds = sorted({f"{picture.dtype} with {len(picture.shape)} axes" for picture in pictures})
    if len(kinds) != 1:
        raise ConfigError(f"training images are {' and '.join(kinds) or 'missing'}", "give images of one kind")
    return pictures


def _checked(labels: Labels | Sequence[Labels], pictures: list[Picture], what: str) -> list[Strokes]:
    drawn = list(labels) if isinstance(labels, Sequence) else [labels]
    if len(drawn) != len(pictures):
        raise AnnotationError(f"{len(drawn)} {what} for {len(pictures)} images", "give one for each image, in order")
    return [check_annotations(a, p.shape, what) for a, p in zip(drawn, pictures, strict=True)]


def _classes(drawn: list[Strokes], names: Sequence[str] | None, foreground: int | None) -> Classes:
    values = check_classes(np.concatenate([strokes.value for strokes in drawn]))
    if names is not None and len(names) != len(values):
        raise ConfigError(f"{len(names)} class names for {len(values)} annotated classes", "give one of each")
    return Classes(
        values=values,
        names=tuple(names) if names is not None else tuple(f"class {value}" for value in values),
        foreground=foreground_index(values, foreground),
    )


def class_probabilities(forest: FlatForest, rows: Rows, backend: Backend[Any]) -> Float64:
    """Return what a forest says of annotated pixels.

    Parameters
    ----------
    forest : FlatForest
        The forest.
    rows : Rows
        Their features.
    backend : Backend
        Engine.

    Returns
    -------
    ndarray of shape (n_classes, n_pixels), float64
    """
    planes = backend.to_device(np.ascontiguousarray(rows.features.T))
    probability: Float64 = backend.to_host(backend.forest_proba(planes, forest)).astype(np.float64, copy=False)
    return probability


def _judge(forest: FlatForest, rows: Rows, backend: Backend[Any], classes: Classes, source: str) -> HeldOut:
    return judge(class_probabilities(forest, rows, backend), rows.pixels.value, classes, source)


def _judged(
    forest: FlatForest,
    test: Rows | None,
    rows: Rows,
    recipe: Recipe,
    bins: FeatureBins | None,
    backend: Backend[Any],
    classes: Classes,
) -> tuple[HeldOut | None, str]:
    """Judge a forest on given annotations; without them one that was trained without some squares of the annotations.

    Say why where that is impossible. Bins are those of all annotations: they hold the range of the features, and
    nothing of the classes.
    """
    if test is not None:
        return _judge(forest, test, backend, classes, "given annotations that were not trained on"), ""
    split = split_blocks(rows.pixels, recipe.seed)
    if split is None:
        return (
            None,
            "a class is annotated in one spot or by few pixels; annotate more places, or give held-out annotations",
        )
    _, first = grow(rows.take(split.train), recipe, bins, oob=False)
    source = (
        f"annotations in squares of {split.side_px} px kept back from a first forest; "
        "the final forest is trained on all annotations"
    )
    return _judge(first, rows.take(split.test), backend, classes, source), ""


def _held_out(
    held_out: Labels | Sequence[Labels], drawn: list[Strokes], pictures: list[Picture], classes: Classes
) -> list[Strokes]:
    """Return given held-out annotations, without pixels that are trained on."""
    return _untrained(_checked(held_out, pictures, "held-out annotations"), drawn, classes.values)


def untrained(given: Sequence[UInt8], drawn: Sequence[UInt8], values: tuple[int, ...]) -> list[UInt8]:
    """Return held-out annotations without the pixels that are trained on.

    Parameters
    ----------
    given, drawn : sequence of ndarray of the shapes of the images, uint8
        Annotations for judging, and for training.
    values : tuple of int
        Annotation values of the trained classes.

    Returns
    -------
    list of ndarray, uint8

    Raises
    ------
    AnnotationError
        If no pixel is left, or one has a value that is not trained on.
    """
    free = _untrained([Strokes.of(each) for each in given], [Strokes.of(each) for each in drawn], values)
    return [strokes.labels for strokes in free]


def _untrained(given: Sequence[Strokes], drawn: Sequence[Strokes], values: tuple[int, ...]) -> list[Strokes]:
    kept = [
        other.take(~np.isin(other.flat, trained.flat, assume_unique=True))
        for trained, other in zip(drawn, given, strict=True)
    ]
    found = {int(value) for strokes in kept for value in np.unique(strokes.value)}
    if not found:
        raise AnnotationError(
            "held-out annotations: no pixel of them is free of training annotations", "annotate other pixels"
        )
    if found - set(values):
        raise AnnotationError(
            f"held-out annotations: hold the value {min(found - set(values))}, which is not trained on",
            f"use {', '.join(map(str, values))}",
        )
    return kept
