"""Everything a study computes with, read and checked once."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compdistort.backend import choose, device_parts, get_backend
from compdistort.backend.base import Backend, SegmentRule, UInt16
from compdistort.backend.planes import PlaneReader
from compdistort.config import StudyConfig, parse_bytes
from compdistort.config_codec import codec_files, portable_settings
from compdistort.errors import CalibrationError, ConfigError, InputError
from compdistort.features import build_bank
from compdistort.forest import Classifier, Decision, decide
from compdistort.grey_levels import GreyLevels
from compdistort.io.files import sha256_file
from compdistort.io.names import short_name, split_dataset
from compdistort.io.planes import grey_levels
from compdistort.measurands import Voxel, measurands_of
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.further import further_of
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import RawImage, crop_of
from compdistort.pipeline.raw_volume import DiskVolume
from compdistort.pipeline.slab_memory import choose_slab
from compdistort.pipeline.steps import NO_STEPS, Steps, portable_steps, step_files
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorModel
from compdistort.sensor.sensor_file import load_sensor
from compdistort.sensor.single_image import estimate_noise

CONNECTIVITIES = {2: (4, 8), 3: (6, 18, 26)}
"""Connectivities by the number of axes."""

DEFAULT_CONNECTIVITY = {2: 8, 3: 6}

MAX_BITS = 16
"""Bit depth of a camera that is not said to have less."""


def read_sensor(config: StudyConfig, raw: UInt16 | PlaneReader, levels: GreyLevels | None = None) -> SensorModel:
    """Return the sensor of a study, cropped to the image and checked against it.

    Parameters
    ----------
    config : StudyConfig
        The study.
    raw : ndarray of shape ([planes,] rows, columns), uint16, or PlaneReader
        Raw image, DN.
    levels : GreyLevels, optional
        Its grey levels, where they are counted already.

    Returns
    -------
    SensorModel

    Raises
    ------
    CalibrationError
        If it cannot be right for this image.
    """
    section, levels = config.calibration, grey_levels(raw, levels)
    if section.sensor is not None:
        sensor = load_sensor(section.sensor)
        crop = crop_of(config)
        if crop is not None and sensor.frame_shape is not None:
            sensor = sensor.crop(*crop[-2:])
    elif section.estimate:
        sensor = estimate_noise(
            raw,
            offset_dn=section.offset_dn,
            read_noise_e=section.read_noise_e or 0.0,
            bits=section.bits,
            name=config.input.raw.name,
            levels=levels,
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
    sensor.check_image(raw, str(config.input.raw), levels)
    return sensor


def decision(config: StudyConfig, training: Mapping[str, Any]) -> Decision:
    """Return threshold and smallest size of a study; what it does not give is that of the training report."""
    return decide(training, config.segmenter.threshold, config.measure.min_size)


def segment_rule(
    config: StudyConfig, foreground: int, ndim: int, training: Mapping[str, Any] = MappingProxyType({})
) -> SegmentRule:
    """Return the rule from probability to objects; `foreground` is the index of the class (see also `decision`).

    Raises
    ------
    ConfigError
        If the connectivity does not belong to so many axes.
    """
    if config.measure.connectivity not in (None, *CONNECTIVITIES[ndim]):
        raise ConfigError(
            f"measure.connectivity = {config.measure.connectivity} does not exist in {ndim}D",
            f"use one of {', '.join(map(str, CONNECTIVITIES[ndim]))}",
        )
    decided = decision(config, training)
    return SegmentRule(
        foreground=foreground,
        threshold=decided.threshold,
        strict=config.segmenter.strict,
        smoothing_px=config.segmenter.smoothing_px,
        connectivity=config.measure.connectivity or DEFAULT_CONNECTIVITY[ndim],
        include_holes=config.measure.include_holes,
        min_size=decided.min_size,
        max_size=config.measure.max_size,
        exclude_border=config.measure.exclude_border,
    )


def match_radius(config: StudyConfig, voxel_um: Voxel | None) -> float:
    """Return the matching radius in the unit of the centres: micrometres where the size of a voxel is known."""
    return config.match.radius_px * (1.0 if voxel_um is None else voxel_um[2])


def build_chain(
    config: StudyConfig,
    image: RawImage,
    sensor: SensorModel,
    classifier: Classifier,
    backend: Backend[Any],
    steps: Steps = NO_STEPS,
    seen: Any = None,
) -> Chain:
    """Return the chain of a study from its parts; `seen` is what the prepared `steps` make of the raw image."""
    raw = image.pixels
    ndim, shape = (seen.ndim, seen.shape) if steps else (raw.ndim, raw.shape)
    voxel_um = steps.voxel_um(config, image.voxel_um)
    bank = build_bank(classifier.features, ndim, shape)
    rule = segment_rule(config, classifier.foreground, ndim, classifier.training)
    parts: dict[str, Any] = {
        "raw": raw,
        "sensor": sensor,
        "noise": noise_tables(sensor, config.noise.law, raw.shape),
        "key": derive_key(config.noise.seed, Stream.NOISE),
        "classifier": classifier,
        "bank": bank,
        "rule": rule,
        "measurands": measurands_of(ndim, voxel_um, further_of(config, classifier, rule)),
        "voxel_um": voxel_um,
        "steps": steps,
        "after_steps": seen if steps else None,
    }
    if not isinstance(raw, DiskVolume):
        return Chain.rebuild(parts, backend)
    from compdistort.pipeline.slab_chain import SlabChain  # noqa: PLC0415 - loads Numba, which no other study needs

    if config.segmenter.smoothing_px > 0:
        raise ConfigError(
            f"segmenter.smoothing_px = {config.segmenter.smoothing_px:g} needs the probability of a whole volume",
            "leave it out, or raise compute.max_memory so that the volume fits",
        )
    limit = parse_bytes(config.compute.max_memory)
    slab = config.compute.slab or choose_slab(raw, bank, classifier.forest, backend, limit)
    return SlabChain.rebuild({**parts, "slab": min(slab, raw.shape[0])}, backend)


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
        "mask": config.segmenter.mask,
        "held_out": config.segmenter.held_out,
        **step_files(config.step),
        **{
            f"codec {codec.name} {name}": path
            for codec in config.codec
            for name, path in codec_files(codec.settings()).items()
        },
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
        if not split_dataset(path)[0].exists():
            raise InputError(f"{path} ({role}): does not exist", "put the file back, or correct the path")
    return {
        role: {"name": short_name(path), "sha256": sha256_file(split_dataset(path)[0])} for role, path in files.items()
    }


def portable_config(config: StudyConfig) -> dict[str, Any]:
    """Return the config without paths of this machine and without what cannot change a result."""
    data = config.model_dump(mode="json", exclude={"compute", "output", "step"}, exclude_none=True)
    for section in ("input", "calibration", "segmenter"):
        for name, value in getattr(config, section):
            if isinstance(value, Path):
                data[section][name] = short_name(value)
    for holder in filter(None, (data, data.get("sweep"))):
        holder["codec"] = [portable_settings(codec) for codec in holder["codec"]]
    return data | ({"step": portable_steps(config.step)} if config.step else {})
