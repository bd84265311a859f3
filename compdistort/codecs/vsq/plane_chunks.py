"""A plane through the codec, chunk by chunk: what is stored of it, and what comes back."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compdistort.codecs.plane_coder import CodedPlane
from compdistort.codecs.vsq.chunk import encode_chunk
from compdistort.codecs.vsq.container_header import VsqHeader, VsqSettings
from compdistort.codecs.vsq.container_write import container_overhead
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.codecs.vsq.tiles import chunk_key, tiles
from compdistort.errors import CodecRangeError


def code_chunks(
    quantiser: Quantiser, settings: VsqSettings, plane: NDArray[Any], number: int, dtype: DTypeLike
) -> CodedPlane:
    """Code and decode a plane.

    Parameters
    ----------
    quantiser : Quantiser
        Of the whole plane.
    settings : VsqSettings
        Chunks, seed and coder.
    plane : ndarray of shape (rows, columns), uint16
        Raw pixels, DN.
    number : int
        Number of the plane in its image.
    dtype : dtype
        Of decoded pixels, uint16 or float32.

    Returns
    -------
    CodedPlane
        Its bytes are those of the chunks in a .vsq file; it counts saturated pixels (``saturated``).

    Raises
    ------
    CodecRangeError
        If pixels cannot be carried, or the maps of the noise law are of another frame.
    """
    decoded: NDArray[Any] = np.empty(plane.shape, dtype)
    size, saturated = 0, 0
    for part, pixels, cut, key in _chunks(quantiser, settings, plane, number):
        stored, indices = encode_chunk(cut, pixels, key, settings.backend, settings.effort)
        decoded[part] = cut.restore(indices, *key, dtype)
        size += len(stored)
        saturated += int(np.count_nonzero(indices == quantiser.saturated))
    return CodedPlane(decoded=decoded, encoded_bytes=size, counts={"saturated": saturated})


def restore_chunks(
    quantiser: Quantiser, settings: VsqSettings, plane: NDArray[Any], number: int, dtype: DTypeLike
) -> NDArray[Any]:
    """Return what `code_chunks` decodes a plane to: the indices are coded without loss, so they need not be coded.

    Parameters
    ----------
    quantiser, settings, plane, number, dtype
        As of `code_chunks`.

    Returns
    -------
    ndarray of shape (rows, columns), uint16 or float32
        DN.

    Raises
    ------
    CodecRangeError
        As of `code_chunks`.
    """
    decoded: NDArray[Any] = np.empty(plane.shape, dtype)
    for part, pixels, cut, key in _chunks(quantiser, settings, plane, number):
        decoded[part] = cut.restore(cut.quantise(pixels, *key), *key, dtype)
    return decoded


_Chunk = tuple[tuple[slice, slice], NDArray[Any], Quantiser, tuple[int, int]]


def _chunks(quantiser: Quantiser, settings: VsqSettings, plane: NDArray[Any], number: int) -> Iterator[_Chunk]:
    """Return place, pixels, quantiser and key of the dither of every chunk."""
    maps = quantiser.law.maps
    if maps is not None and maps.offset_dn.shape != plane.shape:
        raise CodecRangeError(
            f"noise maps of shape {maps.offset_dn.shape} do not fit planes of shape {plane.shape}",
            "give the sensor model of this frame, cropped as the image is",
        )
    parts = tiles(plane.shape, settings.tile)
    for index, part in enumerate(parts):
        pixels = np.ascontiguousarray(plane[part])
        yield part, pixels, quantiser.crop(*part), chunk_key(settings.seed, number * len(parts) + index, pixels)


def side_bytes(quantiser: Quantiser, settings: VsqSettings, shape: tuple[int, ...]) -> int:
    """Return the bytes of a .vsq file beside its chunks.

    Parameters
    ----------
    quantiser : Quantiser
        Noise law, step and limits.
    settings : VsqSettings
        Chunks, seed and coder.
    shape : tuple of int
        ([planes,] rows, columns).

    Returns
    -------
    int
    """
    if quantiser.dither == "replaced":  # no file holds such cells: the header is counted that they would need
        quantiser = Quantiser.from_config({**quantiser.to_config(), "dither": "subtractive"}, quantiser.law)
    header = VsqHeader(shape=shape, quantiser=quantiser, settings=settings)
    return container_overhead(header, math.prod(shape[:-2]) * len(tiles(shape[-2:], settings.tile)))
