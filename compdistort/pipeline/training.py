"""From files to a trained classifier, and from a classifier and an image to a mask."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend import Device, get_backend
from compdistort.backend.base import Backend, Int32, SegmentRule
from compdistort.errors import ConfigError, ImageFormatError
from compdistort.features import FeatureSpec
from compdistort.forest import Classifier, Decision, decide, load_classifier, save_classifier, train_classifier
from compdistort.forest.from_masks import CLASS_NAMES
from compdistort.io.files import naming, require_output
from compdistort.io.images import TIFF_SUFFIXES, WRITABLE_SUFFIXES, read_image, write_image, write_tiff
from compdistort.pipeline.half_grid_effect import worst_differences
from compdistort.pipeline.inputs import DEFAULT_CONNECTIVITY
from compdistort.pipeline.training_inputs import TrainingFiles, TrainingInputs, TrainOptions, read_training
from compdistort.pipeline.tuning import tune
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


def train_files(
    raws: Sequence[Path],
    labels: Sequence[Path],
    out: Path,
    options: TrainOptions,
    *,
    masks: Sequence[Path] = (),
    held_out: Sequence[Path] = (),
    device: Device = "auto",
    forest: str = "device",
) -> dict[str, Any]:
    """Train a classifier on annotated raw images and write it.

    Parameters
    ----------
    raws, labels, masks, held_out : sequence of Path
        See `TrainingFiles`; without `held_out` a part of the annotations is kept back for judging.
    out : Path
        Model file.
    options : TrainOptions
        How.
    device : str or DeviceRequest
        Engine of the features; see `get_backend`.
    forest : str
        Where the forest votes on held-out pixels; see `get_backend`.

    Returns
    -------
    dict
        JSON-ready: ``model``, ``images``, ``labels``, ``masks``, the training report, and of the set `fast` how far its
        features are from those of `plain`.

    Raises
    ------
    ConfigError
        If numbers of files differ, an option does not exist, or there is nothing to tune with.
    ImageFormatError, AnnotationError
        If a file cannot be used.
    ResourceError
        If the model cannot be written.
    """
    files = TrainingFiles(raws=raws, labels=labels, masks=masks, held_out=held_out)
    _check_drawing(options, drawn=bool(masks))
    require_output(out, files.all)
    spec = options.spec()
    engine = get_backend(device, forest)
    inputs = read_training(files, options)
    with naming(files.taught):
        classifier = _train(inputs, spec, options, engine)
    save_classifier(out, classifier)
    approximated = worst_differences(inputs.images, spec, engine)
    return {
        "model": str(out),
        "images": [str(path) for path in raws],
        "labels": [str(path) for path in labels],
        "masks": [str(path) for path in masks],
        "foreground_value": classifier.foreground_value,
        **classifier.training,
        **({"rms_difference_from_plain": approximated} if approximated else {}),
    }


def _check_drawing(options: TrainOptions, *, drawn: bool) -> None:
    """Refuse what only masks can do without them, and what would do nothing."""
    default = TrainOptions()
    if options.tune and not drawn:
        raise ConfigError("tuning needs every object of the images", "give --masks instead of --labels")
    if not drawn and (options.samples, options.prior) != (default.samples, default.prior):
        raise ConfigError("samples and prior say how pixels of masks are drawn", "give --masks, or leave them out")
    if not options.tune and options.radius_px != default.radius_px:
        raise ConfigError("the radius of centres belongs to tuning", "give --tune, or leave out --radius")
    if drawn and options.foreground is not None:
        raise ConfigError("the objects of masks have no annotation value to choose", "leave out --foreground")


def _train(inputs: TrainingInputs, spec: FeatureSpec, options: TrainOptions, engine: Backend[Any]) -> Classifier:
    recipe = options.recipe(drawn=bool(inputs.masks))
    classifier, _ = train_classifier(
        inputs.images,
        inputs.annotations,
        spec,
        options.preset,
        options.seed,
        engine,
        foreground=options.foreground,
        held_out=inputs.held_out or None,
        class_names=CLASS_NAMES if inputs.masks else None,
        balanced=recipe.balanced,
        bins=options.bins,
    )
    if not inputs.masks:
        return classifier
    more: dict[str, Any] = {"drawn": {"samples": options.samples, "prior": options.prior}}
    if options.tune:
        taught = (inputs.images, inputs.masks, inputs.annotations)
        more["tuning"] = tune(*taught, spec, recipe, engine, bins=options.bins, radius=options.radius_px).to_dict()
    return replace(classifier, training={**classifier.training, **more})


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
        JSON-ready: ``image``, ``model``, ``mask``, ``probability``, ``labels``, ``threshold``, ``min_size``, ``tuned``
        (what of the two was tuned in training, in words), ``objects``, ``total_area_px``.

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
    decided = decide(classifier.training, options.threshold, options.min_size)
    with naming(path):
        parts = segment(image, classifier, options.rule(classifier, decided), engine)
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
        "threshold": decided.threshold,
        "min_size": decided.min_size,
        "tuned": decided.note,
        "objects": int(parts.labels.max(initial=0)),
        "total_area_px": int(np.count_nonzero(parts.mask)),
    }


def _check_options(options: SegmentOptions) -> None:
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        raise ConfigError(f"threshold is {options.threshold}", "use a probability, 0 to 1")
    if (options.min_size is not None and options.min_size < 1) or options.max_size < 0:
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
