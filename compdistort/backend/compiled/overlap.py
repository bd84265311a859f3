"""Which objects of two images share a voxel, from the runs of both: one merge of the two, row by row."""

import numpy as np

from compdistort.backend.base import Runs
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.shape import Int64
from compdistort.errors import InputError


def overlap_pairs(a: Runs, b: Runs) -> tuple[Int64, Int64]:
    """Return the distinct pairs of objects that share a pixel or voxel.

    Time is linear in the runs of both images. Memory is 4 bytes an object of `a`, and 8 a pair that is not the same as
    the last one of its object in `a`.

    Parameters
    ----------
    a, b : Runs
        Two images of one shape.

    Returns
    -------
    tuple of two ndarray of shape (n_pairs,), int64
        Ids in `a` and in `b`, sorted by the first and then by the second.

    Raises
    ------
    InputError
        If the two images have different shapes.

    Examples
    --------
    >>> from compdistort.backend.compiled.measure import read_labels
    >>> a, b = (read_labels(np.array([row], np.int32)) for row in ([1, 1, 1, 0, 2], [0, 1, 2, 2, 2]))
    >>> overlap_pairs(a, b)
    (array([1, 1, 2]), array([1, 2, 2]))
    """
    if a.shape != b.shape:
        raise InputError(f"images have shapes {a.shape} and {b.shape}", "compare images of one and the same field")
    sides = (a.row_start, a.start, a.end, a.owner, b.row_start, b.start, b.end, b.owner)
    found = np.empty(_merge(*sides, np.zeros(a.n_objects + 1, np.int32), np.empty(0, np.int64)), np.int64)
    _merge(*sides, np.zeros(a.n_objects + 1, np.int32), found)
    keys = np.unique(found)
    return keys >> 32, keys & (2**32 - 1)


@kept_loop
def _merge(a_row, a_start, a_end, a_owner, b_row, b_start, b_end, b_owner, last, found):
    """Write a key for every pair that is not the last one of its object in `a`, as far as there is room; count them."""
    n = 0
    for line in range(a_row.size - 1):
        i, j = a_row[line], b_row[line]
        while i < a_row[line + 1] and j < b_row[line + 1]:
            p, q = a_owner[i], b_owner[j]
            if p > 0 and q > 0 and a_end[i] > b_start[j] and b_end[j] > a_start[i] and last[p] != q:
                last[p] = q
                if n < found.size:
                    found[n] = np.int64(p) << 32 | np.int64(q)
                n += 1
            # Whichever ends first cannot meet the other row's next run.
            if a_end[i] <= b_end[j]:
                i += 1
            else:
                j += 1
    return n
