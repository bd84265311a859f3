"""One study, end to end: run, resume, check, status, report."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compdistort.backend import device_parts, requested
from compdistort.codecs import Codec
from compdistort.config import StudyConfig
from compdistort.errors import ConfigError, InputError, InterruptedStudyError, ResourceError, StoreError
from compdistort.forest import save_classifier
from compdistort.pipeline import environment
from compdistort.pipeline.blocks import block_key, run_blocks
from compdistort.pipeline.classifier import TrainedClassifier, obtain_classifier
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.forecast import block_size, fit_threads, forecast, forecast_lines, require_disk
from compdistort.pipeline.half_grid_effect import fast_notice
from compdistort.pipeline.inputs import (
    Chain,
    backend_of,
    build_chain,
    input_hashes,
    portable_config,
    read_sensor,
)
from compdistort.pipeline.operator_scores import commit_operators
from compdistort.pipeline.outcome import Outcome, commit_pixels, report_store
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import read_raw, read_truth
from compdistort.pipeline.reference import (
    KEY,
    MODEL,
    build_reference,
    codecs_of,
    load_reference,
    restore_classifier,
)
from compdistort.pipeline.stopping import StopFlag
from compdistort.replicate import noise_notices, tables_sha256
from compdistort.store import StudyStore
from compdistort.study_file import parse_config

PROVENANCE = "provenance.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A study whose inputs are read and checked, before anything is written."""

    chain: Chain
    trained: TrainedClassifier
    codecs: dict[str, Codec]


def prepare(config: StudyConfig, progress: Progress) -> Prepared:
    """Read and check every input, train the classifier, fix the codecs on the raw image; write nothing."""
    codecs = codecs_of(config)
    image = read_raw(config)
    raw = image.pixels
    read_truth(config, raw.shape)
    sensor = read_sensor(config, raw)
    backend = backend_of(config, progress)
    trained = obtain_classifier(config, raw, backend, progress)
    chain = build_chain(config, image, sensor, trained.classifier, backend)
    return Prepared(chain=chain, trained=trained, codecs={name: codec.prepare(raw) for name, codec in codecs.items()})


def run_study(config: StudyConfig, folder: Path, *, progress: Progress, stop: StopFlag, text: str = "") -> Outcome:
    """Run a study into a new folder.

    Parameters
    ----------
    config : StudyConfig
        What to do.
    folder : Path
        ``NAME.cdist``, must not exist.
    progress : Progress
        Listener.
    stop : StopFlag
        Lets signals end the study between two images.
    text : str
        The study file as given, kept beside the results.

    Returns
    -------
    Outcome

    Raises
    ------
    CompdistortError
        Bad input before anything is written; InterruptedStudyError later, and `resume_study` goes on.
    """
    StudyStore.require_absent(folder)
    prepared = prepare(config, progress)
    cost = forecast(prepared.chain, prepared.codecs.values(), config)
    stop.check()
    for line in forecast_lines(cost):
        progress.say(line)
    require_disk(folder, cost.disk_bytes)
    store = StudyStore.create(folder, config.model_dump(mode="json"), text)
    with store.writing(), _resumable(folder):
        return _work(store, config, prepared, cost.threads, progress, stop)


