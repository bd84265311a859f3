"""Versions, axes and slices as an ilastik project writes them."""

import json
import re

from compdistort.errors import InputError

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[.-]?(dev|a|b|rc|post)[.-]?(\d{0,4}))?(?:[.+].*)?")
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, None: 0, "post": 1}
_KNOWN = {(0, 6), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5)}
_SLICE = re.compile(r"\[ *\d{1,15}:\d{1,15}(?: *, *\d{1,15}:\d{1,15})* *\]")
_FIXED_ORDER = "txyzc"

Version = tuple[int, int, int, int, int]
_FIXED_FROM: Version = (1, 3, 3, 0, 0)
_FIXED_TO: Version = (1, 3, 3, 1, 1)
_ORIGINAL_TO: Version = (1, 4, 0, -2, 7)


def parse_version(text: str, path: str) -> Version:
    """Return a version of ilastik as numbers that compare as versions do.

    Raises
    ------
    InputError
        If it is none of 0.6 and 1.0 to 1.5, whose files are known.

    Examples
    --------
    >>> parse_version("1.4.0b11", "p.ilp") < parse_version("1.4.0", "p.ilp") < parse_version("1.4.0post1", "p.ilp")
    True
    """
    found = _VERSION.fullmatch(text.strip())
    if found is None or (int(found[1]), int(found[2])) not in _KNOWN:
        raise InputError(
            f"{path}: /ilastikVersion is {text[:60]!r}, and files of 0.6 and 1.0 to 1.5 are known",
            "open and save it with ilastik 1.4",
        )
    return int(found[1]), int(found[2]), int(found[3] or 0), _STAGES[found[4]], int(found[5] or 0)


def parse_axistags(text: str) -> str | None:
    """Return the letters of vigra's axis tags in their order; None if they are no image's.

    Examples
    --------
    >>> parse_axistags('{"axes": [{"key": "y"}, {"key": "x"}, {"key": "c"}]}')
    'yxc'
    """
    try:
        keys = [entry["key"] for entry in json.loads(text)["axes"]]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return check_axes("".join(keys)) if all(isinstance(key, str) and len(key) == 1 for key in keys) else None


def check_axes(letters: str) -> str | None:
    """Return the letters if they name the axes of an image, once each; else None."""
    good = set("yx") <= set(letters) <= set("tzyxc") and len(set(letters)) == len(letters)
    return letters if good else None


def axistags(axes: str) -> str:
    """Return vigra's axis tags of an order such as ``zyxc``."""
    flags = {"x": 2, "y": 2, "z": 2, "c": 1, "t": 8}
    tags = [{"key": axis, "typeFlags": flags[axis], "resolution": 0, "description": ""} for axis in axes]
    return json.dumps({"axes": tags}, indent=2)


def parse_slice(text: str) -> tuple[tuple[int, int], ...] | None:
    """Return start and stop of every axis of a ``blockSlice``; None if it is none.

    Examples
    --------
    >>> parse_slice("[0:1,15:25,14:25]")
    ((0, 1), (15, 25), (14, 25))
    """
    if not _SLICE.fullmatch(text):
        return None
    pairs = [part.split(":") for part in text.strip("[] ").split(",")]
    return tuple((int(start), int(stop)) for start, stop in pairs)


def block_orders(version: Version, workflow: str, axes: str, tags: str | None) -> tuple[str, ...]:
    """Return the orders of axes in which a version may have written a block of strokes.

    A block's own tags decide where it has them. Versions 1.3.3 to 1.3.3post1 wrote ``txyzc`` in the workflow of pixels
    and objects. Until 1.4.0b7 the order was that of the image file, which may have lacked the channel. Else it is that
    of the lane.

    Parameters
    ----------
    version : tuple of int
        Of `parse_version`.
    workflow : str
        Name of the workflow.
    axes : str
        Of the lane.
    tags : str or None
        Axes in the block's own tags.

    Returns
    -------
    tuple of str
        Candidates, each once.
    """
    if tags is not None:
        return (tags,)
    if _FIXED_FROM <= version <= _FIXED_TO:
        return (_FIXED_ORDER,) if "object" in workflow.lower() else tuple(dict.fromkeys((axes, _FIXED_ORDER)))
    if _FIXED_TO < version <= _ORIGINAL_TO:
        return tuple(dict.fromkeys((axes, axes.replace("c", ""))))
    return (axes,)


__all__ = ["Version", "axistags", "block_orders", "check_axes", "parse_axistags", "parse_slice", "parse_version"]
