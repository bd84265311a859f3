"""Smooth random fields whose value at a voxel depends on its place and the seed alone, so any piece is made by itself.

Random numbers live on the nodes of a coarse lattice, drawn by counter; cubic B-splines carry them to the voxels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.rng import Stream, derive_key, philox4x32
from compdistort.synthetic.shapes import Float64

Int64 = NDArray[np.int64]


def scene_key(seed: int, purpose: int) -> tuple[int, int]:
    """Return the Philox key of one purpose of a scene.

    Parameters
    ----------
    seed : int
        64-bit seed of the scene.
    purpose : int
        1 <= purpose < 2**32; no two draws of one scene share it.

    Returns
    -------
    tuple of two int
    """
    return derive_key(seed, (purpose << 32) | int(Stream.SCENE))


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothField:
    """A stationary random field of mean 0 and standard deviation 1.

    Attributes
    ----------
    key : tuple of two int
        From `scene_key`.
    length_vox : tuple of float
        Distance of the lattice's nodes along plane, row and column, voxels; details are about as long.
    """

    key: tuple[int, int]
    length_vox: tuple[float, float, float]

    def planes(self, shape: tuple[int, int, int], z0: int, z1: int) -> Iterator[Float64]:
        """Yield planes z0 to z1 - 1, each float64 of shape (rows, columns).

        The sums of a plane are the same whatever the range.

        Parameters
        ----------
        shape : tuple of int
            Planes, rows and columns of the whole field.
        z0, z1 : int
            0 <= z0 < z1 <= planes.
        """
        first, along = _taps(np.arange(z0, z1) / self.length_vox[0])
        rows, columns = (_spread(n, step) for n, step in zip(shape[1:], self.length_vox[1:], strict=True))
        nodes = self._nodes(int(first[0]), int(first[-1]) + 4, rows.shape[1], columns.shape[1])
        for start, weights in zip(first - first[0], along, strict=True):
            flat = sum(weight * nodes[start + tap] for tap, weight in enumerate(weights))
            # Along the rows first: what is turned over then is small.
            yield np.asarray(rows @ np.ascontiguousarray((columns @ flat.T).T))

    def at(self, places: Float64) -> Float64:
        """Return the field at single places.

        Parameters
        ----------
        places : ndarray of shape (n, 3), float64
            Plane, row and column, >= 0, voxels.

        Returns
        -------
        ndarray of shape (n,), float64
        """
        taps = [_taps(places[:, axis] / self.length_vox[axis]) for axis in range(3)]
        (iz, wz), (iy, wy), (ix, wx) = taps
        ends = [int(first.max(initial=0)) + 4 for first, _ in taps]
        nodes = self._nodes(0, *ends)
        out = np.zeros(len(places))
        for z, y, x in np.ndindex(4, 4, 4):
            out += wz[:, z] * wy[:, y] * wx[:, x] * nodes[iz + z, iy + y, ix + x]
        return out

    def _nodes(self, z0: int, z1: int, rows: int, columns: int) -> Float64:
        """Return the random numbers of the lattice: even, mean 0, variance 1."""
        groups = np.arange((columns + 3) // 4)
        counter = groups, np.arange(rows)[:, None], np.arange(z0, z1)[:, None, None], 0
        words = np.stack(philox4x32(counter, self.key), axis=-1).reshape(z1 - z0, rows, -1)[..., :columns]
        return np.asarray(((words + 0.5) / 2**32 - 0.5) * np.sqrt(12.0))


def _taps(position: Float64) -> tuple[Int64, Float64]:
    """Return the first of four nodes of each position, and their weights (n, 4), whose squares sum to 1."""
    first = np.floor(position).astype(np.int64)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=-1)
    return first, weights / np.sqrt((weights**2).sum(axis=-1, keepdims=True))


def _spread(count: int, step: float) -> Any:
    """Return the sparse matrix (count, nodes) that carries nodes to voxels."""
    from scipy.sparse import csr_array  # noqa: PLC0415  SciPy is not loaded for the camera alone

    first, weights = _taps(np.arange(count) / step)
    nodes = first[:, None] + np.arange(4)
    return csr_array((weights.ravel(), nodes.ravel(), np.arange(0, 4 * count + 1, 4)), shape=(count, nodes.max() + 1))
