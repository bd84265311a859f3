"""A volume on disk as a study takes it: planes when they are asked for, by any thread and any process."""

import math
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.planewise import each_plane
from compdistort.errors import ImageFormatError
from compdistort.io.names import split_dataset
from compdistort.io.pixels import Crop, Kind
from compdistort.io.volume import Volume, open_volume
from compdistort.measurands import Voxel


class DiskVolume:
    """A volume that stays on disk (a `PlaneReader`); it is opened anew in a process that it is sent to.

    It is read again and again, while a chunk of it may vanish or become another: `require_unchanged` tells.

    Parameters
    ----------
    path : Path
        File or folder.
    dataset : str, optional
        Data set of an HDF5 file or array of an OME-Zarr folder.
    crop : sequence of (start, stop), optional
        Part of the last axes.
    kind : {"raw", "labels"}
        Purpose.

    Raises
    ------
    ImageFormatError
        If it cannot be opened as such.
    """

    def __init__(self, path: Path, dataset: str | None = None, crop: Crop | None = None, kind: Kind = "raw") -> None:
        self._asked = (path, dataset, crop, kind)
        self._lock = threading.Lock()
        self._stamps = _stamps(path)
        self._volume: Volume = open_volume(path, dataset=dataset, crop=crop, kind=kind)
        self.shape, self.dtype = self._volume.shape, self._volume.dtype
        # A study keeps it as long as anything asks for planes: the file is closed with the last of these.
        self._closing = weakref.finalize(self, self._volume.close)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process opens it."""
        return (type(self), self._asked)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return 3

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def voxel_um(self) -> Voxel | None:
        """Distance of planes, rows and columns in micrometres, where the file tells it."""
        return self._volume.voxel_um

    @property
    def kept_bytes(self) -> int:
        """Memory that is kept between two calls."""
        return self._volume.layer_bytes

    def read_planes(self, start: int, stop: int) -> NDArray[Any]:
        """Return planes start..stop - 1, of shape (stop - start, rows, columns).

        Raises
        ------
        ImageFormatError, ResourceError
            If they cannot be read.
        """
        with self._lock:
            planes: NDArray[Any] = self._volume.read_planes(start, stop)
        return planes

    def require_unchanged(self) -> None:
        """Refuse files that are not those that were opened, by name, size and time of the last change.

        Raises
        ------
        ImageFormatError
            If one was changed, replaced, added or removed.
        """
        path, now = self._asked[0], _stamps(self._asked[0])
        changed = sorted(name for name in self._stamps.keys() | now.keys() if self._stamps.get(name) != now.get(name))
        if changed:
            raise ImageFormatError(
                f"{path}: {changed[0] or 'the file'} was changed, replaced or removed while the study read it",
                "put the old one back",
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closing()


def _stamps(path: Path) -> dict[str, tuple[int, ...]]:
    """Return number, size and time of the last change of a file, or of all files below a folder, by name."""
    root = split_dataset(path)[0]
    files = (each for each in root.rglob("*") if each.is_file()) if root.is_dir() else [root] if root.exists() else ()
    found = {"" if file == root else file.relative_to(root).as_posix(): file.stat() for file in files}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def streams(chain: Any) -> bool:
    """Return whether the raw image of a chain stays on disk."""
    return isinstance(chain.raw, DiskVolume)


def largest_plane(volume: PlaneReader) -> NDArray[Any]:
    """Return the maximum of a volume over its planes, of shape (rows, columns)."""
    largest: NDArray[Any] = np.zeros(volume.shape[1:], volume.dtype)
    for plane in each_plane(volume):
        np.maximum(largest, plane, out=largest)
    return largest
