"""One pipeline on one engine as a row of JSON-ready numbers."""

import math
from dataclasses import asdict
from typing import Any

from compdistort.codecs import Codec
from compdistort.features import feature_names
from compdistort.pipeline.bench.choice import Standing
from compdistort.pipeline.bench.contenders import Contender
from compdistort.pipeline.bench.scoring import Measured
from compdistort.pipeline.bench.timing import STAGES
from compdistort.pipeline.verdicts import estimate_facts, finite, total_facts
from compdistort.score import CodecScores

CPU_ENGINES = ("numba", "numpy")
"""Engines whose times are of one thread."""


def entry(contender: Contender) -> dict[str, Any]:
    """Return what is known of a pipeline on an engine.

    Parameters
    ----------
    contender : Contender
        Measured and timed.

    Returns
    -------
    dict
        JSON-ready; None where a value is not defined.
    """
    trained, chain, measured = contender.trained, contender.chain, contender.measured
    times, scores, forest = contender.times, measured.scores, trained.classifier.forest
    return {
        "pipeline": trained.pipeline.name,
        "device": contender.device,
        "engine": chain.backend.name,
        "threads": 1 if chain.backend.name in CPU_ENGINES else None,
        "compiled": None if contender.voter is None else contender.voter.compiled,
        "set": trained.pipeline.set_name,
        "sigmas": list(trained.classifier.features.sigmas),
        "preset": trained.pipeline.preset,
        "bins": trained.pipeline.bins,
        "features": len(feature_names(trained.classifier.features)),
        "trees": forest.n_trees,
        "nodes": int(forest.feature.size),
        "model_bytes": contender.model_bytes,
        "train_seconds": trained.seconds,
        "compile_seconds": contender.compile_seconds,
        **_judged(trained.oob_error, contender),
        "truth_dice": measured.truth_dice,
        "warm_up_seconds": times.warm_up_seconds,
        "ns_per_pixel": {stage: {"median": times.median_ns(stage), "min": times.fastest_ns(stage)} for stage in STAGES},
        "turn_seconds": times.seconds,
        "working_bytes": chain.backend.working_bytes(chain.raw.shape, chain.bank, forest),
        "stack_bytes": times.stack_bytes,
        "objects": scores.n_objects,
        "uncertainty": {name: estimate_facts(one) for name, one in scores.total_uncertainty.items()},
        "relative_uncertainty": {name: finite(value) for name, value in measured.relative_uncertainty.items()},
        "codecs": {codec.codec: _codec(codec) for codec in scores.codecs},
        "warnings": list(scores.warnings),
        "measured_sha256": measured.digest,
    }


def _judged(oob_error: float | None, contender: Contender) -> dict[str, Any]:
    """Return the score and all that the choice makes of it, so that the choice can be made again."""
    held_out, squares = contender.trained.held_out, contender.trained.squares
    return {
        "oob_error": oob_error,
        "held_out": None if held_out is None else asdict(held_out),
        "score": contender.trained.score,
        "score_kind": "out-of-bag accuracy" if held_out is None else "held-out Dice",
        "n_squares": None if squares is None else len(squares),
        "squares": None if squares is None else squares.astype(int).tolist(),
    }


def codec_facts(codecs: dict[str, Codec], measured: Measured) -> list[dict[str, Any]]:
    """Return what each codec is, and its compression ratio on the raw image, which is the same for every pipeline."""
    return [
        {"name": name, "config": codec.get_config(), "description": codec.describe(), "ratio": measured.ratios[name]}
        for name, codec in codecs.items()
    ]


def _codec(codec: CodecScores) -> dict[str, Any]:
    """Return verdict, both scores of N and A, and that of the quantity that decides with the largest E3."""
    decisive = [q for q in codec.quantities if q.decides and math.isfinite(q.expected.value)]
    worst = max(decisive, key=lambda q: abs(q.expected.value), default=None)
    return {
        "verdict": codec.verdict,
        "reasons": list(codec.reasons),
        "matched": codec.counts.matched,
        **total_facts(codec),
        "worst": None if worst is None else {"quantity": worst.name, **estimate_facts(worst.expected)},
    }


def standing_facts(standing: Standing) -> dict[str, Any]:
    """Return how a pipeline stands beside the most accurate one, JSON-ready."""
    return {
        "difference": finite(standing.difference),
        "standard_error": finite(standing.standard_error),
        "accurate": standing.accurate,
        "contradicting": [codec for codec, _, _ in standing.contradicting],
        "unresolved": [codec for codec, _, _ in standing.unresolved],
        "trusted": standing.trusted,
        "kind": standing.kind,
        "reason": standing.reason,
    }
