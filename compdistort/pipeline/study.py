"""One study, end to end: run, resume, check, status, report."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from compdistort.backend import device_parts, requested
from compdistort.config import StudyConfig
from compdistort.errors import (
    ConfigError,
    ImageFormatError,
    InputError,
    InterruptedStudyError,
    ResourceError,
    StoreError,
)
from compdistort.pipeline import environment
from compdistort.pipeline.blocks import block_key, run_blocks
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.forecast import block_size, forecast, forecast_lines, require_disk
from compdistort.pipeline.inputs import input_hashes, portable_config
from compdistort.pipeline.operator_scores import commit_operators
from compdistort.pipeline.outcome import Outcome, commit_pixels, report_store
from compdistort.pipeline.preparation import Prepared, notices, prepare, restored_chain
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_volume import streams
from compdistort.pipeline.reference import KEY, build_reference, load_reference
from compdistort.pipeline.step_call import refuse_code
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study_memory import fit_threads
from compdistort.replicate import tables_sha256
from compdistort.store import StudyStore
from compdistort.study_file import parse_config

PROVENANCE = "provenance.json"


def run_study(
    config: StudyConfig,
    folder: Path,
    *,
    progress: Progress,
    stop: StopFlag,
    text: str = "",
    allow_code: bool = False,
) -> Outcome:
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
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    Outcome

    Raises
    ------
    CompdistortError
        Bad input before anything is written; InterruptedStudyError later, and `resume_study` goes on.
    """
    StudyStore.require_absent(folder)
    _require_codecs(config)
    prepared = prepare(config, progress, allow_code=allow_code)
    cost = forecast(prepared.chain, prepared.codecs.values(), config)
    stop.check()
    for line in forecast_lines(cost, prepared.chain):
        progress.say(line)
    require_disk(folder, cost.disk_bytes)
    prepared = replace(prepared, chain=replace(prepared.chain, slab=cost.slab))
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
    allow_code: bool = False,
) -> Outcome:
    """Go on with a study that was stopped; damaged blocks are named and computed again.

    Threads, device and the place of the forest may be others than before: results do not depend on them. That steps may
    run functions of the user's has to be allowed again.

    Raises
    ------
    StoreLockedError
        If another process works on it.
    InputError
        If an input file is not the one the study was started with.
    """
    store = StudyStore.open(folder)
    config = config_of(store)
    refuse_code(config, allow_code=allow_code)
    compute = config.compute.asking(requested(device, config.compute.request), threads=threads, forest=forest)
    config = config.model_copy(update={"compute": compute})
    with store.writing(), _resumable(folder):
        for key in store.verify():
            progress.say(f"block {key} is damaged; it is computed again")
        return _work(store, config, None, 0, progress, stop, allow_code=allow_code)


def _require_codecs(config: StudyConfig) -> None:
    if not config.codec:
        raise ConfigError("the study file has no [[codec]]", "add one, or use `compdistort sweep`")


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say of what stops a study half-way how to go on with it."""
    try:
        yield
    except (InterruptedStudyError, ResourceError, ImageFormatError) as error:
        first = f"{error.remedy}, then " if error.remedy else "every block that is done is kept: "
        error.remedy = f"{first}go on with `compdistort resume {folder}`"
        raise


def config_of(store: StudyStore) -> StudyConfig:
    """Return the resolved config of a stored study."""
    where = store.folder / "study.json"
    if "raw_part_of_sweep" in store.document().get("config", {}):
        raise StoreError(f"{store.folder}: is the folder of a sweep", f"use `compdistort sweep {store.folder}`")
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
    *,
    allow_code: bool = False,
) -> Outcome:
    """Do what is not committed yet, inside the lock; 0 threads: as many as fit, which a new study has said already."""
    sessions = store.load_json(PROVENANCE).get("sessions", [])
    current = environment.session(config.compute.request)
    store.save_json(PROVENANCE, {"sessions": [*sessions, current]})
    began = time.monotonic()
    with stop.on_signals():
        chain, reference = _reference(store, config, prepared, progress, allow_code=allow_code)
        stop.check()
        if not threads:
            fit = fit_threads(chain, config, reference.codecs.values(), reference.objects.n_runs)
            chain, threads = replace(chain, slab=fit.slab), fit.threads
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
            threads=1 if streams(chain) else threads,
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
    store: StudyStore, config: StudyConfig, prepared: Prepared | None, progress: Progress, *, allow_code: bool
) -> tuple[Chain, Reference]:
    """Return chain and reference: from the store where committed, else computed and committed."""
    if store.has(KEY):
        _require_same_inputs(store, config)
        chain = restored_chain(store, config, progress, allow_code=allow_code)
        return chain, load_reference(store, config, chain.sensor)
    if prepared is None:
        prepared = prepare(config, progress, allow_code=allow_code)
        chain = prepared.chain
        chain = replace(chain, slab=fit_threads(chain, config, prepared.codecs.values()).slab)
    else:
        chain = prepared.chain
    facts = {
        "inputs": input_hashes(config),
        "config": portable_config(config),
        "provenance": {**environment.software(), "noise_tables_sha256": tables_sha256(chain.noise)},
        "sensor": chain.sensor.to_dict(),
        "classifier": prepared.trained.report,
        "warnings": notices(prepared, config.input.raw.name),
    }
    return chain, build_reference(chain, prepared.codecs, config, store, facts, progress)


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


def check_study(config: StudyConfig, progress: Progress, *, allow_code: bool = False) -> dict[str, Any]:
    """Validate every input and forecast the cost; write nothing but caches. `allow_code` is that of `run_study`."""
    _require_codecs(config)
    prepared = prepare(config, progress, allow_code=allow_code)
    cost = forecast(prepared.chain, prepared.codecs.values(), config, compiling=progress)
    return {
        "forecast": asdict(cost),
        "classifier": prepared.trained.report,
        "steps": prepared.chain.steps.record(),
        "text": "\n".join(forecast_lines(cost, prepared.chain)),
    }
