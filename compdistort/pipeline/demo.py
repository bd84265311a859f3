"""The demo: a simulated image, volume or scan of known truth, a camera that is calibrated, and a whole study on it."""

import shutil
from pathlib import Path
from typing import Any

from compdistort.backend import FORESTS, check_forest, choose, requested
from compdistort.errors import ConfigError
from compdistort.io.files import resource_errors
from compdistort.pipeline.demo_inputs import check_scene, write_demo_inputs, write_light_sheet_inputs
from compdistort.pipeline.demo_opt import write_opt_inputs
from compdistort.pipeline.outcome import Outcome
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import run_study
from compdistort.store import StudyStore
from compdistort.study_file import load_config
from compdistort.synthetic import KINDS as SCENES

PHASE, LIGHT_SHEET, OPT = "phase", "lightsheet", "opt"
KINDS = {PHASE: 100, LIGHT_SHEET: 50, OPT: 30}
"""Kinds of demo, and the replicates of each unless others are asked for."""


def _remove_study(folder: Path) -> None:
    """Remove the study of an earlier demo; what is no study, or is being written, is left alone by an error."""
    if not folder.exists():
        return
    with StudyStore.open(folder).writing(), resource_errors(folder):
        shutil.rmtree(folder)


def run_demo(
    kind: str,
    scene: str | None,
    folder: Path,
    *,
    n_replicates: int | None,
    seed: int,
    device: str | None,
    settings: dict[str, Any],
    progress: Progress,
    stop: StopFlag,
) -> Outcome:
    """Simulate, calibrate and run a whole study; the folder of the scene inside `folder` is made anew.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    scene : str or None
        Of phase contrast: one of `SCENES`, by default the first.
    folder : Path
        Where the demos go.
    n_replicates : int or None
        Replicates of the study; None takes as many as `KINDS` says.
    seed : int
        Of scene, camera and replicates.
    device : str or None
        What ``--device`` says.
    settings : dict
        Of the study's section ``compute``; None leaves a default.
    progress : Progress
        Listener.
    stop : StopFlag
        Lets signals end the study between two images.

    Returns
    -------
    Outcome

    Raises
    ------
    ConfigError
        If the kind or the scene is unknown.
    StoreError, StoreLockedError
        If ``study.cdist`` is there and is no study, or another process writes to it.
    """
    name = _scene_name(kind, scene)
    place = folder / name
    store = place / "study.cdist"
    choose(requested(device))
    check_forest(settings.get("forest") or FORESTS[0])  # before anything of an earlier demo is removed
    _remove_study(store)
    progress.say(f"simulating the {name} scene and calibrating its camera in {place}")
    replicates = n_replicates or KINDS[kind]
    if kind == LIGHT_SHEET:
        write_light_sheet_inputs(place, seed=seed, n_replicates=replicates)
    elif kind == OPT:
        write_opt_inputs(place, seed=seed, n_replicates=replicates)
    else:
        write_demo_inputs(place, name, seed=seed, n_replicates=replicates)
    words = tuple(f"compute.{key}={value}" for key, value in settings.items() if value is not None)
    config = load_config(place / "study.toml", words, device)
    text = (place / "study.toml").read_text(encoding="utf-8")
    return run_study(config, store, progress=progress, stop=stop, text=text)


def _scene_name(kind: str, scene: str | None) -> str:
    """Return the name of the scene, which its folder has too."""
    if kind not in KINDS:
        raise ConfigError(f"--kind {kind} is unknown", f"use one of {', '.join(KINDS)}")
    if kind == PHASE:
        check_scene(scene or SCENES[0])
        return scene or SCENES[0]
    if scene is not None:
        raise ConfigError(f"--scene {scene} belongs to --kind {PHASE}", "remove one of the two")
    return kind
