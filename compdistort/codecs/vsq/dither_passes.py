"""The order in which the dither-aware coder visits a plane: from coarse to fine, two passes an octave.

The first pixel is alone. Then the lattice of every stride, from the largest power of two that fits, is filled: the
points between four known ones (diagonal pass), and those between two and two (axial pass). So all but a few pixels are
predicted from all sides. The far neighbours of a pixel lie in pairs opposite each other: a stationary image gives both
the same weight.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.plain.dither_sites import Sites

_DIAGONAL = ((1, 1), (1, -1), (1, 3), (1, -3), (3, 1), (3, -1), (3, 3), (3, -3))
_AXIAL = (
    *((0, 1), (1, 0), (1, 2), (1, -2), (2, 1), (2, -1), (0, 3), (3, 0)),
    *((2, 3), (2, -3), (3, 2), (3, -2)),
)
_EARLIER_DIAGONAL = ((0, -2), (-2, 0), (-2, -2), (-2, 2))
_EARLIER_AXIAL = ((-1, -1), (-1, 1), (0, -2), (-2, 0))


def passes(shape: Sequence[int]) -> list[Sites]:
    """Return the passes over a plane that have any pixels.

    Parameters
    ----------
    shape : sequence of two int
        Rows and columns.

    Returns
    -------
    list of Sites
        Together all pixels but the first.

    Examples
    --------
    >>> [(sites.stride, sites.axial, sites.n_sites) for sites in passes((4, 3))]
    [(2, 0, 1), (2, 1, 2), (1, 0, 2), (1, 1, 6)]
    """
    rows, columns = shape
    octaves = (max(rows, columns) - 1).bit_length()
    found = [_sites(rows, columns, 1 << k, axial) for k in reversed(range(octaves)) for axial in (0, 1)]
    return [sites for sites in found if sites.n_sites]


def _sites(rows: int, columns: int, stride: int, axial: int) -> Sites:
    last_row, last_column = (rows - 1) // stride, (columns - 1) // stride
    pairs: tuple[tuple[int, int], ...] = _AXIAL if axial else _DIAGONAL
    # On a lattice of one row or column the pairs turn into it; their parity, and so what is known, stays.
    if last_row == 0:
        pairs = tuple((0, dx + dy % 2) for dy, dx in pairs)
    elif last_column == 0:
        pairs = tuple((dy + dx % 2, 0) for dy, dx in pairs)
    steps: NDArray[np.int64] = np.array(pairs + (_EARLIER_AXIAL if axial else _EARLIER_DIAGONAL), np.int64)
    return Sites(
        width=columns,
        stride=stride,
        axial=axial,
        last_row=last_row,
        last_column=last_column,
        steps=steps,
        n_pairs=len(pairs),
    )
