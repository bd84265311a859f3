"""`compdistort sweep`: how far every codec may compress one image."""

from pathlib import Path
from typing import Any

import typer

from compdistort.cli.common import FOREST_HELP, JSON_OPTION, OutputState
from compdistort.cli.progress import listener
from compdistort.errors import ConfigError

SUFFIX = ".sweep"


def sweep(
    context: typer.Context,
    study: Path = typer.Argument(
        ..., help="Study file (TOML), its [sweep] says what to try; or a folder NAME.sweep, to go on with it."
    ),
    output: Path = typer.Option(
        None, "-o", "--output", help="Folder to make or to go on with; default: the study's name + .sweep."
    ),
    replicates: int = typer.Option(None, "-n", "--replicates", min=2, help="Overrides noise.replicates."),
    seed: int = typer.Option(None, min=0, help="Overrides noise.seed."),
    device: str = typer.Option(
        None, help="Engine: auto, cpu, numba, numpy, cuda or cuda:0,1; overrides COMPDISTORT_DEVICE and compute.device."
    ),
    forest: str = typer.Option(None, help=f"{FOREST_HELP} Overrides compute.forest."),
    threads: int = typer.Option(None, min=1, help="Threads; results do not depend on them."),
    max_memory: str = typer.Option(None, help="Overrides compute.max_memory, e.g. 8GiB."),
    settings: list[str] = typer.Option([], "--set", help="Replace a setting: section.key=value."),
    allow_code: bool = typer.Option(
        False, "--allow-code", help="Let a study run the functions and programs that its file names: read them first."
    ),
    status: bool = typer.Option(False, "--status", help="Say how far it is, and change nothing."),
    progress: str = typer.Option("auto", help="auto, bar, plain, json or none."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Take one image through many codecs and ratios, and say the largest ratio that each may be given.

    Without [sweep] in the study file the codecs in reach are tried at five ratios each; its [[codec]] are left aside.
    Replicates of the raw image are computed once. A later call with one more codec or ratio computes that alone, and
    one that was stopped goes on where it was.
    """
    from compdistort.pipeline.sweep import run_sweep  # noqa: PLC0415
    from compdistort.pipeline.sweep_store import folder_config  # noqa: PLC0415
    from compdistort.pipeline.sweep_words import limit_text, status_text, summarise_sweep, sweep_status  # noqa: PLC0415
    from compdistort.study_file import load_config  # noqa: PLC0415

    folder = study if study.is_dir() else output or study.with_suffix(SUFFIX)
    if status:
        found = sweep_status(folder)
        OutputState.emit(found, status_text(found), as_json=as_json)
        return
    compute: dict[str, Any] = {"device": device, "forest": forest, "threads": threads, "max_memory": max_memory}
    others = {"noise.replicates": replicates, "noise.seed": seed}
    if study.is_dir():
        _refuse_beside_folder(output, {**others, "--set": settings or None})
        config, text = folder_config(folder, **compute), ""
    else:
        words = {**others, "compute.threads": threads, **_quoted(forest=forest, max_memory=max_memory)}
        given = (f"{key}={value}" for key, value in words.items() if value is not None)
        config, text = load_config(study, (*settings, *given), device), study.read_text(encoding="utf-8")
    outcome = run_sweep(config, folder, progress=listener(progress), stop=context.obj, text=text, allow_code=allow_code)
    OutputState.emit(summarise_sweep(outcome), limit_text(outcome), as_json=as_json)


def _quoted(**words: str | None) -> dict[str, str | None]:
    return {f"compute.{name}": word and f'"{word}"' for name, word in words.items()}


def _refuse_beside_folder(output: Path | None, others: dict[str, Any]) -> None:
    """Refuse options that a sweep which goes on by its folder does not look at."""
    named = [name for name, value in {"-o": output, **others}.items() if value is not None]
    if named:
        raise ConfigError(
            f"{named[0]} does nothing beside the folder of a sweep", "give the study file, or leave the option out"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sweep)
