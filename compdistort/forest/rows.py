"""From images and annotations to training rows, with everything checked that can be wrong about them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float32, PlaneReader, UInt8
from compdistort.errors import AnnotationError, InputError
from compdistort.features import FeatureSpec, build_bank, feature_names
from compdistort.forest.classifier import MAX_CLASS_VALUE
from compdistort.forest.holdout import Annotated
from compdistort.forest.rows_on_disk import WORK_BYTES, rows_on_disk
from compdistort.io.strokes import Strokes

Image = NDArray[Any]
Picture = Image | PlaneReader
"""An image in memory, or a volume that is read a few planes at a time."""

MIN_PIXELS = 5
"""Fewest annotated pixels of a class that a forest is trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Annotated pixels and their features.

    Attributes
    ----------
    features : ndarray of shape (n_pixels, n_features), float32
        One row a pixel.
    pixels : Annotated
        Where they are, and their values.
    sample : ndarray of shape (n_sample, n_features), float32
        Features of pixels spread over the images, annotated or not; no rows where none were asked for.
    """

    features: Float32
    pixels: Annotated
    sample: Float32

    def take(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Return the chosen pixels; `chosen` is bool of shape (n_pixels,)."""
        pixels = Annotated(
            image=self.pixels.image[chosen], place=self.pixels.place[chosen], value=self.pixels.value[chosen]
        )
        return Rows(features=self.features[chosen], pixels=pixels, sample=self.sample)


def collect_rows(
    images: Sequence[Picture],
    labels: Sequence[UInt8 | Strokes],
    spec: FeatureSpec,
    backend: Backend[Any],
    *,
    n_sample: int = 0,
    most_bytes: int = WORK_BYTES,
) -> Rows:
    """Return the features of every annotated pixel, equal to those of whole images.

    Parameters
    ----------
    images : sequence of ndarray, each of shape ([planes,] rows, columns), or of PlaneReader
        uint8, uint16 or float32, all with the same number of axes.
    labels : sequence of ndarray, each of the shape of its image, uint8; or of Strokes
        0 = not annotated.
    spec : FeatureSpec
        Features.
    backend : Backend
        Engine.
    n_sample : int
        At most so many pixels of each image, evenly spaced in raster order, make `Rows.sample`.
    most_bytes : int
        Memory for a volume that is read a few planes at a time (see `rows_on_disk`).

    Returns
    -------
    Rows
        Image by image, raster order.

    Raises
    ------
    InputError
        If a feature is not finite on an annotated pixel.
    """
    features, samples = [], []
    drawn = [label if isinstance(label, Strokes) else Strokes.of(label) for label in labels]
    for image, strokes in zip(images, drawn, strict=True):
        size = math.prod(image.shape)
        spread = np.linspace(0, size - 1, min(n_sample, size)).astype(np.int64)
        wanted = np.union1d(strokes.flat, spread)
        bank = build_bank(spec, len(image.shape), image.shape)
        if isinstance(image, np.ndarray):
            found = backend.feature_rows(backend.to_device(image), bank, wanted)
        else:
            found = rows_on_disk(image, bank, wanted, backend, most_bytes)
        features.append(found[np.searchsorted(wanted, strokes.flat)])
        samples.append(found[np.searchsorted(wanted, spread)])
    rows = np.concatenate(features)
    _check_finite(rows, spec)
    pixels = Annotated(
        image=np.repeat(np.arange(len(drawn)), [strokes.flat.size for strokes in drawn]),
        place=np.concatenate([strokes.place for strokes in drawn]),
        value=np.concatenate([strokes.value for strokes in drawn]),
    )
    return Rows(features=rows, pixels=pixels, sample=np.concatenate(samples))


def check_annotations(labels: Image | Strokes, shape: tuple[int, ...], what: str = "annotations") -> Strokes:
    """Return annotations as strokes, or say what is wrong with them.

    Parameters
    ----------
    labels : ndarray of shape `shape`, any type; or Strokes
        Annotation values.
    shape : tuple of int
        Shape of the image.
    what : str
        How messages call them, e.g. a file name.

    Returns
    -------
    Strokes

    Raises
    ------
    AnnotationError
        If the shape is another, or a value is no whole number of 0 to 255.
    """
    if labels.shape != tuple(shape):
        raise AnnotationError(
            f"{what}: are {_size(labels.shape)} pixels, the image is {_size(shape)}",
            "annotate the image itself, uncropped and unscaled",
        )
    if isinstance(labels, Strokes):
        return labels
    if labels.dtype.kind not in "uib":
        raise AnnotationError(f"{what}: hold {labels.dtype} values", "give whole numbers, 0 = not annotated")
    if labels.size and (int(labels.max()) > MAX_CLASS_VALUE or int(labels.min()) < 0):
        worst = int(labels.max()) if int(labels.max()) > MAX_CLASS_VALUE else int(labels.min())
        raise AnnotationError(
            f"{what}: hold the value {worst}",
            "give 0 = not annotated and class numbers 1 to 255 (a label image of single objects is no annotation)",
        )
    return Strokes.of(labels.astype(np.uint8))


def check_classes(values: UInt8) -> tuple[int, ...]:
    """Return the class values among annotated pixels, rising.

    Raises
    ------
    AnnotationError
        If there are fewer than two classes, or too few pixels of one.
    """
    classes, counts = np.unique(values, return_counts=True)
    if classes.size == 0:
        raise AnnotationError("no pixel is annotated", "draw some pixels of every class, 0 = not annotated")
    if classes.size == 1:
        raise AnnotationError(
            f"only one class is annotated (value {classes[0]})", "annotate objects and background with two values"
        )
    if counts.min() < MIN_PIXELS:
        few = int(counts.argmin())
        raise AnnotationError(
            f"class {classes[few]} has only {counts[few]} annotated pixels",
            f"draw at least {MIN_PIXELS}, better hundreds",
        )
    return tuple(int(v) for v in classes)


def _check_finite(rows: Float32, spec: FeatureSpec) -> None:
    bad = ~np.isfinite(rows)
    if bad.any():
        column = int(np.flatnonzero(bad.any(axis=0))[0])
        raise InputError(
            f"feature {feature_names(spec)[column]} is not finite on {int(bad[:, column].sum())} annotated pixels",
            "look for NaN or huge values in the image",
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
