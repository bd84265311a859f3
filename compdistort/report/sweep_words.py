"""What a sweep says in words: of a curve its limit, of the whole its headline. Loads no drawing library."""

from collections.abc import Mapping
from typing import Any

from compdistort.report.formatting import NOTHING, listing, percent, ratio, size

REFUSED = "refused"
"""Stands where a verdict would, of a point whose codec cannot carry the image."""


def carried(curve: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the points of a curve that have scores, those of the smallest ratio first."""
    return [point for point in curve["points"] if point["verdict"] != REFUSED]


def limit_words(curve: Mapping[str, Any]) -> str:
    """Return the largest tolerable ratio of a curve.

    Parameters
    ----------
    curve : mapping
        One of ``series`` of what ``sweep.json`` holds.

    Returns
    -------
    str
        With a sign for "at least" where the largest of several ratios tried is tolerable too; "none" where not even
        the smallest is; "refused" where the codec carried the image at none.

    Examples
    --------
    >>> point = {"verdict": "tolerable", "ratio": 10.04}
    >>> limit_words({"points": [point], "limit": {"best": point, "beyond": None}})
    '10.0:1'
    """
    best, beyond = curve["limit"]["best"], curve["limit"]["beyond"]
    if best is None:
        return "none" if beyond is not None else REFUSED
    several = len({point["ratio"] for point in carried(curve)}) > 1
    return f"{'≥ ' if beyond is None and several else ''}{ratio(best['ratio'])}"


def saving_words(curve: Mapping[str, Any], raw_bytes: int) -> tuple[str, str]:
    """Return what a curve saves of the image at its limit: the share, and the sizes before and after.

    Parameters
    ----------
    curve : mapping
        As of `limit_words`.
    raw_bytes : int
        Size of the image.

    Returns
    -------
    (str, str)
        A dash, and nothing, where nothing is tolerable.
    """
    best = curve["limit"]["best"]
    if best is None:
        return NOTHING, ""
    return percent(best["saved_fraction"]), f"{size(raw_bytes)} to {size(best['encoded_bytes'])}"


def next_words(curve: Mapping[str, Any]) -> str:
    """Return the smallest ratio tried that is not tolerable, and its verdict."""
    beyond = curve["limit"]["beyond"]
    if beyond is None:
        return "all tried are tolerable" if curve["limit"]["best"] is not None else NOTHING
    return f"{ratio(beyond['ratio'])} is {beyond['verdict']}"


def reason_words(curve: Mapping[str, Any]) -> str:
    """Return the first reason why the next ratio is not tolerable, or why the codec refuses the image."""
    beyond = curve["limit"]["beyond"]
    if beyond is not None:
        return str(beyond["reasons"][0])
    refused = [point for point in curve["points"] if point["verdict"] == REFUSED]
    return str(refused[0]["reasons"][0]) if refused and curve["limit"]["best"] is None else ""


def sweep_headline(twin: Mapping[str, Any]) -> str:
    """Return the answer of a sweep in one sentence.

    Parameters
    ----------
    twin : mapping
        What ``sweep.json`` holds.
    """
    if not twin["n_objects"]:
        return "The raw image holds no object, so nothing can be said of any codec."
    able = [curve for curve in twin["series"] if curve["limit"]["best"] is not None]
    if not able:
        return f"No codec is tolerable at any ratio tried ({listing([curve['name'] for curve in twin['series']])})."
    best = max(able, key=lambda curve: curve["limit"]["best"]["ratio"])
    more = " or more" if limit_words(best).startswith("≥") else ""
    found = best["limit"]["best"]
    return (
        f"The farthest that stays tolerable is {best['name']} at {ratio(found['ratio'])}{more}: it saves "
        f"{percent(found['saved_fraction'])} of the storage."
    )
