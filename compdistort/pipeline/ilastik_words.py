"""What the commands on ilastik projects say to people."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any


def describe_project(result: dict[str, Any]) -> str:
    """Return what `show_project` found, some lines."""
    lines = [f"{result['project']}: ilastik {result['version']}, {result['workflow']}"]
    lines.append(f"classes: {', '.join(result['classes']) or 'none'}")
    lines += [_lane(lane) for lane in result["lanes"]]
    lines += _features(result["features"])
    found = result["classifier"]
    lines.append(
        f"classifier: none ({result['no_classifier']})"
        if found is None
        else f"classifier: {found['n_trees']} trees of vigra, classes {', '.join(map(str, found['classes']))}"
    )
    return "\n".join(map(_printable, lines))


def describe_import(result: dict[str, Any]) -> str:
    """Return what `import_project` wrote, one line a kind of file."""
    lines = []
    if result["model"] is not None:
        n_trees = result["classifier"]["n_trees"]
        lines.append(f"{result['model']}: {n_trees} trees, foreground is class {result['foreground']}")
    for kind, what in (("labels", "label image"), ("raw", "raw image")):
        files = result[kind]
        lines += [f"{files[0]}{' and others' if len(files) > 1 else ''}: {len(files)} {what}(s)"] if files else []
    return "\n".join([*lines, *result["cautions"]])


def _printable(line: str) -> str:
    """Return a line without what steers a terminal: names in a project are anybody's."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _lane(lane: dict[str, Any]) -> str:
    size = "unknown" if lane["shape"] is None else " x ".join(map(str, lane["shape"]))
    where = (
        "in the project" if lane["kind"] == "internal" else "/".join(filter(None, (lane["path"], lane["inner_path"])))
    )
    drawn = ", ".join(f"{n} of class {value}" for value, n in lane["annotated"].items()) or "none"
    return f"lane {lane['lane']}: {lane['name'] or 'no name'}, {lane['axes']} {size}, {where}; drawn pixels: {drawn}"


def _features(chosen: list[dict[str, Any]] | None) -> list[str]:
    if chosen is None:
        return ["features: none"]
    rows = groupby(chosen, key=lambda each: each["operator"])
    words = "; ".join(f"{operator} {_sigmas(each['sigma'] for each in row)}" for operator, row in rows)
    flat = sorted({each["sigma"] for each in chosen if each["in_2d"]})
    return [f"features: {words}" + (f"; plane by plane: {_sigmas(flat)}" if flat else "")]


def _sigmas(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
