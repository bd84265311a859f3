"""The end of a study in a few lines: for the terminal and as data."""

import math
from typing import Any

from compdistort.pipeline.outcome import Compression, Outcome
from compdistort.report.words import size_words
from compdistort.score.columns import TOTAL
from compdistort.score.results import CodecScores, Estimate, QuantityScore


def finite(value: float) -> float | None:
    """Return a number that JSON knows.

    Examples
    --------
    >>> finite(1.5), finite(float("nan"))
    (1.5, None)
    """
    return value if math.isfinite(value) else None


def estimate_facts(estimate: Estimate) -> dict[str, float | None]:
    """Return value and interval, None where they are not defined."""
    return {"value": finite(estimate.value), "low": finite(estimate.low), "high": finite(estimate.high)}


def total_facts(codec: CodecScores) -> dict[str, dict[str, Any]]:
    """Return both scores of the totals that decide, and what is decided on each."""
    return {
        q.name: {
            "paper": estimate_facts(q.paper),
            "expected": estimate_facts(q.expected),
            "decision": q.decision,
            "decided_by": q.by,
        }
        for q in codec.quantities
        if q.kind == TOTAL and q.decides
    }


def _quantity(codec: CodecScores, name: str) -> Any:
    return next(q for q in codec.quantities if q.name == name)


def summarise(outcome: Outcome) -> dict[str, Any]:
    """Return verdicts, the scores of the totals, and where the report is, JSON-safe."""
    size, unit = size_words(outcome.measurands)
    return {
        "folder": str(outcome.folder),
        "report": str(outcome.report),
        "n_replicates": outcome.scores.n_replicates,
        "n_objects": outcome.scores.n_objects,
        "margin": outcome.scores.margin,
        "sensor_estimated": outcome.sensor_estimated,
        "warnings": list(outcome.warnings),
        "codecs": [
            {
                "codec": codec.codec,
                "verdict": codec.verdict,
                "ratio": saved.ratio,
                "target_ratio": saved.target,
                "ratio_reached": saved.reached,
                "reasons": list(codec.reasons),
                "matched": codec.counts.matched,
                "lost": codec.counts.lost,
                "new": codec.counts.new,
                f"delta_{size}_mean{unit}": finite(codec.delta_size.mean.value),
                f"delta_{size}_spread{unit}": finite(codec.delta_size.spread.value),
                **total_facts(codec),
            }
            for codec, saved in zip(outcome.scores.codecs, outcome.compression, strict=True)
        ],
    }


def _interval(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "undefined"
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _expected(quantity: QuantityScore) -> str:
    return _interval(quantity.expected) if quantity.by == "E3" else "no replicate"


def _ratio(saved: Compression) -> str:
    missed = "" if saved.reached else f" (not {saved.target:g})"
    return f"{saved.ratio:.3g}:1{missed}"


def verdict_table(outcome: Outcome) -> str:
    """Return the verdict table for people, the warnings under it, and the path of the report."""
    scores = outcome.scores
    second = outcome.measurands.total_names[1]
    head = ("codec", "ratio", "verdict", "matched", "E3 of N", f"E3 of {second}", f"E1 of {second}", "first reason")
    rows = [head]
    for codec, saved in zip(scores.codecs, outcome.compression, strict=True):
        number, size = _quantity(codec, "N"), _quantity(codec, second)
        rows.append(
            (
                codec.codec,
                _ratio(saved),
                codec.verdict,
                f"{codec.counts.matched}/{codec.counts.n_raw}",
                _expected(number),
                _expected(size),
                f"{size.paper.value:+.2f}" if math.isfinite(size.paper.value) else "undefined",
                codec.reasons[0] if codec.reasons else "",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines += [f"warning: {text}" for text in outcome.warnings]
    summary = f"{scores.n_objects} objects, {scores.n_replicates} replicates, margin {scores.margin:g} sigma_raw"
    summary += ", sensor estimated" if outcome.sensor_estimated else ""
    return "\n".join([*lines, summary, f"report: {outcome.report}"])
