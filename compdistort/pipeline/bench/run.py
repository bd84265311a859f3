"""One benchmark, end to end: image, pipelines, identity gate, clock, choice, and the folder that holds it all."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from compdistort.backend import DeviceRequest, choose, get_backend
from compdistort.backend.bitsliced.machine import Machine
from compdistort.codecs import Codec
from compdistort.errors import (
    BackendUnavailableError,
    CompdistortError,
    ConfigError,
    DeviceMemoryError,
    InputError,
)
from compdistort.forest import save_classifier
from compdistort.io.files import atomic_path, require_place, resource_errors
from compdistort.pipeline import environment
from compdistort.pipeline.bench.choice import Candidate, Choice, choose_fastest
from compdistort.pipeline.bench.field import Field, open_field
from compdistort.pipeline.bench.options import BenchOptions, Pipeline
from compdistort.pipeline.bench.rows import codec_facts, entry, standing_facts
from compdistort.pipeline.bench.scoring import Measured, make_chain, measure_pipeline
from compdistort.pipeline.bench.timing import Times, compile_forest, time_in_turns
from compdistort.pipeline.bench.train import Trained, train_pipeline
from compdistort.pipeline.bench.words import remarks
from compdistort.pipeline.inputs import Chain
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.stopping import StopFlag
from compdistort.report.bench_page import bench_csv, render_bench

FORMAT = "compdistort-bench"
VERSION = 1
JSON_NAME, CSV_NAME, PAGE_NAME = "bench.json", "bench.csv", "index.html"

_REFUSALS = (ConfigError, InputError, BackendUnavailableError, DeviceMemoryError)
"""What a pipeline that cannot be made for this image, or on this engine, raises."""


@dataclass(slots=True, kw_only=True)
class _Contender:
    """A pipeline on an engine, as far as it is known."""

    trained: Trained
    device: str
    chain: Chain
    compile_seconds: float
    measured: Measured
    model_bytes: int
    times: Times | None = None


def run_bench(
    options: BenchOptions,
    folder: Path,
    devices: list[DeviceRequest],
    *,
    replace_old: bool,
    progress: Progress,
    stop: StopFlag,
) -> dict[str, Any]:
    """Compare feature pipelines on one image; write page, JSON, CSV and models into a folder.

    Every pipeline is trained once, on the same annotations and seed, and judged on the same pixels; it measures the
    same replicates and the same codecs; then all are timed in turns. Engines of the same pipeline must measure the
    same to the bit before anything is timed.

    Parameters
    ----------
    options : BenchOptions
        What is compared.
    folder : Path
        Folder to make: whole or not at all.
    devices : list of DeviceRequest
        Engines.
    replace_old : bool
        Whether the folder of an earlier benchmark may be replaced.
    progress : Progress
        Told what is done.
    stop : StopFlag
        Ends the work between two images; nothing is written then.

    Returns
    -------
    dict
        JSON-ready: what ``bench.json`` holds, and ``folder``.

    Raises
    ------
    ConfigError
        If an option does not exist, the folder is in the way, or every pipeline is refused.
    InputError
        If a file cannot be used, or the image is no single plane.
    BackendUnavailableError
        If this machine does not have an engine.
    CompdistortError
        If engines disagree.
    """
    grid, codecs = options.grid(), options.named_codecs()
    devices = list({device.name: device for device in devices}.values())
    for device in devices:
        choose(device)
    _check_folder(folder, replace_old=replace_old)
    began = environment.now()
    field = open_field(options)
    ready = {name: codec.prepare(field.raw) for name, codec in codecs.items()}
    with resource_errors(folder), atomic_path(folder) as partial:
        (partial / "models").mkdir(parents=True)
        contenders, refused = _contenders(grid, options, field, ready, devices, partial / "models", progress, stop)
        if not contenders:
            first = refused[0]
            raise ConfigError(
                f"no pipeline can be made for this image: {first['pipeline']}: {first['reason']}", "choose others"
            )
        progress.say(f"timing {len(contenders)} pipelines in {options.rounds} turns")
        chains = [each.chain for each in contenders]
        for each, times in zip(contenders, time_in_turns(chains, options.rounds, stop), strict=True):
            each.times = times
        twin = _twin(options, field, ready, contenders, refused, devices[0], began)
        _write(partial, twin)
    return {**twin, "folder": str(folder), "page": str(folder / PAGE_NAME)}


def _check_folder(folder: Path, *, replace_old: bool) -> None:
    """Refuse a folder that is in the way, before the work; what is no benchmark is never replaced."""
    require_place(folder)
    if not folder.exists():
        return
    if not (folder / JSON_NAME).is_file():
        raise ConfigError(f"{folder}: exists and is no benchmark", "choose another folder with -o")
    if not replace_old:
        raise ConfigError(f"{folder}: exists already", "choose another folder with -o, or replace it with --force")


def _contenders(
    grid: tuple[Pipeline, ...],
    options: BenchOptions,
    field: Field,
    codecs: dict[str, Codec],
    devices: list[DeviceRequest],
    models: Path,
    progress: Progress,
    stop: StopFlag,
) -> tuple[list[_Contender], list[dict[str, str]]]:
    """Return every pipeline on every engine, measured but not timed, and what was refused."""
    engine = get_backend("cpu")
    made: list[_Contender] = []
    refused: list[dict[str, str]] = []
    for number, pipeline in enumerate(grid, start=1):
        stop.check()
        where = ""
        try:
            trained = train_pipeline(pipeline, field, options.seed, engine)
            progress.say(f"{number} of {len(grid)}: {pipeline.name} trained in {trained.seconds:.1f} s")
            model = models / f"{pipeline.name}.npz"
            save_classifier(model, trained.classifier)
        except _REFUSALS as error:
            refused.append({"pipeline": pipeline.name, "device": where, "reason": str(error)})
            progress.say(f"{number} of {len(grid)}: {pipeline.name} is refused: {error}")
            continue
        own: list[_Contender] = []
        for device in devices:
            try:
                own.append(_on_device(trained, device, options, field, codecs, model.stat().st_size, stop))
            except _REFUSALS as error:
                refused.append({"pipeline": pipeline.name, "device": device.name, "reason": str(error)})
                progress.say(f"  on {device.name} it is refused: {error}")
                continue
            progress.say(
                f"  on {device.name}: compiled in {own[-1].compile_seconds:.1f} s, {options.replicates} replicates done"
            )
        _require_equal(own)
        made += own
    return made, refused


def _on_device(
    trained: Trained,
    device: DeviceRequest,
    options: BenchOptions,
    field: Field,
    codecs: dict[str, Codec],
    model_bytes: int,
    stop: StopFlag,
) -> _Contender:
    """Compile a pipeline on an engine of its own, and measure; an engine remembers but a few plans."""
    chain = make_chain(trained, field, get_backend(device, threads=1), options.seed)
    began = time.perf_counter()
    compile_forest(chain)
    compile_seconds = time.perf_counter() - began
    measured = measure_pipeline(
        chain,
        codecs,
        n_replicates=options.replicates,
        seed=options.seed,
        margin=options.margin,
        threads=options.threads or environment.usable_processors(),
        stop=stop,
        truth=field.truth,
    )
    return _Contender(
        trained=trained,
        device=device.name,
        chain=chain,
        compile_seconds=compile_seconds,
        measured=measured,
        model_bytes=model_bytes,
    )


def _require_equal(contenders: list[_Contender]) -> None:
    """Hold the identity gate: engines that disagree are not compared in speed."""
    for each in contenders[1:]:
        if each.measured.digest != contenders[0].measured.digest:
            raise CompdistortError(
                f"{each.trained.pipeline.name}: devices {contenders[0].device} and {each.device} measured different "
                "objects, and must not",
                "run `compdistort selftest`, and report this with the image",
            )


def _twin(
    options: BenchOptions,
    field: Field,
    codecs: dict[str, Codec],
    contenders: list[_Contender],
    refused: list[dict[str, str]],
    device: DeviceRequest,
    began: str,
) -> dict[str, Any]:
    """Return all numbers, JSON-ready."""
    rows = []
    for each in contenders:
        assert each.times is not None
        rows.append(entry(each.trained, each.device, each.chain, each.measured, each.times))
        rows[-1] |= {"compile_seconds": each.compile_seconds, "model_bytes": each.model_bytes}
    choice = _choose(contenders, options.tolerance)
    for row, standing in zip(rows, choice.standings, strict=True):
        row["standing"] = standing_facts(standing)
    session = environment.session(device) | {
        "start": began,
        "stop": environment.now(),
        "cpu": Machine.here().cpu,
        "memory_bytes": environment.memory_bytes(),
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "image": field.facts,
        "options": {
            key: value.name if isinstance(value, Path) else value
            for key, value in asdict(replace(options, min_size=field.min_size)).items()
        },
        "codecs": codec_facts(codecs, contenders[0].measured),
        "rows": rows,
        "refused": refused,
        "engines_equal": len({each.device for each in contenders}) > 1,
        "most_accurate": choice.most_accurate,
        "fastest_at_equal_trust": choice.fastest,
        "fastest_by_minimum": choice.fastest_by_minimum,
        "software": environment.software(),
        "session": session,
    }


def _choose(contenders: list[_Contender], tolerance: float) -> Choice:
    candidates = []
    for each in contenders:
        assert each.times is not None
        judged = each.trained.held_out is not None
        candidates.append(
            Candidate(
                score=each.trained.score,
                squares=each.trained.squares if judged else None,
                ns_per_pixel=each.times.median_ns("replicate"),
                fastest_ns=each.times.fastest_ns("replicate"),
                verdicts={codec.codec: codec.verdict for codec in each.measured.scores.codecs},
            )
        )
    return choose_fastest(candidates, tolerance)


def _write(folder: Path, twin: dict[str, Any]) -> None:
    files = {
        JSON_NAME: json.dumps(twin, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
        CSV_NAME: bench_csv(twin),
        PAGE_NAME: render_bench(twin, remarks(twin)),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
