"""Arithmetic that must give the same bits everywhere: fused multiply-add and arc cosine without hardware or libm.

The arc cosine follows the algorithm and the coefficients of fdlibm, which Java's `Math.acos` runs and so ImageJ's
Hessian orientation: Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunPro, a Sun
Microsystems, Inc. business. Permission to use, copy, modify, and distribute this software is freely granted, provided
that this notice is preserved.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compdistort.backend.base import Float32, Float64

HALF_PI_HIGH, HALF_PI_LOW = 1.57079632679489655800e00, 6.12323399573676603587e-17
ACOS_P = (
    1.66666666666666657415e-01, -3.25565818622400915405e-01, 2.01212532134862925881e-01,
    -4.00555345006794114027e-02, 7.91534994289814532176e-04, 3.47933107596021167570e-05,
)  # fmt: skip
ACOS_Q = (
    1.0, -2.40339491173441421878e00, 2.02094576023350569471e00, -6.88283971605453293030e-01, 7.70381505559019352791e-02,
)  # fmt: skip
"""Coefficients of (asin(x) - x) / x^3 as a quotient of polynomials in x^2, on |x| <= 0.5."""

HIGH_WORD = -(1 << 32)
"""Mask that keeps the upper half of a float64's bits."""


def fma(a: ArrayLike, b: NDArray[Any], c: NDArray[Any]) -> Float32:
    """Return ``a * b + c`` of float32 values with a single rounding.

    The product is exact in float64; the sum is rounded to odd, so that the rounding to float32 is the only one that
    counts (Boldo and Melquiond).

    Parameters
    ----------
    a, b, c : array_like of any shape, float32
        Factors and summand, broadcast.

    Returns
    -------
    ndarray of the broadcast shape, float32

    References
    ----------
    .. [1] Boldo and Melquiond (2008), Emulation of FMA and correctly rounded sums, IEEE Trans. Comput. 57.

    Examples
    --------
    >>> one = np.float32(1 + 2**-23)
    >>> float(fma(one, np.array([one]), np.array([np.float32(-1 - 2**-22)]))[0]) == 2.0**-46
    True
    """
    product = np.multiply(a, b, dtype=np.float64)
    summand = np.asarray(c, np.float64)
    total = product + summand
    part = total - product
    error = (product - (total - part)) + (summand - part)  # Knuth's two-sum: total + error is the exact sum
    even = (total.view(np.int64) & 1) == 0
    odd: Float64 = np.where(even & (error != 0), np.nextafter(total, np.copysign(np.inf, error)), total)
    return odd.astype(np.float32)


def arc_cosine(x: Float64) -> Float64:
    """Return the arc cosine in radians, with fdlibm's digits; NaN outside [-1, 1].

    Parameters
    ----------
    x : ndarray of any shape, float64
        Cosines.

    Returns
    -------
    ndarray of the shape of `x`, float64
        Angles in [0, pi].

    Examples
    --------
    >>> arc_cosine(np.array([1.0, 0.0, -1.0])).tolist()
    [0.0, 1.5707963267948966, 3.141592653589793]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(x)
        small = size < 0.5
        z = np.where(small, x * x, (1.0 - size) * 0.5)
        ratio = z * _polynomial(z, ACOS_P) / _polynomial(z, ACOS_Q)
        root = np.sqrt(z)
        high = (root.view(np.int64) & HIGH_WORD).view(np.float64)
        low = (z - high * high) / (root + high)
        near_one = 2.0 * (high + (ratio * root + low))
        near_minus_one = 2.0 * HALF_PI_HIGH - 2.0 * (root + (ratio * root - HALF_PI_LOW))
        middle = HALF_PI_HIGH - (x - (HALF_PI_LOW - x * ratio))
        angle = np.where(small, middle, np.where(x > 0, near_one, near_minus_one))
        return np.where(x == 1.0, 0.0, np.where(size <= 1.0, angle, np.nan))


def _polynomial(z: Float64, coefficients: tuple[float, ...]) -> Float64:
    """Horner's rule, one rounding an operation."""
    total = np.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = coefficient + z * total
    return total