def resume_study(
    folder: Path,
    *,
    progress: Progress,
    stop: StopFlag,
    threads: int | None = None,
    device: str | None = None,
    forest: str | None = None,
) -> Outcome:
    """Go on with a study that was stopped; damaged blocks are named and computed again.

    Threads, device and the place of the forest may be others than before: results do not depend on them.

    Raises
    ------
    StoreLockedError
        If another process works on it.
    InputError
        If an input file is not the one the study was started with.
    """
    store = StudyStore.open(folder)
    config = config_of(store)
    compute = config.compute.asking(requested(device, config.compute.request), threads=threads, forest=forest)
    config = config.model_copy(update={"compute": compute})
    with store.writing(), _resumable(folder):
        for key in store.verify():
            progress.say(f"block {key} is damaged; it is computed again")
        return _work(store, config, None, 0, progress, stop)


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say of what stops a study half-way how to go on with it."""
    try:
        yield
    except (InterruptedStudyError, ResourceError) as error:
        first = f"{error.remedy}, then " if error.remedy else "every block that is done is kept: "
        error.remedy = f"{first}go on with `compdistort resume {folder}`"
        raise


def config_of(store: StudyStore) -> StudyConfig:
    """Return the resolved config of a stored study."""
    where = store.folder / "study.json"
    try:
        return parse_config(store.document()["config"], str(where))
    except ConfigError as error:
        raise StoreError(error.what, "it was changed, or another compdistort wrote it: start a new study") from error


def _work(
    store: StudyStore,
    config: StudyConfig,
    prepared: Prepared | None,
    threads: int,
    progress: Progress,
    stop: StopFlag,
) -> Outcome:
    """Do what is not committed yet, inside the lock; 0 threads: as many as fit, which a new study has said already."""
    sessions = store.load_json(PROVENANCE).get("sessions", [])
    current = environment.session(config.compute.request)
    store.save_json(PROVENANCE, {"sessions": [*sessions, current]})
    began = time.monotonic()
    with stop.on_signals():
        chain, reference = _reference(store, config, prepared, progress)
        stop.check()
        if not threads:
            fit = fit_threads(chain, config)
            threads = fit.threads
            for note in fit.notes:
                progress.say(note)
        run_blocks(
            chain,
            reference,
            store,
            n_replicates=config.noise.replicates,
            block=block_size(config),
            devices=device_parts(config.compute.device),
            forest=config.compute.forest,
            threads=threads,
            stop=stop,
            progress=progress,
        )
        commit_pixels(chain, store, config.noise.replicates, config.noise.seed)
        commit_operators(chain, reference, store, config, stop, progress)
    current |= {"stop": environment.now(), "seconds": round(time.monotonic() - began, 1)}
    store.save_json(PROVENANCE, {"sessions": [*sessions, current]})
    progress.say("writing the report")
    return report_store(store, config)


def _reference(
    store: StudyStore, config: StudyConfig, prepared: Prepared | None, progress: Progress
) -> tuple[Chain, Reference]:
    """Return chain and reference: from the store where committed, else computed and committed."""
    if store.has(KEY):
        _require_same_inputs(store, config)
        return _restored_chain(store, config, progress), load_reference(store, config)
    prepared = prepared or prepare(config, progress)
    chain = prepared.chain
    facts = {
        "inputs": input_hashes(config),
        "config": portable_config(config),
        "provenance": {**environment.software(), "noise_tables_sha256": tables_sha256(chain.noise)},
        "sensor": chain.sensor.to_dict(),
        "classifier": prepared.trained.report,
        "warnings": [
            *chain.sensor.source.get("warnings", ()),
            *chain.sensor.check_image(chain.raw, config.input.raw.name),
            *noise_notices(chain.raw, chain.sensor, chain.noise),
            *fast_notice(chain.raw, chain.classifier.features, chain.backend, chain.noise),
            *prepared.trained.warnings,
        ],
    }
    return chain, build_reference(chain, prepared.codecs, config, store, facts, progress)


def _restored_chain(store: StudyStore, config: StudyConfig, progress: Progress) -> Chain:
    """Return the chain that the study was started with; a classifier that was damaged since is trained again."""
    image = read_raw(config)
    sensor = read_sensor(config, image.pixels)
    backend = backend_of(config, progress)
    trained = restore_classifier(store)
    if trained is None:
        progress.say("the stored classifier is damaged; it is trained again")
        trained = obtain_classifier(config, image.pixels, backend, progress)
        save_classifier(store.folder / MODEL, trained.classifier)
        if restore_classifier(store) is None:
            raise StoreError(
                f"{store.folder / MODEL}: is damaged, and training again gives another classifier",
                "put the file back, use the scikit-learn that the study was started with, or start a new study",
            )
    return build_chain(config, image, sensor, trained.classifier, backend)


def _require_same_inputs(store: StudyStore, config: StudyConfig) -> None:
    before = store.facts(KEY)["inputs"]
    for role, entry in input_hashes(config).items():
        if before.get(role, {}).get("sha256") != entry["sha256"]:
            raise InputError(
                f"{entry['name']} ({role}) is not the file that the study was started with",
                "put the old file back, or start a new study",
            )


def study_status(folder: Path) -> dict[str, Any]:
    """Return how far a study is, without changing it."""
    store = StudyStore.open(folder)
    config = config_of(store)
    n, block = config.noise.replicates, block_size(config)
    done = sum(min(block, n - start) for start in range(0, n, block) if store.has(block_key(start)))
    page = folder / "report" / "index.html"
    return {
        "folder": str(folder),
        "title": config.title,
        "reference": store.has(KEY),
        "replicates_done": done,
        "replicates": n,
        "finished": done == n and page.exists(),
        "report": str(page) if page.exists() else None,
        "sessions": store.load_json(PROVENANCE).get("sessions", []),
    }


def report_study(folder: Path, output: Path | None = None) -> Outcome:
    """Write the report of a finished study again.

    Raises
    ------
    StoreError
        If replicates are missing.
    """
    store = StudyStore.open(folder)
    damaged = store.verify()
    state = study_status(folder)
    if damaged or state["replicates_done"] < state["replicates"] or not store.has(KEY):
        raise StoreError(
            f"{folder}: {state['replicates_done']} of {state['replicates']} replicates are there"
            + (f", damaged: {', '.join(damaged)}" if damaged else ""),
            "finish it with `compdistort resume`",
        )
    return report_store(store, config_of(store), output)


def check_study(config: StudyConfig, progress: Progress) -> dict[str, Any]:
    """Validate every input and forecast the cost; write nothing."""
    prepared = prepare(config, progress)
    cost = forecast(prepared.chain, prepared.codecs.values(), config)
    return {
        "forecast": asdict(cost),
        "classifier": prepared.trained.report,
        "text": "\n".join(forecast_lines(cost)),
    }
