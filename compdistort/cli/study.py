"""Commands of a study: init, check, steps, run, resume, status, report."""

from pathlib import Path
from typing import Any

import typer

from compdistort.cli.common import FOREST_HELP, JSON_OPTION, OutputState
from compdistort.cli.progress import listener
from compdistort.errors import EXIT_VERDICT, ConfigError

SUFFIX = ".cdist"
_STUDY = typer.Argument(..., help="Study file (TOML); `compdistort init` writes one.")
_FOLDER = typer.Argument(..., help="Folder of the study, NAME.cdist.")
_PROGRESS = typer.Option("auto", help="auto, bar, plain, json or none.")
_SET = typer.Option([], "--set", help="Replace a setting: section.key=value.")
_FAIL_ON = typer.Option("", "--fail-on", help="Exit 6 if a verdict is that bad: intolerable or undecided.")
_DEVICE = typer.Option(
    None, help="Engine: auto, cpu, numba, numpy, cuda or cuda:0,1; overrides COMPDISTORT_DEVICE and compute.device."
)
_FOREST = typer.Option(None, help=f"{FOREST_HELP} Overrides compute.forest.")
_ALLOW_CODE = typer.Option(
    False, "--allow-code", help="Let a study run the functions and programs that its file names: read them first."
)
_THREADS = typer.Option(None, min=1, help="Threads; results do not depend on them.")


def init(
    output: Path = typer.Argument(Path("study.toml"), help="File to write."),
    force: bool = typer.Option(False, "--force", help="Replace an existing file."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Write a commented study file."""
    from compdistort.pipeline.template import write_template  # noqa: PLC0415

    write_template(output, replace=force)
    OutputState.emit(
        {"study": str(output)}, f"wrote {output}: fill it in, then `compdistort check {output}`", as_json=as_json
    )


def check(
    study: Path = _STUDY,
    device: str = _DEVICE,
    forest: str = _FOREST,
    settings: list[str] = _SET,
    allow_code: bool = _ALLOW_CODE,
    progress: str = _PROGRESS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Validate every input and forecast time, memory and disk; write nothing."""
    from compdistort.pipeline.study import check_study  # noqa: PLC0415
    from compdistort.study_file import load_config  # noqa: PLC0415

    words = [] if forest is None else [f'compute.forest="{forest}"']
    config = load_config(study, (*settings, *words), device)
    found = check_study(config, listener(progress), allow_code=allow_code)
    OutputState.emit(found, f"{study}: usable\n{found['text']}", as_json=as_json)


def run(
    context: typer.Context,
    study: Path = _STUDY,
    output: Path = typer.Option(None, "-o", "--output", help="Folder to make; default: the study's name + .cdist."),
    replicates: int = typer.Option(None, "-n", "--replicates", min=2, help="Overrides noise.replicates."),
    seed: int = typer.Option(None, min=0, help="Overrides noise.seed."),
    device: str = _DEVICE,
    forest: str = _FOREST,
    threads: int = _THREADS,
    max_memory: str = typer.Option(None, help="Overrides compute.max_memory, e.g. 8GiB."),
    settings: list[str] = _SET,
    allow_code: bool = _ALLOW_CODE,
    progress: str = _PROGRESS,
    fail_on: str = _FAIL_ON,
    as_json: bool = JSON_OPTION,
) -> int:
    """Run a study from raw image to verdict."""
    from compdistort.pipeline.study import run_study  # noqa: PLC0415
    from compdistort.study_file import load_config  # noqa: PLC0415

    _check_fail_on(fail_on)
    given = {
        "noise.replicates": replicates,
        "noise.seed": seed,
        "compute.forest": forest and f'"{forest}"',
        "compute.threads": threads,
        "compute.max_memory": max_memory and f'"{max_memory}"',
    }
    words = [f"{key}={value}" for key, value in given.items() if value is not None]
    config = load_config(study, (*settings, *words), device)
    folder = output or config.output.folder or study.with_suffix(SUFFIX)
    outcome = run_study(
        config,
        folder,
        progress=listener(progress),
        stop=context.obj,
        text=study.read_text(encoding="utf-8"),
        allow_code=allow_code,
    )
    return _finish(outcome, fail_on, as_json=as_json)


def resume(
    context: typer.Context,
    folder: Path = _FOLDER,
    device: str = _DEVICE,
    forest: str = _FOREST,
    threads: int = _THREADS,
    allow_code: bool = _ALLOW_CODE,
    progress: str = _PROGRESS,
    fail_on: str = _FAIL_ON,
    as_json: bool = JSON_OPTION,
) -> int:
    """Go on with a study that was stopped or killed, to the same bits."""
    from compdistort.pipeline.study import resume_study  # noqa: PLC0415

    _check_fail_on(fail_on)
    outcome = resume_study(
        folder,
        progress=listener(progress),
        stop=context.obj,
        threads=threads,
        device=device,
        forest=forest,
        allow_code=allow_code,
    )
    return _finish(outcome, fail_on, as_json=as_json)


def steps(
    study: Path = _STUDY,
    output: Path = typer.Option(..., "-o", "--output", help="Image or volume to write: TIFF, OME-Zarr, PNG."),
    replicate: int = typer.Option(None, min=0, help="Number of a replicate; default: the raw image."),
    device: str = _DEVICE,
    settings: list[str] = _SET,
    allow_code: bool = _ALLOW_CODE,
    progress: str = _PROGRESS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Write what the steps of a study make of its raw image: annotations and true objects are drawn on that."""
    from compdistort.pipeline.steps_export import describe, export_steps  # noqa: PLC0415
    from compdistort.study_file import load_config  # noqa: PLC0415

    config = load_config(study, tuple(settings), device)
    found = export_steps(config, output, listener(progress), replicate=replicate, allow_code=allow_code)
    OutputState.emit(found, describe(found), as_json=as_json)


def status(folder: Path = _FOLDER, as_json: bool = JSON_OPTION) -> None:
    """Say how far a study is."""
    from compdistort.pipeline.study import study_status  # noqa: PLC0415

    found = study_status(folder)
    text = f"{folder}: {found['replicates_done']} of {found['replicates']} replicates"
    OutputState.emit(found, text + (f", report {found['report']}" if found["finished"] else ""), as_json=as_json)


def report(
    folder: Path = _FOLDER,
    output: Path = typer.Option(None, "-o", "--output", help="Folder for the report; default: inside the study."),
    fail_on: str = _FAIL_ON,
    as_json: bool = JSON_OPTION,
) -> int:
    """Write the report of a finished study again."""
    from compdistort.pipeline.study import report_study  # noqa: PLC0415

    _check_fail_on(fail_on)
    return _finish(report_study(folder, output), fail_on, as_json=as_json)


def _check_fail_on(fail_on: str) -> None:
    if fail_on not in ("", "intolerable", "undecided"):
        raise ConfigError(f"--fail-on {fail_on} is unknown", "use intolerable or undecided")


def _finish(outcome: Any, fail_on: str, *, as_json: bool) -> int:
    """Print verdicts and report; return the exit code."""
    from compdistort.pipeline.verdicts import summarise, verdict_table  # noqa: PLC0415

    found = summarise(outcome)
    OutputState.emit(found, verdict_table(outcome), as_json=as_json)
    bad = {"intolerable": {"intolerable"}, "undecided": {"intolerable", "undecided"}}.get(fail_on, set())
    return EXIT_VERDICT if bad & {codec["verdict"] for codec in found["codecs"]} else 0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, check, steps, run, resume, status, report):
        app.command()(command)
