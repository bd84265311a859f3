"""Writing a project of ilastik's pixel classification: images, strokes, ticked features, and a forest of vigra."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compdistort.backend.base import UInt8
from compdistort.io.files import atomic_path
from compdistort.io.ilastik.axes import axistags
from compdistort.io.ilastik.forest import GROUP as FOREST_GROUP
from compdistort.io.ilastik.forest import VIGRA_TYPE
from compdistort.io.ilastik.project import INFOS, RAW_ROLE
from compdistort.io.ilastik.records import FeatureSelection, VigraForest
from compdistort.io.ilastik.selection import GROUP as FEATURE_GROUP
from compdistort.io.ilastik.selection import OPERATOR_OF_ID, ilastik_names
from compdistort.io.pixels import Image

WRITTEN_VERSION = "1.4.0"
"""The version of ilastik whose layout is written."""

COLOURS = (
    (255, 225, 25), (0, 130, 200), (230, 25, 75), (60, 180, 75), (245, 130, 48), (145, 30, 180), (70, 240, 240),
    (240, 50, 230),
)  # fmt: skip
"""Of the classes, in turn, where none are given."""

_MAX_FORESTS = 8
_FACTORY = (
    "ccopy_reg\n_reconstructor\np0\n(clazyflow.classifiers.parallelVigraRfLazyflowClassifier\n"
    "ParallelVigraRfLazyflowClassifierFactory\np1\nc__builtin__\nobject\np2\nNtp3\nRp4\n(dp5\nVVERSION\np6\nI2\n"
    "sV_num_trees\np7\nI{trees}\nsV_label_proportion\np8\nNsV_variable_importance_path\np9\nNs"
    "V_variable_importance_enabled\np10\nI00\nsV_kwargs\np11\n(dp12\nsV_num_forests\np13\nI{forests}\nsb."
)
_OPTIONS = {
    "min_split_node_size_": 1, "mtry_": 0, "mtry_func_": 0, "mtry_switch_": 6, "predict_weighted_": 0,
    "prepare_online_learning_": 0, "sample_with_replacement_": 1, "stratification_method_": 3,
    "training_set_calc_switch_": 1, "training_set_func_": 0, "training_set_proportion_": 1, "training_set_size_": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLane:
    """An image of a project to be written.

    Attributes
    ----------
    image : ndarray of shape ([planes,] rows, columns)
        Pixels, for the project or for their shape alone.
    labels : ndarray of the same shape, uint8, or None
        0 = not annotated, else class number.
    name : str
        What ilastik's list calls it.
    path : str
        File that the project refers to; "" puts the pixels into the project.
    """

    image: Image
    labels: UInt8 | None
    name: str
    path: str = ""

    @property
    def axes(self) -> str:
        """Axes in the project."""
        return "zyxc" if self.image.ndim == 3 else "yxc"


def write_project(
    path: Path | str,
    lanes: Sequence[NewLane],
    class_names: Sequence[str],
    selection: FeatureSelection,
    *,
    forest: VigraForest | None = None,
    class_colours: Sequence[tuple[int, int, int]] = (),
    n_rows: int = 1,
) -> None:
    """Write a project as ilastik 1.4 lays it out; the same parts give the same file with one version of HDF5.

    Parameters
    ----------
    path : Path or str
        File to write, usually ``.ilp``; whole or not at all.
    lanes : sequence of NewLane
        Images of one number of axes.
    class_names : sequence of str
        Class number = index + 1.
    selection : FeatureSelection
        Ticked features.
    forest : VigraForest, optional
        Classifier, its columns those of `selection` in ilastik's order.
    class_colours : sequence of (int, int, int), optional
        Red, green, blue of each class.
    n_rows : int
        Annotated pixels that the forest was trained on; no prediction reads it.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    import h5py  # noqa: PLC0415  h5py loads the HDF5 library

    ndim = lanes[0].image.ndim
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file["ilastikVersion"] = WRITTEN_VERSION.encode()
        file["time"] = b"Thu Jan  1 00:00:00 1970"
        file["workflowName"] = b"Pixel Classification"
        file["currentApplet"] = 0
        _write_images(file, lanes)
        _write_selection(file, selection)
        n_trees = 100 if forest is None else len(forest.trees)
        _write_classes(file, class_names, class_colours, n_trees)
        for k, lane in enumerate(lanes):
            _write_strokes(file.create_group(f"PixelClassification/LabelSets/labels{k:03d}"), lane)
        if forest is not None:
            _write_forests(file, forest, ilastik_names(selection, ndim), n_rows)


def _write_images(file: Any, lanes: Sequence[NewLane]) -> None:
    group = file.create_group("Input Data")
    group["StorageVersion"] = b"0.2"
    group["Role Names"] = np.array([RAW_ROLE.encode(), b"Prediction Mask"])
    group.create_group("local_data")
    for k, lane in enumerate(lanes):
        where = file.create_group(f"{INFOS}/lane{k:04d}")
        where.create_group("Prediction Mask")
        number = str(uuid.uuid5(uuid.NAMESPACE_OID, f"compdistort lane {k}"))
        _write_lane(file, where.create_group(RAW_ROLE), lane, number)


