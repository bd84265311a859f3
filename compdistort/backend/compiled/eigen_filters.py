"""The loops of `separable` for features with eigenvalues among them.

Loops of their own, since they take twice as long to compile: who asks for no eigenvalue does not wait for them.
"""

from compdistort.backend.compiled import separable_fields as at
from compdistort.backend.compiled.eigen_loops import hessian_row, tensor_planes, tensor_row
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.compiled.separable_rows import advance_scale, filter_row, make_ready


@kept_loop
def advance_with_eigenvalues(scales, z):
    """Make what the filters of plane z read (see `separable.advance`)."""
    for s in range(scales.shape[0]):
        f = scales[s]
        advance_scale(f, z)
        if z >= f[at.Z0] and f[at.TENSOR] != 0:
            tensor_planes(f, z)


@kept_loop
def filter_rows_with_eigenvalues(scales, volume, z, first, last, out, step, row_bytes, count):
    """Write the features of rows first..last-1 of plane z (see `separable.filter_rows`)."""
    for s in range(scales.shape[0]):
        f = scales[s]
        for y in range(first, last):
            make_ready(f, volume, z, y)
            row = out + (y - first) * row_bytes
            if f[at.FILTERS] != 0:
                filter_row(f, volume, y, row, step, count)
            if f[at.HESSIAN] != 0:
                hessian_row(f, volume, y, row, step, count)
            if f[at.TENSOR] != 0:
                tensor_row(f, volume, y, row, step, count)
