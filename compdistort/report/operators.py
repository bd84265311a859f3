"""What the report tells of the scores of the features: figures, tables, maps, and the rows of CSV and twin."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from compdistort.report.figures_operators import (
    MOST_ROWS,
    comparison_figures,
    feature_words,
    operator_figures,
    operator_maps,
)
from compdistort.report.formatting import NOTHING, fixed, listing, plural
from compdistort.report.inputs import OperatorView, ReportInput
from compdistort.report.tables import Cell, Table, head_cells, words_cell

CSV_COLUMNS = ("codec", "feature", "mean", "rms", "standard_deviation", "pixels_left_out")


def operator_table(view: OperatorView, stage: str = "", file: str = "operators.csv") -> Table:
    """Return of every codec the feature with the largest rms, and its numbers; `file` holds all of them."""
    rows = []
    for codec in view.codecs:
        at = codec.worst
        values = (codec.mean[at], codec.rms[at], codec.deviation[at])
        rows.append(
            (
                words_cell(codec.codec),
                words_cell(feature_words(view.names[at]) if codec.rms[at] > 0 else NOTHING),
                *(Cell(text=fixed(float(value))) for value in values),
                Cell(text=str(int(codec.left_out.max()))),
            )
        )
    return Table(
        caption="The feature that moves most" + (f", {stage} the steps" if stage else ""),
        head=(words_cell("Codec"), *head_cells("Feature", "mean", "rms", "standard deviation", "pixels left out")),
        rows=tuple(rows),
        note=(
            "Pixels left out: those where the replicates do not differ, of the feature with most of them. "
            f"All features are in tables/{file}."
        ),
        css_class="dense narrow",
    )


def part_words(view: OperatorView, plane: str = "plane") -> str:
    """Return where the part lies and how it was computed: one sentence; `plane` is what a plane is called."""
    (top, bottom), (left, right) = view.rows, view.columns
    plane = "" if view.plane is None else f"{plane} {view.plane}, "
    return (
        f"Computed on {plane}rows {top} to {bottom - 1} and columns {left} to {right - 1}, with s from "
        f"{plural(view.n_replicates, 'replicate')}."
    )


def csv_rows(view: OperatorView) -> Iterable[Sequence[Any]]:
    """Give a row of `CSV_COLUMNS` for every codec and feature."""
    for codec in view.codecs:
        columns = (codec.mean.tolist(), codec.rms.tolist(), codec.deviation.tolist(), codec.left_out.tolist())
        for name, *values in zip(view.names, *columns, strict=True):
            yield codec.codec, name, *values


def operators_dict(view: OperatorView) -> dict[str, Any]:
    """Return the scores as data for the twin."""
    return {
        "rows": view.rows,
        "columns": view.columns,
        "n_replicates": view.n_replicates,
        "features": view.names,
        "codecs": {
            codec.codec: {
                "mean": codec.mean,
                "rms": codec.rms,
                "standard_deviation": codec.deviation,
                "pixels_left_out": codec.left_out,
                "largest_rms": view.names[codec.worst],
            }
            for codec in view.codecs
        },
    }


def page_parts(report: ReportInput) -> dict[str, Any] | None:
    """Return what the page shows of the scores of the features; None where the study did not ask for them."""
    view, before = report.operators, report.operators_recorded
    if view is None:
        return None
    parts = {
        "figures": operator_figures(view),
        "maps": operator_maps(view),
        "table": operator_table(view),
        "part": part_words(view),
        "fewer": len(view.names) > MOST_ROWS,
        "n_shown": MOST_ROWS,
        "still": "",
        "before": None,
    }
    if before is None:
        return {**parts, "part": part_words(view) + _nothing_before(report)}
    return {**parts, **_beside(before, view)}


def _nothing_before(report: ReportInput) -> str:
    """Return why there is nothing before the steps, where there are steps."""
    if report.recorded is None:
        return ""
    rows, columns = report.recorded.shape[-2:]
    return f" There are none before the steps: {rows} x {columns} recorded pixels are too few for every filter."


def _beside(before: OperatorView, after: OperatorView) -> dict[str, Any]:
    """Return the parts that show both sides of the steps; a codec that moves nothing on either side has no maps."""
    maps = list(zip(operator_maps(before, "before"), operator_maps(after, "after"), strict=True))
    moved = [any(one.rms[one.worst] > 0 for one in pair) for pair in zip(before.codecs, after.codecs, strict=True)]
    still = [codec.codec for codec, moves in zip(after.codecs, moved, strict=True) if not moves]
    return {
        "maps": tuple(chain.from_iterable(pair for pair, moves in zip(maps, moved, strict=True) if moves)),
        "still": f"No feature changes under {listing(still)}." if still else "",
        "table": operator_table(after, "after"),
        "before": {
            "figures": comparison_figures(before, after),
            "table": operator_table(before, "before", "operators_recorded.csv"),
            "part": part_words(before, "frame"),
        },
    }