def _write_lane(file: Any, group: Any, lane: NewLane, number: str) -> None:
    place = lane.path
    if lane.path:
        absolute = Path(lane.path).is_absolute()
        group["__class__"] = b"FilesystemDatasetInfo" if absolute else b"RelativeFilesystemDatasetInfo"
        group["location"] = b"FileSystem"
    else:
        place = f"/Input Data/local_data/{number}"
        stored = file.create_dataset(place, data=lane.image[..., None], compression="gzip", shuffle=True)
        stored.attrs["axistags"] = axistags(lane.axes)
        group["__class__"] = b"ProjectInternalDatasetInfo"
        group["location"] = b"ProjectInternal"
        group["inner_path"] = place.encode()
    group["filePath"] = place.encode()
    group["datasetId"] = number.encode()
    group["allowLabels"] = True
    group["fromstack"] = not lane.path
    group["normalizeDisplay"] = False
    group["display_mode"] = b"default"
    group["nickname"] = lane.name.encode()
    group["axistags"] = axistags(lane.axes).encode()
    group["shape"] = np.array((*lane.image.shape, 1), np.int64)


def _write_selection(file: Any, selection: FeatureSelection) -> None:
    group = file.create_group(FEATURE_GROUP)
    operators = list(OPERATOR_OF_ID.values())
    matrix = np.zeros((len(operators), len(selection.scales)), np.bool_)
    for operator, scale in selection.chosen:
        matrix[operators.index(operator), scale] = True
    group["StorageVersion"] = b"0.1"
    group["FeatureIds"] = np.array([name.encode() for name in OPERATOR_OF_ID])
    group["Scales"] = np.array(selection.scales, np.float64)
    group["SelectionMatrix"] = matrix
    group["ComputeIn2d"] = np.array(selection.in_2d, np.bool_)


def _write_classes(file: Any, names: Sequence[str], colours: Sequence[tuple[int, int, int]], n_trees: int) -> None:
    group = file.create_group("PixelClassification")
    group["StorageVersion"] = b"0.1"
    group["ClassifierFactory"] = _FACTORY.format(trees=n_trees, forests=min(_MAX_FORESTS, n_trees)).encode()
    group.create_group("Bookmarks")
    shades = np.array(colours or [COLOURS[k % len(COLOURS)] for k in range(len(names))], np.int64)
    lists = {"LabelNames": np.array([name.encode() for name in names]), "LabelColors": shades, "PmapColors": shades}
    for name, values in lists.items():
        group.create_dataset(name, data=values).attrs["isEmpty"] = False


def _write_strokes(group: Any, lane: NewLane) -> None:
    """Write the box around all strokes of a lane; nothing where there are none."""
    if lane.labels is None or not lane.labels.any():
        return
    places = np.nonzero(lane.labels)
    low = [int(axis.min()) for axis in places]
    high = [int(axis.max()) + 1 for axis in places]
    box = lane.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    block = group.create_dataset("block0000", data=box[..., None], dtype=np.uint8, compression="gzip")
    bounds = ",".join(f"{a}:{b}" for a, b in zip([*low, 0], [*high, 1], strict=True))
    block.attrs["blockSlice"] = f"[{bounds}]".encode()
    block.attrs["axistags"] = axistags(lane.axes)


def _write_forests(file: Any, forest: VigraForest, names: tuple[str, ...], n_rows: int) -> None:
    """Write the trees in order, over as many groups as ilastik uses."""
    group = file.create_group(FOREST_GROUP)
    parts = np.array_split(np.arange(len(forest.trees)), min(_MAX_FORESTS, len(forest.trees)))
    for k, part in enumerate(parts):
        _write_forest(group.create_group(f"Forest{k:04d}"), forest, part.tolist(), n_rows)
    group["known_labels"] = np.array(forest.labels, np.uint32)
    group["feature_names"] = np.array([name.encode() for name in names])
    group["pickled_type"] = VIGRA_TYPE


def _write_forest(group: Any, forest: VigraForest, chosen: list[int], n_rows: int) -> None:
    group.attrs["vigra_random_forest_version"] = np.array([0.1])
    for name, value in {**_OPTIONS, "tree_count_": len(chosen)}.items():
        group[f"_options/{name}"] = np.array([value], np.float64)
    n_classes = len(forest.labels)
    parameters = {
        "actual_msample_": n_rows, "actual_mtry_": math.floor(math.sqrt(forest.n_columns) + 0.5),
        "class_count_": n_classes, "column_count_": forest.n_columns, "is_weighted_": 1, "precision_": 0,
        "problem_type_": 1, "response_size_": 1, "row_count_": n_rows, "used_": 1,
    }  # fmt: skip
    for name, value in parameters.items():
        group[f"_ext_param/{name}"] = np.array([value], np.float64)
    group["_ext_param/class_weights_"] = np.ones(n_classes)
    group["_ext_param/labels"] = np.array(forest.labels, np.uint32)
    width = len(str(len(chosen) - 1))
    for k, tree in enumerate(chosen):
        topology, values = forest.trees[tree]
        group[f"Tree_{k:0{width}d}/topology"] = topology
        group[f"Tree_{k:0{width}d}/parameters"] = values
