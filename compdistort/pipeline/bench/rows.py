"""One pipeline on one engine as a row of JSON-ready numbers."""

import math
from dataclasses import asdict
from typing import Any

from compdistort.codecs import Codec
from compdistort.features import feature_names
from compdistort.pipeline.bench.choice import Standing
from compdistort.pipeline.bench.scoring import Measured
from compdistort.pipeline.bench.timing import STAGES, Times
from compdistort.pipeline.bench.train import Trained
from compdistort.pipeline.inputs import Chain
from compdistort.score import CodecScores, Estimate
from compdistort.score.results import TOTALS


def entry(trained: Trained, device: str, chain: Chain, measured: Measured, times: Times) -> dict[str, Any]:
    """Return what is known of a pipeline on an engine.

    Parameters
    ----------
    trained : Trained
        The pipeline.
    device : str
        Engine as it was asked for.
    chain : Chain
        The pipeline on that engine.
    measured : Measured
        Its uncertainty and scores.
    times : Times
        Its times.

    Returns
    -------
    dict
        JSON-ready; None where a value is not defined.
    """
    pipeline, forest, scores = trained.pipeline, trained.classifier.forest, measured.scores
    return {
        "pipeline": pipeline.name,
        "device": device,
        "engine": chain.backend.name,
        "set": pipeline.set_name,
        "sigmas": list(trained.classifier.features.sigmas),
        "preset": pipeline.preset,
        "bins": pipeline.bins,
        "features": len(feature_names(trained.classifier.features)),
        "trees": forest.n_trees,
        "nodes": int(forest.feature.size),
        "train_seconds": trained.seconds,
        "oob_error": trained.oob_error,
        "held_out": None if trained.held_out is None else asdict(trained.held_out),
        "score": trained.score,
        "score_kind": "out-of-bag accuracy" if trained.held_out is None else "held-out Dice",
        "truth_dice": measured.truth_dice,
        "warm_up_seconds": times.warm_up_seconds,
        "ns_per_pixel": {stage: {"median": times.median_ns(stage), "min": times.fastest_ns(stage)} for stage in STAGES},
        "working_bytes": chain.backend.working_bytes(chain.raw.shape, chain.bank, forest),
        "stack_bytes": times.stack_bytes,
        "objects": scores.n_objects,
        "uncertainty": {name: estimate_facts(scores.total_uncertainty[name]) for name in TOTALS},
        "relative_uncertainty": {name: finite(value) for name, value in measured.relative_uncertainty.items()},
        "codecs": {codec.codec: _codec(codec) for codec in scores.codecs},
        "warnings": list(scores.warnings),
        "measured_sha256": measured.digest,
    }


def codec_facts(codecs: dict[str, Codec], measured: Measured) -> list[dict[str, Any]]:
    """Return what each codec is, and its compression ratio on the raw image, which is the same for every pipeline."""
    return [
        {"name": name, "config": codec.get_config(), "description": codec.describe(), "ratio": measured.ratios[name]}
        for name, codec in codecs.items()
    ]


def _codec(codec: CodecScores) -> dict[str, Any]:
    """Return verdict, expected scores of N and A, and that of the quantity that decides with the largest one."""
    by_name = {quantity.name: quantity for quantity in codec.quantities}
    decisive = [q for q in codec.quantities if q.decides and math.isfinite(q.expected.value)]
    worst = max(decisive, key=lambda q: abs(q.expected.value), default=None)
    return {
        "verdict": codec.verdict,
        "reasons": list(codec.reasons),
        "matched": codec.counts.matched,
        "N": estimate_facts(by_name["N"].expected),
        "A": estimate_facts(by_name["A"].expected),
        "worst": None if worst is None else {"quantity": worst.name, **estimate_facts(worst.expected)},
    }


def standing_facts(standing: Standing) -> dict[str, Any]:
    """Return how a pipeline stands beside the most accurate one, JSON-ready."""
    return {
        "difference": finite(standing.difference),
        "standard_error": finite(standing.standard_error),
        "accurate": standing.accurate,
        "other_verdicts": list(standing.other_verdicts),
        "trusted": standing.trusted,
        "reason": standing.reason,
    }


def estimate_facts(estimate: Estimate) -> dict[str, float | None]:
    """Return value and interval, None where they are not defined."""
    return {"value": finite(estimate.value), "low": finite(estimate.low), "high": finite(estimate.high)}


def finite(value: float) -> float | None:
    """Return a number that JSON knows.

    Examples
    --------
    >>> finite(1.5), finite(float("nan"))
    (1.5, None)
    """
    return float(value) if math.isfinite(value) else None
