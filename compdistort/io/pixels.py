"""What the pixels of an image must be for their purpose, before and after they are read. Nothing is ever guessed."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ImageFormatError, ImageTooLargeError

Kind = Literal["raw", "labels", "mask", "any"]
Crop = Sequence[tuple[int, int]]
Image = NDArray[Any]

DEFAULT_MAX_BYTES = 8 * 2**30
"""Largest image read unless the caller says otherwise (8 GiB)."""

MAX_EXPANSION = 10_000
"""No lossless coder shrinks an image by more than this: a header that claims more is lying."""

KINDS = ("raw", "labels", "mask", "any")


def check_size(path: Path, shape: Sequence[int], dtype: np.dtype[Any], stored: int | None, max_bytes: int) -> None:
    """Refuse an image that cannot be what its header says, before any memory is asked for.

    Parameters
    ----------
    path : Path
        For the message.
    shape : sequence of int
        Claimed shape.
    dtype : numpy.dtype
        Claimed type of a pixel.
    stored : int or None
        Bytes of the file; None where they do not bound the image.
    max_bytes : int
        Largest image allowed, in bytes.

    Raises
    ------
    ImageFormatError
        No pixels, not 2 or 3 axes, a type that holds no plain numbers, more than 10^4 x the file.
    ImageTooLargeError
        Above the limit; it is an ImageFormatError too, and a ResourceError.
    """
    size = " x ".join(str(n) for n in shape)
    if dtype.kind not in "buif":
        raise ImageFormatError(f"{path}: holds {dtype} pixels, not plain numbers", "save it as greyscale, 8 or 16 bit")
    if len(shape) not in (2, 3):
        raise ImageFormatError(
            f"{path}: has {len(shape)} axes ({size})",
            "give an image (rows, columns) or a stack (planes, rows, columns)",
        )
    if min(shape) <= 0:
        raise ImageFormatError(f"{path}: holds no pixels ({size})", "check how it was written")
    wanted = math.prod(int(n) for n in shape) * dtype.itemsize
    if stored is not None and wanted > MAX_EXPANSION * stored:
        raise ImageFormatError(
            f"{path}: claims {size} {dtype} pixels ({wanted} bytes) in a file of {stored} bytes",
            "the header is damaged: get the file again",
        )
    if wanted > max_bytes:
        raise ImageTooLargeError(
            f"{path}: {size} {dtype} pixels take {wanted} bytes, above the limit of {max_bytes}",
            "crop the image or raise the memory limit",
        )


def check_pixels(path: Path | str, image: Image, kind: Kind) -> Image:
    """Refuse pixels that do not serve the purpose; return them in the type that the purpose wants.

    Parameters
    ----------
    path : Path or str
        For the message.
    image : ndarray of shape (rows, columns) or (planes, rows, columns)
        Pixels as stored.
    kind : {"raw", "labels", "mask", "any"}
        ``raw``: uint16 only. ``labels``: whole numbers >= 0 (bool becomes 0 and 1). ``mask``: two values, one of
        them 0. ``any``: as stored.

    Returns
    -------
    ndarray of the same shape
        uint16 for ``raw``, uint8/16/32/64 for ``labels``, bool for ``mask``, the stored type for ``any``; native byte
        order.

    Raises
    ------
    ImageFormatError
        NaN or infinite values in any case; else what the purpose does not allow, with the conversion to make.
    """
    image = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("="))
    if image.dtype.kind == "f":
        _check_finite(path, image)
    if kind == "raw":
        return _check_raw(path, image)
    if kind == "labels":
        return _check_labels(path, image)
    if kind == "mask":
        return _check_mask(path, image)
    return image


def _check_finite(path: Path | str, image: Image) -> None:
    bad = ~np.isfinite(image)
    if bad.any():
        place = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), image.shape))
        raise ImageFormatError(
            f"{path}: {int(bad.sum())} pixels are NaN or infinite, the first at {place}",
            "give the unprocessed file, or replace them before saving",
        )


def _check_raw(path: Path | str, image: Image) -> Image:
    """Raw is uint16. Everything else is refused with the step that its owner, who knows its history, can take."""
    if image.dtype == np.uint16:
        return image
    what = f"{path}: holds {image.dtype} pixels, but raw data must be 16 bit unsigned (uint16)"
    if image.dtype.itemsize == 1:
        raise ImageFormatError(
            what, "give the camera's own 16-bit file: fewer bits have already lost what is to be measured"
        )
    low, high = image.min(), image.max()
    what += f"; its values are {low:g} to {high:g}"
    if image.dtype.kind == "f" and not bool((image == np.rint(image)).all()):
        raise ImageFormatError(
            what + " and not whole numbers",
            "give the camera's own file: averaged, corrected or scaled values do not have its noise",
        )
    if low < 0:
        raise ImageFormatError(
            what, "if it is raw, add one constant to image and dark frames so that none is below 0, and save as uint16"
        )
    if high > 65535:
        raise ImageFormatError(what, "give the camera's own file: sums or scaled values do not have its noise")
    raise ImageFormatError(what, "if these are the camera's numbers, save it again with numpy: image.astype('uint16')")


def _check_labels(path: Path | str, image: Image) -> Image:
    if image.dtype.kind == "b":
        return image.astype(np.uint8)
    if image.dtype.kind == "u":
        return image
    if image.dtype.kind == "f":
        raise ImageFormatError(
            f"{path}: holds {image.dtype} pixels, but labels are whole numbers", "save it as uint8, uint16 or uint32"
        )
    if int(image.min()) < 0:
        raise ImageFormatError(
            f"{path}: holds the negative label {image.min()}", "number classes and objects from 1; 0 is unlabelled"
        )
    return image.astype(f"u{image.dtype.itemsize}")


def _check_mask(path: Path | str, image: Image) -> Image:
    if image.dtype.kind == "f":
        raise ImageFormatError(
            f"{path}: holds {image.dtype} pixels, but a mask has two values", "threshold it first, save as 0 and 255"
        )
    high = image.max()
    if not bool(((image == 0) | (image == high)).all()):
        raise ImageFormatError(
            f"{path}: is no mask, it holds more values than 0 and {high}",
            "threshold it first, save as 0 (background) and 255 (objects)",
        )
    return np.asarray(image != 0)


def parse_crop(text: str) -> tuple[tuple[int, int], ...]:
    """Read a crop such as ``10:74,0:128``.

    Parameters
    ----------
    text : str
        ``y0:y1,x0:x1`` or ``z0:z1,y0:y1,x0:x1``: first pixel : one past the last.

    Returns
    -------
    tuple of (int, int)

    Raises
    ------
    ImageFormatError
        If it has another form.

    Examples
    --------
    >>> parse_crop("10:74,0:128")
    ((10, 74), (0, 128))
    """
    if not re.fullmatch(r"\d+:\d+(,\d+:\d+){1,2}", text.strip()):
        raise ImageFormatError(f"crop '{text}' is not readable", "write y0:y1,x0:x1 (first pixel : one past the last)")
    pairs = [part.split(":") for part in text.strip().split(",")]
    return tuple((int(start), int(stop)) for start, stop in pairs)


def crop_image(path: Path, image: Image, crop: Crop | None) -> Image:
    """Return the part of the last axes that `crop` names, one (start, stop) an axis.

    Raises
    ------
    ImageFormatError
        If the crop is empty or not inside the image.
    """
    if crop is None:
        return image
    check_crop(path, image.shape, crop)
    window: tuple[Any, ...] = (..., *(slice(start, stop) for start, stop in crop))
    return np.asarray(image[window])


def check_crop(path: Path, shape: Sequence[int], crop: Crop) -> None:
    """Refuse a crop that is empty or not inside an image of this shape.

    Raises
    ------
    ImageFormatError
        With the crop and the shape.
    """
    words = ",".join(f"{start}:{stop}" for start, stop in crop)
    size = shape[-len(crop) :] if crop else ()
    if len(size) != len(crop) or not all(0 <= a < b <= n for (a, b), n in zip(crop, size, strict=True)):
        raise ImageFormatError(
            f"{path}: crop {words} is not inside the image of {' x '.join(map(str, shape))} pixels",
            "write y0:y1,x0:x1 inside it",
        )
