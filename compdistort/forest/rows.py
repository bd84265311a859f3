"""From images and annotations to training rows, with everything checked that can be wrong about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float32, UInt8
from compdistort.errors import AnnotationError, InputError
from compdistort.features import FeatureSpec, build_bank, feature_names
from compdistort.forest.classifier import MAX_CLASS_VALUE
from compdistort.forest.holdout import Annotated

Image = NDArray[Any]

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
    images: Sequence[Image], labels: Sequence[UInt8], spec: FeatureSpec, backend: Backend[Any], *, n_sample: int = 0
) -> Rows:
    """Return the features of every annotated pixel, computed on whole images.

    Parameters
    ----------
    images : sequence of ndarray, each of shape ([planes,] rows, columns)
        uint8, uint16 or float32, all with the same number of axes.
    labels : sequence of ndarray, each of the shape of its image, uint8
        0 = not annotated.
    spec : FeatureSpec
        Features.
    backend : Backend
        Engine.
    n_sample : int
        At most so many pixels of each image, evenly spaced in raster order, make `Rows.sample`.

    Returns
    -------
    Rows
        Image by image, raster order.

    Raises
    ------
    InputError
        If a feature is not finite on an annotated pixel.
    """
    features, places, values, owners, samples = [], [], [], [], []
    for k, (image, label) in enumerate(zip(images, labels, strict=True)):
        bank = build_bank(spec, image.ndim, image.shape)
        where, flat = np.nonzero(label), np.flatnonzero(label)
        spread = np.linspace(0, image.size - 1, min(n_sample, image.size)).astype(np.int64)
        wanted = np.union1d(flat, spread)
        found = backend.feature_rows(backend.to_device(image), bank, wanted)
        features.append(found[np.searchsorted(wanted, flat)])
        samples.append(found[np.searchsorted(wanted, spread)])
        places.append(np.column_stack(where))
        values.append(label[where])
        owners.append(np.full(where[0].size, k))
    rows = np.concatenate(features)
    _check_finite(rows, spec)
    pixels = Annotated(
        image=np.concatenate(owners), place=np.concatenate(places), value=np.concatenate(values).astype(np.uint8)
    )
    return Rows(features=rows, pixels=pixels, sample=np.concatenate(samples))


def check_annotations(labels: Image, shape: tuple[int, ...], what: str = "annotations") -> UInt8:
    """Return annotations as uint8, or say what is wrong with them.

    Parameters
    ----------
    labels : ndarray of shape `shape`, any type
        Annotation values.
    shape : tuple of int
        Shape of the image.
    what : str
        How messages call them, e.g. a file name.

    Returns
    -------
    ndarray of shape `shape`, uint8

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
    if labels.dtype.kind not in "uib":
        raise AnnotationError(f"{what}: hold {labels.dtype} values", "give whole numbers, 0 = not annotated")
    if labels.size and (int(labels.max()) > MAX_CLASS_VALUE or int(labels.min()) < 0):
        worst = int(labels.max()) if int(labels.max()) > MAX_CLASS_VALUE else int(labels.min())
        raise AnnotationError(
            f"{what}: hold the value {worst}",
            "give 0 = not annotated and class numbers 1 to 255 (a label image of single objects is no annotation)",
        )
    return labels.astype(np.uint8)


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
