"""Features of some voxels of a volume that is read a few planes at a time, with the bits of the whole volume."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, FilterBank, Float32, PlaneReader
from compdistort.backend.reach import Span, bank_reach, spans_around

WORK_BYTES = 1 << 30
"""Memory for planes and features at a time, unless the caller says otherwise."""

Int64 = NDArray[np.int64]


def rows_on_disk(
    volume: PlaneReader, bank: FilterBank, places: Int64, backend: Backend[Any], most_bytes: int = WORK_BYTES
) -> Float32:
    """Return the features of some voxels (see `Backend.feature_rows`); planes that none of them needs are not read.

    Parameters
    ----------
    volume : PlaneReader
        The volume, uint8, uint16 or float32.
    bank : FilterBank
        From `build_bank` for the whole volume.
    places : ndarray of shape (n_voxels,), int64
        Indices into the flat volume, strictly rising.
    backend : Backend
        Engine.
    most_bytes : int
        Memory for planes and features together, beside the result and the engine's own. As many planes and twice as
        many rows as the filters see to one side are taken in any case, with what lies around them: below, nearly all
        work would be done again and again.

    Returns
    -------
    ndarray of shape (n_voxels, n_features), float32
    """
    shape = volume.shape
    plane = shape[1] * shape[2]
    found = np.empty((places.size, len(bank.names)), np.float32)
    along = bank_reach(bank)[0]
    deepest = max(1, along, most_bytes // 2 // (plane * volume.dtype.itemsize) - 2 * along)
    for first, last in _groups(np.unique(places // plane), deepest, along):
        (start, stop), _, _ = spans_around(((first, last), (0, shape[1]), (0, shape[2])), shape, bank)
        planes = volume.read_planes(start, stop)
        for rows in _bands(shape, len(planes), bank, _voxel_bytes(volume.dtype, bank, backend), most_bytes // 2):
            within = (places >= first * plane) & (places < last * plane)
            within &= (places % plane >= rows[0] * shape[2]) & (places % plane < rows[1] * shape[2])
            if within.any():
                found[within] = _band(planes, start, rows, bank, shape, places[within], backend)
    return found


def _groups(planes: Int64, deepest: int, along: int) -> Iterator[Span]:
    """Give the first and one past the last of planes that are read together.

    Parameters
    ----------
    planes : ndarray of shape (n_planes,), int64
        Planes that hold a voxel, rising.
    deepest : int
        Planes from the first to the last at most.
    along : int
        Planes that the filters see on each side. Planes further apart than what lies around both are read by
        themselves.
    """
    first = last = int(planes[0]) if planes.size else 0
    for plane in map(int, planes[1:]):
        if plane - last > 2 * along + 1 or plane - first >= deepest:
            yield first, last + 1
            first = plane
        last = plane
    if planes.size:
        yield first, last + 1


def _voxel_bytes(dtype: np.dtype[Any], bank: FilterBank, backend: Backend[Any]) -> int:
    """Return what a voxel takes in `Backend.feature_rows`: the compiled loops alone do not make all of its features."""
    features = 0 if backend.name == "numba" else 2 * 4 * len(bank.names)
    return dtype.itemsize + 4 + features


def _bands(shape: tuple[int, ...], planes: int, bank: FilterBank, voxel_bytes: int, most_bytes: int) -> Iterator[Span]:
    """Give the rows whose features are computed together."""
    across = bank_reach(bank)[1]
    rows = most_bytes // (voxel_bytes * planes * shape[2]) - 2 * across
    step = max(1, 2 * across, rows)
    yield from ((start, min(start + step, shape[1])) for start in range(0, shape[1], step))


def _band(
    planes: NDArray[Any],
    first: int,
    rows: Span,
    bank: FilterBank,
    shape: tuple[int, ...],
    places: Int64,
    backend: Backend[Any],
) -> Float32:
    """Return the features of voxels in some rows of planes that are there, of which the first has this number."""
    _, (top, bottom), _ = spans_around(((0, 1), rows, (0, shape[2])), shape, bank)
    part = np.ascontiguousarray(planes[:, top:bottom])
    z, y, x = np.unravel_index(places, shape)
    inside = np.ravel_multi_index((z - first, y - top, x), part.shape)
    return backend.feature_rows(backend.to_device(part), bank, np.asarray(inside, np.int64))
