"""The loops of the separable filters over one tile; `separable_plan` lays out the memory that they use.

Every address, table and count stands in one row of int64 numbers for each scale (`separable_fields`). A table entry of
position p lies at ``table + 8 p``, whatever p the table begins with. Rows of the image that a border repeats are
computed once; columns are copied (`mirror`) before an x pass, or lie in the pre-smoothed rows already, since an even
kernel over a mirrored line gives a mirrored line, to the bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.compiled import separable_fields as at
from compdistort.backend.compiled.eigen_filters import advance_with_eigenvalues, filter_rows_with_eigenvalues
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.separable_rows import advance_scale, filter_row, make_ready


def advance(scales: NDArray[np.int64], z: int) -> None:
    """Make what the filters of plane z read: pre-smoothed planes up to z + q, or the z passes of this plane.

    Parameters
    ----------
    scales : ndarray of shape (n_scales, n_fields), int64
        The numbers of each scale.
    z : int
        Plane.
    """
    (advance_with_eigenvalues if scales[0, at.EIGENVALUES] else _advance)(scales, z)


def filter_rows(scales: NDArray[np.int64], *row_arguments: Any) -> None:
    """Write the features of some rows of a plane.

    Parameters
    ----------
    scales : ndarray of shape (n_scales, n_fields), int64
        The numbers of each scale.
    *row_arguments
        volume, z, first, last, out, step, row_bytes, count: rows first..last-1 of plane z are written to the address
        `out`, a feature every `step` bytes, a row every `row_bytes`, `count` vectors of each.
    """
    (filter_rows_with_eigenvalues if scales[0, at.EIGENVALUES] else _filter_rows)(scales, *row_arguments)


@kept_loop
def _advance(scales, z):
    for s in range(scales.shape[0]):
        advance_scale(scales[s], z)


@kept_loop
def _filter_rows(scales, volume, z, first, last, out, step, row_bytes, count):
    for s in range(scales.shape[0]):
        f = scales[s]
        for y in range(first, last):
            make_ready(f, volume, z, y)
            filter_row(f, volume, y, out + (y - first) * row_bytes, step, count)
