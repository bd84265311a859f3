"""The surface of an object in whole numbers: triangles of marching cubes, counted by kind.

The surface is the one that marching cubes draws at 0.5 through an object's mask. Between a voxel that belongs to the
object and a neighbour that does not, it passes half way, so what it looks like within a cell of 2 x 2 x 2 voxel
centres depends on nothing but which of the eight belong: 256 configurations, whose triangles are those of
scikit-image's implementation. Every triangle is a whole multiple of one of ten, which differ in direction. How many
of each an object has is a whole number, the same from every engine, additive over any cut of a volume into cells; its
area follows for voxels of any spacing.

References
----------
.. [1] Lewiner, Lopes, Vieira & Tavares (2003), J. Graphics Tools 8, efficient implementation of marching cubes' cases.
"""

import numpy as np
from numpy.typing import NDArray

_DIRECTIONS = (
    (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (3, 1, 1), (1, 3, 1), (1, 1, 3),
)  # fmt: skip
_EIGHTHS = (2, 2, 2, 2, 2, 2, 1, 1, 1, 1)

SURFACE_COLUMNS = tuple(f"T{x}{y}{z}" for x, y, z in _DIRECTIONS)
"""Columns of the object table: the object's triangles of each kind, named by the direction |x|, |y|, |z|; a larger
triangle counts as several of the smallest of its direction."""

TRIANGLE_KINDS: NDArray[np.float64] = np.array(_DIRECTIONS) * np.array(_EIGHTHS)[:, None] / 8.0
"""Absolute area vector (x, y, z) of the triangle of each kind at voxels of side 1; its length is the area."""

# One word a configuration, one digit a kind; printed by tests/oracle/surface_triangles.py.
_COUNTS = """
    0000000000 0000001000 0000001000 0002000000 0000001000 0000200000 0000006000 0020003000 0000001000 0000006000
    0000200000 0020003000 0002000000 0020003000 0020003000 0040000000 0000001000 0000020000 0000006000 0200003000
    0000006000 2000003000 2220003000 0000006000 0000002000 0000020111 0000200111 0000114000 0002000111 0001014000
    0020004000 0020003000 0000001000 0000006000 0000020000 0200003000 0000002000 0000200111 0000020111 0000114000
    0000006000 2220003000 2000003000 0000006000 0002000111 0020004000 0001014000 0020003000 0002000000 0200003000
    0200003000 0400000000 0002000111 0001104000 0200004000 0200003000 0002000111 0200004000 0001104000 0200003000
    0004000000 0110004111 0110004111 0002000000 0000001000 0000006000 0000002000 0002000111 0000020000 2000003000
    0000020111 0001014000 0000006000 2220003000 0000200111 0020004000 0200003000 0000006000 0000114000 0020003000
    0000200000 2000003000 0000200111 0001104000 2000003000 4000000000 2000004000 2000003000 0000200111 2000004000
    0000400000 1010004111 0001104000 2000003000 1010004111 0000200000 0000006000 2220003000 0000020111 0200004000
    0000020111 2000004000 0000040000 1100004111 2220003000 0000004000 2000004000 0000003000 0200004000 0000003000
    1100004111 0000002000 0020003000 0000006000 0000114000 0200003000 0001014000 2000003000 1100004111 0000020000
    0020004000 0000003000 1010004111 0000002000 0110004111 0000002000 0000002000 0000001000 0000001000 0000002000
    0000006000 0002000111 0000006000 0000200111 2220003000 0020004000 0000020000 0000020111 2000003000 0001014000
    0200003000 0000114000 0000006000 0020003000 0000006000 0000020111 2220003000 0200004000 2220003000 2000004000
    0000004000 0000003000 0000020111 0000040000 2000004000 1100004111 0200004000 1100004111 0000003000 0000002000
    0000200000 0000200111 2000003000 0001104000 0000200111 0000400000 2000004000 1010004111 2000003000 2000004000
    4000000000 2000003000 0001104000 1010004111 2000003000 0000200000 0020003000 0000114000 0000006000 0200003000
    0020004000 1010004111 0000003000 0000002000 0001014000 1100004111 2000003000 0000020000 0110004111 0000002000
    0000002000 0000001000 0002000000 0002000111 0002000111 0004000000 0200003000 0001104000 0200004000 0110004111
    0200003000 0200004000 0001104000 0110004111 0400000000 0200003000 0200003000 0002000000 0020003000 0001014000
    0020004000 0110004111 0000006000 2000003000 0000003000 0000002000 0000114000 1100004111 1010004111 0000002000
    0200003000 0000020000 0000002000 0000001000 0020003000 0020004000 0001014000 0110004111 0000114000 1010004111
    1100004111 0000002000 0000006000 0000003000 2000003000 0000002000 0200003000 0000002000 0000020000 0000001000
    0040000000 0020003000 0020003000 0002000000 0020003000 0000200000 0000002000 0000001000 0020003000 0000002000
    0000200000 0000001000 0002000000 0000001000 0000001000 0000000000
"""

CONFIGURATION_TRIANGLES: NDArray[np.uint8] = np.array([[int(n) for n in word] for word in _COUNTS.split()], np.uint8)
"""Triangles of each kind in a cell of each configuration: shape (256, n_kinds). Bit 4 dz + 2 dy + dx of a
configuration says whether the voxel at (plane + dz, row + dy, column + dx) belongs to the object."""


def surface_area(
    counts: NDArray[np.int64] | NDArray[np.float64], voxel: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> NDArray[np.float64]:
    """Return the surface area of objects from their triangles.

    Parameters
    ----------
    counts : ndarray of shape (n_objects, len(SURFACE_COLUMNS)), int64 or float64
        Triangles of each kind.
    voxel : tuple of float
        Spacing of planes, rows and columns, > 0.

    Returns
    -------
    ndarray of shape (n_objects,), float64
        Area in the square of the spacing's unit.

    Raises
    ------
    ValueError
        If the counts have another number of columns, or a spacing is not above 0 and finite.

    Examples
    --------
    >>> surface_area(np.array([[0, 0, 0, 0, 0, 0, 8, 0, 0, 0]])).round(6)  # one voxel: an octahedron
    array([1.732051])
    """
    if counts.ndim != 2 or counts.shape[1] != len(SURFACE_COLUMNS):
        raise ValueError(f"counts have shape {counts.shape}; {len(SURFACE_COLUMNS)} columns are needed")
    plane, row, column = voxel
    if not all(0.0 < side < np.inf for side in voxel):
        raise ValueError(f"voxel is {voxel}; every spacing must be above 0 and finite")
    x, y, z = (TRIANGLE_KINDS * (plane * row, plane * column, row * column)).T
    areas = np.sqrt(x * x + y * y + z * z)
    total = np.zeros(counts.shape[0])
    for kind, area in enumerate(areas.tolist()):  # one after another: the same bits whatever BLAS is there
        total += counts[:, kind] * area
    return total
