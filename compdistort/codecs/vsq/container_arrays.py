"""The arrays of a noise law inside a .vsq file: stored once, lossless, so that it decodes without the calibration."""

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq.container_format import DAMAGED, Part
from compdistort.errors import ImageFormatError

Float64 = NDArray[np.float64]


def pack_array(array: Float64) -> bytes:
    """Return the bytes that stand for an array: sorted by significance, then Deflate.

    Parameters
    ----------
    array : ndarray of any shape, float64
        Values of a noise law.

    Returns
    -------
    bytes
    """
    by_significance = np.ascontiguousarray(array, "<f8").reshape(-1).view(np.uint8).reshape(-1, 8).T
    return zlib.compress(by_significance.tobytes(), 9)


def array_crc(array: Float64) -> int:
    """Return the CRC-32 of an array's little-endian bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(array, "<f8").tobytes())


def unpack_array(where: str, name: str, part: Part, stored: bytes, shape: tuple[int, ...]) -> Float64:
    """Return the array that `pack_array` packed; no more memory is asked for than its shape takes.

    Parameters
    ----------
    where, name : str
        Names of file and array, for the message.
    part : Part
        Its line in the table.
    stored : bytes
        Its bytes.
    shape : tuple of int
        Its shape.

    Returns
    -------
    ndarray of shape `shape`, float64

    Raises
    ------
    ImageFormatError
        If a checksum does not hold, or the size is another.
    """
    size = 8 * math.prod(shape)
    try:
        flat = zlib.decompressobj().decompress(stored, size + 1) if zlib.crc32(stored) == part.stored_crc else b""
    except zlib.error:
        flat = b""
    if len(flat) == size:
        by_significance = np.frombuffer(flat, np.uint8).reshape(8, -1)
        array = np.ascontiguousarray(by_significance.T).view("<f8").astype(np.float64).reshape(shape)
        if array_crc(array) == part.content_crc:
            return array
    raise ImageFormatError(f"{where}: its map '{name}' is damaged", DAMAGED)
