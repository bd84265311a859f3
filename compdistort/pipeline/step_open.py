"""Steps of a study file made ready: their files read, their functions imported."""

from pathlib import Path
from typing import Any

from compdistort.backend.base import Float64
from compdistort.config import StudyConfig, parse_bytes
from compdistort.config_steps import (
    AttenuationStep,
    BackProjectionStep,
    CallStep,
    ContrastStretchStep,
    CropStep,
    StepSection,
)
from compdistort.errors import InputError
from compdistort.io.files import naming
from compdistort.io.images import read_stack
from compdistort.io.pixels import Crop, crop_image
from compdistort.pipeline.raw_image import crop_of
from compdistort.pipeline.step_call import Call, refuse_code
from compdistort.pipeline.step_kinds import Attenuation, BackProjection, ByMedian, CropBox, StepKind, Stretch
from compdistort.pipeline.steps import Steps, place


def open_steps(config: StudyConfig, shape: tuple[int, ...], *, allow_code: bool = False) -> Steps:
    """Return the steps of a study, their files read and functions imported; nothing is fixed yet.

    Parameters
    ----------
    config : StudyConfig
        The study.
    shape : tuple of int
        Of the recorded image, cropped.
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    Steps

    Raises
    ------
    ConfigError, InputError
        If a file or a function cannot be used; the message names number and id of the step.
    """
    refuse_code(config, allow_code=allow_code)
    kinds = []
    for number, section in enumerate(config.step):
        with naming(place(number, section)):
            kinds.append(_open(section, shape, crop_of(config), parse_bytes(config.compute.max_memory)))
    return Steps(kinds=tuple(kinds))


def _open(section: StepSection, shape: tuple[int, ...], crop: Crop | None, max_bytes: int) -> StepKind[Any]:
    if isinstance(section, AttenuationStep):
        dark, flat = (_mean_frame(path, shape, crop) for path in (section.dark, section.flat))
        return Attenuation(section=section, dark=dark, flat=flat)
    if isinstance(section, BackProjectionStep):
        angles = None if section.angles is None else read_angles(section.angles)
        return BackProjection(section=section, angles_deg=angles, max_bytes=max_bytes)
    if isinstance(section, CropStep):
        return CropBox(section=section)
    if isinstance(section, ContrastStretchStep):
        return Stretch(section=section)
    if isinstance(section, CallStep):
        return Call.load(section)
    return ByMedian(section=section)


def _mean_frame(path: Path | None, shape: tuple[int, ...], crop: Crop | None) -> Float64 | None:
    """Return the mean of frames, of a whole detector cut as the recorded image is."""
    if path is None:
        return None
    frames = read_stack(path)
    if crop is not None and frames.shape[-2:] != shape[-2:]:
        frames = crop_image(path, frames, crop[-2:])
    mean: Float64 = frames.mean(0, dtype="f8")
    return mean


def read_angles(path: Path) -> tuple[float, ...]:
    """Return the angles of a file that has one number a line; empty lines are skipped.

    Raises
    ------
    InputError
        If it cannot be read, holds no angle, or a line is no number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})", "give one angle in degrees a line") from error
    angles = []
    for number, line in enumerate(lines, start=1):
        try:
            angles += [float(line)] if line.strip() else []
        except ValueError:
            raise InputError(f"{path}: line {number} is {line.strip()!r}", "give one angle in degrees a line") from None
    if not angles:
        raise InputError(f"{path}: holds no angles", "give one angle in degrees a line")
    return tuple(angles)
