"""From files to a trained classifier, and from a classifier and an image to a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend import Device, get_backend
from compdistort.backend.base import Int32, SegmentRule
from compdistort.errors import ConfigError, ImageFormatError
from compdistort.features import FeatureSpec, parse_spec
from compdistort.forest import Classifier, default_spec, load_classifier, save_classifier, train_classifier
from compdistort.io.annotations import read_annotations
from compdistort.io.files import naming, require_output
from compdistort.io.images import TIFF_SUFFIXES, WRITABLE_SUFFIXES, read_image, write_image, write_tiff
from compdistort.pipeline.half_grid_effect import worst_differences
from compdistort.segment import segment

DEFAULT_CONNECTIVITY = {2: 8, 3: 6}
_MOST_16_BIT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How a classifier is trained.

    Attributes
    ----------
    preset : str
        Forest preset.
    set_name : str or None
        Feature set; None takes that of the preset.
    sigmas : tuple of float
        Scales; () takes the set's own.
    pairs : tuple of str
        Columns such as ``HE1:3.5``, instead of the set's own; () for none.
    foreground : int or None
        Annotation value of the objects; None takes the highest.
    seed : int
        Seed of the forest, 0 to 2^32 - 1.
    balanced : bool
        Every class weighs the same, however many pixels were drawn of it.
    bins : str
        ``none``, ``uint16`` or ``uint8``: features rounded to codes before training.
    """

    preset: str = "weka"
    set_name: str | None = None
    sigmas: tuple[float, ...] = ()
    pairs: tuple[str, ...] = ()
    foreground: int | None = None
    seed: int = 0
    balanced: bool = True
    bins: str = "none"

    def spec(self) -> FeatureSpec:
        """Return the features."""
        return parse_spec(self.set_name or default_spec(self.preset).set, self.sigmas, self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """How an image is segmented; see `SegmentRule`.

    Attributes
    ----------
    threshold, strict, smoothing_px, include_holes, min_size, max_size, exclude_border
        As in `SegmentRule`.
    connectivity : int or None
        None takes 8 in 2D and 6 in 3D.
    probability, labels : Path or None
        Where the foreground probability and the label image go.
    """

    threshold: float = 0.5
    strict: bool = False
    smoothing_px: float = 0.0
    connectivity: int | None = None
    include_holes: bool = False
    min_size: int = 1
    max_size: int = 0
    exclude_border: bool = False
    probability: Path | None = None
    labels: Path | None = None

    def rule(self, foreground: int, ndim: int) -> SegmentRule:
        """Return the rule for a class index and a number of axes."""
        return SegmentRule(
            foreground=foreground,
            threshold=self.threshold,
            strict=self.strict,
            smoothing_px=self.smoothing_px,
            connectivity=self.connectivity or DEFAULT_CONNECTIVITY[ndim],
            include_holes=self.include_holes,
            min_size=self.min_size,
            max_size=self.max_size,
            exclude_border=self.exclude_border,
        )


def train_files(
    raws: Sequence[Path],
    labels: Sequence[Path],
    out: Path,
    options: TrainOptions,
    *,
    held_out: Sequence[Path] = (),
    device: Device = "auto",
    forest: str = "device",
) -> dict[str, Any]:
    """Train a classifier on annotated raw images and write it.

    Parameters
    ----------
    raws, labels : sequence of Path
        Raw images (16 bit) and their annotations, one each, in the same order.
    out : Path
        Model file.
    options : TrainOptions
        How.
    held_out : sequence of Path
        Annotations for judging only, one for each image; empty keeps back a part of `labels` for that.
    device : str or DeviceRequest
        Engine of the features; see `get_backend`.
    forest : str
        Where the forest votes on held-out pixels; see `get_backend`.

    Returns
    -------
    dict
        JSON-ready: ``model``, ``images``, ``labels``, the training report, and of the set `fast` how far its features
        are from those of `plain`.

    Raises
    ------
    ConfigError
        If numbers of files differ, or an option does not exist.
    ImageFormatError, AnnotationError
        If a file cannot be used.
    ResourceError
        If the model cannot be written.
    """
    _check_numbers(raws, labels, "label files")
    if held_out:
        _check_numbers(raws, held_out, "held-out files")
    require_output(out, [*raws, *labels, *held_out])
    spec = options.spec()
    engine = get_backend(device, forest)
    images = [read_image(path, kind="raw") for path in raws]
    drawn = [read_annotations(path, image.shape) for path, image in zip(labels, images, strict=True)]
    judged = [read_annotations(path, image.shape) for path, image in zip(held_out, images, strict=bool(held_out))]
    with naming(", ".join(map(str, labels))):
        classifier, report = train_classifier(
            images,
            drawn,
            spec,
            options.preset,
            options.seed,
            engine,
            foreground=options.foreground,
            held_out=judged or None,
            balanced=options.balanced,
            bins=options.bins,
        )
    save_classifier(out, classifier)
    approximated = worst_differences(images, spec, engine)
    return {
        "model": str(out),
        "images": [str(path) for path in raws],
        "labels": [str(path) for path in labels],
        "foreground_value": classifier.foreground_value,
        **report.to_dict(),
        **({"rms_difference_from_plain": approximated} if approximated else {}),
    }


def _check_numbers(raws: Sequence[Path], files: Sequence[Path], what: str) -> None:
    if len(files) != len(raws):
        raise ConfigError(f"{len(files)} {what} for {len(raws)} images", "give one for each image, in order")


def segment_file(
    path: Path, model: Path, out: Path, options: SegmentOptions, device: Device = "auto", forest: str = "device"
) -> dict[str, Any]:
    """Segment an image file and write the mask.

    Parameters
    ----------
    path : Path
        Image of shape ([planes,] rows, columns): uint16, or float32 on the same scale.
    model : Path
        Model file.
    out : Path
        Mask, 8 bit, 0 and 255: the pixels of all objects that pass the rules.
    options : SegmentOptions
        Rules, and further files to write.
    device : str or DeviceRequest
        Engine; see `get_backend`.
    forest : str
        Where the forest votes; see `get_backend`.

    Returns
    -------
    dict
        JSON-ready: ``image``, ``model``, ``mask``, ``probability``, ``labels``, ``objects``, ``total_area_px``.

    Raises
    ------
    ModelFileError, ImageFormatError
        If a file cannot be used.
    ConfigError
        If classifier, image and options do not fit together.
    ResourceError
        If a file cannot be written.
    """
    _check_options(options)
    _check_outputs((out, options.probability, options.labels), (path, model))
    engine = get_backend(device, forest)
    classifier = load_classifier(model)
    image = read_image(path, kind="any")
    _check_grey_values(path, image, classifier)
    with naming(path):
        parts = segment(image, classifier, options.rule(classifier.foreground, image.ndim), engine)
    write_image(out, parts.mask)
    if options.probability is not None:
        write_tiff(options.probability, parts.probability.astype(np.float32))
    if options.labels is not None:
        write_image(options.labels, _narrow(parts.labels))
    return {
        "image": str(path),
        "model": str(model),
        "mask": str(out),
        "probability": None if options.probability is None else str(options.probability),
        "labels": None if options.labels is None else str(options.labels),
        "objects": int(parts.labels.max(initial=0)),
        "total_area_px": int(np.count_nonzero(parts.mask)),
    }


def _check_options(options: SegmentOptions) -> None:
    if not 0 <= options.threshold <= 1:
        raise ConfigError(f"threshold is {options.threshold}", "use a probability, 0 to 1")
    if options.min_size < 1 or options.max_size < 0:
        raise ConfigError(
            f"sizes are {options.min_size} to {options.max_size}", "use 1 or more; a maximum of 0 is none"
        )
    if not 0 <= options.smoothing_px < 100:
        raise ConfigError(f"smoothing is {options.smoothing_px} px", "use a standard deviation of 0 to 100 pixels")


def _check_outputs(outputs: tuple[Path | None, ...], inputs: tuple[Path, ...]) -> None:
    """Refuse names that could not be written, before anything is: the files belong together."""
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


def _check_grey_values(path: Path, image: NDArray[Any], classifier: Classifier) -> None:
    """Refuse pixels that a classifier cannot know: another type, or 8-bit values where it learned 16-bit ones."""
    trained = str(classifier.training.get("image_dtype", "unknown"))
    allowed = ("uint8", "uint16", "float32") if trained in ("uint8", "unknown") else ("uint16", "float32")
    if image.dtype.name not in allowed:
        raise ImageFormatError(
            f"{path}: holds {image.dtype} pixels, the classifier was trained on {trained} ones",
            "bring it to the scale of the training images first (uint16 or float32)",
        )


def _narrow(labels: Int32) -> NDArray[Any]:
    """Return labels as uint16 where they fit, which every program reads."""
    return labels.astype(np.uint16) if int(labels.max(initial=0)) <= _MOST_16_BIT else labels
