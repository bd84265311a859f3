"""Lossless coding of index planes: an envelope of our own around one of three coders.

``jxl`` is JPEG XL (the default), ``jpegls`` is JPEG-LS (fast), ``dither-aware`` is the coder of
`compdistort.codecs.vsq.dither_aware` (smallest; also called ``archive``). The two stock coders get the indices from 0
on, in one byte where they fit, with the code of saturated pixels next to the largest other index: a far code, or a
second byte, would cost them up to half of the ratio.

The envelope, little-endian: ``u8 coder | u8 whether any pixel is saturated | u16 smallest | u16 largest index of the
others | u32 crc32 of rows and columns (u32 each), all before it and all behind | codestream``.

Nothing is decoded whose checksum does not hold: on damaged streams the JPEG-LS library may compute without end. A
checksum finds damage, not intent; decode ``jpegls`` files of people you do not trust in a process with a time limit.
"""

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq import dither_aware
from compdistort.errors import CodecRangeError, ConfigError

UInt16 = NDArray[np.uint16]
Int32 = NDArray[np.int32]

BACKENDS = ("jxl", "jpegls", "dither-aware", "archive")
"""Coders by name; ``archive`` is another name of ``dither-aware``."""

LARGEST_INDEX = 65535

_NUMBERS = {"jxl": 1, "jpegls": 2, "dither-aware": 3, "archive": 3}
_FRONT = struct.Struct("<BBHH")
_CRC = struct.Struct("<I")
_SHAPE = struct.Struct("<II")
ENVELOPE_BYTES = _FRONT.size + _CRC.size
_REMEDY = "it is damaged or truncated: get the file again"


def encode_indices(indices: NDArray[Any], saturated: int, dither: Int32, backend: str, effort: int) -> bytes:
    """Code a plane of indices without loss.

    Parameters
    ----------
    indices : ndarray of shape (rows, columns), whole numbers
        0 to 65535.
    saturated : int
        The index of saturated pixels, -1 if there is none.
    dither : ndarray of shape (rows, columns), int32
        The dither of the plane, 2**-20 of a cell; read by ``dither-aware`` alone.
    backend : str
        One of `BACKENDS`.
    effort : int
        Effort of JPEG XL, 1 to 9; the other coders have none.

    Returns
    -------
    bytes

    Raises
    ------
    CodecRangeError
        If the plane is empty or no plane, or an index does not fit into 16 bits.
    ConfigError
        For an unknown coder or effort.

    Examples
    --------
    >>> plane = np.array([[7, 8], [9, 200]], np.uint16)
    >>> stream = encode_indices(plane, 200, np.full((2, 2), 2**19, np.int32), "jpegls", 7)
    >>> decode_indices(stream, (2, 2), 200, np.full((2, 2), 2**19, np.int32), "jpegls")
    array([[  7,   8],
           [  9, 200]], dtype=uint16)
    """
    number = _number(backend)
    if effort not in range(1, 10):
        raise ConfigError(f"effort = {effort!r} is not possible", "use 1 to 9")
    _check(indices, dither)
    others = indices[indices != saturated]
    low, high = (int(others.min()), int(others.max())) if others.size else (0, 0)
    any_saturated = others.size < indices.size
    front = _FRONT.pack(number, int(any_saturated), low, high)
    plane = np.ascontiguousarray(indices, np.uint16)
    if number == _NUMBERS["dither-aware"]:
        body = dither_aware.encode_plane(plane, saturated, dither)
    else:
        shifted = np.where(plane == saturated, high - low + 1, plane.astype(np.int32) - low)
        body = _encode_stock(shifted.astype(_word(high - low + any_saturated)), number, effort)
    return front + _CRC.pack(_checksum(plane.shape, front, body)) + body


