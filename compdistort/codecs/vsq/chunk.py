"""One chunk: pixels to indices to bytes, and back."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq.index_coder import decode_indices, encode_indices
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.errors import CodecRangeError

UInt16 = NDArray[np.uint16]
_SEED = struct.Struct("<Q")
SEED_BYTES = _SEED.size
"""Bytes of the seed in front of a chunk's codestream."""


def encode_chunk(
    quantiser: Quantiser, pixels: UInt16, key: tuple[int, int], backend: str, effort: int
) -> tuple[bytes, NDArray[Any]]:
    """Quantise a chunk and code its indices; they are decoded at once and compared.

    Parameters
    ----------
    quantiser : Quantiser
        Of the chunk's part of the frame.
    pixels : ndarray of shape (rows, columns), uint16
        Raw pixels, DN.
    key : tuple of two int
        Seed and chunk number of the dither; the seed is stored.
    backend : str
        Coder of the indices.
    effort : int
        Its effort.

    Returns
    -------
    stored : bytes
        Seed and codestream.
    indices : ndarray of shape (rows, columns), whole numbers
        What the codestream decodes to.

    Raises
    ------
    CodecRangeError
        If the coder does not give the indices back.
    """
    seed, number = key
    indices = quantiser.quantise(pixels, seed, number)
    dither = quantiser.dither_of(pixels.shape, seed, number)
    stream = encode_indices(indices, quantiser.saturated, dither, backend, effort)
    back = decode_indices(stream, (pixels.shape[0], pixels.shape[1]), quantiser.saturated, dither, backend)
    if not np.array_equal(back, indices):
        raise CodecRangeError(
            f"coder '{backend}' did not give the indices of a chunk back",
            "report it with the image; use backend jpegls",
        )
    return _SEED.pack(seed) + stream, indices


def stored_seed(stored: bytes) -> int:
    """Return the seed of a chunk's bytes.

    Raises
    ------
    CodecRangeError
        If they are too short.
    """
    if len(stored) < SEED_BYTES:
        raise CodecRangeError(f"a chunk of {len(stored)} bytes has no seed", "get the file again")
    return int(_SEED.unpack_from(stored)[0])


def decode_chunk(
    quantiser: Quantiser, stored: bytes, shape: tuple[int, int], number: int, backend: str
) -> tuple[NDArray[Any], int]:
    """Return the indices of a chunk, and its seed.

    Parameters
    ----------
    quantiser : Quantiser
        Of the chunk's part of the frame.
    stored : bytes
        Seed and codestream.
    shape : tuple of two int
        Rows and columns of the chunk.
    number : int
        Second half of the dither's key.
    backend : str
        Coder of the indices.

    Returns
    -------
    indices : ndarray of shape (rows, columns), whole numbers
        For `Quantiser.restore` with the same seed and number.
    seed : int
        First half of the key.

    Raises
    ------
    CodecRangeError
        If the bytes are damaged.
    """
    seed = stored_seed(stored)
    dither = quantiser.dither_of(shape, seed, number)
    return decode_indices(stored[SEED_BYTES:], shape, quantiser.saturated, dither, backend), seed


def pixel_bytes(pixels: UInt16) -> bytes:
    """Return pixels as the checksums see them: little-endian uint16 in C order."""
    return np.ascontiguousarray(pixels, "<u2").tobytes()
