"""The bytes of a .vsq file: lengths and checksums that are checked before anything is believed.

All numbers are little-endian::

    b"VSQ1" | u32 version | u64 bytes of the file | u32 bytes of the header | u32 parts
            | u32 crc32 of the header | u32 crc32 of the table | u32 crc32 of all before
    header  : JSON, UTF-8
    table   : parts x (u64 offset, u64 length, u32 crc32 of the stored bytes, u32 crc32 of what they decode to)
    parts   : one after another, none between, none behind

The parts are the arrays of the noise law, if it has any, then the chunks.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from compdistort.errors import ImageFormatError

MAGIC = b"VSQ1"
VERSION = 1
MAX_HEADER_BYTES = 1 << 20
DAMAGED = "it is damaged or truncated: get the file again"

_PREAMBLE = struct.Struct("<4sIQIIII")
_CRC = struct.Struct("<I")
_PART = struct.Struct("<QQII")
PREAMBLE_BYTES = _PREAMBLE.size + _CRC.size
PART_BYTES = _PART.size
"""Bytes of a part in the table."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the file.

    Attributes
    ----------
    offset, length : int
        Where its bytes lie in the file.
    stored_crc, content_crc : int
        CRC-32 of these bytes, and of what they decode to: an array's bytes, or pixels as little-endian uint16.
    """

    offset: int
    length: int
    stored_crc: int
    content_crc: int


@dataclass(frozen=True, slots=True)
class Front:
    """What stands before the parts.

    Attributes
    ----------
    header : dict
        The JSON header; its checksum holds, its values are not checked.
    parts : tuple of Part
        The table: parts follow each other without gap or overlap up to the end of the file.
    """

    header: dict[str, Any]
    parts: tuple[Part, ...]


def front_bytes(header: bytes, n_parts: int) -> int:
    """Return the bytes before the first part."""
    return PREAMBLE_BYTES + len(header) + PART_BYTES * n_parts


def pack_front(header: bytes, parts: Sequence[Part]) -> bytes:
    """Return what stands before the parts.

    Parameters
    ----------
    header : bytes
        JSON.
    parts : sequence of Part
        In the order of the file.

    Returns
    -------
    bytes
        `front_bytes` of them.
    """
    table = b"".join(_PART.pack(p.offset, p.length, p.stored_crc, p.content_crc) for p in parts)
    size = front_bytes(header, len(parts)) + sum(part.length for part in parts)
    start = _PREAMBLE.pack(MAGIC, VERSION, size, len(header), len(parts), zlib.crc32(header), zlib.crc32(table))
    return start + _CRC.pack(zlib.crc32(start)) + header + table


def read_front(where: str, file: BinaryIO, size: int) -> Front:
    """Read and check what stands before the parts.

    Parameters
    ----------
    where : str
        Name of the file, for messages.
    file : binary file
        Read from its begin.
    size : int
        Bytes of the file.

    Returns
    -------
    Front

    Raises
    ------
    ImageFormatError
        Another format or version; a file that is cut off or goes on behind its end; a checksum that does not hold;
        parts that overlap, leave a gap or reach beyond the file.
    """
    n_header, n_parts, header_crc, table_crc = _preamble(where, file, size)
    header = file.read(n_header)
    if zlib.crc32(header) != header_crc:
        raise ImageFormatError(f"{where}: its header is damaged (its checksum does not hold)", DAMAGED)
    table = file.read(PART_BYTES * n_parts)
    if zlib.crc32(table) != table_crc:
        raise ImageFormatError(f"{where}: its table of chunks is damaged (its checksum does not hold)", DAMAGED)
    parts = tuple(Part(*numbers) for numbers in _PART.iter_unpack(table))
    _check_places(where, parts, front_bytes(header, n_parts), size)
    return Front(_parse(where, header), parts)


def _preamble(where: str, file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    start = file.read(PREAMBLE_BYTES)
    if start[:4] != MAGIC:
        raise ImageFormatError(f"{where}: is no .vsq file (its first bytes are {start[:4]!r})", "give a .vsq file")
    if len(start) < PREAMBLE_BYTES:
        raise ImageFormatError(f"{where}: ends after {len(start)} bytes", DAMAGED)
    version = _PREAMBLE.unpack_from(start)[1]
    if _CRC.unpack(start[_PREAMBLE.size :])[0] != zlib.crc32(start[: _PREAMBLE.size]):
        raise ImageFormatError(f"{where}: its first bytes are damaged (their checksum does not hold)", DAMAGED)
    if version != VERSION:
        raise ImageFormatError(
            f"{where}: is a .vsq file of version {version}, and this program reads {VERSION}", "update compdistort"
        )
    _, _, told, n_header, n_parts, header_crc, table_crc = _PREAMBLE.unpack_from(start)
    if told > size:
        raise ImageFormatError(f"{where}: is cut off, {size} of {told} bytes are there", DAMAGED)
    if told < size:
        raise ImageFormatError(f"{where}: goes on for {size - told} bytes behind its end", DAMAGED)
    if n_header > MAX_HEADER_BYTES or PREAMBLE_BYTES + n_header + PART_BYTES * n_parts > size:
        raise ImageFormatError(f"{where}: claims a header of {n_header} bytes and {n_parts} parts", DAMAGED)
    return n_header, n_parts, header_crc, table_crc


def _check_places(where: str, parts: Sequence[Part], start: int, size: int) -> None:
    end = start
    for number, part in enumerate(parts):
        if part.offset != end:
            raise ImageFormatError(f"{where}: part {number} begins at byte {part.offset}, not at {end}", DAMAGED)
        end += part.length
    if end != size:
        raise ImageFormatError(f"{where}: its parts end at byte {end}, the file at {size}", DAMAGED)


def _parse(where: str, header: bytes) -> dict[str, Any]:
    try:
        data = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ImageFormatError(f"{where}: its header is no JSON ({error})", DAMAGED) from error
    if not isinstance(data, dict):
        raise ImageFormatError(f"{where}: its header is no JSON object", DAMAGED)
    return data