def decode_indices(stream: bytes, shape: tuple[int, int], saturated: int, dither: Int32, backend: str) -> UInt16:
    """Return the indices of a codestream of `encode_indices`.

    Parameters
    ----------
    stream : bytes
        The codestream.
    shape : tuple of two int
        Rows and columns.
    saturated : int
        The index of saturated pixels.
    dither : ndarray of shape (rows, columns), int32
        The dither that the plane was coded with.
    backend : str
        The coder that it was coded with.

    Returns
    -------
    ndarray of shape (rows, columns), uint16

    Raises
    ------
    CodecRangeError
        If the stream is damaged, truncated, or of another coder or shape.
    ConfigError
        For an unknown coder.
    """
    number = _number(backend)
    if len(stream) < ENVELOPE_BYTES:
        raise CodecRangeError(f"a codestream of {len(stream)} bytes is no index plane", _REMEDY)
    front, body = stream[: _FRONT.size], stream[ENVELOPE_BYTES:]
    if _CRC.unpack_from(stream, _FRONT.size)[0] != _checksum(shape, front, body):
        raise CodecRangeError(f"the checksum of a codestream of {shape} indices does not hold", _REMEDY)
    found, any_saturated, low, high = _FRONT.unpack(front)
    if found != number:
        raise CodecRangeError(f"a codestream of coder number {found} is not of '{backend}'", "name its own coder")
    if any_saturated and not 0 <= saturated <= LARGEST_INDEX:
        raise CodecRangeError(f"a codestream has saturated pixels, and their index is {saturated}", _REMEDY)
    if number == _NUMBERS["dither-aware"]:
        indices = dither_aware.decode_plane(body, shape, saturated if any_saturated else -1, dither)
    else:
        shifted = _decode_stock(body, number, shape, high - low + (any_saturated > 0))
        indices = _shifted_back(shifted, saturated, low, high)
    _check_decoded(indices, saturated if any_saturated else -1, low, high)
    return indices


def _number(backend: str) -> int:
    if backend not in _NUMBERS:
        raise ConfigError(f"backend '{backend}' is unknown", f"use one of {', '.join(BACKENDS)}")
    return _NUMBERS[backend]


def _checksum(shape: tuple[int, ...], front: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(front, zlib.crc32(_SHAPE.pack(*shape))))


def _check(indices: NDArray[Any], dither: Int32) -> None:
    if indices.ndim != 2 or indices.size == 0 or indices.dtype.kind not in "iu":
        raise CodecRangeError(
            f"an index plane has shape (rows, columns) and whole numbers, not {indices.shape} and {indices.dtype}",
            "give one plane",
        )
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high > LARGEST_INDEX:
        raise CodecRangeError(f"indices from {low} to {high} do not fit into 16 bits", "use a larger step")
    if dither.shape != indices.shape:
        raise CodecRangeError(
            f"a dither of shape {dither.shape} is not that of a plane of {indices.shape}", "give one dither a pixel"
        )


def _encode_stock(shifted: NDArray[Any], number: int, effort: int) -> bytes:
    if number == _NUMBERS["jxl"]:
        return bytes(imagecodecs.jpegxl_encode(shifted, lossless=True, effort=effort, numthreads=1))
    return bytes(imagecodecs.jpegls_encode(shifted))


def _word(largest: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type that holds codes up to the largest."""
    return np.uint8 if largest < 256 else np.uint16


def _decode_stock(body: bytes, number: int, shape: tuple[int, int], largest: int) -> NDArray[Any]:
    """Decode JPEG XL or JPEG-LS into an array that is there: a hostile stream cannot ask for another size."""
    out = np.zeros(shape, _word(largest))
    try:
        if number == _NUMBERS["jxl"]:
            found = imagecodecs.jpegxl_decode(body, numthreads=1, out=out)
        else:
            found = imagecodecs.jpegls_decode(body, out=out)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise CodecRangeError(f"a codestream of indices cannot be decoded ({error})", _REMEDY) from error
    if found.shape != shape or found.dtype != out.dtype:
        raise CodecRangeError(f"a codestream holds {found.shape} {found.dtype}, not {shape} {out.dtype}", _REMEDY)
    return np.asarray(found)


def _shifted_back(shifted: NDArray[Any], saturated: int, low: int, high: int) -> UInt16:
    largest, found = high - low + 1, shifted.astype(np.int32)
    if int(found.max()) > largest:
        raise CodecRangeError(f"a codestream holds the code {int(found.max())}, above {largest}", _REMEDY)
    return np.where(found == largest, saturated, found + low).astype(np.uint16)


def _check_decoded(indices: UInt16, saturated: int, low: int, high: int) -> None:
    others = indices[indices != saturated]
    if others.size and not low <= int(others.min()) <= int(others.max()) <= high:
        raise CodecRangeError(f"decoded indices do not lie in {low} .. {high}, as the codestream says", _REMEDY)
