"""Eigenvalues of symmetric 2 x 2 and 3 x 3 matrices, one a pixel, by closed forms of exact IEEE operations.

Order of the arithmetic (binding for every backend): the float32 entries are widened to float64, in which no power of
them that occurs here leaves the range; every operation is rounded by itself, nothing is fused; each eigenvalue is
rounded to float32 once.

In 3D, with q a third of the trace and p^2 a sixth of the sum of squares of A - q, the eigenvalues are
``q + 2 p cos((acos(r) + 2 pi k) / 3)``, r half the determinant of (A - q) / p [1]_. Neither cosine is needed: for
``t = |r|`` the largest, c, solves ``4 c^3 - 3 c = t`` and lies in [cos 30 deg, 1], where three steps of Newton's method
from the chord reach float64's last bits; a negative r is the matrix with its sign changed. The error is a few 1e-8 of
the largest entry where two eigenvalues coincide, and less elsewhere: below a float32's rounding of that entry.

References
----------
.. [1] Smith (1961), Eigenvalues of a symmetric 3 x 3 matrix, Commun. ACM 4.
"""

import math

import numpy as np

from compdistort.backend.base import Float32, Float64

THIRD = 1.0 / 3.0
SIXTH = 1.0 / 6.0
COS_30 = math.sqrt(0.75)
NEWTON_STEPS = 3
"""From an error of 0.005 below 1e-5, 1e-9 and 1e-16."""


def eigenvalues_2d(yy: Float32, yx: Float32, xx: Float32) -> tuple[Float32, Float32]:
    """Return the eigenvalues of ((yy, yx), (yx, xx)), largest first.

    Parameters
    ----------
    yy, yx, xx : ndarray of any one shape, float32
        Entries.

    Returns
    -------
    tuple of two ndarray of that shape, float32

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> [float(e[0]) for e in eigenvalues_2d(one, one, one)]
    [2.0, 0.0]
    """
    a, b, d = (entry.astype(np.float64) for entry in (yy, yx, xx))
    middle, half = 0.5 * (a + d), 0.5 * (a - d)
    root = np.sqrt(half * half + b * b)
    return (middle + root).astype(np.float32), (middle - root).astype(np.float32)


def eigenvalues_3d(
    zz: Float32, zy: Float32, zx: Float32, yy: Float32, yx: Float32, xx: Float32
) -> tuple[Float32, Float32, Float32]:
    """Return the eigenvalues of the symmetric matrix with these entries, largest first.

    Parameters
    ----------
    zz, zy, zx, yy, yx, xx : ndarray of any one shape, float32
        Entries.

    Returns
    -------
    tuple of three ndarray of that shape, float32

    Examples
    --------
    >>> one, none = np.ones(1, np.float32), np.zeros(1, np.float32)
    >>> [float(e[0]) for e in eigenvalues_3d(one, one, none, one, none, one)]
    [2.0, 1.0, 0.0]
    """
    a, b, c, d, e, f = (entry.astype(np.float64) for entry in (zz, zy, zx, yy, yx, xx))
    q = THIRD * ((a + d) + f)
    a, d, f = a - q, d - q, f - q
    squares = ((a * a + d * d) + f * f) + 2.0 * ((b * b + c * c) + e * e)
    p = np.sqrt(SIXTH * squares)
    unit = 1.0 / np.where(p > 0.0, p, 1.0)
    a, b, c, d, e, f = (unit * entry for entry in (a, b, c, d, e, f))
    r = 0.5 * ((a * (d * f - e * e) - b * (b * f - e * c)) + c * (b * e - d * c))
    t = np.abs(r)
    far, near = _cosines(np.where(t > 1.0, 1.0, t))
    # The outer eigenvalue 2 p c and the pair -p (c -+ sqrt(3) s) of a matrix with r >= 0; mirrored for r < 0.
    outer, high, low = 2.0 * (p * far), p * (near - far), -(p * (near + far))
    positive = r >= 0.0
    values = np.where(positive, outer, -low), np.where(positive, high, -high), np.where(positive, low, -outer)
    one, two, three = ((q + value).astype(np.float32) for value in values)
    return one, two, three


def _cosines(t: Float64) -> tuple[Float64, Float64]:
    """Return c and sqrt(3) s of the angle acos(t) / 3, for t in [0, 1]."""
    c = COS_30 + (1.0 - COS_30) * t
    for _ in range(NEWTON_STEPS):
        square = c * c
        c = (8.0 * (c * square) + t) / (12.0 * square - 3.0)
    return c, np.sqrt(3.0 * ((1.0 - c) * (1.0 + c)))
