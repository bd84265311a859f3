"""From a study's committed blocks to scores and the report: reads the store, computes nothing twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from compdistort.config import StudyConfig
from compdistort.measurands import Measurands, measurands_of
from compdistort.pipeline.blocks import array_names
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.further import further_in, stored_totals
from compdistort.pipeline.operator_scores import RECORDED, read_operators
from compdistort.pipeline.pixel_report import read_pixels, with_corrected
from compdistort.pipeline.reference import KEY, projected_name, read_objects, voxel_of
from compdistort.pipeline.rows import RAW
from compdistort.pipeline.samples import (
    make_codec_samples,
    make_raw_alone_samples,
    make_raw_samples,
    match_counts,
)
from compdistort.pipeline.views import View
from compdistort.replicate import pixel_deviation
from compdistort.report import write_report
from compdistort.report.inputs import CodecImage, RecordedView, ReportInput, Step, VolumeView
from compdistort.score import score_study
from compdistort.score.delta import delta_replicate
from compdistort.score.results import CodecSamples, RawSamples, StudyScores
from compdistort.store import StudyStore

PIXELS = "pixels"


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
    measurands : Measurands
        What they are of.
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
    measurands: Measurands
    compression: tuple[Compression, ...]
    sensor_estimated: bool
    warnings: tuple[str, ...]


def measured_in(store: StudyStore) -> Measurands:
    """Return what is predicted in a study."""
    facts = store.facts(KEY)
    return measurands_of(len(facts["image"]["shape"]), voxel_of(facts), further_in(facts))


def raw_samples(store: StudyStore) -> RawSamples:
    """Return the raw image and its replicates as scoring takes them."""
    values, summaries = (store.read(name) for name in array_names(RAW))
    measurands = measured_in(store)
    totals = stored_totals(store, "reference", measurands)
    return make_raw_samples(measurands, store.read("reference/objects"), values, summaries, totals)


def codec_samples(store: StudyStore, name: str) -> CodecSamples:
    """Return one codec as scoring takes it."""
    facts = store.facts(KEY)["codecs"][name]
    of_raw = (
        name,
        stored_totals(store, f"codecs/{name}", measured_in(store)),
        store.read(f"codecs/{name}/aligned"),
        match_counts(facts["counts"]),
    )
    if facts.get("raw_alone"):
        samples = make_raw_alone_samples(*of_raw, len(store.read(array_names(RAW)[1])))
    else:
        values, summaries = (store.read(part) for part in array_names(name))
        samples = make_codec_samples(*of_raw, values, summaries)
    return with_corrected(samples, store, facts)


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
    """Commit the exact per-pixel sums over all replicates, of a volume those of the plane that is shown.

    Where there are steps they are of the recorded image.

    The replicates are drawn again (a few nanoseconds a pixel) rather than stored: they depend on their number alone.
    """
    if store.has(PIXELS):
        return
    view = chain.recorded_view() if chain.steps else view_of(store)
    sums = chain.pixel_sums(view, seed, n_replicates)
    chain.require_same_raw()
    store.commit(
        PIXELS,
        [store.write_whole("accumulators/pixel_S1", sums.sum1), store.write_whole("accumulators/pixel_S2", sums.sum2)],
        {"replicates": n_replicates},
    )


def view_of(store: StudyStore) -> View:
    """Return which plane of the image a study shows."""
    return View(store.facts(KEY)["image"]["plane"])


def _codec_image(store: StudyStore, name: str, facts: dict[str, Any]) -> CodecImage:
    target, reference = facts["config"].get("ratio"), store.facts(KEY)
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
        projected_labels=None if reference["image"]["plane"] is None else store.read(projected_name(name)),
        recorded=store.read(f"codecs/{name}/recorded") if "recorded" in reference else None,
        pixels=read_pixels(facts),
    )


def _volume(store: StudyStore) -> VolumeView | None:
    """Return what the report tells of a volume beside the plane that is shown; None for a plane."""
    image = store.facts(KEY)["image"]
    if image["plane"] is None:
        return None
    return VolumeView(
        shape=tuple(image["shape"]),
        plane=image["plane"],
        voxel_um=voxel_of(store.facts(KEY)),
        projection=store.read("reference/projection"),
        labels=store.read("reference/projected_labels"),
    )


def _recorded(store: StudyStore) -> RecordedView | None:
    """Return what was recorded and the steps after it; None where there are none."""
    facts = store.facts(KEY)
    if "recorded" not in facts:
        return None
    return RecordedView(
        shape=tuple(facts["recorded"]["shape"]),
        frame=facts["recorded"]["plane"],
        raw=store.read("recorded/raw"),
        steps=tuple(
            Step(name=one["id"], words=one["words"], found=one["raw"], shape=tuple(one["shape"]))
            for one in facts["steps"]
        ),
    )


def report_input(store: StudyStore, config: StudyConfig) -> ReportInput:
    """Return what the report of a finished study shows."""
    facts = store.facts(KEY)
    raw = raw_samples(store)
    sums = (store.read("accumulators/pixel_S1"), store.read("accumulators/pixel_S2"))
    return ReportInput(
        title=config.title,
        raw=store.read("reference/raw"),
        labels=read_objects(store).shown(view_of(store)),
        volume=_volume(store),
        probability=store.read("reference/probability"),
        raw_values=raw.values,
        measurands=raw.measurands,
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
        operators=read_operators(store, config),
        operators_recorded=read_operators(store, config, RECORDED),
        recorded=_recorded(store),
    )


def report_store(store: StudyStore, config: StudyConfig, folder: Path | None = None) -> Outcome:
    """Write the report of a finished study, into the study's folder or another one."""
    made = report_input(store, config)
    return Outcome(
        folder=store.folder,
        report=write_report(made, folder or store.folder / "report"),
        scores=made.scores,
        measurands=made.measurands,
        compression=tuple(Compression(each.ratio, each.target_ratio, each.reached) for each in made.codecs),
        sensor_estimated=bool(made.sensor["estimated"]),
        warnings=tuple(dict.fromkeys((*made.scores.warnings, *made.warnings))),
    )
