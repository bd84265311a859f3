"""From an image to its objects: probability, mask, labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float64, Int32, SegmentRule
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
    if image.ndim != classifier.ndim:
        raise ConfigError(
            f"the image has {image.ndim} axes, the classifier was trained on images of {classifier.ndim}",
            "train one on such images",
        )
    if not 0 <= rule.foreground < classifier.forest.n_classes:
        raise ConfigError(
            f"class index {rule.foreground} does not exist", f"use 0 to {classifier.forest.n_classes - 1}"
        )
    bank = build_bank(classifier.features, image.ndim, image.shape)
    probability = backend.image_probability(backend.to_device(image), bank, classifier.forest, rule.foreground)
    found = backend.to_host(backend.label(backend.threshold(probability, rule), rule))
    labels: Int32 = found.astype(np.int32, copy=False)
    on_host: Float64 = backend.to_host(probability).astype(np.float64, copy=False)
    return Segmentation(probability=on_host, mask=labels > 0, labels=labels)
