"""The image of a benchmark with all that belongs to it: annotations, held-out annotations, sensor, rule."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort import synthetic
from compdistort.backend.base import NoiseTables, UInt8, UInt16
from compdistort.errors import InputError
from compdistort.forest.classifier import foreground_index
from compdistort.forest.report import Classes
from compdistort.forest.rows import check_classes
from compdistort.forest.train import untrained
from compdistort.io.annotations import read_annotations
from compdistort.io.files import naming, sha256_file
from compdistort.io.images import read_image
from compdistort.pipeline.bench.options import ESTIMATE, BenchOptions
from compdistort.replicate import noise_notices, noise_tables
from compdistort.sensor.model import SensorModel
from compdistort.sensor.sensor_file import load_sensor
from compdistort.sensor.single_image import estimate_noise

SIMULATED_MIN_SIZE = 20
"""Smallest object of a simulated scene, as in the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What every pipeline of a benchmark sees.

    Attributes
    ----------
    raw : ndarray of shape (rows, columns), uint16
        Raw image, DN.
    labels : ndarray of shape (rows, columns), uint8
        Annotations, 0 none.
    held_out : ndarray of shape (rows, columns), uint8, or None
        Annotations for judging only, without pixels that are trained on; None keeps back squares of `labels`.
    classes : Classes
        What is annotated.
    sensor : SensorModel
        Its noise.
    noise : NoiseTables
        The same as tables.
    min_size : int
        Smallest object, pixels.
    truth : ndarray of shape (rows, columns), bool, or None
        Pixels of the true objects, in a simulated scene.
    facts : dict
        Where it comes from, JSON-ready.
    """

    raw: UInt16
    labels: UInt8
    held_out: UInt8 | None
    classes: Classes
    sensor: SensorModel
    noise: NoiseTables
    min_size: int
    facts: dict[str, Any]
    truth: NDArray[np.bool_] | None = None


def open_field(options: BenchOptions) -> Field:
    """Read the image that the options name, or simulate a scene.

    Raises
    ------
    ImageFormatError, AnnotationError, CalibrationError, InputError
        If a file cannot be used, or the image is no single plane.
    """
    return _simulated(options) if options.image is None else _read(options)


def _simulated(options: BenchOptions) -> Field:
    camera = synthetic.SimulatedCamera()
    made = synthetic.scene(*options.simulated, options.seed)
    marked = synthetic.annotations(made, options.seed)
    facts = {
        "source": f"simulated scene '{made.kind}', seed {options.seed}",
        "annotations": "generated from the known truth",
        "true_objects": made.n_objects,
        "sensor": "the simulated camera's own",
        "inputs": {},
    }
    raw = synthetic.expose(made, camera, options.seed)
    field = _field(options, raw, marked.train, marked.held_out, camera.sensor(), facts)
    return replace(field, truth=made.truth_mask)


def _read(options: BenchOptions) -> Field:
    assert options.image is not None
    assert options.labels is not None
    raw: UInt16 = read_image(options.image, kind="raw", page=options.page)
    if raw.ndim != 2:
        raise InputError(
            f"{options.image}: is a stack of shape {raw.shape}, and a study measures single planes",
            "choose one plane with --page N",
        )
    labels = read_annotations(options.labels, raw.shape)
    held_out = None if options.held_out is None else read_annotations(options.held_out, raw.shape)
    assert options.sensor is not None
    estimated = options.sensor == ESTIMATE
    sensor = estimate_noise(raw, name=options.image.name) if estimated else load_sensor(options.sensor)
    facts = {
        "source": options.image.name,
        "annotations": options.labels.name,
        "sensor": f"{ESTIMATE}d from the image itself" if estimated else Path(options.sensor).name,
        "inputs": _hashes(options),
    }
    return _field(options, raw, labels, held_out, sensor, facts)


def _hashes(options: BenchOptions) -> dict[str, dict[str, str]]:
    """Return name and sha256 of every file that is read, as a study keeps them."""
    sensor = None if options.sensor == ESTIMATE else Path(str(options.sensor))
    files = {"image": options.image, "labels": options.labels, "held_out": options.held_out, "sensor": sensor}
    return {role: {"name": path.name, "sha256": sha256_file(path)} for role, path in files.items() if path is not None}


def _field(
    options: BenchOptions,
    raw: UInt16,
    labels: UInt8,
    held_out: UInt8 | None,
    sensor: SensorModel,
    facts: dict[str, Any],
) -> Field:
    with naming(options.labels or str(facts["source"])):
        values = check_classes(labels[labels > 0])
        classes = Classes(
            values=values,
            names=tuple(f"class {value}" for value in values),
            foreground=foreground_index(values, options.foreground),
        )
    with naming(options.held_out or str(facts["source"])):
        judged = None if held_out is None else _judged(held_out, labels, classes)
    estimated = options.sensor in (None, ESTIMATE)
    with naming(str(options.image or facts["source"]) if estimated else str(options.sensor)):
        noise = noise_tables(sensor, "poisson-gaussian", raw.shape)
    notices = [
        *sensor.source.get("warnings", ()),
        *sensor.check_image(raw, str(facts["source"])),
        *noise_notices(raw, sensor, noise),
    ]
    return Field(
        raw=raw,
        labels=labels,
        held_out=judged,
        classes=classes,
        sensor=sensor,
        noise=noise,
        min_size=options.min_size or (SIMULATED_MIN_SIZE if options.image is None else 1),
        facts={**facts, "shape": list(raw.shape), "sensor_estimated": sensor.estimated, "warnings": notices},
    )


def _judged(held_out: UInt8, labels: UInt8, classes: Classes) -> UInt8:
    """Return held-out annotations that were not trained on; a Dice score needs some on both sides."""
    (free,) = untrained([held_out], [labels], classes.values)
    objects = free == classes.values[classes.foreground]
    for what, marked in (("the foreground", objects), ("the background", (free > 0) & ~objects)):
        if not marked.any():
            raise InputError(
                f"held-out annotations: no pixel of {what} beyond those that are trained on", "annotate others of it"
            )
    return free
