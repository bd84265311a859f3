"""Reading sparse annotations: a label image in which 0 means "not annotated"."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import UInt8
from compdistort.errors import AnnotationError
from compdistort.io.images import Crop, read_image
from compdistort.io.planes import groups
from compdistort.io.strokes import Strokes
from compdistort.io.volume import Volume, open_volume

MAX_VALUE = 255

MOST_STROKES = 1 << 26
"""Most annotated voxels that are taken from a volume read plane by plane (600 MB of them)."""

Int64 = NDArray[np.int64]


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
    _check_shape(path, labels.shape, image_shape)
    if labels.size:
        _check_values(path, labels)
    _check_any(path, bool(labels.any()))
    return labels.astype(np.uint8)


def read_strokes(path: Path | str, image_shape: tuple[int, ...], crop: Crop | None = None) -> Strokes:
    """Read annotations drawn on a volume, a few planes at a time.

    Parameters
    ----------
    path : Path or str
        Any volume that `open_volume` opens.
    image_shape : tuple of int
        Shape of the volume they belong to, (planes, rows, columns), after its crop.
    crop : sequence of (start, stop), optional
        Crop of the volume.

    Returns
    -------
    Strokes

    Raises
    ------
    ImageFormatError
        If it is no label volume.
    AnnotationError
        If shape or values cannot be annotations of this volume, or more than `MOST_STROKES` voxels are annotated.
    """
    with open_volume(path, kind="labels") as volume:
        if crop is None or volume.shape == tuple(image_shape):
            return _strokes(path, volume, image_shape)
    with open_volume(path, kind="labels", crop=crop) as volume:
        return _strokes(path, volume, image_shape)


def _strokes(path: Path | str, volume: Volume, image_shape: tuple[int, ...]) -> Strokes:
    _check_shape(path, volume.shape, image_shape)
    flat, value, found = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)], 0
    for start, stop in groups(0, volume.shape[0]):
        labels = volume.read_planes(start, stop)
        _check_values(path, labels)
        here = np.flatnonzero(labels)
        found += here.size
        if found > MOST_STROKES:
            raise AnnotationError(
                f"{path}: more than {MOST_STROKES} voxels are annotated in planes 0 to {stop - 1}",
                "draw strokes, not every voxel of a volume that does not fit into memory",
            )
        flat.append(here + start * volume.shape[1] * volume.shape[2])
        value.append(labels.reshape(-1)[here].astype(np.uint8))
    _check_any(path, found > 0)
    return Strokes(shape=volume.shape, flat=np.concatenate(flat), value=np.concatenate(value))


def _check_shape(path: Path | str, shape: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
    if shape != tuple(image_shape):
        raise AnnotationError(
            f"{path}: annotations are {_size(shape)} pixels, the image is {_size(image_shape)}",
            "annotate the image itself, uncropped and unscaled",
        )


def _check_values(path: Path | str, labels: NDArray[Any]) -> None:
    if int(labels.max()) > MAX_VALUE:
        raise AnnotationError(
            f"{path}: holds the value {int(labels.max())}",
            "give 0 = not annotated and class numbers 1 to 255 (a label image of single objects is no annotation)",
        )


def _check_any(path: Path | str, annotated: bool) -> None:
    if not annotated:
        raise AnnotationError(f"{path}: no pixel is annotated", "draw some pixels of every class, 0 = not annotated")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
