"""TIFF volumes: pages of one file, planes under one page as ImageJ writes them, and folders of one file a plane."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from compdistort.errors import ImageFormatError
from compdistort.io.pixels import Image
from compdistort.io.tiff import check_page, page_words, plain_page, read_tiff
from compdistort.io.tiff_axes import Planes, find_planes
from compdistort.io.tiff_layout import count_pages
from compdistort.io.volume_source import FlatSource, PlaneWise, Source, Span, check_volume


def open_tiff(path: Path, *, channel: int | None, time: int | None, stored_numbers: bool, max_bytes: int) -> Source:
    """Open the planes of a TIFF file; every page is checked, none is read.

    Parameters
    ----------
    path : Path
        TIFF, BigTIFF, ImageJ or OME-TIFF.
    channel, time : int or None
        What to read of several.
    stored_numbers : bool
        Accept palette and white-is-zero pages and return the numbers as stored.
    max_bytes : int
        Largest plane.

    Returns
    -------
    Source

    Raises
    ------
    ImageFormatError
        As `compdistort.io.tiff.read_tiff` and `compdistort.io.tiff_axes.find_planes`.
    """
    n_pages = count_pages(path)
    file = tifffile.TiffFile(path, _multifile=False)
    try:
        first = plain_page(file.pages[0])
        check_page(path, 0, first, stored_numbers, path.stat().st_size, max_bytes)
        planes = find_planes(path, first, n_pages, channel, time)
        if not planes.under_one_page:
            return PagedTiff(path, file, planes, stored_numbers, max_bytes)
        flat = _under_one_page(path, first, planes, max_bytes)
    except BaseException:
        file.close()
        raise
    file.close()
    return flat


def _under_one_page(path: Path, page: tifffile.TiffPage, planes: Planes, max_bytes: int) -> FlatSource:
    """Return planes that follow the first page's without pages of their own."""
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    shape = (len(planes.pages), page.shape[0], page.shape[1])
    check_volume(path, shape, dtype, (1, *shape[1:]), path.stat().st_size, max_bytes)
    if len(planes.pages) > 1 and planes.pages[1] - planes.pages[0] != 1:
        raise ImageFormatError(
            f"{path}: has several channels under one page", "save one channel as its own file, or as OME-Zarr"
        )
    offset = int(page.dataoffsets[0]) + planes.pages[0] * page.nbytes
    return FlatSource(path, offset, shape, dtype, planes.voxel_um)


class PagedTiff(PlaneWise):
    """Planes with a page each.

    Parameters
    ----------
    path : Path
        File.
    file : tifffile.TiffFile
        The same, open; closed by `close`.
    planes : Planes
        Page of each plane.
    stored_numbers : bool
        As for `open_tiff`.
    max_bytes : int
        Largest plane.

    Raises
    ------
    ImageFormatError
        A page that cannot be read, or of another size or type than the first.
    """

    def __init__(
        self, path: Path, file: tifffile.TiffFile, planes: Planes, stored_numbers: bool, max_bytes: int
    ) -> None:
        self._file = file
        self._pages = planes.pages
        size = path.stat().st_size
        first = self._page(0)
        for plane, number in enumerate(self._pages):
            # Not kept: the places of a million strips would take more memory than a plane.
            page = self._page(plane)
            check_page(path, number, page, stored_numbers, size, max_bytes)
            if (page.shape, page.dtype) != (first.shape, first.dtype):
                raise ImageFormatError(
                    f"{path}: plane {plane} (page {number}) is {page_words(page)}, plane 0 is {page_words(first)}",
                    "save planes of one size and type",
                )
        shape = (len(self._pages), first.shape[0], first.shape[1])
        super().__init__(shape, np.dtype(first.dtype), planes.voxel_um)
        check_volume(path, self.shape, self.dtype, self.chunk, size, max_bytes)

    def _page(self, plane: int) -> tifffile.TiffPage:
        return plain_page(self._file.pages[self._pages[plane]])

    def read(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return a box of shape (planes, rows, columns)."""
        box = self.empty(planes, rows, columns)
        for index, plane in enumerate(range(*planes)):
            box[index] = self._page(plane).asarray()[slice(*rows), slice(*columns)]
        return box

    def part(self, plane: int, row: int, column: int) -> str:
        """Name the plane and its page."""
        del row, column
        return f"plane {plane} (page {self._pages[plane]})"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PlaneFolder(PlaneWise):
    """A folder of one TIFF file a plane.

    Parameters
    ----------
    files : sequence of Path
        One a plane, in order.
    stored_numbers : bool
        As for `open_tiff`.
    max_bytes : int
        Largest plane.

    Raises
    ------
    ImageFormatError
        A file that cannot be read, has several pages, or is of another size or type than the first.
    """

    def __init__(self, files: Sequence[Path], stored_numbers: bool, max_bytes: int) -> None:
        self._files = files
        self._stored_numbers = stored_numbers
        self._max_bytes = max_bytes
        shape, dtype = self._header(files[0])
        for file in files:
            found = self._header(file)
            if found != (shape, dtype):
                raise ImageFormatError(
                    f"{file}: is {found[0][0]} x {found[0][1]} {found[1]}, "
                    f"{files[0]} is {shape[0]} x {shape[1]} {dtype}",
                    "give planes of one size and type",
                )
        super().__init__((len(files), *shape), dtype, None)

    def _header(self, file: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
        n_pages = count_pages(file)
        if n_pages != 1:
            raise ImageFormatError(
                f"{file}: holds {n_pages} pages", "in a folder that is read as a volume, each file is one plane"
            )
        with tifffile.TiffFile(file, _multifile=False) as tiff:
            page = plain_page(tiff.pages[0])
            check_page(file, 0, page, self._stored_numbers, file.stat().st_size, self._max_bytes)
            return (page.shape[0], page.shape[1]), np.dtype(page.dtype)

    def read(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return a box of shape (planes, rows, columns).

        Raises
        ------
        ImageFormatError
            If a file is damaged, or not what it was when the folder was opened.
        """
        box = self.empty(planes, rows, columns)
        for index, plane in enumerate(range(*planes)):
            file = self._files[plane]
            image = read_tiff(file, page=0, stored_numbers=self._stored_numbers, max_bytes=self._max_bytes)
            if (image.shape, image.dtype) != (self.shape[1:], self.dtype):
                raise ImageFormatError(f"{file}: has changed since the folder was opened", "let nobody write to it")
            box[index] = image[slice(*rows), slice(*columns)]
        return box

    def part(self, plane: int, row: int, column: int) -> str:
        """Name the plane and its file."""
        del row, column
        return f"plane {plane} ({self._files[plane].name})"

    def close(self) -> None:
        """Nothing stays open between two reads."""
