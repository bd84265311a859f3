"""An image file segmented and what is found written: in memory, or a volume slab by slab where that is too small."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Int32, SegmentRule
from compdistort.config import parse_bytes
from compdistort.errors import ConfigError, ImageFormatError
from compdistort.forest import Classifier, Decision
from compdistort.io.files import naming, require_output
from compdistort.io.images import TIFF_SUFFIXES, WRITABLE_SUFFIXES, read_image, write_image, write_tiff
from compdistort.io.volume_formats import HDF5_SUFFIXES
from compdistort.pipeline.inputs import DEFAULT_CONNECTIVITY
from compdistort.pipeline.raw_volume import DiskVolume
from compdistort.pipeline.segment_volume import (
    Found,
    check_volume_outputs,
    exceeds,
    opened_volume,
    segment_slabs,
    write_volume,
)
from compdistort.segment import segment

_MOST_16_BIT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """How an image is segmented; see `SegmentRule`.

    Attributes
    ----------
    threshold, min_size : float, int or None
        As in `SegmentRule`; None takes what was tuned in training, else 0.5 and 1.
    strict, smoothing_px, include_holes, max_size, exclude_border
        As in `SegmentRule`.
    connectivity : int or None
        None takes 8 in 2D and 6 in 3D.
    probability, labels : Path or None
        Where the foreground probability and the label image go.
    max_memory : str
        Memory that the process may take, such as ``"8GiB"``: a volume that needs more is segmented slab by slab.
    """

    threshold: float | None = None
    strict: bool = False
    smoothing_px: float = 0.0
    connectivity: int | None = None
    include_holes: bool = False
    min_size: int | None = None
    max_size: int = 0
    exclude_border: bool = False
    probability: Path | None = None
    labels: Path | None = None
    max_memory: str = "8GiB"

    def rule(self, classifier: Classifier, decided: Decision) -> SegmentRule:
        """Return the rule for a classifier, with its threshold and smallest size."""
        return SegmentRule(
            foreground=classifier.foreground,
            threshold=decided.threshold,
            strict=self.strict,
            smoothing_px=self.smoothing_px,
            connectivity=self.connectivity or DEFAULT_CONNECTIVITY[classifier.ndim],
            include_holes=self.include_holes,
            min_size=decided.min_size,
            max_size=self.max_size,
            exclude_border=self.exclude_border,
        )


def segment_image(
    path: Path, classifier: Classifier, rule: SegmentRule, engine: Backend[Any], out: Path, options: SegmentOptions
) -> Found:
    """Segment an image and write what is asked for: in memory, or a volume slab by slab where that is too small.

    Parameters
    ----------
    path : Path
        Image.
    classifier : Classifier
        Features and forest.
    rule : SegmentRule
        From probability to objects.
    engine : Backend
        Engine.
    out : Path
        Mask.
    options : SegmentOptions
        Further files, and the memory limit.

    Returns
    -------
    Found

    Raises
    ------
    ImageFormatError, ConfigError, ResourceError
        As `compdistort.pipeline.training.segment_file`.
    """
    limit = parse_bytes(options.max_memory)
    with opened_volume(path, classifier) as volume:
        if volume is not None:
            check_volume_outputs(out, options.labels)
            _check_grey_values(path, volume.dtype, classifier)
        if volume is None or not exceeds(volume, classifier, engine, limit):
            return _segment_whole(path, volume, classifier, rule, engine, out, options)
        if options.probability is not None:
            raise ConfigError(
                f"{path}: does not fit into {options.max_memory} of memory, and its probability is not written",
                "raise --max-memory, or leave out --probability",
            )
        return segment_slabs(path, volume, classifier, rule, engine, limit, out, options.labels)


def _segment_whole(
    path: Path,
    volume: DiskVolume | None,
    classifier: Classifier,
    rule: SegmentRule,
    engine: Backend[Any],
    out: Path,
    options: SegmentOptions,
) -> Found:
    if volume is not None and path.suffix.lower() in HDF5_SUFFIXES:
        image = volume.read_planes(0, volume.shape[0])  # no image alone is kept in such a file
    else:
        image = read_image(path, kind="any")
    _check_grey_values(path, image.dtype, classifier)
    with naming(path):
        parts = segment(image, classifier, rule, engine)
    objects = int(parts.labels.max(initial=0))
    if volume is None:
        write_image(out, parts.mask)
    else:
        write_volume(image.shape, parts.labels, objects, out, options.labels, volume.voxel_um)
    if options.probability is not None:
        write_tiff(options.probability, parts.probability.astype(np.float32))
    if options.labels is not None and volume is None:
        write_image(options.labels, _narrow(parts.labels))
    return Found(objects=objects, pixels=int(np.count_nonzero(parts.mask)))


def check_options(options: SegmentOptions) -> None:
    """Refuse options out of range.

    Raises
    ------
    ConfigError
        Naming the value.
    """
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise ConfigError(f"threshold is {options.threshold}", "use a probability, 0 to 1")
    if (options.min_size is not None and options.min_size < 1) or options.max_size < 0:
        raise ConfigError(
            f"sizes are {options.min_size} to {options.max_size}", "use 1 or more; a maximum of 0 is none"
        )
    parse_bytes(options.max_memory)
    if not 0 <= options.smoothing_px < 100:
        raise ConfigError(f"smoothing is {options.smoothing_px} px", "use a standard deviation of 0 to 100 pixels")


def check_outputs(outputs: tuple[Path | None, ...], inputs: tuple[Path, ...]) -> None:
    """Refuse names that could not be written, before anything is: the files belong together.

    Parameters
    ----------
    outputs : tuple of Path or None
        Mask, probability, labels.
    inputs : tuple of Path
        Files that must stay.

    Raises
    ------
    ConfigError
        A suffix that cannot be written, or one name twice.
    ResourceError
        A place that cannot be written to.
    """
    mask, probability, labels = outputs
    if probability is not None and probability.suffix.lower() not in TIFF_SUFFIXES:
        raise ConfigError(f"{probability}: a probability is written as TIFF", "end its name in .tif")
    for path in (mask, labels):
        if path is not None and path.suffix.lower() not in WRITABLE_SUFFIXES:
            raise ConfigError(f"{path}: images are not written as '{path.suffix}'", "name it .tif, .png or .zarr")
    given = [path for path in outputs if path is not None]
    if len({path.resolve() for path in given}) < len(given):
        raise ConfigError(f"{mask}: two outputs have this name", "give every output a name of its own")
    for path in given:
        require_output(path, inputs)


def _check_grey_values(path: Path, dtype: np.dtype[Any], classifier: Classifier) -> None:
    """Refuse pixels that a classifier cannot know: another type, or 8-bit values where it learned 16-bit ones."""
    trained = str(classifier.training.get("image_dtype", "unknown"))
    allowed = ("uint8", "uint16", "float32") if trained in ("uint8", "unknown") else ("uint16", "float32")
    if dtype.name not in allowed:
        raise ImageFormatError(
            f"{path}: holds {dtype} pixels, the classifier was trained on {trained} ones",
            "bring it to the scale of the training images first (uint16 or float32)",
        )


def _narrow(labels: Int32) -> NDArray[Any]:
    """Return labels as uint16 where they fit, which every program reads."""
    return labels.astype(np.uint16) if int(labels.max(initial=0)) <= _MOST_16_BIT else labels
