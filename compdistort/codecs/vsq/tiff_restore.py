"""Grey levels from TIFF files of index pages, see `compdistort.codecs.vsq.tiff_carrier`."""

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from compdistort.codecs.vsq.chunk import pixel_bytes
from compdistort.codecs.vsq.container_header import parse_header
from compdistort.codecs.vsq.tiff_carrier import COMPRESSIONS
from compdistort.codecs.vsq.tiles import DEFAULT_TILE, chunk_number
from compdistort.errors import ImageFormatError
from compdistort.io.files import decoding_errors
from compdistort.io.pixels import DEFAULT_MAX_BYTES, check_size
from compdistort.io.tiff import AGAIN, INDEX_MARK, check_stored, plain_page
from compdistort.io.tiff_layout import count_pages
from compdistort.rng import MAX_SEED


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page says of itself."""

    seed: int
    stored_crc: int
    saturated: int
    pixels_crc: int


class IndexTiff:
    """An open TIFF of index pages (a `PlaneReader`); made by `open_index_tiff`.

    Attributes
    ----------
    header : VsqHeader
        What the first page says.
    shape : tuple of three int
        Planes, rows, columns.
    dtype : numpy.dtype
        Type of the restored pixels.
    damaged : list of str
        Pages that could not be restored so far, and why; only where the file is opened to keep going.
    """

    def __init__(
        self, path: Path, file: tifffile.TiffFile, n_pages: int, dtype: Any, keep_going: bool, max_bytes: int
    ) -> None:
        self._path, self._file, self._max_bytes = path, file, max_bytes
        self._keep_going, self.damaged = keep_going, list[str]()
        told = self._told(0).get("vsq")
        if not isinstance(told, dict):
            raise ImageFormatError(f"{path}: its first page does not describe a VSQ image", AGAIN)
        whole = told | {"tile": DEFAULT_TILE, "backend": "jxl", "effort": 7, "raw_blake2b": "0" * 32}
        self.header = parse_header(str(path), whole).complete({})
        self.shape, self.dtype = self.header.volume, np.dtype(dtype)
        if n_pages != self.shape[0]:
            raise ImageFormatError(f"{path}: has {n_pages} pages for {self.shape[0]} planes", AGAIN)

    def read_planes(self, start: int, stop: int) -> NDArray[Any]:
        """Restore planes.

        Parameters
        ----------
        start, stop : int
            First plane, and one past the last.

        Returns
        -------
        ndarray of shape (stop - start, rows, columns), `dtype`
            DN.

        Raises
        ------
        ImageFormatError
            Planes that do not exist; a damaged page, with its number.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ImageFormatError(f"{self._path}: has no planes {start}:{stop}", f"choose some of 0:{self.shape[0]}")
        shape = (stop - start, *self.shape[1:])
        check_size(self._path, shape, self.dtype, None, self._max_bytes)
        planes = np.zeros(shape, self.dtype)
        for number in range(start, stop):
            try:
                planes[number - start] = self._restore(number)
            except ImageFormatError as error:
                if not self._keep_going:
                    raise
                self.damaged.append(error.what)
        return planes

    def check(self) -> list[str]:
        """Restore every page; return what is damaged, an entry a page."""
        found: list[str] = []
        for number in range(self.shape[0]):
            try:
                self._restore(number)
            except ImageFormatError as error:
                found.append(error.what)
        return found

    def _restore(self, number: int) -> NDArray[Any]:
        where, quantiser = f"{self._path}: page {number}", self.header.quantiser
        with decoding_errors(where, "be restored", AGAIN):
            page, entry = self._page(number), _parse_page(self._told(number).get("page"))
            size = self._path.stat().st_size
            check_stored(self._path, where, page, COMPRESSIONS.values(), size, self._max_bytes)
            if self._strip_crc(page) != entry.stored_crc:  # before a decoder sees the bytes
                raise ImageFormatError(f"{where} is damaged: the checksum of its bytes does not hold", AGAIN)
            stored = page.asarray()
            if stored.shape != self.shape[1:] or stored.dtype.kind != "u":
                raise ImageFormatError(f"{where} is {stored.shape} {stored.dtype}", AGAIN)
            indices = np.where(stored == entry.saturated, quantiser.saturated, stored).astype(np.uint16)
            key = entry.seed, chunk_number(self.header.settings.seed, number)
            pixels = quantiser.restore(indices, *key)
        if zlib.crc32(pixel_bytes(pixels)) != entry.pixels_crc:
            raise ImageFormatError(f"{where} is damaged: the checksum of its pixels does not hold", AGAIN)
        return pixels if self.dtype == np.uint16 else quantiser.restore(indices, *key, np.float32)

    def _strip_crc(self, page: tifffile.TiffPage) -> int:
        """Return the checksum of a page's bytes, which lie in one strip."""
        if len(page.dataoffsets) != 1:
            raise ImageFormatError(f"{self._path}: a page has {len(page.dataoffsets)} strips, not one", AGAIN)
        file = self._file.filehandle
        file.seek(page.dataoffsets[0])
        return zlib.crc32(file.read(page.databytecounts[0]))

    def _page(self, number: int) -> tifffile.TiffPage:
        return plain_page(self._file.pages[number])

    def _told(self, number: int) -> dict[str, Any]:
        """Return the JSON of a page's description."""
        words, _, text = self._page(number).description.partition("\n")
        if not words.startswith(INDEX_MARK):
            raise ImageFormatError(f"{self._path}: page {number} holds no VSQ indices", "open it as an image")
        return dict(json.loads(text))


def _parse_page(told: Mapping[str, Any] | None) -> _Page:
    limits = {"seed": MAX_SEED, "stored_crc32": 2**32 - 1, "saturated": 65536, "pixels_crc32": 2**32 - 1}
    numbers: list[int] = []
    for name, most in limits.items():
        number = (told or {}).get(name)
        if type(number) is not int or not 0 <= number <= most:
            raise ValueError(f"{name} is {number!r}")
        numbers.append(number)
    return _Page(*numbers)


def is_index_tiff(path: Path) -> bool:
    """Return whether a TIFF file holds indices of a VSQ image: whether its first page says so."""
    count_pages(path)
    with decoding_errors(path, "be opened", AGAIN), tifffile.TiffFile(path, _multifile=False) as file:
        return plain_page(file.pages[0]).description.startswith(INDEX_MARK)


@contextmanager
def open_index_tiff(
    path: Path | str, *, dtype: Any = np.uint16, keep_going: bool = False, max_bytes: int = DEFAULT_MAX_BYTES
) -> Iterator[IndexTiff]:
    """Open a TIFF of index pages for restoring planes.

    Parameters
    ----------
    path : Path or str
        File that `index_tiff_writer` wrote.
    dtype : numpy.dtype or what makes one
        uint16, or float32 without the last rounding.
    keep_going : bool
        Give 0 for the pixels of damaged pages, and keep their names; else refuse.
    max_bytes : int
        Largest array that is made, in bytes.

    Yields
    ------
    IndexTiff

    Raises
    ------
    ImageFormatError
        Another file, damage, or values that no encoder writes.
    """
    path = Path(path)
    n_pages = count_pages(path)
    with decoding_errors(path, "be opened", AGAIN):
        file = tifffile.TiffFile(path, _multifile=False)
    with file:
        with decoding_errors(path, "be opened", AGAIN):
            opened = IndexTiff(path, file, n_pages, dtype, keep_going, max_bytes)
        yield opened
