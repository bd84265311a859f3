"""What an ilastik project holds, and its trained forest as a classifier of our own."""

from pathlib import Path
from typing import Any

from compdistort.errors import InputError, ModelFileError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import Classifier
from compdistort.forest.classifier import foreground_index
from compdistort.forest.vigra import from_vigra
from compdistort.io.files import naming
from compdistort.io.ilastik import Lane, Project, axes_by_names, check_names, parse_version, read_project

_FASTFILTERS_EVERYWHERE = (1, 3, 0, 0, 0)
_OLD_TENSOR = (
    "some builds of ilastik 1.2 and older swap the two widths of the structure tensor: if this project was trained by "
    "one of them, probabilities differ; open it in a newer ilastik, train again, and save"
)


def axes_of(project: Project) -> int:
    """Return the number of axes of the images of a project: 2 or 3.

    An image is 3D where it has more than one plane. Where the project does not hold the length of that axis, as in 1.2,
    strokes on a later plane or the number of eigenvalues among the trained features tell.

    Parameters
    ----------
    project : Project
        As read.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If its images differ, or nothing tells.
    """
    found = {number for number in map(_lane_axes, project.lanes) if number is not None}
    if not found and project.forest is not None:
        told = axes_by_names(project.forest.feature_names or ())
        found = set() if told is None else {told}
    if len(found) != 1:
        what = "does not tell whether its images are 2D or 3D" if not found else "holds 2D and 3D images"
        raise InputError(f"{project.path}: {what}", "open it in ilastik 1.4 with its images, and save")
    return found.pop()


def _lane_axes(lane: Lane) -> int | None:
    planes = lane.image.length("z")
    if planes is not None:
        return 3 if planes > 1 else 2
    return 3 if any(block.stop[1] > 1 for block in lane.strokes) else None


def spec_of(project: Project) -> FeatureSpec:
    """Return the ticked features, in ilastik's order.

    Raises
    ------
    InputError
        If nothing is ticked, or an image has several channels.
    ConfigError
        If a feature is one that this program does not compute.
    """
    if project.selection is None:
        raise InputError(f"{project.path}: no feature is ticked", "choose features in ilastik, and save")
    for lane in project.lanes:
        channels = lane.image.length("c")
        if channels is not None and channels > 1:
            raise InputError(
                f"{project.path}: the image of lane {lane.number} has {channels} channels, one is read",
                "train on one channel in ilastik",
            )
    ndim = axes_of(project)
    with naming(project.path):
        spec = FeatureSpec(set="ilastik", pairs=project.selection.columns(ndim), planar=project.selection.planar(ndim))
        build_bank(spec, ndim)
    return spec


def classifier_of(project: Project, foreground: int | None = None) -> Classifier:
    """Return the trained classifier of a project, which gives ilastik's probabilities.

    Parameters
    ----------
    project : Project
        As read.
    foreground : int, optional
        Class number whose objects are measured; default: the highest that was trained.

    Returns
    -------
    Classifier
        Set `ilastik`, its columns in ilastik's order; classes are those that were drawn.

    Raises
    ------
    ModelFileError
        If the project holds no forest of vigra, or a damaged one.
    InputError
        If the forest was trained on other features than those ticked, or images have several channels.
    ConfigError
        If a feature is not computed here, or the class does not exist.
    """
    forest = project.forest
    if forest is None:
        raise ModelFileError(
            f"{project.path}: {project.no_forest}", "its strokes and features can be read all the same"
        )
    spec = spec_of(project)
    ndim = axes_of(project)
    if project.selection is not None and forest.feature_names is not None:
        check_names(project.path, forest.feature_names, project.selection, ndim)
    if forest.labels[-1] > len(project.class_names):
        raise ModelFileError(
            f"{project.path}: the classifier knows class {forest.labels[-1]}, the project names "
            f"{len(project.class_names)} classes",
            "train it again in ilastik, and save",
        )
    types = {lane.image.dtype for lane in project.lanes} - {""}
    source = f"imported from ilastik {project.version}, {Path(project.path).name}"
    with naming(project.path):
        flat = from_vigra(forest.trees, forest.n_columns, len(forest.labels))
        return Classifier(
            features=spec,
            forest=flat,
            class_names=tuple(project.class_names[label - 1] for label in forest.labels),
            class_values=forest.labels,
            foreground=foreground_index(forest.labels, foreground),
            ndim=ndim,
            training={
                "source": source,
                "n_trees": flat.n_trees,
                **({"image_dtype": types.pop()} if len(types) == 1 else {}),
            },
        )


def cautions_of(project: Project, classifier: Classifier) -> tuple[str, ...]:
    """Return what a user of an imported classifier must know.

    Parameters
    ----------
    project : Project
        As read.
    classifier : Classifier
        Of `classifier_of`.

    Returns
    -------
    tuple of str
    """
    tensors = any(operator.startswith("ST") for operator, _ in classifier.features.columns)
    old = parse_version(project.version, project.path) < _FASTFILTERS_EVERYWHERE
    return (_OLD_TENSOR,) if tensors and old else ()


def show_project(path: Path) -> dict[str, Any]:
    """Return what a project holds.

    Parameters
    ----------
    path : Path
        The project.

    Returns
    -------
    dict
        JSON-ready: ``project``, ``version``, ``workflow``, ``classes``, ``lanes``, ``features`` (the columns, or None),
        ``classifier`` (number of trees and classes, or None) and ``no_classifier`` (why not).

    Raises
    ------
    InputError
        If it cannot be read.
    """
    project = read_project(path)
    selection, forest = project.selection, project.forest
    return {
        "project": str(path),
        "version": project.version,
        "workflow": project.workflow,
        "classes": list(project.class_names),
        "lanes": [_lane_words(lane) for lane in project.lanes],
        "features": None
        if selection is None
        else [
            {"operator": operator, "sigma": selection.scales[k], "in_2d": bool(selection.in_2d and selection.in_2d[k])}
            for operator, k in selection.chosen
        ],
        "classifier": None if forest is None else {"n_trees": len(forest.trees), "classes": list(forest.labels)},
        "no_classifier": project.no_forest,
    }


def _lane_words(lane: Lane) -> dict[str, Any]:
    image = lane.image
    return {
        "lane": lane.number,
        "name": image.name,
        "kind": image.kind,
        "path": image.path,
        "inner_path": image.inner_path,
        "axes": image.axes,
        "shape": None if image.shape is None else list(image.shape),
        "dtype": image.dtype or None,
        "annotated": {str(value): n for value, n in lane.counts().items()},
    }
