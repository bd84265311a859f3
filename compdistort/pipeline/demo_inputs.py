"""What the demos start from: simulated images of known truth, frames of a simulated camera, and a study file.

Everything between the simulated photons and the report is the same code that a user's own image goes through.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort import synthetic
from compdistort.backend import get_backend
from compdistort.errors import ConfigError
from compdistort.io.files import atomic_path, resource_errors
from compdistort.io.images import write_tiff
from compdistort.pipeline.calibration import CalibrateOptions, calibrate_files
from compdistort.synthetic import KINDS as SCENES
from compdistort.synthetic import SimulatedCamera

SIZE = 288
"""Rows and columns of a plane."""

VOLUME = (40, 128, 128)
"""Planes, rows and columns of a light-sheet volume."""

PAINTED, STROKES = 12, 16
"""Planes of it that are annotated, and training strokes of each class in each."""

SHEET_CAMERA = SimulatedCamera(offset_dn=100.0, gain_e_per_dn=2.2, read_noise_e=1.6)
"""Its images fill a small part of 16 bit, as those of light sheets mostly do."""

FLAT_LEVELS_E = (200.0, 500.0, 1200.0, 3000.0, 7000.0, 12000.0)
FLAT_SHAPE = (128, 128)

_PHASE = """\
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


_LIGHT_SHEET = """\
# A simulated study: light-sheet volume, seed {seed}. Every file beside this one was made by `compdistort demo`.
schema_version = 1
title = "Simulated light sheet"

[input]
raw = "raw.tif"
truth = "truth.tif"
voxel_um = {voxel}

[calibration]
sensor = "sensor.json"

[noise]
replicates = {n}
seed = {seed}

[segmenter]
labels = "labels.tif"
held_out = "held_out.tif"
label_source = "generated from the known truth"
preset = "ilastik"
set = "ilastik"
sigma = [0.7, 1.0, 1.6, 3.5]

[measure]
min_size = 12

[[codec]]
id = "identity"

[[codec]]
id = "bit-depth"
name = "8-bit"

[[codec]]
id = "bit-depth"
name = "8-bit-shift"
inverse = "shift"
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
    check_scene(scene)
    camera = SimulatedCamera()
    made = synthetic.scene(scene, size, seed)
    marked = synthetic.annotations(made, seed)
    images: dict[str, NDArray[Any]] = {
        "raw": synthetic.expose(made, camera, seed),
        "labels": marked.train,
        "held_out": marked.held_out,
        "truth": made.truth_labels.astype(np.uint16),
    }
    write_inputs(folder, images, camera, seed, _PHASE.format(scene=scene, seed=seed, n=n_replicates))


def write_light_sheet_inputs(
    folder: Path, *, shape: tuple[int, int, int] = VOLUME, seed: int = 1, n_replicates: int = 50
) -> None:
    """Write a simulated light-sheet volume as `write_demo_inputs` writes a plane.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    shape : tuple of three int
        Planes, rows, columns.
    seed : int
        Seed of volume, camera and replicates.
    n_replicates : int
        Replicates that the study file asks for.

    Raises
    ------
    ConfigError
        If the volume is too small.
    ResourceError
        If the folder cannot be written.
    """
    camera = SHEET_CAMERA
    made = synthetic.light_sheet(shape, seed)
    marked = synthetic.plane_annotations(made, seed, planes=PAINTED, strokes=STROKES).volumes(shape[0])
    images: dict[str, NDArray[Any]] = {
        "raw": np.stack(list(synthetic.expose_frames(made.frames(), camera, seed))),
        "labels": marked.train,
        "held_out": marked.held_out,
        "truth": made.truth_labels().astype(np.uint16),
    }
    voxel = list(made.voxel_um)
    study = _LIGHT_SHEET.format(seed=seed, n=n_replicates, voxel=voxel)
    write_inputs(folder, images, camera, seed, study)


def check_scene(scene: str) -> None:
    """Refuse a scene that does not exist."""
    if scene not in SCENES:
        raise ConfigError(f"--scene {scene} is unknown", f"use one of {', '.join(SCENES)}")


def write_inputs(
    folder: Path, images: Mapping[str, NDArray[Any]], camera: SimulatedCamera, seed: int, study: str
) -> None:
    """Write images, calibration frames, the sensor that these give, and the study file last.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    images : mapping of str to ndarray
        By name, without ``.tif``.
    camera : SimulatedCamera
        That the calibration frames are of.
    seed : int
        Of these.
    study : str
        Text of the study file.

    Raises
    ------
    ResourceError
        If the folder cannot be written.
    """
    with resource_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    flats = synthetic.flat_series(camera, FLAT_LEVELS_E, FLAT_SHAPE, seed, n_darks=len(FLAT_LEVELS_E))
    frames = {name: getattr(flats, name) for name in ("flat_a", "flat_b", "dark_a", "dark_b")}
    for name, image in {**images, **frames}.items():
        write_tiff(folder / f"{name}.tif", image)
    calibrate_files(
        [folder / "flat_a.tif", folder / "flat_b.tif"],
        [folder / "dark_a.tif", folder / "dark_b.tif"],
        folder / "sensor.json",
        CalibrateOptions(bits=camera.bits),
        get_backend("cpu"),
    )
    with atomic_path(folder / "study.toml") as temporary:
        temporary.write_text(study, encoding="utf-8")
