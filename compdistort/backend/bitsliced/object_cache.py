"""Compiled networks on disk, beside the kernels of the GPU, under the hash of what they were made from.

What is read here is run, so a file is taken only if it and its folder belong to the user alone and it holds what its
first bytes, a hash, say. Anything else is as good as no file: the network is compiled again. One rename writes a file
whole; two processes that compile the same do not disturb each other.
"""

import hashlib
import os
import struct
import tempfile
from pathlib import Path

from compdistort.backend.device.cubin import cache_folder, cache_problem

_SUFFIX = ".network"
_DIGEST = hashlib.sha256().digest_size
_OTHERS = 0o077


def read_objects(key: str, folder: Path | None = None) -> list[bytes] | None:
    """Return what is kept under a key, or None where nothing is, or nothing that may be run.

    Parameters
    ----------
    key : str
        Hash of all that the objects depend on.
    folder : Path, optional
        Where they are kept; default `cache_folder`.

    Returns
    -------
    list of bytes or None
    """
    place = folder or cache_folder()
    if not place.is_dir() or cache_problem(place):
        return None
    try:
        with (place / f"{key}{_SUFFIX}").open("rb") as file:
            state = os.fstat(file.fileno())
            if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & _OTHERS):
                return None
            content = file.read()
    except OSError:  # not there, or closed to us: it is compiled again
        return None
    return _unpacked(key, content)


def write_objects(key: str, objects: list[bytes], folder: Path | None = None) -> bool:
    """Keep objects under a key; say whether that was possible.

    Parameters
    ----------
    key : str
        Hash of all that they depend on.
    objects : list of bytes
        Object files, in order.
    folder : Path, optional
        Where; default `cache_folder`.

    Returns
    -------
    bool
        False where the folder cannot be used or the disk is full: the next process compiles again.
    """
    place = folder or cache_folder()
    if cache_problem(place):
        return False
    body = b"".join(struct.pack("<Q", len(part)) + part for part in objects)
    try:
        handle, temporary = tempfile.mkstemp(dir=place, prefix=".", suffix=".part")  # readable by its owner alone
    except OSError:
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_digest(key, body) + body)
        Path(temporary).replace(place / f"{key}{_SUFFIX}")
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        return False
    return True


def _digest(key: str, body: bytes) -> bytes:
    """Hash of the content and of its name: a file that was renamed is not taken either."""
    return hashlib.sha256(key.encode() + b"\0" + body).digest()


def _unpacked(key: str, content: bytes) -> list[bytes] | None:
    body = content[_DIGEST:]
    if content[:_DIGEST] != _digest(key, body):
        return None
    parts, at = [], 0
    while at < len(body):
        (size,) = struct.unpack_from("<Q", body, at)
        parts.append(body[at + 8 : at + 8 + size])
        at += 8 + size
    return parts
