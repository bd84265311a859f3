"""The classifier of a study: loaded, or trained from annotations, with what a reader must know about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compdistort.backend.base import Backend, PlaneReader, UInt8, UInt16
from compdistort.config import SegmenterSection, StudyConfig, parse_bytes
from compdistort.errors import AnnotationError, ConfigError, ModelFileError
from compdistort.features import parse_spec
from compdistort.forest import Classifier, default_spec, describe_bins, load_classifier, train_classifier
from compdistort.forest.from_mask_planes import strokes_from_mask
from compdistort.forest.from_masks import CLASS_NAMES, annotations_from_mask
from compdistort.io.annotations import read_annotations, read_strokes
from compdistort.io.files import naming
from compdistort.io.images import read_image
from compdistort.io.pixels import Crop
from compdistort.io.strokes import Strokes
from compdistort.io.volume import open_volume
from compdistort.pipeline.annotation import annotate_by_threshold
from compdistort.pipeline.inputs import decision, segment_rule
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import crop_of
from compdistort.pipeline.tuning import GRID_PARTS

THRESHOLD_SOURCE = "annotations from a threshold: no ground truth"
MEMORY_SHARE = 4
"""Training on a volume on disk takes this part of `compute.max_memory` at a time, beside the rows of annotated voxels:
what is read, what becomes features of it, and a forest come together."""
UNMEASURED = "the classifier works on bins (rounded features); what they change was not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedClassifier:
    """A classifier and what the report says of it.

    Attributes
    ----------
    classifier : Classifier
        Ready for use.
    report : dict
        Feature set, preset, trees, out-of-bag error, held-out accuracy and Dice, source of the annotations.
    warnings : tuple of str
        What a reader must know.
    """

    classifier: Classifier
    report: dict[str, Any]
    warnings: tuple[str, ...] = ()


def obtain_classifier(
    config: StudyConfig, raw: UInt16 | PlaneReader, backend: Backend[Any], progress: Progress
) -> TrainedClassifier:
    """Return the classifier that a study asks for.

    Parameters
    ----------
    config : StudyConfig
        The study.
    raw : ndarray of shape ([planes,] rows, columns), uint16; or PlaneReader
        Raw image, DN. A volume on disk is read a few planes at a time, and so are its annotations.
    backend : Backend
        Computes the features.
    progress : Progress
        Listener.

    Returns
    -------
    TrainedClassifier

    Raises
    ------
    AnnotationError, ModelFileError, ImageFormatError
        Annotations or a model that cannot be used.
    ConfigError
        A threshold for a volume on disk.
    """
    section, ndim = config.segmenter, len(raw.shape)
    if section.model is not None:
        return _loaded(config, section.model, ndim, progress)
    labels, held_out, source = _annotations(config, raw)
    progress.say(f"training the classifier: preset {section.preset}, {source}")
    spec = parse_spec(section.set or default_spec(section.preset).set, section.sigma, section.pairs, section.planar)
    with naming(section.labels or section.mask or config.input.raw):
        classifier, report = train_classifier(
            raw,
            labels,
            spec,
            preset=section.preset,
            seed=section.seed,
            backend=backend,
            held_out=held_out,
            foreground=section.foreground,
            class_names=None if section.mask is None else CLASS_NAMES,
            balanced=section.weighs_classes,
            bins=section.bins,
            rule=segment_rule(config, 0, ndim),
            most_bytes=parse_bytes(config.compute.max_memory) // MEMORY_SHARE,
        )
    note = bins_note(classifier)
    for text in note:
        progress.say(text)
    return TrainedClassifier(
        classifier=classifier,
        report={**report.to_dict(), "label_source": source},
        warnings=(*report.warnings, *([source] if source == THRESHOLD_SOURCE else []), *note),
    )


def bins_note(classifier: Classifier) -> tuple[str, ...]:
    """Return what a reader must know of a classifier on bins; nothing of one on float32 features.

    Parameters
    ----------
    classifier : Classifier
        Trained here, loaded or imported.

    Returns
    -------
    tuple of str
    """
    if classifier.forest.bins is None:
        return ()
    found = classifier.training.get("bins")
    if found is None:
        return (UNMEASURED,)
    return (f"the classifier {'; '.join(describe_bins(found))}",)


def _loaded(config: StudyConfig, path: Path, ndim: int, progress: Progress) -> TrainedClassifier:
    classifier = load_classifier(path)
    if classifier.ndim != ndim:
        raise ModelFileError(
            f"{path}: was trained on images with {classifier.ndim} axes, the raw image has {ndim}", "train one for it"
        )
    source = f"model file {path.name}"
    tuned = decision(config, classifier.training).note
    note = (*bins_note(classifier), *([tuned] if tuned else []))
    for text in note:
        progress.say(text)
    report = {"label_source": source, "features": classifier.features.to_dict(), **classifier.training}
    if "tuning" in report:
        report["tuning"] = {name: value for name, value in report["tuning"].items() if name not in GRID_PARTS}
    return TrainedClassifier(classifier=classifier, report=report, warnings=note)


def _annotations(config: StudyConfig, raw: UInt16 | PlaneReader) -> tuple[UInt8 | Strokes, UInt8 | Strokes | None, str]:
    """Return training annotations, held-out annotations where given, and where they come from."""
    section = config.segmenter
    if section.threshold_annotation is not None:
        if not isinstance(raw, np.ndarray):
            raise ConfigError(
                "segmenter.threshold_annotation looks at the whole volume, but this study reads it slab by slab",
                "train on a part of the volume with `compdistort train`, and give model = FILE instead",
            )
        return annotate_by_threshold(raw, section.threshold_annotation, section.seed), None, THRESHOLD_SOURCE
    crop = crop_of(config)
    held_out = None if section.held_out is None else _drawn_by_hand(section.held_out, raw, crop)
    if section.mask is not None:
        source = f"{section.label_source}, {section.samples} pixels drawn of a mask by {section.prior} prior"
        return _drawn_of_mask(section, section.mask, raw, crop), held_out, source
    if section.labels is None:
        raise AnnotationError("[segmenter] names neither model nor annotations", "set labels = FILE")
    return _drawn_by_hand(section.labels, raw, crop), held_out, section.label_source


def _drawn_by_hand(path: Path, raw: UInt16 | PlaneReader, crop: Crop | None) -> UInt8 | Strokes:
    """Return the annotations of a file; of a volume on disk they are read a few planes at a time too."""
    if isinstance(raw, np.ndarray):
        return read_annotations(path, raw.shape, crop=crop)
    return read_strokes(path, raw.shape, crop=crop)


def _drawn_of_mask(
    section: SegmenterSection, path: Path, raw: UInt16 | PlaneReader, crop: Crop | None
) -> UInt8 | Strokes:
    """Return annotations drawn of the mask of the whole image, or of the crop."""
    if not isinstance(raw, np.ndarray):
        return _drawn_of_planes(section, path, raw.shape, crop)
    mask = read_image(path, kind="mask")
    if crop is not None and mask.shape != raw.shape:
        mask = read_image(path, kind="mask", crop=crop)
    with naming(path):
        return annotations_from_mask(mask, raw.shape, section.seed, samples=section.samples, prior=section.prior)


def _drawn_of_planes(section: SegmenterSection, path: Path, shape: tuple[int, ...], crop: Crop | None) -> Strokes:
    """Return the same of a mask that is read a few planes at a time."""
    with open_volume(path, kind="labels") as whole:
        cut = None if whole.shape == shape else crop
    with open_volume(path, kind="labels", crop=cut) as mask, naming(path):
        return strokes_from_mask(mask, shape, section.seed, samples=section.samples, prior=section.prior)
