"""One benchmark, end to end: image, pipelines, identity gate, clock, choice, and the folder that holds it all."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from compdistort.backend import DeviceRequest
from compdistort.backend.bitsliced.machine import Machine
from compdistort.codecs import Codec
from compdistort.errors import ConfigError
from compdistort.io.files import atomic_path, require_place, resource_errors
from compdistort.pipeline import environment
from compdistort.pipeline.bench.choice import Candidate, Choice, choose_fastest
from compdistort.pipeline.bench.contenders import (
    Contender,
    Engines,
    Refusal,
    Setting,
    distinct,
    make_contenders,
    time_contenders,
)
from compdistort.pipeline.bench.field import Field, open_field
from compdistort.pipeline.bench.options import ESTIMATE, BenchOptions
from compdistort.pipeline.bench.rows import codec_facts, entry, standing_facts
from compdistort.pipeline.bench.words import remarks
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.stopping import StopFlag
from compdistort.report.bench_page import bench_csv, render_bench

FORMAT = "compdistort-bench"
VERSION = 1
JSON_NAME, CSV_NAME, PAGE_NAME, MODELS_NAME = "bench.json", "bench.csv", "index.html", "models"


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
        Engines; those that choose the same one count once.
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
        If an option does not exist, or the folder is in the way.
    InputError
        If a file cannot be used, the image is no single plane, or no pipeline can be judged.
    BackendUnavailableError
        If this machine does not have an engine.
    CompdistortError
        If engines disagree; where every pipeline is refused, of the class of the first refusal.
    """
    options.grid()
    codecs, engines = options.named_codecs(), distinct(devices)
    _check_folder(folder, replace_old=replace_old)
    began = environment.now()
    progress.say("simulating the scene" if options.image is None else f"reading {options.image.name}")
    field = open_field(options)
    ready = {name: codec.prepare(field.raw) for name, codec in codecs.items()}
    with resource_errors(folder), atomic_path(folder) as partial:
        (partial / MODELS_NAME).mkdir(parents=True)
        setting = Setting(
            options=options,
            field=field,
            codecs=ready,
            devices=tuple(device for device, _, same in engines.values() if not same),
            models=partial / MODELS_NAME,
            progress=progress,
            stop=stop,
        )
        contenders, refused = make_contenders(setting)
        contenders = time_contenders(contenders, setting, refused)
        twin = _twin(options, field, ready, contenders, refused) | {"session": _session(engines) | {"start": began}}
        _write(partial, twin)
    return {**twin, "folder": str(folder), "page": str(folder / PAGE_NAME)}


def _check_folder(folder: Path, *, replace_old: bool) -> None:
    """Refuse a folder that is in the way, before the work; what is no benchmark is never replaced."""
    if folder.name in ("", ".."):
        raise ConfigError(f"-o {folder}: a benchmark makes a folder of its own", "name a new one")
    require_place(folder)
    if not folder.exists():
        return
    problem = _foreign(folder)
    if problem:
        raise ConfigError(f"{folder}: exists and is no benchmark ({problem})", "choose another folder with -o")
    if not replace_old:
        raise ConfigError(f"{folder}: exists already", "choose another folder with -o, or replace it with --force")


def _foreign(folder: Path) -> str:
    """Return what in a folder a benchmark did not write, or nothing."""
    try:
        twin = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        models = {f"{row['pipeline']}.npz" for row in (*twin["rows"], *twin["refused"])}
        own = twin["format"] == FORMAT
    except (OSError, ValueError, LookupError, TypeError):
        own = False
    if not own:
        return f"no {JSON_NAME} of one"
    known = {JSON_NAME, CSV_NAME, PAGE_NAME, MODELS_NAME} | {f"{MODELS_NAME}/{name}" for name in models}
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return next((f"it holds {name}" for name in found if name not in known), "")


def _twin(
    options: BenchOptions,
    field: Field,
    codecs: dict[str, Codec],
    contenders: list[Contender],
    refused: list[Refusal],
) -> dict[str, Any]:
    """Return all numbers, JSON-ready."""
    choice = _choose(contenders, options.tolerance)
    rows = [
        {**entry(each), "standing": standing_facts(standing)}
        for each, standing in zip(contenders, choice.standings, strict=True)
    ]
    names = [row["pipeline"] for row in rows]
    return {
        "format": FORMAT,
        "version": VERSION,
        "image": field.facts,
        "sensor_model": field.sensor.to_dict(),
        "options": _option_facts(options, field),
        "codecs": codec_facts(codecs, contenders[0].measured),
        "rows": rows,
        "refused": [each.facts() for each in refused],
        "engines_equal": len(set(names)) < len(names),
        "most_accurate": choice.most_accurate,
        "fastest_at_equal_trust": choice.fastest,
        "overtakers": list(choice.overtakers),
        "tied": list(choice.tied),
        "software": environment.software(),
    }


def _choose(contenders: list[Contender], tolerance: float) -> Choice:
    candidates = [
        Candidate(
            pipeline=each.trained.pipeline.name,
            score=each.trained.score,
            squares=each.trained.squares,
            turns=each.times.turns_ns("replicate"),
            verdicts={codec.codec: codec.verdict for codec in each.measured.scores.codecs},
            n_objects=each.measured.scores.n_objects,
            truth_dice=each.measured.truth_dice,
        )
        for each in contenders
    ]
    return choose_fastest(candidates, tolerance)


def _option_facts(options: BenchOptions, field: Field) -> dict[str, Any]:
    """Return the options as they were meant, without paths of this machine."""
    meant = replace(options, min_size=field.min_size)
    if options.image is None:
        scene, size = options.simulated
        meant = replace(meant, scene=scene, size=size)
    elif options.sensor not in (None, ESTIMATE):
        meant = replace(meant, sensor=Path(str(options.sensor)).name)
    return {key: value.name if isinstance(value, Path) else value for key, value in asdict(meant).items()}


def _session(engines: Engines) -> dict[str, Any]:
    """Return what is special to this run, and what every device that was asked for is here."""
    telling = next((name for name, (_, engine, _) in engines.items() if engine.devices), next(iter(engines)))
    found = environment.session(engines[telling][0])  # of several engines that of CUDA has versions to tell
    return {
        **{key: value for key, value in found.items() if key not in ("engine", "why")},
        "stop": environment.now(),
        "cpu": Machine.here().cpu,
        "memory_bytes": environment.memory_bytes(),
        "engines": [
            {"device": name, "engine": engine.name, "reason": engine.reason, "same_as": same or None}
            for name, (_, engine, same) in engines.items()
        ],
    }


def _write(folder: Path, twin: dict[str, Any]) -> None:
    files = {
        JSON_NAME: json.dumps(twin, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
        CSV_NAME: bench_csv(twin),
        PAGE_NAME: render_bench(twin, remarks(twin)),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
