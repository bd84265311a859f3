"""Coder of VSQ's indices that knows the dither and the noise: the smallest files, for archives.

A stock coder takes the dither for noise that nothing explains. But the decoder knows the dither d, and the noise has
the same width everywhere by construction; so an index q is coded with the probability ``Phi((q + 1 - d - m) / s) -
Phi((q - d - m) / s)`` that the model gives it: m is a prediction of the stabilised grey level from neighbours that are
decoded already, s its error.

Everything that the decoder does is whole numbers: predictions in 2**-8 of a cell, probabilities from the tables of
`compdistort.codecs.vsq.normal_cells`, a range coder of 32 bits. A stream decodes to the same indices everywhere.

The stream, little-endian: ``u16 first index | 5 x u16 chances of saturation (only where any pixel is saturated) | the
models of the passes (compdistort.codecs.vsq.dither_model) | bytes of the range coder``.
"""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.plain.dither_sites import (
    CONTEXTS,
    DITHER_BITS,
    FRACTION,
    TOTAL_BITS,
    CodedPlane,
    Sites,
)
from compdistort.codecs.vsq.dither_model import Loops, PassModel, fit_pass, unpack_model
from compdistort.codecs.vsq.dither_passes import passes
from compdistort.codecs.vsq.normal_cells import cell_table
from compdistort.errors import CodecRangeError

UInt16 = NDArray[np.uint16]
Int32 = NDArray[np.int32]

_FIRST = struct.Struct("<H")
_CHANCES = struct.Struct(f"<{CONTEXTS}H")
_BYTES_PER_PIXEL = 8
_WORD_BYTES = 4
_WHOLE = (1 << 32) - 1
_LAST_BYTE = 1 << 24
_REMEDY = "it is damaged or truncated: get the file again"


@cache
def compiled_loops() -> Loops:
    """Return the compiled loops."""
    from compdistort.backend.compiled import dither_coder, dither_counts  # noqa: PLC0415

    return _loops(dither_coder, dither_counts)


def plain_loops() -> Loops:
    """Return their slow twins: the same bytes, in seconds instead of milliseconds."""
    from compdistort.backend.plain import dither_coder, dither_counts  # noqa: PLC0415

    return _loops(dither_coder, dither_counts)


def _loops(coder: Any, counts: Any) -> Loops:
    return Loops(
        encode_pass=coder.encode_pass,
        decode_pass=coder.decode_pass,
        activities=counts.activities,
        normal_sums=counts.normal_sums,
        cell_counts=counts.cell_counts,
        saturated_counts=counts.saturated_counts,
    )


def encode_plane(indices: NDArray[Any], saturated: int, dither: Int32, loops: Loops | None = None) -> bytes:
    """Code a plane of indices.

    Parameters
    ----------
    indices : ndarray of shape (rows, columns), whole numbers
        0 to 65535.
    saturated : int
        Index of saturated pixels, -1 if there is none.
    dither : ndarray of shape (rows, columns), int32
        2**-20 of a cell.
    loops : Loops, optional
        Default the compiled ones.

    Returns
    -------
    bytes
    """
    loops = loops or compiled_loops()
    saturated = saturated if (indices == saturated).any() else -1
    plane = _plane(indices.astype(np.int32), dither, saturated)
    every = passes(indices.shape)
    start = _FIRST.pack(int(indices[0, 0]))
    if saturated >= 0:
        plane.chances[:] = _chances(loops, plane, every)
        start += _CHANCES.pack(*plane.chances.tolist())
    models = [fit_pass(loops, plane, sites) for sites in every]
    packed = b"".join(model.pack(sites) for model, sites in zip(models, every, strict=True))
    return start + packed + _encode_passes(loops, plane, every, models)


