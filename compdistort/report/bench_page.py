"""The page of a benchmark, and its rows as CSV."""

import csv
import io
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from compdistort.report.figures_bench import STAGE_COLOURS, stage_figure, thread_words, trade_figure
from compdistort.report.formatting import NOTHING, fixed, number, percent, ratio, size
from compdistort.report.style import css, page_templates
from compdistort.report.tables import Cell, Table, head_cells, words_cell

TEMPLATE = "bench.html"


def render_bench(twin: dict[str, Any], remarks: list[str]) -> str:
    """Return the page as one HTML document that needs no network.

    Parameters
    ----------
    twin : dict
        What ``bench.json`` holds.
    remarks : list of str
        What a reader must know of the answer.

    Returns
    -------
    str
    """
    rows = twin["rows"]
    fastest, best = rows[twin["fastest_at_equal_trust"]], rows[twin["most_accurate"]]
    whole = [row["ns_per_pixel"]["replicate"]["median"] for row in (fastest, best)]
    return (
        page_templates()
        .get_template(TEMPLATE)
        .render(
            css=Markup(css()),  # noqa: S704 (our own style sheet)
            twin=twin,
            fastest=fastest,
            best=best,
            speed=number(whole[1] / whole[0]),
            nanoseconds=number(whole[0]),
            same=fastest is best,
            scores=[fixed(row["score"], 4) for row in (fastest, best)],
            trust=trust_table(twin),
            codecs=[score_table(twin, codec) for codec in twin["codecs"]],
            times=time_table(twin),
            sizes=size_table(twin),
            uncertainty=uncertainty_table(twin),
            trade=trade_figure(twin),
            stages=stage_figure(twin),
            remarks=remarks,
            warnings=_warnings(rows),
            facts=_facts(twin["image"]),
            settings=[(key.replace("_", " "), _plain(value)) for key, value in twin["options"].items()],
            machine=_machine(twin["session"], twin["software"]),
        )
    )


