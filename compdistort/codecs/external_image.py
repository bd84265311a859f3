"""What other programs leave: decoded images that are checked before they count, and files that are weighed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CodecRangeError, InputError
from compdistort.io.files import resource_errors

Image = NDArray[Any]


def check_decoded(name: str, image: Image) -> Image:
    """Refuse an image that no codec may give back.

    Parameters
    ----------
    name : str
        Of the image, for the message.
    image : ndarray of shape (rows, columns) or (planes, rows, columns)
        Decoded image, finite.

    Returns
    -------
    ndarray of the same shape, uint16 or float32
        The image, DN.

    Raises
    ------
    CodecRangeError
        Another type, or values outside 0 to 65535.
    """
    if image.dtype not in (np.dtype(np.uint16), np.dtype(np.float32)):
        raise CodecRangeError(
            f"codec 'external': {name} holds {image.dtype} pixels",
            "save it on the scale of the raw image as uint16, or as float32 where it has fractions",
        )
    if image.dtype == np.float32 and not (image.min() >= 0 and image.max() <= 65535):
        raise CodecRangeError(
            f"codec 'external': {name} holds values {image.min():g} to {image.max():g}, outside 0 to 65535",
            "bring it back to the scale of the raw image, and clip it",
        )
    return image


def stored_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder.

    Parameters
    ----------
    path : Path
        File or folder.

    Returns
    -------
    int
        Above 0.

    Raises
    ------
    InputError
        If it does not exist, or holds nothing.
    ResourceError
        If it cannot be looked at.
    """
    with resource_errors(path):
        if not path.exists():
            raise InputError(f"codec 'external': {path} does not exist", "correct the path of the compressed file")
        files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
        total = sum(each.stat().st_size for each in files)
    if not total:
        raise InputError(f"codec 'external': {path} is empty", "give the compressed file")
    return total


def part_like(
    image: Image, shape: Sequence[int], page: int | None, crop: Sequence[tuple[int, int]] | None
) -> tuple[Image, str] | None:
    """Return the part of a decoded image that a raw image of `shape` is of the recorded one.

    Parameters
    ----------
    image : ndarray of shape (rows, columns) or (planes, rows, columns)
        Decoded image.
    shape : sequence of int
        Of the raw image.
    page : int or None
        Plane that was taken of the recorded image.
    crop : sequence of (start, stop), or None
        What was cut out of it, as spans of the last axes.

    Returns
    -------
    tuple of (ndarray of `shape`, str), or None
        The part, and which it is in words: the whole image where that has the shape, else its page, crop or both; None
        where no part has it.

    Examples
    --------
    >>> part_like(np.zeros((4, 9, 9)), (2, 3), 3, ((0, 2), (0, 3)))[1]
    'page 3, crop 0:2,0:3'
    >>> part_like(np.zeros((2, 3)), (2, 3), 3, ((0, 2), (0, 3)))[1]
    'whole'
    """
    words: list[str] = []
    if image.shape == tuple(shape):
        return image, "whole"
    if page is not None and image.ndim == 3 and page < len(image):
        image = image[page]
        words.append(f"page {page}")
    if image.shape != tuple(shape) and crop is not None and len(crop) <= image.ndim:
        window: tuple[Any, ...] = (..., *(slice(start, stop) for start, stop in crop))
        image = image[window]
        words.append("crop " + ",".join(f"{start}:{stop}" for start, stop in crop))
    return (image, ", ".join(words)) if image.shape == tuple(shape) else None
