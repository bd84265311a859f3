"""One ``NAME.cdist`` folder: what is committed survives any kill, and nothing else is believed.

Layout: ``study.json`` (resolved config), ``run.toml`` (the study file as given), ``data.zarr`` (zarr v3 arrays, one
chunk a block), ``journal.jsonl``, ``provenance.json``, ``model.npz``, ``report/``. Order of a commit: arrays are
written, their files and folders are put on disk, then the journal line is.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from compdistort.errors import ConfigError, StoreError, StoreLockedError
from compdistort.io.files import atomic_path, resource_errors, sync_folder, sync_tree
from compdistort.store.arrays import array_digest, existing_array, open_group
from compdistort.store.journal import Journal

SCHEMA_VERSION = 3
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ArrayWrite:
    """Rows ``start : start + len(data)`` of one array.

    Attributes
    ----------
    name : str
        Path inside the store, e.g. ``replicates/values``.
    data : ndarray of shape (rows, ...)
        The rows.
    start : int
        First row.
    """

    name: str
    data: Array
    start: int = 0


class StudyStore:
    """Access to a study folder; use `create` or `open`.

    Parameters
    ----------
    folder : Path
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal.jsonl")
        self._records: dict[str, dict[str, Any]] = {}

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any], text: str = "") -> "StudyStore":
        """Make a new folder for a resolved config; `text` is the study file as given.

        Raises
        ------
        ConfigError
            If the folder exists already.
        ResourceError
            If it cannot be written.
        """
        if folder.exists():
            raise ConfigError(
                f"{folder}: exists already", "use `compdistort resume` to go on with it, or another output folder"
            )
        with resource_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = folder.with_name(f".{folder.name}.{os.getpid()}.new")
            temporary.mkdir()
            try:
                document = {"schema_version": SCHEMA_VERSION, "config": config}
                (temporary / "study.json").write_text(json.dumps(document, indent=1, sort_keys=True, default=str))
                (temporary / "run.toml").write_text(text)
                sync_tree(temporary / "study.json")
                temporary.rename(folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync_folder(folder.parent)
        return cls(folder)

    @staticmethod
    def require_absent(folder: Path) -> None:
        """Refuse a folder that exists, or could not be made, before the work that would be lost.

        Raises
        ------
        ConfigError
            If it exists.
        ResourceError
            If what exists of its path is no folder, or is write-protected.
        """
        if folder.exists():
            raise ConfigError(
                f"{folder}: exists already", "go on with it by `compdistort resume`, or choose another folder with -o"
            )
        place = next(parent for parent in folder.absolute().parents if parent.exists())
        with resource_errors(folder):
            if not place.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "is a file")
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, "is write-protected")

    @classmethod
    def open(cls, folder: Path) -> "StudyStore":
        """Open an existing folder; its blocks are believed after `verify`.

        Raises
        ------
        StoreError
            If it is no study folder, or of a version that this program does not know.
        """
        store = cls(folder)
        try:
            version = store.document()["schema_version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{folder}: is no study folder ({type(error).__name__})", "give the NAME.cdist folder of a study"
            ) from error
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{folder}: has store version {version}, this program knows {SCHEMA_VERSION}",
                "use the compdistort that wrote it",
            )
        store._records = store.journal.records()
        return store

    def document(self) -> dict[str, Any]:
        """Return the resolved config and version, as stored."""
        document: dict[str, Any] = json.loads((self.folder / "study.json").read_text())
        return document

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder's lock.

        Raises
        ------
        StoreLockedError
            At once, if another process holds it.
        """
        lock = FileLock(self.folder / ".lock", timeout=0)
        with resource_errors(self.folder):
            try:
                lock.acquire()
            except Timeout:  # an OSError too: must not reach the translation of those
                raise StoreLockedError(
                    f"{self.folder}: another process is writing to this study", "wait until it ends, or stop it first"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def has(self, key: str) -> bool:
        """Say whether a block is committed."""
        return key in self._records

    def facts(self, key: str) -> dict[str, Any]:
        """Return the facts committed with a block."""
        facts: dict[str, Any] = self._records[key]["facts"]
        return facts

    def keys(self) -> list[str]:
        """Return the keys of all committed blocks."""
        return list(self._records)

    def make_array(self, name: str, shape: Sequence[int], dtype: str, rows: int) -> None:
        """Make an array whose chunks hold `rows` rows; an existing one of the same form is kept, another replaced."""
        group = self._group("a")
        found = existing_array(group, self._path(name), name)
        if found is not None and (tuple(found.shape), found.dtype, found.chunks[0]) == (tuple(shape), dtype, rows):
            return
        with resource_errors(self.folder):
            made = group.create_array(
                name,
                shape=tuple(shape),
                chunks=(rows, *(max(1, n) for n in shape[1:])),
                dtype=dtype,
                fill_value=np.zeros((), dtype)[()],
                overwrite=True,
            )
        sync_tree(self._path(made.path) / "zarr.json")

    def write_whole(self, name: str, data: Array) -> ArrayWrite:
        """Make an array of one chunk for `data` and return the write that fills it."""
        self.make_array(name, data.shape, data.dtype.str, max(1, len(data)))
        return ArrayWrite(name, data)

    def commit(self, key: str, writes: Sequence[ArrayWrite], facts: Mapping[str, Any], seconds: float = 0.0) -> None:
        """Write a block and its journal line; when this returns, the block survives a power cut.

        Raises
        ------
        ResourceError
            If the disk is full or the folder cannot be written: the block then does not exist.
        """
        import zarr  # noqa: PLC0415 - half a second that `import compdistort` must not pay

        group = self._group("r+")
        arrays = {}
        with resource_errors(self.folder), zarr.config.set({"array.write_empty_chunks": True}):
            for write in writes:
                array = group[write.name]
                stop = write.start + len(write.data)
                if write.data.size:
                    array[write.start : stop] = write.data
                    self._sync_rows(array, write.start, stop)
                arrays[write.name] = {"start": write.start, "stop": stop, "blake2b": array_digest(write.data)}
        # Through JSON at once, so that this process sees exactly what a later one will read.
        record = json.loads(
            json.dumps({"key": key, "arrays": arrays, "facts": dict(facts), "seconds": round(seconds, 3)})
        )
        self.journal.append(record)
        self._records[key] = record

    def read(self, name: str) -> Array:
        """Return a whole array."""
        return np.asarray(self._group("r")[name][...])

    def verify(self) -> list[str]:
        """Compare every committed block with its digests; forget the damaged ones and return their keys."""
        damaged = [key for key, record in self._records.items() if not self._intact(record)]
        for key in damaged:
            del self._records[key]
        return damaged

    def seconds(self, prefix: str) -> list[float]:
        """Return the wall times of the committed blocks whose key starts with `prefix`."""
        return [float(record["seconds"]) for key, record in self._records.items() if key.startswith(prefix)]

    def save_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON document into the folder in one step."""
        with atomic_path(self.folder / name) as temporary:
            temporary.write_text(json.dumps(value, indent=1, sort_keys=True, default=str))

    def load_json(self, name: str) -> dict[str, Any]:
        """Return a JSON document of the folder, empty where it does not exist or was damaged."""
        try:
            value: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return {}
        return value

    def _intact(self, record: Mapping[str, Any]) -> bool:
        for name, entry in record["arrays"].items():
            try:
                data = np.asarray(self._group("r")[name][entry["start"] : entry["stop"]])
            except Exception:  # any failure to read is what we are asking about
                return False
            if array_digest(data) != entry["blake2b"]:
                return False
        return True

    def _group(self, mode: str) -> Any:
        return open_group(self.folder / "data.zarr", mode)

    def _path(self, name: str) -> Path:
        return self.folder / "data.zarr" / name

    def _sync_rows(self, array: Any, start: int, stop: int) -> None:
        rows = array.chunks[0]
        for index in range(start // rows, -(-stop // rows)):
            chunk = self._path(array.path) / array.metadata.encode_chunk_key((index,) + (0,) * (array.ndim - 1))
            sync_tree(chunk)
            for folder in chunk.parents:
                sync_folder(folder)
                if folder == self.folder:
                    break
