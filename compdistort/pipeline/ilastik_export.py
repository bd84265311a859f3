"""Images, annotations and a classifier of our own as an ilastik project."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compdistort.errors import ConfigError, InputError
from compdistort.features import FeatureSpec, build_bank, parse_spec
from compdistort.forest import Classifier, load_classifier
from compdistort.forest.vigra import to_vigra
from compdistort.io.annotations import read_annotations
from compdistort.io.files import naming, require_output
from compdistort.io.ilastik import FeatureSelection, NewLane, VigraForest, select, write_project
from compdistort.io.images import read_image

WRITABLE_DTYPES = ("uint8", "uint16", "uint32", "float32")
"""Pixels that ilastik reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What goes into a project besides images and annotations.

    Attributes
    ----------
    model : Path or None
        Model file of set `ilastik`, whose features and forest are written.
    sigmas : tuple of float
        Without a model: scales of the features; () takes the set's own.
    pairs : tuple of str
        Without a model: columns such as ``LoG:3.5``.
    planar : tuple of float
        Without a model: those of the scales that are computed plane by plane in 3D images.
    names : tuple of str
        Class names, in the order of the class numbers; () takes the model's, else ``Label 1`` and so on.
    link : bool
        The project refers to the image files, instead of holding their pixels.
    """

    model: Path | None = None
    sigmas: tuple[float, ...] = ()
    pairs: tuple[str, ...] = ()
    planar: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    link: bool = False


def export_project(out: Path, raws: Sequence[Path], labels: Sequence[Path], options: ExportOptions) -> dict[str, Any]:
    """Write an ilastik project.

    Parameters
    ----------
    out : Path
        Project to write (``.ilp``).
    raws : sequence of Path
        Images of shape ([planes,] rows, columns), all of one number of axes.
    labels : sequence of Path
        Annotations, one each, in the same order; or none, with a model.
    options : ExportOptions
        The rest.

    Returns
    -------
    dict
        JSON-ready: ``project``, ``images``, ``classes``, ``features`` (the spec), ``n_trees`` (0 without a classifier).

    Raises
    ------
    ConfigError
        If files and options do not fit together, or ilastik cannot have the features.
    InputError
        If a file cannot be used.
    ResourceError
        If the project cannot be written.
    """
    require_output(out, [*raws, *labels, *([] if options.model is None else [options.model])])
    _check_options(raws, labels, options)
    classifier = None if options.model is None else load_classifier(options.model)
    spec = (
        parse_spec("ilastik", options.sigmas, options.pairs, options.planar)
        if classifier is None
        else classifier.features
    )
    lanes = _lanes(out, raws, labels, options.link)
    ndim = lanes[0].image.ndim
    if classifier is not None and classifier.ndim != ndim:
        raise ConfigError(
            f"{options.model}: was trained on images of {classifier.ndim} axes, these have {ndim}", "give such images"
        )
    selection = selection_of(spec, ndim)
    for path, lane in zip(raws, lanes, strict=True):
        with naming(path):
            build_bank(spec, ndim, lane.image.shape)
    drawn = max((int(lane.labels.max()) for lane in lanes if lane.labels is not None), default=0)
    names = _class_names(options.names, classifier, drawn)
    forest = None if classifier is None else forest_of(classifier, selection)
    n_rows = sum(int((lane.labels > 0).sum()) for lane in lanes if lane.labels is not None)
    write_project(out, lanes, names, selection, forest=forest, n_rows=max(n_rows, 1))
    return {
        "project": str(out),
        "images": [str(path) for path in raws],
        "classes": list(names),
        "features": spec.to_dict(),
        "n_trees": 0 if forest is None else len(forest.trees),
    }


def selection_of(spec: FeatureSpec, ndim: int) -> FeatureSelection:
    """Return the ticks in ilastik's dialog that give the columns of a spec.

    Raises
    ------
    ConfigError
        If the set is another, or the columns are not all that such ticks give.
    """
    if spec.set != "ilastik":
        raise ConfigError(f"ilastik does not compute features of set '{spec.set}'", "train with --set ilastik")
    build_bank(spec, ndim)
    found = select(spec.columns, spec.planar, ndim)
    if found is None:
        raise ConfigError(
            "ilastik computes all eigenvalues of a scale or none, and these features hold some",
            f"train with all of HE1 to HE{ndim}, or ST1 to ST{ndim}, of a sigma",
        )
    return found


def forest_of(classifier: Classifier, selection: FeatureSelection) -> VigraForest:
    """Return the forest of a classifier as trees of vigra, its columns in ilastik's order.

    Parameters
    ----------
    classifier : Classifier
        Of set `ilastik`.
    selection : FeatureSelection
        Of `selection_of`.

    Returns
    -------
    VigraForest
        It gives the same probabilities.
    """
    order = {column: k for k, column in enumerate(selection.columns(classifier.ndim))}
    new = [order[column] for column in classifier.features.columns]
    return VigraForest(
        trees=tuple(to_vigra(classifier.forest, new)),
        labels=classifier.class_values,
        n_columns=len(order),
        feature_names=None,
    )


def describe_export(result: dict[str, Any]) -> str:
    """Return one line for people."""
    trees = f"a forest of {result['n_trees']} trees" if result["n_trees"] else "no classifier: ilastik trains one"
    return f"{result['project']}: {len(result['images'])} image(s), {len(result['classes'])} classes, {trees}"


def _check_options(raws: Sequence[Path], labels: Sequence[Path], options: ExportOptions) -> None:
    if not raws:
        raise ConfigError("no image is given", "name it with --raw")
    if len(labels) not in ((len(raws), 0) if options.model is not None else (len(raws),)):
        raise ConfigError(f"{len(labels)} label files for {len(raws)} images", "give one for each image, in order")
    if options.model is not None and (options.sigmas or options.pairs or options.planar):
        raise ConfigError("features and a model given together", "a model brings its own features: leave one out")


def _lanes(out: Path, raws: Sequence[Path], labels: Sequence[Path], link: bool) -> list[NewLane]:
    lanes: list[NewLane] = []
    for k, path in enumerate(raws):
        image = read_image(path, kind="any")
        if image.dtype.name not in WRITABLE_DTYPES:
            raise InputError(f"{path}: ilastik is not given {image.dtype} pixels", "save it as uint16 or float32")
        if lanes and image.ndim != lanes[0].image.ndim:
            raise InputError(f"{path}: has {image.ndim} axes, {raws[0]} has {lanes[0].image.ndim}", "give one kind")
        drawn = read_annotations(labels[k], image.shape) if labels else None
        lanes.append(NewLane(image=image, labels=drawn, name=path.stem, path=_reference(out, path) if link else ""))
    return lanes


def _reference(out: Path, path: Path) -> str:
    """Return how the project names a file: relative to its own folder if it lies below it, else by its full path."""
    full, folder = path.resolve(), out.resolve().parent
    return full.relative_to(folder).as_posix() if full.is_relative_to(folder) else os.fspath(full)


def _class_names(given: tuple[str, ...], classifier: Classifier | None, drawn: int) -> tuple[str, ...]:
    """Return a name for each class number from 1 to the highest that is drawn or known."""
    known = {} if classifier is None else dict(zip(classifier.class_values, classifier.class_names, strict=True))
    need = max([drawn, *known])
    if given and len(given) < need:
        raise ConfigError(f"{len(given)} class names for classes up to {need}", "name every class from 1 on")
    return given or tuple(known.get(k, f"Label {k}") for k in range(1, need + 1))
