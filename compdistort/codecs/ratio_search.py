"""Driving a codec to a wanted compression ratio by one monotone knob."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from compdistort.errors import ConfigError

TOLERANCE = 0.01
"""A ratio this near to the wanted one (relative) ends the search."""

STEP_TOLERANCE = 0.05
"""Where an integer knob has nothing nearer, a ratio this near still counts as reached."""

_LOOK_AT_END = 3
"""After so many settings that all ask for more, the end itself is tried: it may show that there is no more."""


_SAME = 4
"""After so many settings in a row between two sizes that gave none but these, the knob is taken to have steps."""


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
        Whether the ratio is within 1 % of the target, or within 5 % where the knob has no setting nearer. Of a stack
        that was searched on some of its planes, see `of_whole_image`.
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

    a, b, same = low, high, 0
    while len(tried) < max_encodes - 2 and same < _SAME:
        middle = math.sqrt(a * b) if log else (a + b) / 2
        middle = round(middle) if integer else middle
        away = distance(middle)
        if abs(tried[middle] / target - 1) <= TOLERANCE or middle in (a, b):
            break
        known = not integer and a in tried and b in tried and tried[middle] in (tried[a], tried[b])
        same = same + 1 if known else 0
        up = (away < 0) == rising
        a, b = (middle, b) if up else (a, middle)
        end = b if up else a
        if not integer and len(tried) == _LOOK_AT_END and end in (low, high) and ((distance(end) < 0) == rising) == up:
            break
    nearest = min(tried, key=lambda knob: (abs(distance(knob)), knob))
    if abs(tried[nearest] / target - 1) > TOLERANCE:  # the ends that bisection came near to but never tried
        nearest = min((a, nearest, b), key=lambda knob: (abs(distance(knob)), knob))
    return _outcome(target, tried, nearest)


def with_search(codec_id: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON data of a codec with its `search`, if it has one, as a `RatioSearch`.

    Raises
    ------
    ConfigError
        If its search is none.
    """
    search = config.get("search")
    if search is None:
        return config
    if not isinstance(search, Mapping) or set(search) != {field.name for field in fields(RatioSearch)}:
        raise ConfigError(f"codec '{codec_id}': search = {search!r} is none", "remove it: `prepare` makes it")
    return {**config, "search": RatioSearch(**search)}


def refuse_both(codec_id: str, knob: str, ratio: Any, setting: Any, search: RatioSearch | None) -> None:
    """Refuse a wanted ratio beside a setting of the knob that no search found: one of them would be ignored.

    Raises
    ------
    ConfigError
        If both are given.
    """
    if ratio is not None and setting is not None and search is None:
        raise ConfigError(
            f"codec '{codec_id}' has ratio = {ratio!r} and {knob} = {setting!r}",
            f"give one of them: a wanted ratio finds its own {knob}",
        )


def of_whole_image(ratio: float, target: float, reached: bool, limit: str) -> dict[str, Any]:
    """Return whether a wanted ratio was reached on the whole image; a stack is searched on a few of its planes.

    Parameters
    ----------
    ratio : float
        Ratio of the whole image.
    target : float
        Wanted ratio.
    reached, limit
        What the search found; see `RatioSearch`.

    Returns
    -------
    dict
        ``reached`` and ``limit``: ``"planes"`` where the planes searched came to the ratio and the whole is farther
        from it than `STEP_TOLERANCE`.
    """
    if reached and abs(ratio / target - 1) > STEP_TOLERANCE:
        return {"reached": False, "limit": "planes"}
    return {"reached": reached, "limit": limit}


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
