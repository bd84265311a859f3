"""Put a report together and write it, the page last."""

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from compdistort.io.files import atomic_path, resource_errors
from compdistort.report import (
    figures_areas,
    figures_image,
    figures_noise,
    figures_scores,
    figures_volume,
    methods,
    operators,
    pixels,
    steps,
    tables,
    tables_detail,
    words,
)
from compdistort.report.csv_tables import csv_tables
from compdistort.report.formatting import listing, percent, plain, plural, relative_half_width
from compdistort.report.geometry import Geometry, scene_geometry
from compdistort.report.glossary import glossary
from compdistort.report.inputs import ReportInput
from compdistort.report.pictures import Residual, choose_window, residual
from compdistort.report.style import css, page_templates
from compdistort.report.twin import report_dict, report_json

TEMPLATE = "report.html.jinja"


def write_document(report: ReportInput, folder: Path) -> Path:
    """Write tables, twin and page; see `compdistort.report.write_report`."""
    folder = Path(folder)
    residuals = {codec.codec: residual(report.frame, codec.frame, report.sigma_dn) for codec in report.codecs}
    shape = scene_geometry(report)
    page = render(report, residuals, shape)
    files = {f"tables/{name}": text for name, text in csv_tables(report).items()}
    files["report.json"] = report_json(report_dict(report, residuals, shape))
    files["index.html"] = page
    with resource_errors(folder):
        (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        with atomic_path(folder / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    return folder / "index.html"


def render(report: ReportInput, residuals: dict[str, Residual], shape: Geometry) -> str:
    """Return the page.

    Parameters
    ----------
    report : ReportInput
        The study.
    residuals : dict of str to Residual
        Pixel residuals by codec.
    shape : Geometry
        Shape of the scene.
    """
    context = {
        "style": Markup(css()),  # noqa: S704 (our own style sheet)
        "report": report,
        "scores": report.scores,
        **_words(report),
        **_pictures(report, residuals),
        **_plots(report),
        **_tables(report, shape),
        "pixels": pixels.page_parts(report),
        "operators": operators.page_parts(report),
        "steps": steps.page_parts(report),
    }
    return page_templates().get_template(TEMPLATE).render(context)


def _words(report: ReportInput) -> dict[str, Any]:
    found = words.problems(report)
    size = report.scores.total_uncertainty.get(words.size_symbol(report.measurands))
    known = math.nan if size is None else relative_half_width(size)
    return {
        "headline": words.headline(report),
        "problems": found[: words.N_PROBLEMS],
        "all_problems": found,
        "precision": "" if math.isnan(known) else percent(known, 2),
        "level": f"{plain(100 * report.scores.level)} %",
        "margin": plain(report.scores.margin),
        "size": report.measurands.size.lower(),
        "size_symbol": words.size_symbol(report.measurands),
        "deciding": ", ".join(total.name for total in report.measurands.totals if total.decides),
        "n_parameters": len(report.measurands.parameters),
        "raw_alone": listing([codec.codec for codec in report.scores.codecs if words.raw_alone(codec)]),
        "jumps": {kind: percent(share) for kind, share in report.scores.feret_jumps.items()},
        "n_objects": plural(report.scores.n_objects, "object"),
        "n_replicates": plural(report.scores.n_replicates, "replicate"),
        "estimated": bool(report.sensor.get("estimated")),
        "from_threshold": words.from_threshold(report.classifier),
        "methods": methods.methods_paragraph(report),
        "citation": methods.CITATION,
        "doi": methods.DOI,
        "glossary": glossary(report.measurands),
        "classifier": _fields(report.classifier),
        "sensor_source": _fields(report.sensor.get("source") or {}),
        "truth": _fields(report.truth or {}),
        "provenance": _fields({k: v for k, v in report.provenance.items() if k != "sessions"}),
        "sessions": [_fields(_with_command(one)) for one in report.provenance.get("sessions", [])],
        "settings": [(key, words.value_words(value)) for key, value in words.flat(report.config)],
    }


def _with_command(session: dict[str, Any]) -> dict[str, Any]:
    """Return a session with its command line as one text."""
    command = session.get("command")
    return {**session, "command": shlex.join(map(str, command))} if isinstance(command, list | tuple) else session


def _fields(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(words.field_words(key), words.value_words(value)) for key, value in words.flat(data)]


def _pictures(report: ReportInput, residuals: dict[str, Residual]) -> dict[str, Any]:
    window = choose_window(report.labels)
    # A recorded frame shows no objects: its middle is magnified.
    of_frame = window if report.recorded is None else choose_window(np.zeros(report.frame.shape, np.int32))
    return {
        "window": window,
        "probability": figures_image.probability(report),
        "overview": figures_image.overview(report, window),
        "magnified": figures_image.magnified(report, window),
        "projections": figures_volume.projections(report),
        "codec_projections": figures_volume.codec_projections(report),
        "frames": figures_volume.recorded_frames(report),
        "residual_rows": figures_image.residual_rows(report, residuals, of_frame),
        "colour_bar": figures_image.colour_bar(),
    }


def _plots(report: ReportInput) -> dict[str, Any]:
    judged = report.scores.n_objects > 0 and len(report.codecs) > 0
    return {
        "area_figures": figures_areas.area_figures(report) if judged else [],
        "totals_figure": figures_scores.totals_figure(report) if judged else None,
        "score_figures": figures_scores.score_figures(report) if judged else [],
        "convergence_figure": figures_noise.convergence_figure(report),
        "noise_figure": figures_noise.noise_figure(report),
    }


def _tables(report: ReportInput, shape: Geometry) -> dict[str, Any]:
    return {
        "verdict_table": tables.verdict_table(report),
        "totals_table": tables_detail.totals_table(report) if report.codecs else None,
        "precision_table": tables.precision_table(report),
        "delta_table": tables.delta_table(report),
        "file_table": tables.file_table(report),
        "matching_table": tables.matching_table(report),
        "shift_table": tables_detail.shift_table(report),
        "score_tables": [
            (scores.codec, tables_detail.score_table(scores, report.scores.level)) for scores in report.scores.codecs
        ],
        "sensor_table": tables_detail.sensor_table(report),
        "geometry_table": tables_detail.geometry_table(report, shape),
    }
