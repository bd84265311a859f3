"""From an image to its objects: probability, mask, labels; of volumes that memory does not hold, runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, FilterBank, Float64, Int32, PlaneReader, Runs, SegmentRule
from compdistort.errors import ConfigError
from compdistort.features import build_bank
from compdistort.forest import Classifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """A segmented image, on the host.

    Attributes
    ----------
    probability : ndarray of shape ([planes,] rows, columns), float64
        Probability of the foreground class, as the forest gives it (never smoothed).
    mask : ndarray of the same shape, bool
        Pixels of the objects: after smoothing, threshold, holes, size and border rules.
    labels : ndarray of the same shape, int32
        Object ids 1..n in raster order; 0 = background.
    """

    probability: Float64
    mask: NDArray[np.bool_]
    labels: Int32


def segment(image: NDArray[Any], classifier: Classifier, rule: SegmentRule, backend: Backend[Any]) -> Segmentation:
    """Segment one image.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
        Grey values, in DN of the images that the classifier was trained on.
    classifier : Classifier
        Features and forest.
    rule : SegmentRule
        From probability to objects; its `foreground` is a class index.
    backend : Backend
        Engine.

    Returns
    -------
    Segmentation

    Raises
    ------
    ConfigError
        If the classifier was trained on images with another number of axes, the rule's class does not exist, or the
        image is too small for the features.
    """
    bank = _bank_of(classifier, image.shape, rule.foreground)
    probability = backend.image_probability(backend.to_device(image), bank, classifier.forest, rule.foreground)
    found = backend.to_host(backend.label(backend.threshold(probability, rule), rule))
    labels: Int32 = found.astype(np.int32, copy=False)
    on_host: Float64 = backend.to_host(probability).astype(np.float64, copy=False)
    return Segmentation(probability=on_host, mask=labels > 0, labels=labels)


def segment_planes(
    planes: PlaneReader, classifier: Classifier, rule: SegmentRule, backend: Backend[Any], slab: int
) -> tuple[Runs, Float64]:
    """Segment a volume that is read slab by slab: the objects and the table of the whole volume, to the bit.

    Parameters
    ----------
    planes : PlaneReader
        Volume of uint8, uint16 or float32, in DN of the images that the classifier was trained on.
    classifier, rule, backend
        As in `segment`; the probability cannot be smoothed.
    slab : int
        Planes that are decided together; leaves no trace in the result.

    Returns
    -------
    runs : Runs
        The labels of `segment`, as runs.
    table : ndarray of shape (n_objects, len(VOLUME_COLUMNS)), float64
        What `Backend.measure` gives for them.

    Raises
    ------
    ConfigError
        As `segment`; if `rule.smoothing_px` is above 0.
    """
    bank = _bank_of(classifier, planes.shape, rule.foreground)
    return backend.volume_objects(planes, bank, classifier.forest, rule, slab)


def plane_probability(planes: PlaneReader, plane: int, classifier: Classifier, backend: Backend[Any]) -> Float64:
    """Return the foreground probability of one plane of a volume, as `segment` gives it.

    Parameters
    ----------
    planes : PlaneReader
        As in `segment_planes`; only what the plane's features depend on is read.
    plane : int
        Number of the plane.
    classifier : Classifier
        Features and forest.
    backend : Backend
        Engine.

    Returns
    -------
    ndarray of shape (rows, columns), float64

    Raises
    ------
    ConfigError
        If the classifier was trained on planes, or the volume is too small for the features.
    """
    bank = _bank_of(classifier, planes.shape, classifier.foreground)
    return backend.plane_probability(planes, plane, bank, classifier.forest, classifier.foreground)


def _bank_of(classifier: Classifier, shape: Sequence[int], foreground: int) -> FilterBank:
    """Return the filters for an image; refuse one, or a class, that the classifier does not know."""
    if len(shape) != classifier.ndim:
        raise ConfigError(
            f"the image has {len(shape)} axes, the classifier was trained on images of {classifier.ndim}",
            "train one on such images",
        )
    if not 0 <= foreground < classifier.forest.n_classes:
        raise ConfigError(f"class index {foreground} does not exist", f"use 0 to {classifier.forest.n_classes - 1}")
    return build_bank(classifier.features, len(shape), shape)
