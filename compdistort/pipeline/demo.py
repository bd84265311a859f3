"""The demo: a simulated micrograph of known truth, a simulated camera that is calibrated, and a whole study on it.

Everything between the simulated photons and the report is the same code that a user's own image goes through.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort import synthetic
from compdistort.backend import FORESTS, check_forest, choose, get_backend, requested
from compdistort.errors import ConfigError
from compdistort.io.files import atomic_path, resource_errors
from compdistort.io.images import write_tiff
from compdistort.pipeline.calibration import CalibrateOptions, calibrate_files
from compdistort.pipeline.outcome import Outcome
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import run_study
from compdistort.store import StudyStore
from compdistort.study_file import load_config
from compdistort.synthetic import KINDS as SCENES

SIZE = 288
FLAT_LEVELS_E = (200.0, 500.0, 1200.0, 3000.0, 7000.0, 12000.0)
FLAT_SHAPE = (128, 128)

_STUDY = """\
# A simulated study: {scene} scene, seed {seed}. Every file beside this one was made by `compdistort demo`.
schema_version = 1
title = "Simulated phase contrast, {scene}"

[input]
raw = "raw.tif"
truth = "truth.tif"

[calibration]
sensor = "sensor.json"

[noise]
replicates = {n}
seed = {seed}

[segmenter]
labels = "labels.tif"
held_out = "held_out.tif"
label_source = "generated from the known truth"
preset = "weka"

[measure]
min_size = 20

[[codec]]
id = "identity"

[[codec]]
id = "bit-depth"
name = "8-bit"

[[codec]]
id = "jpeg"
name = "jpeg-10"
ratio = 10

[[codec]]
id = "jpeg"
name = "jpeg-100"
ratio = 100
"""


def write_demo_inputs(folder: Path, scene: str, *, size: int = SIZE, seed: int = 1, n_replicates: int = 100) -> None:
    """Write a simulated micrograph, its annotations, calibration frames, sensor file and study file into a folder.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    scene : str
        One of `SCENES`.
    size : int
        Rows and columns of the micrograph.
    seed : int
        Seed of scene, camera and replicates.
    n_replicates : int
        Replicates that the study file asks for.

    Raises
    ------
    ConfigError
        If the scene is unknown.
    ResourceError
        If the folder cannot be written.
    """
    _check_scene(scene)
    with resource_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    camera = synthetic.SimulatedCamera()
    made = synthetic.scene(scene, size, seed)
    marked = synthetic.annotations(made, seed)
    flats = synthetic.flat_series(camera, FLAT_LEVELS_E, FLAT_SHAPE, seed, n_darks=len(FLAT_LEVELS_E))
    images: dict[str, NDArray[Any]] = {
        "raw": synthetic.expose(made, camera, seed),
        "labels": marked.train,
        "held_out": marked.held_out,
        "truth": made.truth_labels.astype(np.uint16),
        "flat_a": flats.flat_a,
        "flat_b": flats.flat_b,
        "dark_a": flats.dark_a,
        "dark_b": flats.dark_b,
    }
    for name, image in images.items():
        write_tiff(folder / f"{name}.tif", image)
    calibrate_files(
        [folder / "flat_a.tif", folder / "flat_b.tif"],
        [folder / "dark_a.tif", folder / "dark_b.tif"],
        folder / "sensor.json",
        CalibrateOptions(bits=camera.bits),
        get_backend("cpu"),
    )
    with atomic_path(folder / "study.toml") as temporary:
        temporary.write_text(_STUDY.format(scene=scene, seed=seed, n=n_replicates), encoding="utf-8")


def _check_scene(scene: str) -> None:
    if scene not in SCENES:
        raise ConfigError(f"--scene {scene} is unknown", f"use one of {', '.join(SCENES)}")


def _remove_study(folder: Path) -> None:
    """Remove the study of an earlier demo; what is no study, or is being written, is left alone by an error."""
    if not folder.exists():
        return
    with StudyStore.open(folder).writing(), resource_errors(folder):
        shutil.rmtree(folder)


def run_demo(
    scene: str,
    folder: Path,
    *,
    n_replicates: int,
    seed: int,
    device: str | None,
    settings: dict[str, Any],
    progress: Progress,
    stop: StopFlag,
) -> Outcome:
    """Simulate, calibrate and run a whole study; the folder ``SCENE`` inside `folder` is made anew.

    Parameters
    ----------
    scene : str
        One of `SCENES`.
    folder : Path
        Where the demos go.
    n_replicates, seed
        Of the study.
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
    StoreError, StoreLockedError
        If ``study.cdist`` is there and is no study, or another process writes to it.
    """
    _check_scene(scene)
    place = folder / scene
    store = place / "study.cdist"
    choose(requested(device))
    check_forest(settings.get("forest") or FORESTS[0])  # before anything of an earlier demo is removed
    _remove_study(store)
    progress.say(f"simulating the {scene} scene and calibrating its camera in {place}")
    write_demo_inputs(place, scene, seed=seed, n_replicates=n_replicates)
    words = tuple(f"compute.{key}={value}" for key, value in settings.items() if value is not None)
    config = load_config(place / "study.toml", words, device)
    text = (place / "study.toml").read_text(encoding="utf-8")
    return run_study(config, store, progress=progress, stop=stop, text=text)
