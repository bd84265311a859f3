"""How far a sweep is, and its end in a few lines: for the terminal and as data."""

from pathlib import Path
from typing import Any

from compdistort.pipeline.reference import KEY
from compdistort.pipeline.sweep_blocks import missing_raw
from compdistort.pipeline.sweep_outcome import SweepOutcome
from compdistort.pipeline.sweep_points import sweep_series
from compdistort.pipeline.sweep_scores import Verdicts, walk
from compdistort.pipeline.sweep_store import ASKED, asked_config, block_of, open_sweep, sweep_section
from compdistort.report.sweep_words import carried, limit_words, next_words, reason_words, saving_words, sweep_headline


def sweep_status(folder: Path) -> dict[str, Any]:
    """Return how far a sweep is, without changing it.

    Parameters
    ----------
    folder : Path
        ``NAME.sweep``.

    Returns
    -------
    dict
        For every curve its points: complete ones, those that come next, and the most that a search may still add.

    Raises
    ------
    StoreError
        If the folder is none of a sweep.
    """
    store = open_sweep(folder)
    config, block = asked_config(store), block_of(store)
    n = config.noise.replicates
    verdicts = Verdicts(store, config, block)
    raw = missing_raw(store, n, block) if store.has(KEY) else n
    curves = []
    for each in sweep_series(sweep_section(config), allow_code=True):  # built to find their places, and not run
        done, following = walk(each, store, verdicts) if raw == 0 else ([], [*each.fixed])
        curves.append(
            {
                "codec": each.name,
                "points_done": len(done),
                "points_missing": len(following),
                "points_searched_at_most": each.most_after(len(done)) if following else 0,
            }
        )
    page = folder / "report" / "index.html"
    finished = bool(store.load_json(ASKED).get("finished")) and page.exists()
    return {
        "folder": str(folder),
        "title": config.title,
        "reference": store.has(KEY),
        "replicates_done": n - raw,
        "replicates": n,
        "series": curves,
        "finished": finished,
        "report": str(page) if page.exists() else None,
        "sessions": store.load_json("provenance.json").get("sessions", []),
    }


def status_text(found: dict[str, Any]) -> str:
    """Return the status for people."""
    lines = [f"{found['folder']}: {found['replicates_done']} of {found['replicates']} replicates of the raw image"]
    for curve in found["series"]:
        known = curve["points_done"] + curve["points_missing"]
        more = f", a search may add {curve['points_searched_at_most']}" if curve["points_searched_at_most"] else ""
        lines.append(f"{curve['codec']}: {curve['points_done']} of {known} points{more}")
    return "\n".join([*lines, *([f"report: {found['report']}"] if found["finished"] else [])])


def summarise_sweep(outcome: SweepOutcome) -> dict[str, Any]:
    """Return the limits, and where the report is, JSON-safe."""
    twin = outcome.twin
    return {
        "folder": str(outcome.folder),
        "report": str(outcome.report),
        "images_computed": outcome.images,
        "n_objects": twin["n_objects"],
        "n_replicates": twin["n_replicates"],
        "margin": twin["margin"],
        "confidence": twin["confidence"],
        "sensor_estimated": twin["sensor_estimated"],
        "warnings": twin["warnings"],
        "headline": sweep_headline(twin),
        "series": [
            {
                "codec": curve["name"],
                "largest_tolerable_ratio": limit_words(curve),
                **curve["limit"],
                "points": [
                    {name: point[name] for name in ("label", "ratio", "reached", "encoded_bytes", "verdict")}
                    for point in carried(curve)
                ],
            }
            for curve in twin["series"]
        ],
    }


def limit_text(outcome: SweepOutcome) -> str:
    """Return the table of largest tolerable ratios for people, the warnings under it, and the path of the report."""
    twin = outcome.twin
    head = ("codec", "largest tolerable", "saves", "next ratio tried", "why")
    rows = [
        (
            curve["name"],
            limit_words(curve),
            ", ".join(filter(None, saving_words(curve, twin["image"]["raw_bytes"]))),
            next_words(curve),
            reason_words(curve),
        )
        for curve in twin["series"]
    ]
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    lines += [f"warning: {text}" for text in twin["warnings"]]
    summary = f"{twin['n_objects']} objects, {twin['n_replicates']} replicates, margin {twin['margin']:g} sigma_raw"
    summary += ", sensor estimated" if twin["sensor_estimated"] else ""
    return "\n".join([*lines, sweep_headline(twin), summary, f"report: {outcome.report}"])
