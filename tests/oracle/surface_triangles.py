"""Which surface triangles scikit-image's marching cubes puts into each of the 256 cells of 2 x 2 x 2 voxels.

`python tests/oracle/surface_triangles.py` prints the table that `compdistort/backend/surface.py` holds.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from compdistort.backend.surface import TRIANGLE_KINDS

PER_LINE = 10


def cell(configuration: int) -> NDArray[np.float32]:
    """Return the (2, 2, 2) voxels of a configuration: bit 4 dz + 2 dy + dx is voxel (dz, dy, dx)."""
    bits = [configuration >> b & 1 for b in range(8)]
    return np.array(bits, np.float32).reshape(2, 2, 2)


def area_vectors(voxels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the absolute area vectors (x, y, z) of the triangles at 0.5: shape (n_triangles, 3)."""
    vertices, faces, _, _ = marching_cubes(voxels, 0.5)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return np.abs(np.cross(b - a, c - a))[:, ::-1] / 2


def counts(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many smallest triangles of each kind the triangles make; each must be a whole number of one kind."""
    areas = np.linalg.norm(TRIANGLE_KINDS, axis=1)
    times = np.linalg.norm(vectors, axis=1)[:, None] / areas
    is_kind = np.abs(times[:, :, None] * TRIANGLE_KINDS - vectors[:, None]).max(axis=2) < 1e-5
    if np.any(is_kind.sum(axis=1) != 1) or np.abs(times - np.rint(times))[is_kind].max() > 1e-5:
        raise ValueError("a triangle is no whole number of one kind")
    return np.where(is_kind, np.rint(times), 0).sum(axis=0).astype(np.int64)


def derive() -> NDArray[np.uint8]:
    """Return the counts of every configuration: shape (256, n_kinds)."""
    table = np.zeros((256, len(TRIANGLE_KINDS)), np.uint8)
    for configuration in range(1, 255):
        table[configuration] = counts(area_vectors(cell(configuration)))
    return table


def main() -> None:
    """Print the table as the module holds it."""
    words = ["".join(map(str, row)) for row in derive().tolist()]
    for start in range(0, len(words), PER_LINE):
        print("    " + " ".join(words[start : start + PER_LINE]))


if __name__ == "__main__":
    main()
