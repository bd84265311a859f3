"""The two small formats: greyscale PNG and NumPy's .npy, with the same care as TIFF."""

import math
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from compdistort.errors import ImageFormatError
from compdistort.io.files import atomic_path
from compdistort.io.pixels import Image, check_size

_COLOUR = {2: "RGB", 3: "a colour palette", 4: "grey with transparency", 6: "RGB with transparency"}
_END = b"IEND\xaeB`\x82"
_AGAIN = "it is truncated or damaged: get the file again"


def read_png(path: Path, *, exact_numbers: bool, max_bytes: int) -> Image:
    """Read a greyscale PNG.

    Parameters
    ----------
    path : Path
        PNG file.
    exact_numbers : bool
        Refuse fewer than 8 bits, whose values readers stretch to 0..255: fine for a mask, wrong for labels.
    max_bytes : int
        Largest image allowed.

    Returns
    -------
    ndarray of shape (rows, columns), uint8 or uint16

    Raises
    ------
    ImageFormatError
        Colour, damage, or more pixels than the file can hold.
    """
    data = path.read_bytes()
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise ImageFormatError(f"{path}: has no valid PNG header", _AGAIN)
    columns, rows, bits, colour = struct.unpack(">IIBB", data[16:26])
    if colour != 0:
        raise ImageFormatError(
            f"{path}: is {_COLOUR.get(colour, f'of colour type {colour}')}", "save it as a greyscale PNG or TIFF"
        )
    if bits < 8 and exact_numbers:
        raise ImageFormatError(
            f"{path}: has {bits} bits a pixel", "save it as 8-bit PNG or TIFF, which keep the label numbers"
        )
    check_size(path, (rows, columns), np.dtype(np.uint16 if bits == 16 else np.uint8), len(data), max_bytes)
    if _END not in data:
        raise ImageFormatError(f"{path}: has no end mark", _AGAIN)
    try:
        image = imagecodecs.png_decode(data)
    except (imagecodecs.PngError, ValueError, RuntimeError) as error:
        raise ImageFormatError(f"{path}: cannot be decoded ({error})", _AGAIN) from error
    if image.shape != (rows, columns):
        raise ImageFormatError(f"{path}: decodes to shape {image.shape}, its header says {rows} x {columns}", _AGAIN)
    return np.asarray(image)


def write_png(path: Path | str, array: Image) -> None:
    """Write a 2D image as PNG, whole or not at all.

    Parameters
    ----------
    path : Path or str
        File; an older one is replaced.
    array : ndarray of shape (rows, columns) or (rows, columns, 3)
        uint8 or uint16; bool is written as 0 and 255.

    Raises
    ------
    ImageFormatError
        Another shape or type.
    ResourceError
        If the disk refuses.
    """
    path = Path(path)
    image = np.ascontiguousarray(array)
    if image.dtype.kind == "b":
        image = image.astype(np.uint8) * np.uint8(255)
    if image.dtype not in (np.uint8, np.uint16) or not (image.ndim == 2 or image.shape[2:] == (3,)) or image.size == 0:
        raise ImageFormatError(
            f"{path}: cannot write {image.dtype} of shape {image.shape} as PNG",
            "give one 8 or 16-bit plane, or write TIFF",
        )
    with atomic_path(path) as partial:
        partial.write_bytes(imagecodecs.png_encode(image))


def read_npy(path: Path, *, max_bytes: int) -> Image:
    """Read an array from a .npy file; pickled objects are never loaded.

    Parameters
    ----------
    path : Path
        File written by ``numpy.save``.
    max_bytes : int
        Largest image allowed.

    Returns
    -------
    ndarray of shape (rows, columns) or (planes, rows, columns)

    Raises
    ------
    ImageFormatError
        Damage, objects, colour (a last axis of 3 or 4), or a length that does not fit the header.
    """
    with path.open("rb") as file:
        shape, fortran, dtype = npy_header(path, file)
        check_size(path, shape, dtype, None, max_bytes)
        flat = np.fromfile(file, dtype=dtype, count=math.prod(shape))
    return flat.reshape(shape, order="F" if fortran else "C")


def npy_header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an open .npy file, which must hold what it says; the file is left at the first pixel.

    Parameters
    ----------
    path : Path
        For the message.
    file : file object
        The file, at its start.

    Returns
    -------
    tuple of int
        Shape.
    bool
        Whether the first axis is the fastest (Fortran's order).
    numpy.dtype
        Type as stored.

    Raises
    ------
    ImageFormatError
        As `read_npy`.
    """
    size = path.stat().st_size
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
    except (ValueError, EOFError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise ImageFormatError(
            f"{path}: has no valid npy header ({' '.join(str(error).split())[:120]})", _AGAIN
        ) from error
    check_size(path, shape, dtype, size, sys.maxsize)
    if len(shape) == 3 and shape[2] in (3, 4):
        raise ImageFormatError(
            f"{path}: has a last axis of {shape[2]}, which looks like colour",
            "save one channel, axes (planes, rows, columns)",
        )
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ImageFormatError(f"{path}: {size} bytes do not hold {' x '.join(map(str, shape))} {dtype} pixels", _AGAIN)
    return shape, fortran, dtype
