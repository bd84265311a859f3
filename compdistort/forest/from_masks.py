"""Annotations drawn from a full mask of the objects, for images whose every pixel somebody has judged.

How the pixels are drawn decides what the forest's probability means. Drawn evenly (prior ``natural``), background and
objects keep their shares, and the forest is as reluctant to call a pixel an object as objects are rare. Drawn as many
of each (``balanced``), an object pixel counts for hundreds of others where objects are small, and too much is found.
"""

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import UInt8
from compdistort.errors import AnnotationError, ConfigError

BACKGROUND, OBJECT = 1, 2
"""Values of the annotations."""

CLASS_NAMES = ("background", "object")

PRIORS = ("natural", "balanced")

DEFAULT_SAMPLES = 20_000
"""Pixels drawn of an image unless the caller says otherwise."""

Bool = NDArray[np.bool_]


def annotations_from_mask(
    mask: Bool,
    shape: tuple[int, ...],
    seed: int,
    *,
    samples: int = DEFAULT_SAMPLES,
    prior: str = "natural",
    image: int = 0,
) -> UInt8:
    """Draw pixels of a mask as annotations.

    Parameters
    ----------
    mask : ndarray of shape `shape`, bool
        True in the objects.
    shape : tuple of int
        Shape of the image.
    seed : int
        Seed of the draw.
    samples : int
        Pixels to draw, or as many as there are; of ``balanced`` half of them of each class, or as many of each as the
        rarer one has.
    prior : str
        ``natural``: evenly over the image. ``balanced``: as many of each class.
    image : int
        Number of the image, so that images of one seed have draws of their own.

    Returns
    -------
    ndarray of shape `shape`, uint8
        0 = not drawn, 1 = background, 2 = object.

    Raises
    ------
    ConfigError
        If the prior does not exist, or fewer than two pixels are to be drawn.
    AnnotationError
        If the mask has another shape, or holds no object or no background.

    Examples
    --------
    >>> drawn = annotations_from_mask(np.eye(8, dtype=bool), (8, 8), 0, samples=16, prior="balanced")
    >>> np.bincount(drawn.ravel()).tolist()
    [48, 8, 8]
    """
    check_drawing(samples, prior)
    check_mask(mask.shape, shape, int(np.count_nonzero(mask)), mask.size)
    draw = np.random.Generator(np.random.Philox([seed, image]))
    flat = mask.ravel()
    if prior == "natural":
        chosen = draw.choice(flat.size, min(samples, flat.size), replace=False)
    else:
        classes = [np.flatnonzero(~flat), np.flatnonzero(flat)]
        each = min(samples // 2, *(pixels.size for pixels in classes))
        chosen = np.concatenate([draw.choice(pixels, each, replace=False) for pixels in classes])
    labels = np.zeros(flat.size, np.uint8)
    labels[chosen] = np.where(flat[chosen], OBJECT, BACKGROUND)
    return labels.reshape(shape)


def check_drawing(samples: int, prior: str) -> None:
    """Refuse a prior that does not exist, and fewer than two pixels to draw.

    Raises
    ------
    ConfigError
        With the value.
    """
    if prior not in PRIORS:
        raise ConfigError(f"prior '{prior}' does not exist", f"use {' or '.join(PRIORS)}")
    if samples < 2:
        raise ConfigError(f"{samples} pixels cannot hold two classes", "draw 2 or more, better thousands")


def check_mask(found: tuple[int, ...], shape: tuple[int, ...], n_objects: int, n_pixels: int) -> None:
    """Refuse a mask that belongs to another image, or holds one class only.

    Parameters
    ----------
    found, shape : tuple of int
        Shapes of the mask and of the image.
    n_objects, n_pixels : int
        Pixels of objects, and all pixels of the mask.

    Raises
    ------
    AnnotationError
        With what is wrong.
    """
    if tuple(found) != tuple(shape):
        sizes = [" x ".join(map(str, each)) for each in (found, shape)]
        raise AnnotationError(f"mask: is {sizes[0]} pixels, the image is {sizes[1]}", "give the mask of the same field")
    if not n_objects:
        raise AnnotationError("mask: holds no object", "give the mask of an image with objects, or leave the image out")
    if n_objects == n_pixels:
        raise AnnotationError("mask: is full, nothing is background", "mark objects only, 0 = background")
