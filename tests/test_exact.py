"""Arithmetic without hardware or libm, against rational numbers and the C library."""

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort.backend.plain.exact import arc_cosine, fma


def round_once(a, b, c):
    """a * b + c in rational numbers, rounded to float32 by integers alone."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact == 0:
        return np.float32(0)
    exponent = max(math.floor(math.log2(abs(exact))) - 24, -149)
    while abs(exact) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    return np.float32(round(exact / Fraction(2) ** exponent) * 2.0**exponent)


floats = st.floats(-(2.0**40), 2.0**40, width=32).filter(lambda x: x == 0 or abs(x) > 2.0**-40)


@settings(max_examples=300, deadline=None)
@given(a=floats, b=floats, c=floats)
def test_fma_rounds_once(a, b, c):
    a, b, c = (np.array([v], np.float32) for v in (a, b, c))
    assert fma(a, b, c)[0] == round_once(a[0], b[0], c[0])


def test_fma_survives_the_double_rounding_trap():
    """The float64 sum falls on a float32 tie that the exact sum lies just beside."""
    a, b, c = np.float32([1 + 2**-12]), np.float32([1 + 2**-12]), np.float32([2.0**-60])
    naive = (a.astype(np.float64) * b + c).astype(np.float32)
    assert naive[0] == np.float32(1 + 2**-11)
    assert fma(a, b, c)[0] == round_once(a[0], b[0], c[0]) == np.float32(1 + 2**-11 + 2**-23)


def test_arc_cosine_is_right_to_a_unit_in_the_last_place():
    x = np.concatenate(
        [np.random.default_rng(3).uniform(-1, 1, 20000), [-1, -0.5, -0.0, 0.0, 0.5, 1, 1e-300, 1 - 2**-53]]
    )
    expected = np.array([math.acos(v) for v in x])
    assert np.all(np.abs(arc_cosine(x) - expected) <= np.spacing(expected))
    assert np.isnan(arc_cosine(np.array([1.0000001, -2.0, np.nan]))).all()
