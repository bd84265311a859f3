"""The report's numbers as plain CSV: full precision, empty cells where a value is not defined."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from compdistort.report.figures_noise import precision_at
from compdistort.report.inputs import ReportInput
from compdistort.report.operators import CSV_COLUMNS, csv_rows
from compdistort.report.pixels import (
    CLASS_COLUMNS,
    PIXEL_COLUMNS,
    SPECTRUM_COLUMNS,
    class_rows,
    known,
    pixel_rows,
    spectrum_rows,
)
from compdistort.report.tables import RATES, pairs
from compdistort.report.words import size_words
from compdistort.score.results import Estimate

Rows = Iterable[Sequence[Any]]


def csv_tables(report: ReportInput) -> dict[str, str]:
    """Return the text of every CSV file by its name.

    Parameters
    ----------
    report : ReportInput
        The study.
    """
    (size, unit), names = size_words(report.measurands), report.measurands.names
    tables: dict[str, tuple[Sequence[str], Rows]] = {
        "verdicts.csv": (
            ("codec", "verdict", "ratio", "target_ratio", "reached", "encoded_bytes", "reasons"),
            _verdicts(report),
        ),
        "scores.csv": (_SCORE_COLUMNS, _scores(report)),
        f"delta_{size}.csv": (("codec", *_columns(f"mean{unit}"), *_columns(f"spread{unit}")), _delta(report)),
        f"delta_{size}_histogram.csv": (("codec", f"from{unit}", f"to{unit}", "objects"), _histogram(report)),
        "matching.csv": (("codec", "kind", "count", *_columns("rate"), *_columns("null_rate")), _matching(report)),
        "shifts.csv": (("quantity", *_columns("shift")), ((n, *_three(e)) for n, e in report.scores.shifts.items())),
        "uncertainty.csv": (
            ("total", *_columns("s")),
            ((n, *_three(e)) for n, e in report.scores.total_uncertainty.items()),
        ),
        "convergence.csv": (("n_replicates", "quantity", "relative_half_width"), _convergence(report)),
        "objects.csv": (("object", *names, *(f"s {name}" for name in names)), _objects(report)),
        "object_scores.csv": (
            ("codec", "object", *(f"{name}{end}" for end in ("", " low", " high") for name in names)),
            _object_scores(report),
        ),
    }
    if known(report):
        tables["pixels.csv"] = (PIXEL_COLUMNS, pixel_rows(report))
        tables["pixel_classes.csv"] = (CLASS_COLUMNS, class_rows(report))
        tables["pixel_spectrum.csv"] = (SPECTRUM_COLUMNS, spectrum_rows(report))
    for name, view in (("operators", report.operators), ("operators_recorded", report.operators_recorded)):
        if view is not None:
            tables[f"{name}.csv"] = (CSV_COLUMNS, csv_rows(view))
    return {name: _text(header, rows) for name, (header, rows) in tables.items()}


_SCORE_COLUMNS = (
    "codec", "quantity", "kind", "raw", "compressed", "s", "s_low", "s_high", "E1", "E1_low", "E1_high", "E1_spread",
    "E1_rms", "E3", "E3_low", "E3_high", "p_tolerable", "p_intolerable", "decision", "n_objects", "flags",
    "E1_without_offset", "decided_by",
)  # fmt: skip


def _columns(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _three(estimate: Estimate | None) -> tuple[float, float, float]:
    return (math.nan,) * 3 if estimate is None else (estimate.value, estimate.low, estimate.high)


def _text(header: Sequence[str], rows: Rows) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    """Return what CSV shows: nothing for None and NaN, the shortest digits that give the number back else."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else value


def _verdicts(report: ReportInput) -> Rows:
    for codec, scores in pairs(report):
        reasons = "; ".join(scores.reasons)
        yield codec.codec, scores.verdict, codec.ratio, codec.target_ratio, codec.reached, codec.encoded_bytes, reasons


def _scores(report: ReportInput) -> Rows:
    for codec in report.scores.codecs:
        for q in codec.quantities:
            yield (
                codec.codec, q.name, q.kind, q.raw, q.compressed, *_three(q.uncertainty), *_three(q.paper),
                q.paper_spread, q.paper_rms, *_three(q.expected), q.p_tolerable, q.p_intolerable, q.decision,
                q.n_objects, "; ".join(q.flags), q.paper_without_offset, q.by,
            )  # fmt: skip


def _delta(report: ReportInput) -> Rows:
    for codec in report.scores.codecs:
        yield codec.codec, *_three(codec.delta_size.mean), *_three(codec.delta_size.spread)
    yield "replicates", *_three(None), *report.delta_replicate


def _histogram(report: ReportInput) -> Rows:
    for codec in report.scores.codecs:
        edges = codec.delta_size.edges
        yield from ((codec.codec, a, b, n) for a, b, n in zip(edges, edges[1:], codec.delta_size.counts, strict=False))


def _matching(report: ReportInput) -> Rows:
    for codec in report.scores.codecs:
        for kind in RATES:
            rates = (*_three(codec.rates.get(kind)), *_three(codec.null_rates.get(kind)))
            yield codec.codec, kind, getattr(codec.counts, kind), *rates


def _convergence(report: ReportInput) -> Rows:
    for point in report.scores.convergence:
        widths = precision_at(point, report.measurands.size)
        yield from ((point.n_replicates, name, width) for name, width in widths.items())


def _objects(report: ReportInput) -> Rows:
    both = np.concatenate([report.raw_values, report.scores.object_uncertainty], axis=1)
    yield from ((index, *row) for index, row in enumerate(both.tolist(), start=1))


def _object_scores(report: ReportInput) -> Rows:
    for codec in report.scores.codecs:
        table = np.concatenate([codec.object_scores, codec.object_low, codec.object_high], axis=1)
        yield from ((codec.codec, index, *row) for index, row in enumerate(table.tolist(), start=1))
