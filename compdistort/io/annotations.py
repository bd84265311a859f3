"""Reading sparse annotations: a label image in which 0 means "not annotated"."""

from pathlib import Path

import numpy as np

from compdistort.backend.base import UInt8
from compdistort.errors import AnnotationError
from compdistort.io.images import Crop, read_image

MAX_VALUE = 255


def read_annotations(path: Path | str, image_shape: tuple[int, ...], crop: Crop | None = None) -> UInt8:
    """Read annotations drawn on an image.

    Parameters
    ----------
    path : Path or str
        PNG, TIFF, npy, or the folder of an OME-Zarr label image.
    image_shape : tuple of int
        Shape of the image they belong to, ([planes,] rows, columns), after its crop.
    crop : sequence of (start, stop), optional
        Crop of the image, e.g. ``((y0, y1), (x0, x1))``: annotations of the whole image are cut likewise. Annotations
        that have the shape of the cropped image already are taken as they are.

    Returns
    -------
    ndarray of shape `image_shape`, uint8
        0 = not annotated, 1 to 255 = class.

    Raises
    ------
    ImageFormatError
        If it is no label image (damaged, colour, fractions, negative values).
    AnnotationError
        If shape or values cannot be annotations of this image.
    """
    labels = read_image(path, kind="labels")
    if crop is not None and labels.shape != tuple(image_shape):
        labels = read_image(path, kind="labels", crop=crop)
    if labels.shape != tuple(image_shape):
        raise AnnotationError(
            f"{path}: annotations are {_size(labels.shape)} pixels, the image is {_size(image_shape)}",
            "annotate the image itself, uncropped and unscaled",
        )
    if labels.size and int(labels.max()) > MAX_VALUE:
        raise AnnotationError(
            f"{path}: holds the value {int(labels.max())}",
            "give 0 = not annotated and class numbers 1 to 255 (a label image of single objects is no annotation)",
        )
    if not labels.any():
        raise AnnotationError(f"{path}: no pixel is annotated", "draw some pixels of every class, 0 = not annotated")
    return labels.astype(np.uint8)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