def _warnings(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return every warning of scoring, with the pipelines that it concerns."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for text in row["warnings"]:
            found.setdefault(text, {})[row["pipeline"]] = None
    return [(text, ", ".join(names)) for text, names in found.items()]


def _facts(image: dict[str, Any]) -> list[tuple[str, str]]:
    plain = [
        (key.replace("_", " "), _plain(value)) for key, value in image.items() if key not in ("warnings", "inputs")
    ]
    inputs = image["inputs"].items()
    return [
        *plain,
        *((f"{role.replace('_', ' ')} file", f"{of['name']}, sha256 {of['sha256']}") for role, of in inputs),
    ]


def _machine(session: dict[str, Any], software: dict[str, Any]) -> list[tuple[str, str]]:
    plain = [(key, _plain(value)) for key, value in {**session, **software}.items() if key != "engines"]
    engines = ((f"device {each['device']}", f"{each['engine']}: {each['reason']}") for each in session["engines"])
    return [*engines, *plain]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return NOTHING if value is None else str(value)


def _whole(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")


def _named(place: int, row: dict[str, Any]) -> Cell:
    same = row["device"] == row["engine"]
    return words_cell(f"{place}  {row['pipeline']}", row["device"] if same else f"{row['device']} ({row['engine']})")


def _estimate(value: dict[str, float | None], places: int = 2) -> Cell:
    known = value["low"] is not None and value["high"] is not None
    small = f"{fixed(value['low'], places)} to {fixed(value['high'], places)}" if known else ""
    return Cell(text=fixed(value["value"], places), small=small)


def trust_table(twin: dict[str, Any]) -> Table:
    """Return score and trust of every pipeline, with its verdicts."""
    names = [codec["name"] for codec in twin["codecs"]]
    head = (
        words_cell("Pipeline"),
        Cell(text="Score"),
        Cell(text="Below the best"),
        Cell(text="Out-of-bag error"),
        Cell(text="Dice against truth"),
        *(words_cell(name) for name in names),
        words_cell("Trust"),
    )
    body = []
    for k, row in enumerate(twin["rows"], start=1):
        standing = row["standing"]
        error = "" if standing["standard_error"] is None else f"± {fixed(standing['standard_error'], 4)}"
        verdicts = [row["codecs"][name]["verdict"] for name in names]
        body.append(
            (
                _named(k, row),
                Cell(text=fixed(row["score"], 4)),
                Cell(text=fixed(standing["difference"], 4), small=error),
                Cell(text=fixed(row["oob_error"], 4)),
                Cell(text=fixed(row["truth_dice"], 4)),
                *(Cell(text=verdict, verdict=verdict, number=False) for verdict in verdicts),
                words_cell(standing["reason"] or "equal"),
            )
        )
    return Table(caption="Who deserves equal trust", head=head, rows=tuple(body), css_class="dense")


def score_table(twin: dict[str, Any], codec: dict[str, Any]) -> Table:
    """Return what each pipeline says of one codec."""
    body = []
    for k, row in enumerate(twin["rows"], start=1):
        found = row["codecs"][codec["name"]]
        worst = found["worst"]
        largest = Cell(text=NOTHING)
        if worst is not None:
            largest = replace(_estimate(worst), text=f"{worst['quantity']} {fixed(worst['value'])}")
        body.append(
            (
                _named(k, row),
                Cell(text=found["verdict"], verdict=found["verdict"], number=False),
                Cell(text=f"{found['matched']} of {row['objects']}"),
                Cell(text=", ".join(fixed(found[total]["paper"]["value"]) for total in ("N", "A"))),
                *(_estimate(found[total]["expected"]) for total in ("N", "A")),
                largest,
                words_cell(found["reasons"][0] if found["reasons"] else NOTHING),
            )
        )
    head = (
        words_cell("Pipeline"),
        words_cell("Verdict"),
        *(Cell(text=text) for text in ("Matched", "E1 of N, A", "E3 of N", "E3 of A", "Largest E3")),
        words_cell("First reason"),
    )
    caption = f"{codec['name']}: {codec['description']}, {ratio(codec['ratio'])}"
    return Table(caption=caption, head=head, rows=tuple(body), css_class="dense")


def time_table(twin: dict[str, Any]) -> Table:
    """Return the times of all stages."""
    stages = (*STAGE_COLOURS, "replicate")
    body = []
    for k, row in enumerate(twin["rows"], start=1):
        times = [row["ns_per_pixel"][stage] for stage in stages]
        body.append(
            (
                _named(k, row),
                *(Cell(text=number(time["median"]), small=f"min {number(time['min'])}") for time in times),
                *(Cell(text=number(row[f"{what}_seconds"])) for what in ("train", "compile", "warm_up")),
            )
        )
    head = head_cells(
        "Pipeline", *stages[:-1], "Whole replicate, fused", "Training (s)", "Compiling (s)", "First turn (s)"
    )
    rounds = f"median of {twin['options']['rounds']} turns, and the minimum"
    return Table(
        caption=f"Nanoseconds a pixel{thread_words(twin['rows'])}: {rounds}",
        head=head,
        rows=tuple(body),
        css_class="dense",
    )


def size_table(twin: dict[str, Any]) -> Table:
    """Return what every pipeline takes in memory and as a file."""
    body = tuple(
        (
            _named(k, row),
            *(Cell(text=_whole(row[what])) for what in ("features", "trees", "nodes")),
            Cell(text=size(row["model_bytes"])),
            Cell(text=size(row["working_bytes"])),
            Cell(text=size(row["stack_bytes"])),
        )
        for k, row in enumerate(twin["rows"], start=1)
    )
    head = head_cells("Pipeline", "Features", "Trees", "Nodes", "Model file", "Working memory", "Feature stack")
    return Table(caption="Memory and size", head=head, rows=body, css_class="dense")


def uncertainty_table(twin: dict[str, Any]) -> Table:
    """Return the predictive uncertainty of number, total area and object parameters."""
    parameters = ("Area", "Perim.", "Feret", "Circ.")
    body = []
    for k, row in enumerate(twin["rows"], start=1):
        totals = row["uncertainty"]
        body.append(
            (
                _named(k, row),
                Cell(text=_whole(row["objects"])),
                _estimate(totals["N"]),
                _estimate(totals["A"]),
                *(Cell(text=percent(row["relative_uncertainty"][name])) for name in parameters),
            )
        )
    head = head_cells("Pipeline", "Objects", "s of N", "s of A (px²)", *(f"s of {name}" for name in parameters))
    return Table(
        caption=f"Predictive uncertainty from {twin['options']['replicates']} replicates",
        head=head,
        rows=tuple(body),
        note="Objects' parameters: mean over objects of s, in percent of the mean value.",
        css_class="dense",
    )


def bench_csv(twin: dict[str, Any]) -> str:
    """Return one line a pipeline and engine, full precision, empty where a value is not defined.

    Parameters
    ----------
    twin : dict
        What ``bench.json`` holds.

    Returns
    -------
    str
    """
    lines = [_line(row) for row in twin["rows"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _line(row: dict[str, Any]) -> dict[str, Any]:
    plain = (
        "pipeline", "device", "engine", "compiled", "set", "preset", "bins", "features", "trees", "nodes",
        "model_bytes", "working_bytes", "stack_bytes", "train_seconds", "compile_seconds", "warm_up_seconds",
        "oob_error", "score", "score_kind", "truth_dice", "objects",
    )  # fmt: skip
    line = {key: row[key] for key in plain}
    line |= {
        f"{stage}_ns_{kind}": value for stage, times in row["ns_per_pixel"].items() for kind, value in times.items()
    }
    line |= {
        f"s_{name}{end}": estimate[key]
        for name, estimate in row["uncertainty"].items()
        for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    line |= {f"relative_s_{name}": value for name, value in row["relative_uncertainty"].items()}
    for name, codec in row["codecs"].items():
        line[f"{name}_verdict"] = codec["verdict"]
        line |= {
            f"{name}_{word}_{total}_{key}": value
            for total in ("N", "A")
            for word, score in (("E1", "paper"), ("E3", "expected"))
            for key, value in codec[total][score].items()
        }
    standing = row["standing"]
    return {
        **line,
        "below_best": standing["difference"],
        "standard_error": standing["standard_error"],
        "trusted": standing["trusted"],
        "standing": standing["kind"],
        "reason": standing["reason"],
    }
