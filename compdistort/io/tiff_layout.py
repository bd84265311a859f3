"""The skeleton of a TIFF file, checked against the length of the file before any library follows it."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from compdistort.errors import ImageFormatError

MAX_PAGES = 1_000_000
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # bytes of one value of each TIFF type
_AGAIN = "it is truncated or damaged: get the file again"


@dataclass(frozen=True, slots=True)
class _Flavour:
    """Classic or big TIFF, and its byte order."""

    order: str
    big: bool

    def offset(self, data: bytes) -> int:
        return int(struct.unpack(self.order + ("Q" if self.big else "I"), data)[0])

    @property
    def offset_bytes(self) -> int:
        return 8 if self.big else 4


def count_pages(path: Path) -> int:
    """Walk the chain of image directories and return their number.

    Parameters
    ----------
    path : Path
        TIFF or BigTIFF file.

    Returns
    -------
    int
        Number of pages, >= 1.

    Raises
    ------
    ImageFormatError
        A pointer, a directory or the values of a tag beyond the end of the file; a chain that comes back on itself; no
        page at all.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        flavour, offset = _header(path, file)
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise ImageFormatError(f"{path}: page {len(seen)} points back to an earlier page", _AGAIN)
            if len(seen) >= MAX_PAGES:
                raise ImageFormatError(f"{path}: holds more than {MAX_PAGES} pages", "split the file")
            seen.add(offset)
            offset = _directory(path, file, flavour, offset, size, len(seen) - 1)
    if not seen:
        raise ImageFormatError(f"{path}: holds no page", _AGAIN)
    return len(seen)


def _header(path: Path, file: BinaryIO) -> tuple[_Flavour, int]:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 8 else 0
    if version == 42:
        return _Flavour(order, False), int(struct.unpack(order + "I", head[4:8])[0])
    if version == 43 and len(head) == 16 and struct.unpack(order + "HH", head[4:8]) == (8, 0):
        return _Flavour(order, True), int(struct.unpack(order + "Q", head[8:16])[0])
    raise ImageFormatError(f"{path}: has no valid TIFF header", _AGAIN)


def _directory(path: Path, file: BinaryIO, flavour: _Flavour, offset: int, size: int, page: int) -> int:
    """Check one directory and return the offset of the next."""
    count_bytes, entry_bytes = (8, 20) if flavour.big else (2, 12)
    if offset + count_bytes > size:
        raise ImageFormatError(
            f"{path}: the directory of page {page} lies at byte {offset}, past its {size} bytes", _AGAIN
        )
    file.seek(offset)
    count = int.from_bytes(file.read(count_bytes), "little" if flavour.order == "<" else "big")
    end = offset + count_bytes + count * entry_bytes
    if count == 0 or end + flavour.offset_bytes > size:
        raise ImageFormatError(
            f"{path}: the directory of page {page} claims {count} tags, which do not fit the file", _AGAIN
        )
    entries = file.read(count * entry_bytes)
    for start in range(0, count * entry_bytes, entry_bytes):
        _entry(path, entries[start : start + entry_bytes], flavour, size, page)
    return flavour.offset(file.read(flavour.offset_bytes))


def _entry(path: Path, entry: bytes, flavour: _Flavour, size: int, page: int) -> None:
    code, kind, count = struct.unpack(flavour.order + ("HHQ" if flavour.big else "HHI"), entry[: -flavour.offset_bytes])
    length = count * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 0)
    if length > flavour.offset_bytes and flavour.offset(entry[-flavour.offset_bytes :]) + length > size:
        raise ImageFormatError(f"{path}: tag {code} of page {page} has values past the end of the file", _AGAIN)
