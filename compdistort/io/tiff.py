"""TIFF: pages read only after the file has been shown to hold what it claims; written whole or not at all."""

import json
import logging
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from compdistort.errors import ImageFormatError
from compdistort.io.files import atomic_path, decoding_errors
from compdistort.io.pixels import Image, check_size
from compdistort.io.tiff_layout import count_pages

_LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}  # none, LZW, Deflate, PackBits, LZMA, Zstandard
_GREY = {0: "white is zero", 1: "black is zero", 3: "palette"}
_BIGTIFF_BYTES = 2**32 - 2**25
AGAIN = "it is truncated or damaged: get the file again"
INDEX_MARK = "NOT INTENSITIES"
"""How the description of a page begins that holds the indices of a VSQ image, see `codecs.vsq.tiff_carrier`."""

# A damaged file is reported once, as our own error; tifffile's notes go to whoever has set up logging.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(path: Path, *, page: int | None, stored_numbers: bool, max_bytes: int) -> Image:
    """Read one page, or all pages as a stack, of a greyscale TIFF file.

    Parameters
    ----------
    path : Path
        TIFF, BigTIFF or OME-TIFF; only the main chain of pages is read, no other file is followed.
    page : int or None
        Page to read; None = all, which must then have one size and type.
    stored_numbers : bool
        Accept palette and white-is-zero pages and return the numbers as stored (labels and masks); else refuse them.
    max_bytes : int
        Largest image allowed.

    Returns
    -------
    ndarray of shape (rows, columns), or (pages, rows, columns) for more than one page

    Raises
    ------
    ImageFormatError
        Any damage, colour, unsupported compression, pages of different size, or more pixels than the file can hold.
    """
    n_pages = count_pages(path)
    if page is not None and not 0 <= page < n_pages:
        raise ImageFormatError(f"{path}: has no page {page}", f"choose one from 0 to {n_pages - 1}")
    numbers = range(n_pages) if page is None else range(page, page + 1)
    with decoding_errors(path, "be decoded", AGAIN), tifffile.TiffFile(path, _multifile=False) as file:
        return _read_pages(path, file, numbers, stored_numbers, max_bytes)


def _read_pages(
    path: Path, file: tifffile.TiffFile, numbers: Sequence[int], stored_numbers: bool, max_bytes: int
) -> Image:
    size = path.stat().st_size
    pages = [plain_page(file.pages[number]) for number in numbers]
    first = pages[0]
    for number, each in zip(numbers, pages, strict=True):
        check_page(path, number, each, stored_numbers, size, max_bytes)
        if (each.shape, each.dtype) != (first.shape, first.dtype):
            raise ImageFormatError(
                f"{path}: page {number} is {page_words(each)}, page {numbers[0]} is {page_words(first)}",
                "choose one page, or save pages of one size and type",
            )
    _check_dimensions(path, first.description, len(pages), len(file.pages))
    shape = first.shape if len(pages) == 1 else (len(pages), *first.shape)
    check_size(path, shape, np.dtype(first.dtype), size, max_bytes)
    image = np.empty(shape, first.dtype)
    for plane, each in zip(image[None] if len(pages) == 1 else image, pages, strict=True):
        plane[...] = each.asarray()
    return image


def plain_page(page: Any) -> tifffile.TiffPage:
    """Return a page with its own tags (tifffile may hand out a light frame that leans on another page)."""
    return page if isinstance(page, tifffile.TiffPage) else page.aspage()


def page_words(page: tifffile.TiffPage) -> str:
    """Size and type of a page, for a message."""
    return f"{' x '.join(str(n) for n in page.shape)} {page.dtype}"


def check_page(
    path: Path, number: int, page: tifffile.TiffPage, stored_numbers: bool, size: int, max_bytes: int
) -> None:
    """Refuse a page that is no plain greyscale image, or that the file cannot hold.

    Raises
    ------
    ImageFormatError
        Colour, lossy compression, an odd pixel type, strips or tiles missing or past the end of the file.
    """
    where = f"{path}: page {number}" if number else f"{path}:"
    if page.samplesperpixel != 1 or int(page.photometric) not in _GREY:
        raise ImageFormatError(
            f"{where} is colour ({page.samplesperpixel} samples a pixel)", "save one channel as a greyscale image"
        )
    if int(page.photometric) != 1 and not stored_numbers:
        raise ImageFormatError(
            f"{where} is stored as '{_GREY[int(page.photometric)]}'",
            "save it as a plain greyscale image (black is zero)",
        )
    if page.description.startswith(INDEX_MARK):
        raise ImageFormatError(
            f"{where} holds the indices of a VSQ image, not intensities", "restore them with `compdistort decode`"
        )
    check_stored(path, where, page, _LOSSLESS, size, max_bytes)


