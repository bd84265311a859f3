"""HDF5 volumes: one dataset of a file of unknown origin; nothing outside it is opened, no foreign filter is run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from compdistort.errors import ImageFormatError
from compdistort.io.pixels import Image
from compdistort.io.volume_source import Shape, Span, check_volume
from compdistort.io.voxels import VoxelUm, voxel_um

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 6: "scaleoffset", 32000: "lzf"}
_SHOWN = 8
_MAX_OBJECTS = 100_000
_INSIDE = "copy the data into this file (h5repack does)"


class Hdf5Volume:
    """One dataset of an HDF5 file.

    Parameters
    ----------
    path : Path
        File.
    dataset : str or None
        Its full name; None = the only one of three axes.
    max_bytes : int
        Largest plane and largest chunk.

    Raises
    ------
    ImageFormatError
        No such dataset, several without a choice, links to elsewhere, data in other files, a filter that is no part of
        HDF5 itself, axes in another order.
    """

    def __init__(self, path: Path, dataset: str | None, *, max_bytes: int) -> None:
        import h5py  # noqa: PLC0415  h5py loads the HDF5 library

        self._path = path
        self._file = h5py.File(path, "r", locking="best-effort")
        try:
            self._data = _named(path, self._file, dataset) if dataset else _only(path, self._file)
            _check_place(path, self._data)
            self._axes = _volume_axes(path, self._data)
            self.shape = self._pick(self._data.shape)
            self.dtype = np.dtype(self._data.dtype)
            chunks = self._data.chunks
            self.chunk: Shape = self._pick(chunks) if chunks else (1, self.shape[1], self.shape[2])
            check_volume(path, self.shape, self.dtype, self.chunk, None, max_bytes)
            self.voxel_um = _voxel(self._data)
        except BaseException:
            self._file.close()
            raise

    def _pick(self, sizes: tuple[int, ...]) -> Shape:
        planes, rows, columns = (int(sizes[axis]) for axis in self._axes)
        return planes, rows, columns

    def read(self, planes: Span, rows: Span, columns: Span) -> Image:
        """Return a box of shape (planes, rows, columns)."""
        spans = dict(zip(self._axes, (planes, rows, columns), strict=True))
        return np.asarray(self._data[tuple(slice(*spans[a]) if a in spans else 0 for a in range(self._data.ndim))])

    def require_chunks(self, planes: Span, rows: Span, columns: Span) -> None:
        """Refuse a box of which a chunk was never written: in raw data it may be lost.

        Raises
        ------
        ImageFormatError
            With the first chunk that is missing.
        """
        remedy = "write the whole volume again"
        if self._data.chunks is None:
            if self._data.id.get_storage_size() < math.prod(self.shape) * self.dtype.itemsize:
                raise ImageFormatError(f"{self._path}: {self._data.name} was never written whole", remedy)
            return
        grid = [range(start // n, -(-stop // n)) for (start, stop), n in self._spans((planes, rows, columns))]
        if self._data.id.get_num_chunks() >= math.prod(-(-n // c) for n, c in self._spans(self.shape)):
            return
        written: set[tuple[int, ...]] = set()
        self._data.id.chunk_iter(lambda chunk: written.add(self._pick(chunk.chunk_offset)))
        for z in grid[0]:
            for y in grid[1]:
                for x in grid[2]:
                    place = tuple(index * n for index, n in self._spans((z, y, x)))
                    if place not in written:
                        raise ImageFormatError(f"{self._path}: {self.part(*place)} is missing", remedy)

    def _spans(self, values: tuple[Any, Any, Any]) -> list[tuple[Any, int]]:
        return list(zip(values, self.chunk, strict=True))

    def part(self, plane: int, row: int, column: int) -> str:
        """Name the chunk that holds a voxel, by its first voxel."""
        if self._data.chunks is None:
            return f"plane {plane}"
        z, y, x = (place // n * n for place, n in self._spans((plane, row, column)))
        return f"the chunk of {self._data.name} at plane {z}, row {y}, column {x}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _named(path: Path, file: Any, name: str) -> Any:
    """Follow a name part by part; only plain (hard) links count."""
    import h5py  # noqa: PLC0415

    node = file
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if part not in ("", ".", "..") and isinstance(node, h5py.Group) else None
        if link is None:
            known = ", ".join(each.name for each in _candidates(path, file)[:_SHOWN]) or "none"
            raise ImageFormatError(f"{path}: has no dataset {name!r}", f"it holds these volumes: {known}")
        if isinstance(link, h5py.SoftLink):
            raise ImageFormatError(
                f"{path}: {name!r} is a link to {link.path!r}", "give the name of the dataset itself"
            )
        if not isinstance(link, h5py.HardLink):
            raise ImageFormatError(f"{path}: {name!r} is a link to another file", _INSIDE)
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise ImageFormatError(f"{path}: {name!r} is a group", "give the name of a dataset in it")
    return node


def _candidates(path: Path, file: Any) -> list[Any]:
    """Return the datasets that can be volumes: numbers on three axes; further ones only of length 1."""
    import h5py  # noqa: PLC0415

    found: list[Any] = []
    seen = 0

    def visit(_name: str, node: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > _MAX_OBJECTS:
            raise ImageFormatError(f"{path}: holds more than {_MAX_OBJECTS} objects", "give the name of the dataset")
        if isinstance(node, h5py.Dataset) and node.shape is not None and node.dtype.kind in "buif":
            long = sum(n > 1 for n in node.shape)
            if (node.ndim == 3 and long >= 2) or (node.ndim in (4, 5) and long == 3):
                found.append(node)

    file.visititems(visit)
    return found


def _only(path: Path, file: Any) -> Any:
    found = _candidates(path, file)
    if not found:
        raise ImageFormatError(f"{path}: holds no volume", "give the name of a dataset of three axes")
    if len(found) > 1:
        names = ", ".join(each.name for each in found[:_SHOWN])
        raise ImageFormatError(f"{path}: holds {len(found)} volumes", f"give the name of one of them: {names}")
    return found[0]


def _check_place(path: Path, data: Any) -> None:
    """Refuse what is no array of numbers in this file, coded by filters of the HDF5 library itself."""
    if data.shape is None or data.dtype.kind not in "buif" or data.dtype.subdtype is not None:
        raise ImageFormatError(f"{path}: {data.name} holds {data.dtype}, not plain numbers", "choose another dataset")
    if data.is_virtual or data.external:
        raise ImageFormatError(f"{path}: {data.name} keeps its data in other files", _INSIDE)
    plan = data.id.get_create_plist()
    for index in range(plan.get_nfilters()):
        code, _, _, name = plan.get_filter(index)
        if code not in _FILTERS:
            shown = name.decode("ascii", "replace")[:40].strip() or "no name"
            raise ImageFormatError(
                f"{path}: {data.name} uses filter {code} ({shown})", f"write it with {', '.join(_FILTERS.values())}"
            )


def _volume_axes(path: Path, data: Any) -> tuple[int, int, int]:
    """Return the axes that are planes, rows and columns, in this order; the others have length 1."""
    letters = _letters(data)
    if letters is not None and len(letters) == data.ndim:
        order = [axis for axis in letters if axis in "zyx"]
        others = [data.shape[k] for k, axis in enumerate(letters) if axis not in "zyx"]
        if order != ["z", "y", "x"] or any(n != 1 for n in others):
            raise ImageFormatError(
                f"{path}: {data.name} has axes {' '.join(letters)} of {' x '.join(map(str, data.shape))}",
                "write one channel and time in the order z y x",
            )
        return letters.index("z"), letters.index("y"), letters.index("x")
    axes = list(range(data.ndim)) if data.ndim == 3 else [axis for axis, n in enumerate(data.shape) if n > 1]
    if len(axes) != 3:
        raise ImageFormatError(
            f"{path}: {data.name} has shape {' x '.join(map(str, data.shape)) or 'of a single number'}",
            "choose a dataset of planes, rows and columns",
        )
    return axes[0], axes[1], axes[2]


def _letters(data: Any) -> str | None:
    """Return the names of the axes, as ilastik's tags or HDF5's labels give them."""
    tags = data.attrs.get("axistags")
    labels = [dimension.label for dimension in data.dims]
    if isinstance(tags, bytes | str):
        labels = [str(axis["key"]) for axis in json.loads(tags)["axes"]]
    return "".join(labels).lower() if all(len(label) == 1 for label in labels) else None


def _voxel(data: Any) -> VoxelUm | None:
    """Return the voxel size that Fiji's HDF5 plug-in and others write: planes, rows, columns in micrometres."""
    sizes = data.attrs.get("element_size_um")
    if not isinstance(sizes, np.ndarray) or sizes.shape != (3,) or sizes.dtype.kind not in "uif":
        return None
    return voxel_um([float(size) for size in sizes], ["um"] * 3)
