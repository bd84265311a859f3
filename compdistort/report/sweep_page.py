"""The page of a sweep, its machine-readable twin, and its rows as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from compdistort.io.files import atomic_path, resource_errors
from compdistort.report.figures_sweep import object_figure, rate_figure
from compdistort.report.formatting import NOTHING, fixed, plain, plural, ratio, size
from compdistort.report.style import css, page_templates
from compdistort.report.sweep_words import (
    REFUSED,
    carried,
    limit_words,
    next_words,
    reason_words,
    saving_words,
    sweep_headline,
)
from compdistort.report.tables import Cell, Table, head_cells, verdict_cell, words_cell
from compdistort.report.words import field_words, flat, value_words

TEMPLATE = "sweep.html"


def write_sweep(twin: dict[str, Any], folder: Path) -> Path:
    """Write ``index.html``, ``sweep.json`` and ``tables/*.csv`` into a folder, the page last.

    Parameters
    ----------
    twin : dict
        The answer of a sweep, JSON-safe.
    folder : Path
        Made if it does not exist; an older report in it is replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResourceError
        If the folder cannot be written to.
    """
    files = {f"tables/{name}": text for name, text in sweep_csv(twin).items()}
    files["sweep.json"] = json.dumps(twin, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    files["index.html"] = render_sweep(twin)
    with resource_errors(folder):
        (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with atomic_path(folder / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    return folder / "index.html"


def render_sweep(twin: dict[str, Any]) -> str:
    """Return the page as one HTML document that needs no network.

    Parameters
    ----------
    twin : dict
        The answer of a sweep.

    Returns
    -------
    str
    """
    drawn = bool(twin["quantities"]) and twin["n_objects"] > 0
    means = [each for each in twin["quantities"] if each["kind"] != "total"]
    return (
        page_templates()
        .get_template(TEMPLATE)
        .render(
            css=Markup(css()),  # noqa: S704 (our own style sheet)
            twin=twin,
            headline=sweep_headline(twin),
            confidence=_confidence(twin),
            margin=plain(twin["margin"]),
            n_objects=plural(twin["n_objects"], "object"),
            n_replicates=plural(twin["n_replicates"], "replicate"),
            limits=limit_table(twin),
            points=point_table(twin),
            rate=rate_figure(twin) if drawn else None,
            means=object_figure(twin) if drawn and means else None,
            missed=any(not point["reached"] for curve in twin["series"] for point in carried(curve)),
            settings=[(key, value_words(value)) for key, value in flat(twin["config"])],
            provenance=[(field_words(key), value_words(value)) for key, value in flat(twin["provenance"])],
        )
    )


def limit_table(twin: dict[str, Any]) -> Table:
    """Return the largest tolerable ratio of every codec and what it saves."""
    rows = tuple(
        (
            words_cell(curve["name"], curve["codec"] if curve["codec"] != curve["name"] else ""),
            Cell(text=limit_words(curve), small=_asked(curve["limit"]["best"])),
            words_cell(*saving_words(curve, twin["image"]["raw_bytes"])),
            words_cell(next_words(curve), reason_words(curve)),
        )
        for curve in twin["series"]
    )
    head = (
        words_cell("Codec"),
        Cell(text="Largest tolerable ratio"),
        words_cell("Saves of this image"),
        words_cell("Next ratio tried"),
    )
    return Table(caption=f"Largest tolerable ratio at {_confidence(twin)} confidence", head=head, rows=rows)


def _confidence(twin: dict[str, Any]) -> str:
    return f"{plain(100 * twin['confidence'])} %"


def _asked(point: dict[str, Any] | None) -> str:
    """Return the setting of a point where it is not its ratio, and a ratio that was not reached."""
    if point is None:
        return ""
    return point["label"] if point["reached"] else f"asked {point['label']}, not reached"


def point_table(twin: dict[str, Any]) -> Table:
    """Return every point of every codec with its scores."""
    totals = [each["name"] for each in twin["quantities"] if each["kind"] == "total"]
    rows = tuple(_point_row(curve, point, totals) for curve in twin["series"] for point in curve["points"])
    head = (
        *head_cells("Codec", "Setting", "Ratio", "Size"),
        words_cell("Verdict"),
        *(Cell(text=f"E3 of {name}") for name in totals),
        Cell(text="Matched"),
        words_cell("First reason"),
    )
    return Table(caption="Settings, ratios and scores of every codec", head=head, rows=rows, css_class="dense")


def _point_row(curve: dict[str, Any], point: dict[str, Any], totals: Sequence[str]) -> tuple[Cell, ...]:
    first = (words_cell(curve["name"]), Cell(text=point["label"] or NOTHING))
    reason = words_cell(point["reasons"][0] if point["reasons"] else NOTHING)
    if point["verdict"] == REFUSED:
        return (
            *first,
            *(Cell(text=NOTHING),) * 2,
            words_cell(REFUSED),
            *(Cell(text=NOTHING),) * (len(totals) + 1),
            reason,
        )
    return (
        *first,
        Cell(text=ratio(point["ratio"]), small="" if point["reached"] else "not reached"),
        Cell(text=size(point["encoded_bytes"])),
        verdict_cell(point["verdict"]),
        *(_score_cell(point["scores"][name]["expected"]) for name in totals),
        Cell(text=str(point["matched"])),
        reason,
    )


def _score_cell(estimate: dict[str, float | None]) -> Cell:
    known = estimate["low"] is not None and estimate["high"] is not None
    return Cell(
        text=fixed(estimate["value"]), small=f"{fixed(estimate['low'])} to {fixed(estimate['high'])}" if known else ""
    )


def sweep_csv(twin: dict[str, Any]) -> dict[str, str]:
    """Return the text of every CSV file by its name; full precision, empty cells where a value is not defined.

    Parameters
    ----------
    twin : dict
        The answer of a sweep.

    Returns
    -------
    dict of str to str
    """
    return {
        "limits.csv": _text(_LIMIT_COLUMNS, (_limit_line(curve) for curve in twin["series"])),
        "points.csv": _text(_POINT_COLUMNS, (_point_line(*each) for each in _points(twin))),
        "scores.csv": _text(_SCORE_COLUMNS, (line for each in _points(twin) for line in _score_lines(*each))),
    }


_LIMIT_COLUMNS = (
    "codec", "largest_tolerable_ratio", "setting", "reached", "encoded_bytes", "saved_fraction", "all_tried_tolerable",
    "next_ratio", "next_verdict",
)  # fmt: skip
_POINT_COLUMNS = (
    "codec", "setting", "target_ratio", "reached", "ratio", "encoded_bytes", "saved_fraction", "verdict", "objects",
    "matched", "reason",
)  # fmt: skip
_SCORE_COLUMNS = (
    "codec", "setting", "ratio", "quantity", "E3", "E3_low", "E3_high", "E1", "p_tolerable", "p_intolerable",
    "decision",
)  # fmt: skip

_Line = Sequence[Any]


def _points(twin: dict[str, Any]) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    return ((curve, point) for curve in twin["series"] for point in curve["points"])


def _limit_line(curve: dict[str, Any]) -> _Line:
    best, beyond = (curve["limit"][name] or {} for name in ("best", "beyond"))
    return (
        curve["name"],
        *(best.get(name) for name in ("ratio", "label", "reached", "encoded_bytes", "saved_fraction")),
        bool(best) and not beyond,
        beyond.get("ratio"),
        beyond.get("verdict"),
    )


def _point_line(curve: dict[str, Any], point: dict[str, Any]) -> _Line:
    names = ("target_ratio", "reached", "ratio", "encoded_bytes", "saved_fraction", "verdict", "objects", "matched")
    reason = point["reasons"][0] if point["reasons"] else None
    return (curve["name"], point["label"], *(point.get(name) for name in names), reason)


def _score_lines(curve: dict[str, Any], point: dict[str, Any]) -> Iterable[_Line]:
    for name, found in point.get("scores", {}).items():
        score = found["expected"]
        rest = (found[key] for key in ("paper", "p_tolerable", "p_intolerable", "decision"))
        yield (curve["name"], point["label"], point["ratio"], name, score["value"], score["low"], score["high"], *rest)


def _text(header: Sequence[str], rows: Iterable[_Line]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return buffer.getvalue()
