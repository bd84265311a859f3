"""From a study's committed blocks to scores and the report: reads the store, computes nothing twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compdistort.config import StudyConfig
from compdistort.match import MatchCounts
from compdistort.measure import PARAMETER_SLICE, image_totals
from compdistort.pipeline.blocks import array_names
from compdistort.pipeline.comparison import SUMMARY
from compdistort.pipeline.inputs import Chain
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.rows import RAW
from compdistort.replicate import pixel_deviation, pixel_sums
from compdistort.report import write_report
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.score import score_study
from compdistort.score.delta import delta_replicate
from compdistort.score.results import CodecSamples, RawSamples, StudyScores
from compdistort.store import StudyStore

PIXELS = "pixels"
N_TOTALS = SUMMARY.index("n_raw")
"""Columns of a summary before the counts."""


class Compression(NamedTuple):
    """Ratio that a codec reached on the raw image, and the one asked for (None where there is none)."""

    ratio: float
    target: float | None
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished study.

    Attributes
    ----------
    folder, report : Path
        The study, and its page.
    scores : StudyScores
        Its scores.
    compression : tuple of Compression
        What every codec saves, in the order of the scores.
    sensor_estimated : bool
        Whether all uncertainties rest on an estimate instead of a calibration.
    warnings : tuple of str
        All that a reader must know: of scores, sensor, image and classifier.
    """

    folder: Path
    report: Path
    scores: StudyScores
    compression: tuple[Compression, ...]
    sensor_estimated: bool
    warnings: tuple[str, ...]


def match_counts(values: Sequence[float]) -> MatchCounts:
    """Return the counts that stand in the last columns of a summary.

    Parameters
    ----------
    values : sequence of float
        Those columns, from `N_TOTALS` on.

    Returns
    -------
    MatchCounts
    """
    n_raw, n_other, matched, lost, new, split, merged = map(int, values)
    return MatchCounts(n_raw=n_raw, n_other=n_other, matched=matched, lost=lost, new=new, split=split, merged=merged)


def raw_samples(store: StudyStore) -> RawSamples:
    """Return the raw image and its replicates as scoring takes them."""
    values, summary = (store.read(name) for name in array_names(RAW))
    objects = store.read("reference/objects")
    return RawSamples(
        values=np.ascontiguousarray(objects[:, PARAMETER_SLICE]),
        totals=np.asarray(image_totals(objects), np.float64),
        replicate_values=values,
        replicate_totals=summary[:, :N_TOTALS],
        replicate_counts=tuple(match_counts(row) for row in summary[:, N_TOTALS:].tolist()),
    )


def codec_samples(store: StudyStore, name: str) -> CodecSamples:
    """Return one codec as scoring takes it."""
    values, summary = (store.read(part) for part in array_names(name))
    return CodecSamples(
        codec=name,
        values=store.read(f"codecs/{name}/aligned"),
        totals=np.asarray(image_totals(store.read(f"codecs/{name}/objects")), np.float64),
        counts=match_counts(store.facts(KEY)["codecs"][name]["counts"]),
        paired_values=values,
        paired_totals=summary[:, :N_TOTALS],
    )


def score_store(store: StudyStore, config: StudyConfig) -> StudyScores:
    """Return the scores of a finished study."""
    section = config.statistics
    return score_study(
        raw_samples(store),
        [codec_samples(store, name) for name in store.facts(KEY)["codecs"]],
        margin=section.margin,
        level=section.level,
        alpha=section.alpha,
        seed=config.noise.seed,
        min_matched=section.min_matched,
    )


def commit_pixels(chain: Chain, store: StudyStore, n_replicates: int, seed: int) -> None:
    """Commit the exact per-pixel sums over all replicates.

    The replicates are drawn again (a few nanoseconds a pixel) rather than stored: they depend on their number alone.
    """
    if store.has(PIXELS):
        return
    sums = pixel_sums(chain.raw, chain.noise, chain.backend, seed, range(n_replicates))
    store.commit(
        PIXELS,
        [store.write_whole("accumulators/pixel_S1", sums.sum1), store.write_whole("accumulators/pixel_S2", sums.sum2)],
        {"replicates": n_replicates},
    )


def _codec_image(store: StudyStore, name: str, facts: dict[str, Any]) -> CodecImage:
    target = facts["config"].get("ratio")
    return CodecImage(
        codec=name,
        config=facts["config"],
        description=facts["description"],
        ratio=facts["ratio"],
        target_ratio=target,
        reached=bool(facts["record"].get("reached", True)),
        encoded_bytes=facts["encoded_bytes"],
        image=store.read(f"codecs/{name}/image"),
        labels=store.read(f"codecs/{name}/labels"),
        values=store.read(f"codecs/{name}/aligned"),
    )


def report_input(store: StudyStore, config: StudyConfig) -> ReportInput:
    """Return what the report of a finished study shows."""
    facts = store.facts(KEY)
    raw = raw_samples(store)
    sums = (store.read("accumulators/pixel_S1"), store.read("accumulators/pixel_S2"))
    return ReportInput(
        title=config.title,
        raw=store.read("reference/raw"),
        labels=store.read("reference/labels"),
        probability=store.read("reference/probability"),
        raw_values=raw.values,
        sigma_dn=pixel_deviation(*sums, config.noise.replicates),
        sensor=facts["sensor"],
        classifier=facts["classifier"],
        codecs=tuple(_codec_image(store, name, entry) for name, entry in facts["codecs"].items()),
        scores=score_store(store, config),
        delta_replicate=delta_replicate(raw),
        config=facts["config"],
        provenance={"inputs": facts["inputs"], "study": facts["provenance"], **store.load_json("provenance.json")},
        warnings=tuple(facts["warnings"]),
        truth=facts.get("truth"),
    )


def report_store(store: StudyStore, config: StudyConfig, folder: Path | None = None) -> Outcome:
    """Write the report of a finished study, into the study's folder or another one."""
    made = report_input(store, config)
    return Outcome(
        folder=store.folder,
        report=write_report(made, folder or store.folder / "report"),
        scores=made.scores,
        compression=tuple(Compression(each.ratio, each.target_ratio, each.reached) for each in made.codecs),
        sensor_estimated=bool(made.sensor["estimated"]),
        warnings=tuple(dict.fromkeys((*made.scores.warnings, *made.warnings))),
    )
