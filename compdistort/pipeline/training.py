"""From files to a trained classifier, and from a classifier and an image to a mask."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from compdistort.backend import Device, get_backend
from compdistort.backend.base import Backend
from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec
from compdistort.forest import Classifier, decide, load_classifier, save_classifier, train_classifier
from compdistort.forest.from_masks import CLASS_NAMES
from compdistort.io.files import naming, require_output
from compdistort.pipeline.half_grid_effect import worst_differences
from compdistort.pipeline.segmentation import SegmentOptions, check_options, check_outputs, segment_image
from compdistort.pipeline.training_inputs import TrainingFiles, TrainingInputs, TrainOptions, read_training
from compdistort.pipeline.tuning import tune


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
    """Segment an image file and write the mask; a volume that memory does not hold, slab by slab, with equal files.

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
        If classifier, image and options do not fit together, or the probability of a volume that memory does not hold
        is to be smoothed or written.
    ResourceError
        If a file cannot be written, or memory holds not even slabs of one plane.
    """
    check_options(options)
    check_outputs((out, options.probability, options.labels), (path, model))
    engine = get_backend(device, forest)
    classifier = load_classifier(model)
    decided = decide(classifier.training, options.threshold, options.min_size)
    found = segment_image(path, classifier, options.rule(classifier, decided), engine, out, options)
    return {
        "image": str(path),
        "model": str(model),
        "mask": str(out),
        "probability": None if options.probability is None else str(options.probability),
        "labels": None if options.labels is None else str(options.labels),
        "threshold": decided.threshold,
        "min_size": decided.min_size,
        "tuned": decided.note,
        "objects": found.objects,
        "total_area_px": found.pixels,
    }