def decode_plane(
    stream: bytes, shape: Sequence[int], saturated: int, dither: Int32, loops: Loops | None = None
) -> UInt16:
    """Return the indices of a stream of `encode_plane`.

    Parameters
    ----------
    stream : bytes
        The codestream.
    shape : sequence of two int
        Rows and columns.
    saturated : int
        Index of saturated pixels, -1 if there is none.
    dither : ndarray of shape (rows, columns), int32
        The dither that the plane was coded with.
    loops : Loops, optional
        Default the compiled ones.

    Returns
    -------
    ndarray of shape (rows, columns), uint16

    Raises
    ------
    CodecRangeError
        If the stream is damaged or truncated, or the dither is of another shape.
    """
    loops = loops or compiled_loops()
    if dither.shape != tuple(shape) or dither.size == 0:
        raise CodecRangeError(
            f"a dither of shape {dither.shape} is not that of a plane of {tuple(shape)}", "give one dither a pixel"
        )
    every = passes(shape)
    at = _FIRST.size + (_CHANCES.size if saturated >= 0 else 0)
    if len(stream) < at:
        raise CodecRangeError(f"a codestream of {len(stream)} bytes is no index plane", _REMEDY)
    first = np.zeros(dither.shape, np.int32)
    first[0, 0] = _FIRST.unpack_from(stream)[0]
    plane = _plane(first, dither, saturated)
    if saturated >= 0:
        plane.chances[:] = _stored_chances(stream)
    models = []
    for sites in every:
        model, at = unpack_model(stream, at, sites)
        models.append(model)
    _decode_passes(loops, plane, every, models, stream[at:])
    return plane.indices.reshape(dither.shape).astype(np.uint16)


def _plane(indices: Int32, dither: Int32, saturated: int) -> CodedPlane:
    """Return the plane with all that is known restored: the whole of it, or its first pixel."""
    # A loop that is kept on disk has one signature: arrays that may be written to.
    flat = [np.require(array, np.int32, ("C", "A", "W")).ravel() for array in (indices, dither)]
    within = (flat[0] << FRACTION) + (1 << (FRACTION - 1)) - (flat[1] >> (DITHER_BITS - FRACTION))
    return CodedPlane(
        restored=np.where(flat[0] == saturated, flat[0] << FRACTION, within).astype(np.int32),
        indices=flat[0],
        dither=flat[1],
        saturated=saturated,
        chances=np.zeros(CONTEXTS, np.int64),
    )


def _chances(loops: Loops, plane: CodedPlane, every: Sequence[Sites]) -> list[int]:
    """Return how probable a saturated pixel is beside so many saturated neighbours; 0 where there is none at all."""
    counts = np.zeros((CONTEXTS, 2), np.int64)
    for sites in every:
        counts += loops.saturated_counts(plane, sites)
    one = 1 << TOTAL_BITS
    return [min(max(one * hit // (hit + miss), 1), one - 1) if hit else 0 for miss, hit in counts.tolist()]


def _stored_chances(stream: bytes) -> tuple[int, ...]:
    """Return the chances of a stream; one above 1 would widen the interval of the range coder without end."""
    chances = _CHANCES.unpack_from(stream, _FIRST.size)
    if max(chances) >= 1 << TOTAL_BITS:
        raise CodecRangeError(f"the chances of saturation are {chances}, not below {1 << TOTAL_BITS}", _REMEDY)
    return chances


def _encode_passes(loops: Loops, plane: CodedPlane, every: Sequence[Sites], models: Sequence[PassModel]) -> bytes:
    out = np.empty(_BYTES_PER_PIXEL * plane.indices.size + 1, np.uint8)
    coder = np.array([0, _WHOLE, 0], np.int64)
    for sites, model in zip(every, models, strict=True):
        loops.encode_pass(plane, sites, model.for_loops(), cell_table(), out, coder)
    low, n = int(coder[0]), int(coder[2])
    # The interval is 2**24 wide at least: one more byte lies in it, with zeros behind that the decoder takes as read.
    last = low + _LAST_BYTE - 1
    coded = (int.from_bytes(out[:n].tobytes(), "big") << 8) + (last >> 24)
    return coded.to_bytes(n + 1, "big")


def _decode_passes(
    loops: Loops, plane: CodedPlane, every: Sequence[Sites], models: Sequence[PassModel], body: bytes
) -> None:
    if not body:
        raise CodecRangeError("an index plane ends before its first pixel", _REMEDY)
    data = np.frombuffer(bytearray(body), np.uint8)
    coder = np.array(
        [int.from_bytes(body[:_WORD_BYTES].ljust(_WORD_BYTES, b"\0"), "big"), _WHOLE, _WORD_BYTES], np.int64
    )
    for number, (sites, model) in enumerate(zip(every, models, strict=True)):
        if not loops.decode_pass(plane, sites, model.for_loops(), cell_table(), data, coder):
            raise CodecRangeError(f"pass {number} of an index plane cannot be decoded", _REMEDY)
    if int(coder[2]) != len(body) + _WORD_BYTES - 1:
        raise CodecRangeError(f"an index plane ends at byte {int(coder[2]) - _WORD_BYTES + 1} of {len(body)}", _REMEDY)
