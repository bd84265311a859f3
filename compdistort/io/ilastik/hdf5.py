"""An HDF5 file of unknown origin: what is read of it is plain, inside the file, and no larger than it can be.

Links to other files, soft links, data kept in other files and object types are never followed. Everything read through
one `Guarded` counts against one allowance of bytes, so that a small file cannot ask for much memory, not even by many
names for one array. What the HDF5 library asks for itself, before it finds its own tables damaged, is not bounded here.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CompdistortError, InputError, ResourceError
from compdistort.io.pixels import MAX_EXPANSION

MAX_BYTES = 1 << 30
"""Most bytes of strokes, trees and settings that one project may hold."""

_AGAIN = "get the file again, or save the project again with ilastik"
_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
_MAX_MEMBERS = 1_000_000
_MAX_TEXT = 1 << 20


class Guarded:
    """An open HDF5 file and the bytes that may still be read of it.

    Parameters
    ----------
    path : Path
        For messages.
    file : h5py.File
        Open for reading.
    max_bytes : int
        Allowance.
    """

    def __init__(self, path: Path, file: Any, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.root = file
        self._size = path.stat().st_size
        self._left = max_bytes

    def error(self, where: str, what: str, remedy: str = _AGAIN) -> InputError:
        """Return the refusal of a part of the file."""
        return InputError(f"{self.path}: {where}: {what}", remedy)

    def find(self, name: str) -> Any | None:
        """Return the group or dataset of an absolute name; None where there is none.

        Raises
        ------
        InputError
            If a link on the way leads elsewhere, or the name is no plain one.
        """
        import h5py  # noqa: PLC0415  h5py loads the HDF5 library

        node = self.root
        for part in name.strip("/").split("/"):
            if part in ("", ".", ".."):
                raise self.error(name, "is no plain name inside the file")
            if not isinstance(node, h5py.Group):
                return None
            link = node.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise self.error(name, f"is a link to elsewhere ({type(link).__name__})", "copy the data into the file")
            node = node[part]
        return node

    def names(self, name: str) -> tuple[str, ...]:
        """Return the sorted names in a group; () where there is no such group."""
        import h5py  # noqa: PLC0415

        group = self.find(name)
        if not isinstance(group, h5py.Group):
            return ()
        if len(group) > _MAX_MEMBERS:
            raise self.error(name, f"has {len(group)} members")
        return tuple(sorted(group.keys()))

    def dataset(self, name: str) -> Any | None:
        """Return a dataset whose data lie in this file; None where there is none."""
        import h5py  # noqa: PLC0415

        found = self.find(name)
        if found is None:
            return None
        if not isinstance(found, h5py.Dataset):
            raise self.error(name, "is no dataset")
        if found.shape is None:
            raise self.error(name, "holds nothing")
        if found.external or found.is_virtual:
            raise self.error(name, "keeps its data in another file", "copy the data into the file")
        return found

    def array(self, name: str, kinds: str, ndim: int) -> NDArray[Any] | None:
        """Return a small plain array; None where there is none.

        Parameters
        ----------
        name : str
            Absolute name.
        kinds : str
            Allowed kinds of numbers, as in `numpy.dtype.kind`.
        ndim : int
            Number of axes.

        Returns
        -------
        ndarray of shape as stored, native byte order, or None

        Raises
        ------
        InputError
            For another type, number of axes, or more bytes than the file can hold or than are left to this reading.
        """
        found = self.dataset(name)
        if found is None:
            return None
        if found.ndim != ndim:
            raise self.error(name, f"has {found.ndim} axes, not {ndim}")
        self.check(found, kinds)
        self._spend(name, found.nbytes)
        values = found[()]
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).reshape(found.shape)

    def check(self, found: Any, kinds: str) -> None:
        """Refuse a dataset that is of another kind, or claims more than the file can hold."""
        if found.dtype.kind not in kinds or found.dtype.subdtype is not None:
            raise self.error(found.name, f"holds values of type {found.dtype}")
        filtered = found.id.get_create_plist().get_nfilters() > 0
        allowed = MAX_EXPANSION * self._size if filtered or found.chunks else self._size
        chunk = math.prod(found.chunks or ()) * found.dtype.itemsize
        if max(found.nbytes, chunk) > allowed:
            raise self.error(
                found.name, f"claims {_size(found.shape)} values of type {found.dtype} in a file of {self._size} bytes"
            )

    def text(self, name: str) -> str | None:
        """Return a single string; None where there is none."""
        found = self.dataset(name)
        if found is None:
            return None
        if found.shape != () or not _is_text(found.dtype):
            raise self.error(name, f"is no single text but {found.dtype} of shape {found.shape}")
        self._check_text(name, found.dtype, 1)
        return self._decode(name, found[()])

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings; None where there is none."""
        found = self.dataset(name)
        if found is None:
            return None
        if found.ndim != 1 or not _is_text(found.dtype):
            raise self.error(name, f"is no list of texts but {found.dtype} of shape {found.shape}")
        self._check_text(name, found.dtype, len(found))
        return tuple(self._decode(name, each) for each in found[()])

    def attribute(self, name: str, key: str) -> str | None:
        """Return a string attribute of a dataset or group; None where there is none."""
        found = self.find(name)
        if found is None or key not in found.attrs:
            return None
        stored = found.attrs.get_id(key)
        if stored.shape != () or not _is_text(stored.dtype):
            raise self.error(name, f"its attribute {key} is no single text")
        self._check_text(name, stored.dtype, 1)
        return self._decode(f"{name}, attribute {key}", found.attrs[key])

    def is_marked_empty(self, name: str) -> bool:
        """Say whether a dataset stands for an empty list: ilastik then stores a number that means nothing."""
        found = self.find(name)
        if found is None or "isEmpty" not in found.attrs:
            return False
        stored = found.attrs.get_id("isEmpty")
        if stored.shape != () or stored.dtype.kind not in "biu":
            raise self.error(name, "its attribute isEmpty is no single flag")
        return bool(found.attrs["isEmpty"])

    def _check_text(self, where: str, dtype: np.dtype[Any], n: int) -> None:
        """Refuse texts whose declared lengths are absurd, before they are read."""
        if n * dtype.itemsize > min(_MAX_TEXT, self._size):
            raise self.error(where, f"declares {n} texts of {dtype.itemsize} bytes")

    def _decode(self, where: str, value: Any) -> str:
        text = value if isinstance(value, str) else bytes(value).decode("utf-8", "strict")
        if len(text) > _MAX_TEXT:
            raise self.error(where, f"is a text of {len(text)} letters")
        self._spend(where, len(text))
        return text

    def _spend(self, where: str, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise self.error(where, "with it the project asks for more memory than is allowed", "use a smaller project")


@contextmanager
def guarded(path: Path | str, max_bytes: int = MAX_BYTES) -> Iterator[Guarded]:
    """Open an HDF5 file of unknown origin for reading.

    Parameters
    ----------
    path : Path or str
        File.
    max_bytes : int
        Most bytes that are read of it through `Guarded.array` and its like.

    Yields
    ------
    Guarded

    Raises
    ------
    InputError
        If it is missing, no HDF5 file, or damaged, also when that shows only later in the block.
    ResourceError
        If it may not be read, or memory runs out.
    """
    import h5py  # noqa: PLC0415

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: does not exist, or is no file", "correct the path")
    try:
        if not h5py.is_hdf5(path):
            raise InputError(f"{path}: is no HDF5 file", "give the .ilp file that ilastik saved")
        with h5py.File(path, "r") as file:
            yield Guarded(path, file, max_bytes)
    except CompdistortError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path}: not enough memory", "use a machine with more memory") from error
    except PermissionError as error:
        raise ResourceError(f"{path}: permission is denied", "change its permissions") from error
    except BlockingIOError as error:
        raise ResourceError(f"{path}: is open in another program", "close it there") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {reason})", _AGAIN) from error


def _is_text(dtype: np.dtype[Any]) -> bool:
    import h5py  # noqa: PLC0415

    return dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "1"
