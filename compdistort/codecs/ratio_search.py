"""Driving a codec to a wanted compression ratio by one monotone knob."""

import math
from collections.abc import Callable
from dataclasses import dataclass

TOLERANCE = 0.01
"""A ratio this near to the wanted one (relative) ends the search."""

STEP_TOLERANCE = 0.05
"""Where an integer knob has nothing nearer, a ratio this near still counts as reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioSearch:
    """What a search found.

    Attributes
    ----------
    target : float
        Wanted ratio.
    knob : float
        Setting whose ratio is nearest to it (in log ratio; of two equally near the lower setting).
    ratio : float
        Ratio at that setting.
    reached : bool
        Whether the ratio is within 1 % of the target, or within 5 % where the knob has no setting nearer.
    limit : str
        What kept it away: ``""`` nothing, ``"step"`` the steps of the knob, ``"range"`` the end of the knob.
    encodes : int
        Settings tried.
    """

    target: float
    knob: float
    ratio: float
    reached: bool
    limit: str
    encodes: int


def search_ratio(
    ratio_of: Callable[[float], float],
    low: float,
    high: float,
    target: float,
    *,
    rising: bool,
    integer: bool = False,
    log: bool = False,
    max_encodes: int = 24,
) -> RatioSearch:
    """Bisect a knob until the ratio is within 1 % of the target or nothing lies between.

    Parameters
    ----------
    ratio_of : callable
        Compression ratio at a setting; called once a setting.
    low, high : float
        Ends of the knob.
    target : float
        Wanted ratio.
    rising : bool
        Whether the ratio grows with the knob.
    integer : bool
        The knob takes whole numbers only.
    log : bool
        Bisect on a logarithmic scale.
    max_encodes : int
        Most settings tried.

    Returns
    -------
    RatioSearch
        The nearest setting, and whether it reached the target: an unreached one is never passed off as reached.

    Examples
    --------
    >>> search_ratio(lambda q: 1000 / q, 1, 100, 40, rising=False, integer=True).knob
    25
    >>> search_ratio(lambda q: 100 / q, 1, 100, 500, rising=False, integer=True).limit
    'range'
    """
    tried: dict[float, float] = {}

    def distance(knob: float) -> float:
        if knob not in tried:
            tried[knob] = ratio_of(knob)
        return math.log(tried[knob] / target)

    a, b = low, high
    while len(tried) < max_encodes - 2:
        middle = math.sqrt(a * b) if log else (a + b) / 2
        middle = round(middle) if integer else middle
        away = distance(middle)
        if abs(tried[middle] / target - 1) <= TOLERANCE or middle in (a, b):
            break
        a, b = (middle, b) if (away < 0) == rising else (a, middle)
    nearest = min(tried, key=lambda knob: (abs(distance(knob)), knob))
    if abs(tried[nearest] / target - 1) > TOLERANCE:  # the ends that bisection came near to but never tried
        nearest = min((a, nearest, b), key=lambda knob: (abs(distance(knob)), knob))
    return _outcome(target, tried, nearest)


def _outcome(target: float, tried: dict[float, float], nearest: float) -> RatioSearch:
    off = abs(tried[nearest] / target - 1)
    inside = min(tried.values()) <= target <= max(tried.values())
    limit = "" if off <= TOLERANCE else ("step" if inside else "range")
    return RatioSearch(
        target=target,
        knob=nearest,
        ratio=tried[nearest],
        reached=off <= TOLERANCE or (limit == "step" and off <= STEP_TOLERANCE),
        limit=limit,
        encodes=len(tried),
    )
