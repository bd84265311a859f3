"""What the steps of a study make of its image, as a file: what annotations and true objects are drawn on."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend
from compdistort.config import StudyConfig
from compdistort.errors import ConfigError
from compdistort.io.files import require_output
from compdistort.io.images import write_image
from compdistort.io.volume_write import volume_writer
from compdistort.measurands import Voxel
from compdistort.pipeline.inputs import backend_of, input_files, read_sensor
from compdistort.pipeline.preparation import read_recorded, run_steps
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import RawImage
from compdistort.pipeline.steps import Steps
from compdistort.replicate import draw, noise_tables


def export_steps(
    config: StudyConfig, out: Path, progress: Progress, *, replicate: int | None = None, allow_code: bool = False
) -> dict[str, Any]:
    """Run the steps of a study on its raw image, or on a replicate of it, and write the result.

    Parameters
    ----------
    config : StudyConfig
        The study; what its classifier is trained on need not exist yet.
    out : Path
        Image or volume to write: TIFF, OME-Zarr, or PNG for a plane of 16 bit.
    progress : Progress
        Listener.
    replicate : int, optional
        Number of the replicate; without it the raw image.
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    dict
        JSON-ready: ``output``, ``raw``, ``replicate``, ``shape``, ``dtype``, ``voxel_um`` and ``steps`` (what each took
        from the raw image).

    Raises
    ------
    ConfigError
        If the study has no steps, or a step cannot work on the image.
    CompdistortError
        If an input cannot be used, or the file cannot be written.
    """
    if not config.step:
        raise ConfigError("the study has no steps", "add [[step]] tables, or take the raw image itself")
    require_output(out, list(input_files(config).values()))
    image, backend = read_recorded(config), backend_of(config, progress)
    steps, seen = run_steps(config, image, backend, allow_code=allow_code)
    if replicate is not None:
        seen = _seen_replicate(config, image, steps, backend, replicate)
    voxel_um = steps.voxel_um(config, image.voxel_um)
    _write(out, seen, voxel_um)
    return {
        "output": str(out),
        "raw": str(config.input.raw),
        "replicate": replicate,
        "shape": list(seen.shape),
        "dtype": str(seen.dtype),
        "voxel_um": voxel_um,
        "steps": steps.record(),
    }


def describe(result: dict[str, Any]) -> str:
    """Return the steps, and one line on the file, for people."""
    lines = [f"step {step['number']}: {step['words']}" for step in result["steps"]]
    size = " x ".join(map(str, result["shape"]))
    what = "the raw image" if result["replicate"] is None else f"replicate {result['replicate']}"
    return "\n".join([*lines, f"{result['output']}: what they make of {what}, {size} pixels, {result['dtype']}"])


def _seen_replicate(
    config: StudyConfig, image: RawImage, steps: Steps, backend: Backend[Any], number: int
) -> NDArray[Any]:
    """Return what the steps, prepared on the raw image, make of a replicate."""
    sensor = read_sensor(config, image.pixels)
    tables = noise_tables(sensor, config.noise.law, image.pixels.shape)
    raw = np.asarray(image.pixels, np.uint16)  # studies with steps hold it in memory
    drawn = draw(raw, tables, backend, config.noise.seed, range(number, number + 1))[0]
    return np.asarray(steps.see(drawn, backend).image)


def _write(out: Path, seen: NDArray[Any], voxel_um: Voxel | None) -> None:
    if seen.ndim == 2:
        write_image(out, seen)
        return
    with volume_writer(out, (seen.shape[0], seen.shape[1], seen.shape[2]), seen.dtype, voxel_um=voxel_um) as writer:
        writer.write_planes(seen)
