"""From the committed points of a sweep to its answer: the largest tolerable ratio of every codec, as data and page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compdistort.codecs.base import RAW_BYTES_PER_PIXEL
from compdistort.config import StudyConfig
from compdistort.io.names import short_name
from compdistort.measurands import Measurands
from compdistort.pipeline.inputs import portable_config
from compdistort.pipeline.outcome import measured_in
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.sweep_points import Series, sweep_series
from compdistort.pipeline.sweep_raw import Placed, point_key
from compdistort.pipeline.sweep_scores import Verdicts, score_points, walk
from compdistort.pipeline.sweep_search import find_limit
from compdistort.pipeline.sweep_store import block_of, sweep_section
from compdistort.pipeline.verdicts import estimate_facts, finite
from compdistort.report.sweep_words import REFUSED
from compdistort.report.words import quantity_meaning
from compdistort.score.results import CodecScores, StudyScores
from compdistort.store import StudyStore

FORMAT, VERSION = "compdistort-sweep", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """A finished sweep.

    Attributes
    ----------
    folder, report : Path
        The sweep, and its page.
    twin : dict
        What ``sweep.json`` beside the page holds.
    images : int
        Images that went through the chain in this call.
    """

    folder: Path
    report: Path
    twin: dict[str, Any]
    images: int = 0


def report_sweep(store: StudyStore, config: StudyConfig) -> SweepOutcome:
    """Write the report of a sweep from what is committed.

    Parameters
    ----------
    store : StudyStore
        With all points that `config` asks for.
    config : StudyConfig
        What was asked.

    Returns
    -------
    SweepOutcome

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    from compdistort.report.sweep_page import write_sweep  # noqa: PLC0415 (loads matplotlib)

    twin = sweep_twin(store, config)
    return SweepOutcome(folder=store.folder, report=write_sweep(twin, store.folder / "report"), twin=twin)


def sweep_twin(store: StudyStore, config: StudyConfig) -> dict[str, Any]:
    """Return the answer of a sweep as JSON-safe data, the same for any number of threads, calls or interruptions.

    Parameters
    ----------
    store : StudyStore
        With all points that `config` asks for.
    config : StudyConfig
        What was asked.

    Returns
    -------
    dict
    """
    series = sweep_series(sweep_section(config), allow_code=True)  # builds them to find their places, and runs none
    verdicts = Verdicts(store, config, block_of(store))
    places = [walk(each, store, verdicts)[0] for each in series]
    points = list(dict.fromkeys(placed.point for curve in places for placed in curve if placed.point))
    scores = score_points(store, config, points)
    by_point = dict(zip(points, scores.codecs, strict=True))
    facts, statistics = store.facts(KEY), config.statistics
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": config.title,
        "image": _image(facts, config),
        "n_objects": scores.n_objects,
        "n_replicates": scores.n_replicates,
        "margin": scores.margin,
        "level": scores.level,
        "alpha": statistics.alpha,
        "confidence": 1 - statistics.alpha,
        "sensor_estimated": bool(facts["sensor"]["estimated"]),
        "warnings": list(dict.fromkeys((*scores.warnings, *facts["warnings"]))),
        "quantities": _quantities(scores, measured_in(store)),
        "series": [_curve(one, curve, store, by_point) for one, curve in zip(series, places, strict=True)],
        "config": portable_config(config),
        "provenance": {"inputs": facts["inputs"], "study": facts["provenance"]},
    }


def _image(facts: Mapping[str, Any], config: StudyConfig) -> dict[str, Any]:
    """Return what was compressed: the image as it was recorded."""
    shape = facts.get("recorded", facts["image"])["shape"]
    pixels = 1
    for side in shape:
        pixels *= side
    return {"name": short_name(config.input.raw), "shape": shape, "raw_bytes": RAW_BYTES_PER_PIXEL * pixels}


def _quantities(scores: StudyScores, measurands: Measurands) -> list[dict[str, str]]:
    """Return the quantities that decide, totals first; none where no point was scored."""
    found = scores.codecs[0].quantities if scores.codecs else ()
    return [
        {"name": q.name, "kind": q.kind, "meaning": quantity_meaning(q.name, measurands)} for q in found if q.decides
    ]


def _curve(
    series: Series, places: Sequence[Placed], store: StudyStore, scores: Mapping[str, CodecScores]
) -> dict[str, Any]:
    """Return one curve with its points, those of the smallest ratio first, and its limit."""
    points = [_point(placed, store, scores) for placed in places]
    carried = sorted((each for each in points if each["verdict"] != REFUSED), key=lambda each: each["ratio"])
    return {
        "name": series.name,
        "codec": series.codec_id,
        "searched": series.section is not None,
        "limit": _limit(carried),
        "points": [*carried, *(each for each in points if each["verdict"] == REFUSED)],
    }


def _point(placed: Placed, store: StudyStore, scores: Mapping[str, CodecScores]) -> dict[str, Any]:
    asked = {"label": placed.asked.label, "target_ratio": placed.asked.ratio, "config": placed.facts["config"]}
    if not placed.point:
        return {**asked, "verdict": REFUSED, "reasons": [placed.facts["refused"]]}
    facts, found = store.facts(point_key(placed.point)), scores[placed.point]
    return {
        **asked,
        "point": placed.point,
        "description": placed.facts["description"],
        "reached": placed.facts["reached"],
        "ratio": facts["ratio"],
        "encoded_bytes": facts["encoded_bytes"],
        "saved_fraction": 1 - 1 / facts["ratio"],
        "verdict": found.verdict,
        "reasons": list(found.reasons),
        "objects": found.counts.n_other,
        "matched": found.counts.matched,
        "scores": {
            q.name: {
                "expected": estimate_facts(q.expected),
                "paper": finite(q.paper.value),
                "p_tolerable": finite(q.p_tolerable),
                "p_intolerable": finite(q.p_intolerable),
                "decision": q.decision,
            }
            for q in found.quantities
            if q.decides
        },
    }


def _limit(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the largest tolerable ratio of a curve, and what comes next; `points` rise in ratio."""
    found = find_limit([each["ratio"] for each in points], [each["verdict"] for each in points])
    names = ("label", "ratio", "reached", "encoded_bytes", "saved_fraction")
    best = None if found.best is None else {name: points[found.best][name] for name in names}
    beyond = None
    if found.beyond is not None:
        beyond = {name: points[found.beyond][name] for name in (*names, "verdict", "reasons")}
    return {"best": best, "beyond": beyond}
