"""Brush strokes: boxes of class numbers, each with the place where it belongs."""

import math

import numpy as np

from compdistort.backend.base import UInt8
from compdistort.errors import AnnotationError, InputError
from compdistort.io.ilastik.axes import Version, block_orders, parse_axistags, parse_slice
from compdistort.io.ilastik.hdf5 import Guarded
from compdistort.io.ilastik.records import CANONICAL, ImageReference, Lane, StrokeBlock, canonical
from compdistort.io.pixels import DEFAULT_MAX_BYTES

_AXES_REMEDY = "open and save the project with ilastik 1.4, which writes the axes of every block"
Bounds = tuple[tuple[int, int], ...]


def read_strokes(
    file: Guarded, number: int, image: ImageReference, version: Version, workflow: str
) -> tuple[StrokeBlock, ...]:
    """Return the blocks of strokes of one lane.

    Parameters
    ----------
    file : Guarded
        The project.
    number : int
        Lane.
    image : ImageReference
        Its image.
    version : tuple of int
        Of the program that wrote it.
    workflow : str
        Name of the workflow.

    Returns
    -------
    tuple of StrokeBlock

    Raises
    ------
    InputError
        If a block is no box of class numbers, lies outside the image, or can be placed in two ways.
    """
    group = f"/PixelClassification/LabelSets/labels{number:03d}"
    blocks = []
    for name in file.names(group):
        where = f"{group}/{name}"
        order, bounds = _placement(file, where, image, version, workflow)
        values = file.array(where, "u", len(order))
        if values is None or values.max(initial=0) > 255:
            raise file.error(where, "holds class numbers above 255")
        start = dict(zip(order, (a for a, _ in bounds), strict=True))
        t, z, y, x = (start.get(axis, 0) for axis in CANONICAL)
        blocks.append(StrokeBlock(start=(t, z, y, x), values=canonical(values, order).astype(np.uint8)))
    return tuple(blocks)


def _placement(file: Guarded, where: str, image: ImageReference, version: Version, workflow: str) -> tuple[str, Bounds]:
    """Return the order of axes of a block, and its bounds in that order; only one may fit block and image."""
    found = file.dataset(where)
    text = file.attribute(where, "blockSlice")
    bounds = None if text is None else parse_slice(text)
    if found is None or bounds is None:
        raise file.error(where, f"its attribute blockSlice is {text!r:.80}, which is no slice")
    if tuple(stop - start for start, stop in bounds) != found.shape:
        raise file.error(where, f"its blockSlice {text} does not fit its shape {found.shape}")
    tags = file.attribute(where, "axistags")
    own = None if tags is None else parse_axistags(tags)
    if tags is not None and own is None:
        raise file.error(where, "its axistags are not those of an image")
    orders = block_orders(version, workflow, image.axes, own)
    fitting = [order for order in orders if _fits(bounds, order, image)]
    if len(fitting) == 1:
        return fitting[0], bounds
    shape = "unknown" if image.shape is None else " x ".join(map(str, image.shape))
    what = f"its blockSlice {text} "
    what += f"fits the axes {' and '.join(fitting)} alike" if fitting else f"lies outside axes {' or '.join(orders)}"
    raise file.error(where, f"{what} of an image {image.axes} of shape {shape}", _AXES_REMEDY)


def _fits(bounds: Bounds, order: str, image: ImageReference) -> bool:
    """Say whether bounds in this order lie in the image; axes that are missing on one side must have length 1 there."""
    if len(bounds) != len(order):
        return False
    for axis, (start, stop) in zip(order, bounds, strict=True):
        length = 1 if axis == "c" else image.length(axis)
        if not 0 <= start < stop or (length is not None and stop > length):
            return False
    absent = set(image.axes) - set(order) - {"c"}
    return all(image.length(axis) == 1 for axis in absent)


def times(lane: Lane) -> tuple[int, ...]:
    """Return the time points with strokes, rising."""
    found: set[int] = set()
    for block in lane.strokes:
        drawn = np.flatnonzero(block.values.any(axis=(1, 2, 3)))
        found |= {block.start[0] + int(t) for t in drawn}
    return tuple(sorted(found))


def dense_labels(
    lane: Lane, time: int = 0, shape: tuple[int, int, int] | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> UInt8:
    """Return the strokes of one time point as a label image.

    Parameters
    ----------
    lane : Lane
        Image and strokes.
    time : int
        Time point; 0 in an image without time.
    shape : tuple of int, optional
        Planes, rows and columns, for a project that does not hold them.
    max_bytes : int
        Largest label image.

    Returns
    -------
    ndarray of shape ([planes,] rows, columns), uint8
        0 = not annotated, else class number. An axis of one plane is dropped.

    Raises
    ------
    InputError
        If the shape is not known, is another than the project says, or is too large.
    AnnotationError
        If strokes lie outside, or two blocks say different things of a pixel.
    """
    planes, rows, columns = _shape(lane, shape, max_bytes)
    labels = np.zeros((planes, rows, columns), np.uint8)
    for block in lane.strokes:
        t, z, y, x = block.start
        t_stop, z_stop, y_stop, x_stop = block.stop
        if not t <= time < t_stop:
            continue
        if z_stop > planes or y_stop > rows or x_stop > columns:
            raise AnnotationError(
                f"lane {lane.number}: strokes reach to plane, row, column {z_stop}, {y_stop}, {x_stop} of an image of "
                f"{planes} x {rows} x {columns}",
                "give the shape of the image that was annotated",
            )
        part = labels[z:z_stop, y:y_stop, x:x_stop]
        drawn = block.values[time - t]
        if ((part != 0) & (drawn != 0) & (part != drawn)).any():
            raise AnnotationError(f"lane {lane.number}: two blocks of strokes disagree on a pixel", "draw it again")
        np.copyto(part, drawn, where=drawn != 0)
    return labels[0] if planes == 1 else labels


def _shape(lane: Lane, given: tuple[int, int, int] | None, max_bytes: int) -> tuple[int, int, int]:
    known = tuple(lane.image.length(axis) for axis in "zyx")
    if given is None and None in known:
        raise InputError(
            f"lane {lane.number}: the project does not hold the shape of its image", "give it, as planes,rows,columns"
        )
    planes, rows, columns = (int(a or b) for a, b in zip(known, given or (1, 1, 1), strict=True))
    if given is not None and (planes, rows, columns) != tuple(given):
        raise InputError(
            f"lane {lane.number}: the shape {given} was given, the project says {(planes, rows, columns)}",
            "give planes, rows and columns of that image, or leave them out",
        )
    if math.prod((planes, rows, columns)) > max_bytes or min(planes, rows, columns) < 1:
        raise InputError(
            f"lane {lane.number}: a label image of {planes} x {rows} x {columns} is outside 1 to {max_bytes} bytes",
            "annotate a crop",
        )
    return planes, rows, columns
