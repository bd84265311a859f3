"""The journal of a study: one line a committed block, each with its own checksum, each on disk before it counts.

A block exists only if its line exists. A line that a crash cut short, or that was damaged later, does not count: the
block is computed again. The last line of a key wins.
"""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

from compdistort.io.files import resource_errors, sync_folder

_DIGEST_BYTES = 16


def digest(data: bytes) -> str:
    """Return the blake2b digest (hexadecimal, 128 bits) of some bytes."""
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


class Journal:
    """An append-only file of checked JSON lines.

    Parameters
    ----------
    path : Path
        ``journal.jsonl`` of a study.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Append one record and wait until it is on disk.

        Raises
        ------
        ResourceError
            If the disk is full or the file cannot be written.
        """
        line = json.dumps({"check": digest(json.dumps(record).encode()), "record": record}) + "\n"
        with resource_errors(self.path), self.path.open("ab+") as stream:
            if stream.tell() and not self._ends_with_newline():
                line = "\n" + line
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(self.path.parent)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the valid records by key, in the order of their first commit."""
        if not self.path.exists():
            return {}
        out: dict[str, dict[str, Any]] = {}
        for line in self.path.read_bytes().splitlines():
            record = _checked(line)
            if record is not None:
                out[record["key"]] = record
        return out

    def _ends_with_newline(self) -> bool:
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line, or None where the line is cut short or damaged."""
    try:
        entry = json.loads(line)
        record: dict[str, Any] = entry["record"]
        good = entry["check"] == digest(json.dumps(record).encode()) and isinstance(record["key"], str)
    except (ValueError, KeyError, TypeError):
        return None
    return record if good else None
