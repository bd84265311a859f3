"""VSQ inside TIFF: one page of indices a plane, in Deflate or JPEG XL, that any reader of TIFF can show.

The numbers of such a page are no intensities: they are cells of a scale that bends like a square root, and without the
dither that was added they are biased. Every description begins with these words, the readers of images refuse such
pages, and `compdistort.codecs.vsq.tiff_restore` gives the grey levels back.
"""

import hashlib
import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from compdistort.codecs.vsq.change import Change
from compdistort.codecs.vsq.chunk import UInt16, pixel_bytes
from compdistort.codecs.vsq.container_header import VsqHeader
from compdistort.codecs.vsq.tiles import chunk_key
from compdistort.errors import CodecRangeError, ConfigError
from compdistort.io.files import atomic_path
from compdistort.io.tiff import INDEX_MARK

COMPRESSIONS = {"deflate": 8, "jxl": 50002}
"""TIFF's numbers of the lossless coders of index pages."""

_WORDS = (
    f"{INDEX_MARK}: this page holds indices of a quantised image, on a bent scale and with dither. Do not measure in "
    "it; restore grey levels with `compdistort decode`.\n"
)
_OF_CHUNKS = ("tile", "backend", "effort", "raw_blake2b")
"""Entries of the header of a .vsq file that pages do without: a page is one chunk."""
_BIGTIFF_BYTES = 2**32 - 2**25


def page_header(header: VsqHeader) -> dict[str, Any]:
    """Return what the first page tells: the header of a .vsq file without its chunks."""
    return {key: value for key, value in header.to_dict().items() if key not in _OF_CHUNKS}


class IndexTiffWriter:
    """Takes the planes of an image in their order; made by `index_tiff_writer`."""

    def __init__(self, file: Any, header: VsqHeader, compression: str, effort: int) -> None:
        self._file, self._header, self._compression, self._effort = file, header, compression, effort
        self._written, self._change = 0, Change()

    def write_planes(self, planes: UInt16) -> None:
        """Write the next planes, each decoded at once and compared.

        Parameters
        ----------
        planes : ndarray of shape (n, rows, columns), uint16
            Raw pixels, DN.

        Raises
        ------
        CodecRangeError
            If a pixel cannot be carried.
        """
        for plane in planes:
            self._write(plane)

    def finish(self) -> Change:
        """Return what coding changed; refuse an image with planes missing."""
        if self._written != self._header.volume[0]:
            raise ConfigError(
                f"{self._written} of {self._header.volume[0]} planes were given", "write all planes of the image"
            )
        return self._change

    def _write(self, plane: UInt16) -> None:
        quantiser = self._header.quantiser
        key = chunk_key(self._header.settings.seed, self._written, plane)
        indices = quantiser.quantise(plane, *key)
        saturated = indices == quantiser.saturated
        code = int(indices[~saturated].max(initial=0)) + 1  # near the others: a far one costs as much as they do
        stored = np.where(saturated, code, indices).astype(_index_type(self._header))
        back = quantiser.restore(indices, *key)
        self._change.add(Change.of(plane, back, quantiser.law.variance_dn2(plane)))
        coded = self._encode(stored)
        page = {
            "seed": key[0],
            "stored_crc32": zlib.crc32(coded),
            "saturated": code,
            "pixels_crc32": zlib.crc32(pixel_bytes(back)),
            "raw_blake2b": hashlib.blake2b(pixel_bytes(plane), digest_size=16).hexdigest(),
        }
        told: dict[str, Any] = {"page": page}
        if self._written == 0:
            told["vsq"] = page_header(self._header)
        self._file.write(
            iter([coded]),
            shape=stored.shape,
            dtype=stored.dtype,
            photometric="minisblack",
            compression=COMPRESSIONS[self._compression],
            rowsperstrip=stored.shape[0],
            description=_WORDS + json.dumps(told, sort_keys=True, allow_nan=False),
            metadata=None,
            contiguous=False,
            software="compdistort",
        )
        self._written += 1

    def _encode(self, stored: NDArray[Any]) -> bytes:
        if self._compression == "deflate":
            return zlib.compress(stored.tobytes(), 9)
        stream = bytes(imagecodecs.jpegxl_encode(stored, lossless=True, effort=self._effort, numthreads=1))
        if not np.array_equal(imagecodecs.jpegxl_decode(stream, numthreads=1), stored):
            raise CodecRangeError("JPEG XL did not give the indices of a page back", "use compression deflate")
        return stream


@contextmanager
def index_tiff_writer(
    path: Path | str, header: VsqHeader, *, compression: str = "jxl", effort: int = 7
) -> Iterator[IndexTiffWriter]:
    """Write an image as a TIFF of index pages, whole or not at all.

    Parameters
    ----------
    path : Path or str
        File; an older one is replaced.
    header : VsqHeader
        What is written; chunks and coder of its settings do not apply, a page is one chunk.
    compression : {"jxl", "deflate"}
        Coder of the pages.
    effort : int
        Of JPEG XL, 1 to 9.

    Yields
    ------
    IndexTiffWriter
        Its `finish` tells what coding changed, in the block or after it.

    Raises
    ------
    ConfigError
        Planes that are missing, an unknown compression, or a noise law of per-pixel maps: a description has no room
        for them.
    ResourceError
        If the disk refuses.
    """
    if compression not in COMPRESSIONS:
        raise ConfigError(f"compression '{compression}' is unknown", f"use {' or '.join(COMPRESSIONS)}")
    if header.quantiser.law.arrays():
        raise ConfigError("a noise law of per-pixel maps does not fit into a TIFF description", "write a .vsq file")
    big = math.prod(header.shape) * _index_type(header).itemsize > _BIGTIFF_BYTES
    with atomic_path(path) as partial, tifffile.TiffWriter(partial, bigtiff=big, byteorder="<") as file:
        writer = IndexTiffWriter(file, header, compression, effort)
        yield writer
        writer.finish()


def _index_type(header: VsqHeader) -> np.dtype[Any]:
    return np.dtype(np.uint8 if header.quantiser.saturated < 256 else "<u2")
