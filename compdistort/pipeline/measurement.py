"""From a mask or label file to a CSV of its objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import MEASURE_COLUMNS, Backend, Float64, Int32, SegmentRule
from compdistort.backend.shape import MAX_SIDE
from compdistort.errors import ConfigError, InputError
from compdistort.io.files import atomic_path, require_output
from compdistort.io.images import read_image
from compdistort.measurands import PARAMETER_INFO, PLANAR
from compdistort.measure import ObjectTable, measure_objects, object_table_csv

CONNECTIVITY_2D = 8
"""What ImageJ uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """How objects are made of a mask.

    Attributes
    ----------
    include_holes : bool
        Fill holes first.
    connectivity : int
        8 or 4.
    min_size : int
        Smaller objects are dropped, pixels.
    labelled : bool
        The file already holds one id an object; they are renumbered in raster order, none is split or joined.
    """

    include_holes: bool = False
    connectivity: int = CONNECTIVITY_2D
    min_size: int = 1
    labelled: bool = False

    def __post_init__(self) -> None:
        if self.connectivity not in (4, CONNECTIVITY_2D):
            raise ConfigError(f"connectivity is {self.connectivity}", "use 8 (as ImageJ) or 4")
        if self.min_size < 1:
            raise ConfigError(f"minimum size is {self.min_size} pixels", "use 1 or more")
        if self.labelled and (self.include_holes or self.connectivity != CONNECTIVITY_2D):
            raise ConfigError(
                "a label image already says which pixel belongs to which object",
                "leave out --include-holes and --connectivity, or measure it as a mask, without --labels",
            )


def measure_file(path: Path, out: Path, options: MeasureOptions, backend: Backend[Any]) -> dict[str, Any]:
    """Measure the objects of a mask or label file and write them as CSV.

    Parameters
    ----------
    path : Path
        PNG, TIFF or any image that `read_image` takes, one plane.
    out : Path
        CSV file; written whole or not at all.
    options : MeasureOptions
        What an object is.
    backend : Backend
        Engine.

    Returns
    -------
    dict
        JSON-safe: ``objects``, ``total_area_px2``, ``mean_area_px2`` and ``means`` (by column; null without
        objects; of the two angles the axial mean).

    Raises
    ------
    ImageFormatError, InputError
        If the file is no mask (or label image) of one plane, or a label is in several pieces.
    ResourceError
        If the CSV cannot be written.
    """
    require_output(out, [path])
    table = measure_objects(_read_objects(path, options, backend), backend)
    with atomic_path(out) as partial:
        partial.write_text(object_table_csv(table), encoding="ascii", newline="\n")
    n_objects, area, mean_area = PLANAR.totals_of(table.values).tolist()
    return {
        "image": str(path),
        "csv": str(out),
        "objects": int(n_objects),
        "total_area_px2": area,
        "mean_area_px2": mean_area if n_objects else None,
        "means": column_means(table),
    }


def column_means(table: ObjectTable) -> dict[str, float | None]:
    """Return the mean of every column, None without objects; of an angle the axial mean (179 and 1 degrees give 0)."""
    if not len(table):
        return dict.fromkeys(MEASURE_COLUMNS)
    means: dict[str, float | None] = dict(zip(MEASURE_COLUMNS, table.values.mean(axis=0).tolist(), strict=True))
    for name, parameter in PARAMETER_INFO.items():
        if parameter.kind == "angle-axial":
            means[name] = _axial_mean_deg(table[name])
    return means


def _axial_mean_deg(angles: Float64) -> float:
    doubled = np.exp(2j * np.radians(angles)).mean()
    return float(np.degrees(np.angle(doubled)) / 2 % 180.0)


def describe(result: dict[str, Any]) -> str:
    """Return the result of `measure_file` in words."""
    if not result["objects"]:
        return f"{result['image']}: no objects; {result['csv']} holds the header line only"
    return (
        f"{result['image']}: {result['objects']} objects, total area {result['total_area_px2']:g} px^2, "
        f"mean area {result['mean_area_px2']:.6g} px^2\n{result['csv']}: written"
    )


def _read_objects(path: Path, options: MeasureOptions, backend: Backend[Any]) -> Int32:
    image: NDArray[Any] = read_image(path, kind="labels" if options.labelled else "mask")
    if image.ndim != 2:
        raise InputError(f"{path}: has {image.ndim} axes {image.shape}", "give a single plane (rows, columns)")
    if max(image.shape) > MAX_SIDE:
        raise InputError(f"{path}: is {image.shape} pixels large", f"cut it to at most {MAX_SIDE} pixels a side")
    if options.labelled:
        return renumber(path, image, options.min_size)
    rule = SegmentRule(
        foreground=0,
        connectivity=options.connectivity,
        include_holes=options.include_holes,
        min_size=options.min_size,
    )
    labels: Int32 = backend.to_host(backend.label(backend.to_device(image), rule)).astype(np.int32, copy=False)
    return labels


def renumber(path: Path, labels: NDArray[Any], min_size: int = 1) -> Int32:
    """Return a label image with its objects numbered in raster order of their first pixel.

    Parameters
    ----------
    path : Path
        For the message.
    labels : ndarray of shape (rows, columns), any integer type
        One id an object, in any order and with gaps; 0 = background.
    min_size : int
        Smaller objects become background, pixels.

    Returns
    -------
    ndarray of shape (rows, columns), int32

    Raises
    ------
    InputError
        If an id is in several pieces, which ImageJ would call several objects.
    """
    ids, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    _check_in_one_piece(path, inverse.reshape(labels.shape), ids)
    keep = (ids != 0) & (sizes >= min_size)
    rank = np.zeros(ids.size, np.int32)
    order = np.flatnonzero(keep)[np.argsort(first[keep])]
    rank[order] = np.arange(1, order.size + 1, dtype=np.int32)
    return rank[inverse].reshape(labels.shape)


def _check_in_one_piece(path: Path, dense: NDArray[np.int64], ids: NDArray[Any]) -> None:
    shift = 0 if 0 in ids else 1  # cc3d takes 0 as background, `dense` numbers the background 0 only where there is one
    pieces = cc3d.connected_components((dense + shift).astype(np.uint32), connectivity=CONNECTIVITY_2D)
    last = int(pieces.max(initial=0))
    if last == np.count_nonzero(ids):
        return
    _, at = np.unique(pieces, return_index=True)
    owners = ids[dense.ravel()[at]]
    values, counts = np.unique(owners[owners != 0], return_counts=True)
    raise InputError(
        f"{path}: label {values[np.argmax(counts > 1)]} is in {counts[counts > 1][0]} separate pieces",
        "give every piece its own label, or measure it as a mask, without --labels",
    )
