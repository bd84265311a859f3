"""The search for a wanted ratio: the nearest setting, how many are tried, and an unreached ratio that says so."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort.codecs import search_ratio


@given(target=st.floats(1.5, 5000), power=st.floats(0.3, 3), scale=st.floats(1, 1000), rising=st.booleans())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_integer_search_finds_the_nearest_setting(target, power, scale, rising):
    def ratio(knob):
        return scale * (knob if rising else 101 - knob) ** power

    found = search_ratio(ratio, 1, 100, target, rising=rising, integer=True)
    best = min(abs(math.log(ratio(k) / target)) for k in range(1, 101))
    away = abs(math.log(found.ratio / target))
    assert away == pytest.approx(best) or abs(found.ratio / target - 1) <= 0.01
    assert found.encodes <= 10
    assert found.reached == (abs(found.ratio / target - 1) <= (0.05 if found.limit == "step" else 0.01))
    if found.limit == "range":
        assert found.knob in (1, 100)


@given(target=st.floats(0.01, 1000), rising=st.booleans(), log=st.booleans())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_continuous_search(target, rising, log):
    def ratio(knob):
        return knob if rising else 1 / knob

    found = search_ratio(ratio, 1e-2, 1e2, target, rising=rising, log=log)
    inside = 0.01 <= target <= 100
    if found.reached:
        assert abs(found.ratio / target - 1) <= 0.01
    if inside and log:
        assert found.reached
    if not 0.0099 <= target <= 101:
        assert (found.reached, found.limit) == (False, "range")
        assert found.knob in (1e-2, 1e2)
    assert found.encodes <= 24


def test_search_is_deterministic_and_asks_once_a_setting():
    asked = []

    def ratio(knob):
        asked.append(knob)
        return 1000 / knob

    first = search_ratio(ratio, 1, 100, 33.4, rising=False, integer=True)
    assert len(asked) == len(set(asked)) == first.encodes
    assert search_ratio(ratio, 1, 100, 33.4, rising=False, integer=True) == first


def test_the_end_of_the_knob_is_not_reached_even_when_near():
    found = search_ratio(lambda q: 1000 / q, 1, 100, 9.7, rising=False, integer=True)
    assert (found.knob, found.reached, found.limit) == (100, False, "range")
    found = search_ratio(lambda q: 1000 / q, 1, 100, 170, rising=False, integer=True)
    assert (found.knob, found.reached, found.limit) == (6, True, "step")
    found = search_ratio(lambda q: 1000 / q, 1, 100, 700, rising=False, integer=True)
    assert (found.knob, found.reached, found.limit) == (2, False, "step")


@given(
    target=st.floats(1.1, 1e4),
    low=st.floats(1e-5, 0.1),
    span=st.floats(10, 1e5),
    power=st.floats(0.2, 2),
    rising=st.booleans(),
    log=st.booleans(),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_what_a_knob_cannot_reach_costs_few_encodes(target, low, span, power, rising, log):
    high = low * span

    def ratio(knob):
        return 20 * (knob / low if rising else high / knob) ** power

    found = search_ratio(ratio, low, high, target, rising=rising, log=log)
    top = max(ratio(low), ratio(high))
    if 20 * 1.01 < target < top / 1.01 and log:
        assert found.reached
        assert abs(found.ratio / target - 1) <= 0.01
    if not 20 / 1.02 <= target <= top * 1.02:
        assert (found.reached, found.limit) == (False, "range")
        assert found.knob in (low, high)
        assert found.encodes <= 4


def test_a_ratio_between_the_last_setting_and_the_end_is_still_found():
    """The look at the end must not end a search whose answer lies just before it."""
    for rising in (True, False):
        for target in (7.9, 7.99, 0.01002):
            found = search_ratio(
                lambda q, rising=rising: q if rising else 1 / q, *((1e-2, 8) if rising else (1 / 8, 100)), target,
                rising=rising, log=True,
            )  # fmt: skip
            assert found.reached
            assert abs(found.ratio / target - 1) <= 0.01


def test_a_staircase_is_searched_to_its_step():
    """Fixed-rate coders give few sizes: the setting found is on the nearest step, and no step is passed off."""
    steps = (4.0, 8.0, 16.0, 32.0)

    def ratio(knob):
        return steps[min(int(knob), 3)]

    for target, nearest, reached in ((8.2, 8.0, True), (12, 16.0, False), (15.5, 16.0, True), (40, 32.0, False)):
        found = search_ratio(ratio, 0, 3.999, target, rising=True)
        assert (found.ratio, found.reached) == (nearest, reached)
        assert found.limit == ("range" if target == 40 else "step")
        assert found.encodes <= 10


def test_narrow_steps_are_all_seen():
    """Steps of a thousandth of the knob, 3 % in ratio: the search must not take one of them for the last."""

    def ratio(knob):
        return 1.03 ** int(1000 * knob)

    for target in (1.5, 10, 333, 1e5):
        found = search_ratio(ratio, 0, 1, target, rising=True)
        assert abs(found.ratio / target - 1) < 0.016
        assert found.reached
