// Arc cosine with fdlibm's digits, which Java's Math.acos gives, and so ImageJ's Hessian orientation.
// Oracle: arc_cosine of compdistort/backend/plain/exact.py, equal to the bit.
//
// Algorithm and coefficients are those of fdlibm's e_acos.c:
//   Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
//   Developed at SunPro, a Sun Microsystems, Inc. business. Permission to use, copy, modify, and distribute this
//   software is freely granted, provided that this notice is preserved.

// (asin(x) - x) / x as a quotient of polynomials in z = x^2 <= 1/4: Horner's rule, one rounding an operation.
static __device__ __forceinline__ double arc_ratio(double z) {
  double p = 7.91534994289814532176e-04 + z * 3.47933107596021167570e-05;
  p = -4.00555345006794114027e-02 + z * p;
  p = 2.01212532134862925881e-01 + z * p;
  p = -3.25565818622400915405e-01 + z * p;
  p = 1.66666666666666657415e-01 + z * p;
  double q = -6.88283971605453293030e-01 + z * 7.70381505559019352791e-02;
  q = 2.02094576023350569471e+00 + z * q;
  q = -2.40339491173441421878e+00 + z * q;
  q = 1.0 + z * q;
  return __ddiv_rn(z * p, q);
}

// x in [-1, 1]; radians in [0, pi].
static __device__ __forceinline__ double arc_cosine(double x) {
  const double half_pi = 1.57079632679489655800e+00, half_pi_low = 6.12323399573676603587e-17;
  if (x == 1.0) return 0.0;
  const double size = fabs(x);
  if (size < 0.5) return half_pi - (x - (half_pi_low - x * arc_ratio(x * x)));
  const double z = (1.0 - size) * 0.5, ratio = arc_ratio(z), root = __dsqrt_rn(z);
  if (x < 0.0) return 2.0 * half_pi - 2.0 * (root + (ratio * root - half_pi_low));
  // root = high + low: the product of the upper 21 bits of its fraction with themselves is exact
  const double high = __longlong_as_double(__double_as_longlong(root) & ~0xffffffffll);
  const double low = __ddiv_rn(z - high * high, root + high);
  return 2.0 * (high + (ratio * root + low));
}