def check_stored(
    path: Path, where: str, page: tifffile.TiffPage, known: Collection[int], size: int, max_bytes: int
) -> None:
    """Refuse a page that is coded in another way than the known ones, has no plain pixels, or more than its file holds.

    Parameters
    ----------
    path : Path
        The file, for messages.
    where : str
        The same with the page.
    page : tifffile.TiffPage
        The page.
    known : collection of int
        TIFF's numbers of the compressions that are allowed.
    size : int
        Bytes of the file.
    max_bytes : int
        Largest image allowed.

    Raises
    ------
    ImageFormatError
        Another compression, an odd pixel type, strips or tiles missing or past the end of the file.
    """
    if int(page.compression) not in known:
        raise ImageFormatError(
            f"{where} uses compression {int(page.compression)}",
            "save it without compression, or with Deflate, LZW or Zstandard",
        )
    if page.dtype is None or len(page.shape) != 2:
        raise ImageFormatError(
            f"{where} has {len(page.shape)} axes of {page.bitspersample}-bit pixels",
            "save it as 8, 16 or 32 bit, two axes a page",
        )
    check_size(path, page.shape, page.dtype, size, max_bytes)
    if page.is_tiled:
        check_size(path, page.chunks[-2:] if len(page.chunks) > 2 else page.chunks, page.dtype, size, max_bytes)
    _check_segments(where, page, size)


def _check_segments(where: str, page: tifffile.TiffPage, size: int) -> None:
    """Every strip or tile must be there, lie inside the file, and be long enough where it is not compressed."""
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = math.prod(page.chunked)
    if len(offsets) != expected or len(counts) != expected:
        raise ImageFormatError(f"{where} lists {len(offsets)} of its {expected} strips or tiles", AGAIN)
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if offset <= 0 or count <= 0:
            raise ImageFormatError(f"{where} has no data for strip or tile {index}", AGAIN)
        if offset + count > size:
            raise ImageFormatError(f"{where} needs bytes up to {offset + count}, the file ends at {size}", AGAIN)
    if int(page.compression) == 1 and sum(counts) * 8 < math.prod(page.shape) * page.bitspersample:
        raise ImageFormatError(f"{where} holds {sum(counts)} bytes of pixels, its size needs {page.nbytes}", AGAIN)


def _check_dimensions(path: Path, description: str, chosen: int, total: int) -> None:
    """Refuse channels mixed into a stack, and ImageJ's files of one page that stands for many."""
    imagej = description.startswith("ImageJ=")
    if imagej and (match := re.search(r"^images=(\d+)", description, re.M)) and total == 1 < int(match[1]):
        raise ImageFormatError(
            f"{path}: is an ImageJ file of {match[1]} images under one page", "save it as BigTIFF or OME-Zarr"
        )
    found = re.search(r"^channels=(\d+)", description, re.M) if imagej else re.search(r'\bSizeC="(\d+)"', description)
    if found and int(found[1]) > 1 and chosen > 1:
        raise ImageFormatError(
            f"{path}: holds {found[1]} channels", "choose one page, or save one channel as its own file"
        )
    sizes = (
        re.findall(r"^(?:slices|frames)=(\d+)", description, re.M)
        if imagej
        else re.findall(r'\bSize[ZT]="(\d+)"', description)
    )
    if chosen > 1 and sum(int(n) > 1 for n in sizes) > 1:
        raise ImageFormatError(
            f"{path}: holds planes and times ({' x '.join(sizes)})", "save one time point as its own file"
        )


def write_tiff(path: Path | str, array: Image, metadata: Mapping[str, Any] | None = None) -> None:
    """Write an image or stack as a lossless TIFF (Deflate), whole or not at all. Equal input gives equal bytes.

    Parameters
    ----------
    path : Path or str
        File; an older one is replaced.
    array : ndarray of shape (rows, columns) or (planes, rows, columns)
        bool is written as 0 and 255 in 8 bit; else uint8/16/32, int8/16/32, float32 or float64.
    metadata : mapping, optional
        Written as JSON into the ImageDescription of the first page.

    Raises
    ------
    ImageFormatError
        An array of another shape or type.
    ResourceError
        If the disk refuses.
    """
    path = Path(path)
    image = np.ascontiguousarray(array)
    if image.dtype.kind == "b":
        image = image.astype(np.uint8) * np.uint8(255)
    if image.ndim not in (2, 3) or image.dtype.kind not in "uif" or image.size == 0:
        raise ImageFormatError(
            f"{path}: cannot write {image.dtype} of shape {image.shape} as TIFF", "give a greyscale image or stack"
        )
    with atomic_path(path) as partial:
        tifffile.imwrite(
            partial,
            image,
            photometric="minisblack",
            compression="zlib",
            predictor=image.dtype.kind in "ui",
            description=json.dumps(dict(metadata), sort_keys=True) if metadata else None,
            metadata=None,
            software="compdistort",
            bigtiff=image.nbytes > _BIGTIFF_BYTES,
        )
