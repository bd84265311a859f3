"""Everything a study computes with, read and checked once."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from compdistort.backend import choose, device_parts, get_backend
from compdistort.backend.base import Backend, FilterBank, Int32, NoiseTables, SegmentRule, UInt16
from compdistort.config import StudyConfig, parse_bytes
from compdistort.errors import CalibrationError, InputError
from compdistort.features import build_bank
from compdistort.forest import Classifier
from compdistort.io.files import sha256_file
from compdistort.io.images import read_image
from compdistort.pipeline.progress import Progress
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorModel
from compdistort.sensor.sensor_file import load_sensor
from compdistort.sensor.single_image import estimate_noise

MAX_BITS = 16
"""Bit depth of a camera that is not said to have less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The chain that every image of the study goes through, and where its noise comes from.

    Attributes
    ----------
    raw : ndarray of shape (rows, columns), uint16
        Raw image, DN.
    sensor : SensorModel
        Cropped to the image.
    noise : NoiseTables
        Its law as tables.
    key : (int, int)
        Philox key of the noise stream.
    classifier : Classifier
        Trained or loaded.
    bank : FilterBank
        Its features.
    rule : SegmentRule
        From probability to objects.
    backend : Backend
        The engine.
    on_device : array of shape (rows, columns), uint16
        The raw image in the engine's library: uploaded once, however many replicates are drawn of it.
    """

    raw: UInt16
    sensor: SensorModel
    noise: NoiseTables
    key: tuple[int, int]
    classifier: Classifier
    bank: FilterBank
    rule: SegmentRule
    backend: Backend[Any]
    on_device: Any

    def host_parts(self) -> dict[str, Any]:
        """Return what another process needs to build the same chain on an engine of its own (see `rebuild`)."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _OF_ENGINE}

    @classmethod
    def rebuild(cls, parts: dict[str, Any], backend: Backend[Any]) -> "Chain":
        """Return the chain of `host_parts` on an engine."""
        return cls(**parts, backend=backend, on_device=backend.to_device(parts["raw"]))


_OF_ENGINE = ("backend", "on_device")


def read_raw(config: StudyConfig) -> UInt16:
    """Return the raw image of a study, cropped.

    Raises
    ------
    ImageFormatError
        If the file is no 16-bit grey image.
    InputError
        If it is no single plane.
    """
    section = config.input
    limit = parse_bytes(config.compute.max_memory)
    raw: UInt16 = read_image(section.raw, kind="raw", crop=crop_of(config), page=section.page, max_bytes=limit)
    if raw.ndim != 2:
        raise InputError(f"{section.raw}: has {raw.ndim} axes {raw.shape}", "choose one plane with input.page = N")
    return raw


def crop_of(config: StudyConfig) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the crop of a study as (rows, columns), None where there is none."""
    if config.input.crop is None:
        return None
    (y0, y1), (x0, x1) = (tuple(int(n) for n in part.split(":")) for part in config.input.crop.split(","))
    return (y0, y1), (x0, x1)


def read_truth(config: StudyConfig, shape: tuple[int, ...]) -> Int32 | None:
    """Return the true objects of the field as labels, where the study names them.

    Raises
    ------
    InputError
        If they do not have the shape of the image.
    """
    if config.input.truth is None:
        return None
    labels = read_image(config.input.truth, kind="labels", crop=crop_of(config)).astype(np.int32)
    if labels.shape != shape:
        raise InputError(
            f"{config.input.truth}: shape {labels.shape} is not that of the raw image, {shape}",
            "give the true objects of the same field",
        )
    return labels


def read_sensor(config: StudyConfig, raw: UInt16) -> SensorModel:
    """Return the sensor of a study, cropped to the image and checked against it.

    Raises
    ------
    CalibrationError
        If it cannot be right for this image.
    """
    section = config.calibration
    if section.sensor is not None:
        sensor = load_sensor(section.sensor)
        crop = crop_of(config)
        if crop is not None and sensor.frame_shape is not None:
            sensor = sensor.crop(*crop)
    elif section.estimate:
        sensor = estimate_noise(
            raw,
            offset_dn=section.offset_dn,
            read_noise_e=section.read_noise_e or 0.0,
            bits=section.bits,
            name=config.input.raw.name,
        )
    else:
        if section.offset_dn is None or section.gain_e_per_dn is None or section.read_noise_e is None:
            raise CalibrationError("[calibration] has no sensor", "give offset_dn, gain_e_per_dn and read_noise_e")
        sensor = SensorModel.scalar(
            offset_dn=section.offset_dn,
            gain_e_per_dn=section.gain_e_per_dn,
            read_noise_e=section.read_noise_e,
            saturation_dn=section.saturation_dn,
            bits=section.bits or MAX_BITS,
        )
    sensor.check_image(raw, str(config.input.raw))
    return sensor


def segment_rule(config: StudyConfig, foreground: int) -> SegmentRule:
    """Return the rule from probability to objects; `foreground` is the index of the class."""
    return SegmentRule(
        foreground=foreground,
        threshold=config.segmenter.threshold,
        strict=config.segmenter.strict,
        smoothing_px=config.segmenter.smoothing_px,
        connectivity=config.measure.connectivity,
        include_holes=config.measure.include_holes,
        min_size=config.measure.min_size,
        max_size=config.measure.max_size,
        exclude_border=config.measure.exclude_border,
    )


def build_chain(
    config: StudyConfig, raw: UInt16, sensor: SensorModel, classifier: Classifier, backend: Backend[Any]
) -> Chain:
    """Return the chain of a study from its parts."""
    return Chain(
        raw=raw,
        sensor=sensor,
        noise=noise_tables(sensor, config.noise.law, raw.shape),
        key=derive_key(config.noise.seed, Stream.NOISE),
        classifier=classifier,
        bank=build_bank(classifier.features, raw.ndim, raw.shape),
        rule=segment_rule(config, classifier.foreground),
        backend=backend,
        on_device=backend.to_device(raw),
    )


def backend_of(config: StudyConfig, progress: Progress) -> Backend[Any]:
    """Say which engine computes a study, and why; return it (of several devices the first)."""
    choice = choose(config.compute.request)
    progress.say(f"engine: {choice.name} ({choice.reason})")
    compute = config.compute
    return get_backend(device_parts(compute.device)[0], compute.forest, compute.threads or None)


def input_files(config: StudyConfig) -> dict[str, Path]:
    """Return every file that a study reads, by its role."""
    named = {
        "raw": config.input.raw,
        "truth": config.input.truth,
        "sensor": config.calibration.sensor,
        "model": config.segmenter.model,
        "labels": config.segmenter.labels,
        "held_out": config.segmenter.held_out,
    }
    return {role: path for role, path in named.items() if path is not None}


def input_hashes(config: StudyConfig) -> dict[str, dict[str, str]]:
    """Return name and sha256 of every file that a study reads (folders: of their files, in order).

    Raises
    ------
    InputError
        If one is gone.
    """
    files = input_files(config)
    for role, path in files.items():
        if not path.exists():
            raise InputError(f"{path} ({role}): does not exist", "put the file back, or correct the path")
    return {role: {"name": path.name, "sha256": sha256_file(path)} for role, path in files.items()}


def portable_config(config: StudyConfig) -> dict[str, Any]:
    """Return the config without paths of this machine and without what cannot change a result."""
    data = config.model_dump(mode="json", exclude={"compute", "output"}, exclude_none=True)
    for section in ("input", "calibration", "segmenter"):
        for name, value in getattr(config, section):
            if isinstance(value, Path):
                data[section][name] = value.name
    return data
