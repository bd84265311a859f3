"""What an ilastik project holds, as plain values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, Int32, UInt8
from compdistort.errors import InputError

CANONICAL = "tzyx"
"""Order of axes of strokes and images here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """Where the pixels of a lane lie.

    Attributes
    ----------
    kind : {"internal", "relative", "file", "other"}
        In the project, in a file beside it, in a file by its full path, or elsewhere: then `path` is what the project
        says of it.
    path : str
        Path of the file, or name of the dataset in the project.
    inner_path : str
        Dataset in that file; "" for none.
    name : str
        What the user calls the image.
    axes : str
        Letters of t, z, y, x, c in the order of the file, e.g. ``zyxc``.
    shape : tuple of int, or None
        In that order; projects of 1.2 do not hold it.
    dtype : str
        Type of pixels that are in the project, e.g. ``uint16``; "" for others.
    """

    kind: str
    path: str
    inner_path: str
    name: str
    axes: str
    shape: tuple[int, ...] | None
    dtype: str = ""

    def length(self, axis: str) -> int | None:
        """Return the length of an axis: 1 where it is absent, None where the project does not say."""
        if axis not in self.axes:
            return 1
        return None if self.shape is None else self.shape[self.axes.index(axis)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrokeBlock:
    """Brush strokes of one box.

    Attributes
    ----------
    start : tuple of int
        First t, z, y, x.
    values : ndarray of shape (times, planes, rows, columns), uint8
        0 = not annotated, else class number.
    """

    start: tuple[int, int, int, int]
    values: UInt8

    @property
    def stop(self) -> tuple[int, ...]:
        """One past the last t, z, y, x."""
        return tuple(a + n for a, n in zip(self.start, self.values.shape, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One image of the project and what was drawn on it.

    Attributes
    ----------
    number : int
        As in the file.
    image : ImageReference
        The raw image.
    strokes : tuple of StrokeBlock
        Drawn pixels; () for none.
    """

    number: int
    image: ImageReference
    strokes: tuple[StrokeBlock, ...] = ()

    def counts(self) -> dict[int, int]:
        """Return the number of drawn pixels of each class number."""
        total = np.zeros(256, np.int64)
        for block in self.strokes:
            for plane in block.values.reshape(-1, *block.values.shape[2:]):  # bincount makes int64 of what it counts
                total += np.bincount(plane.ravel(), minlength=256)
        return {int(value): int(total[value]) for value in np.flatnonzero(total[1:]) + 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSelection:
    """Which features were ticked.

    Attributes
    ----------
    scales : tuple of float
        Columns of ilastik's dialog, pixels.
    chosen : tuple of (str, int)
        Ticked (operator, index into `scales`) in ilastik's order; operators are GS, LoG, GGM, DoG, ST, HE.
    in_2d : tuple of bool, or None
        Scales that are computed plane by plane; None in projects from before 1.3.2.
    """

    scales: tuple[float, ...]
    chosen: tuple[tuple[str, int], ...]
    in_2d: tuple[bool, ...] | None

    def is_planar(self, scale: int, ndim: int) -> bool:
        """Say whether a scale is computed plane by plane in an image of `ndim` axes, which all are in 2D."""
        return ndim == 2 or (self.in_2d is not None and self.in_2d[scale])

    def columns(self, ndim: int) -> tuple[tuple[str, float], ...]:
        """Return the (operator, sigma) columns: ST and HE are as many as there are eigenvalues, largest first."""
        found: list[tuple[str, float]] = []
        for operator, scale in self.chosen:
            n = 2 if self.is_planar(scale, ndim) else 3
            names = [f"{operator}{k + 1}" for k in range(n)] if operator in ("ST", "HE") else [operator]
            found += [(name, self.scales[scale]) for name in names]
        return tuple(found)

    def planar(self, ndim: int) -> tuple[float, ...]:
        """Return the ticked sigmas that are computed plane by plane in a 3D image, as the scales go; () in 2D."""
        used = sorted({scale for _, scale in self.chosen})
        return () if ndim == 2 else tuple(self.scales[k] for k in used if self.is_planar(k, ndim))


@dataclass(frozen=True, slots=True, kw_only=True)
class VigraForest:
    """A forest of vigra as stored: nodes as numbers in `topology`, their values in `parameters`.

    Attributes
    ----------
    trees : tuple of (ndarray of shape (n,), int32; ndarray of shape (m,), float64)
        Topology and parameters of each tree, in the order of the file; not yet checked.
    labels : tuple of int
        Class number of each probability.
    n_columns : int
        Features.
    feature_names : tuple of str, or None
        ilastik's names of the columns.
    """

    trees: tuple[tuple[Int32, Float64], ...]
    labels: tuple[int, ...]
    n_columns: int
    feature_names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project of ilastik's pixel classification.

    Attributes
    ----------
    path : str
        The file.
    version, workflow : str
        As stored.
    lanes : tuple of Lane
        Images.
    class_names : tuple of str
        Class number = index + 1.
    class_colours : tuple of (int, int, int)
        Red, green, blue, 0 to 255, one a class; () where there are none.
    selection : FeatureSelection or None
        Ticked features; None where nothing was ticked.
    forest : VigraForest or None
        The trained classifier.
    no_forest : str
        Why there is none; "" where there is.
    """

    path: str
    version: str
    workflow: str
    lanes: tuple[Lane, ...]
    class_names: tuple[str, ...]
    class_colours: tuple[tuple[int, int, int], ...]
    selection: FeatureSelection | None
    forest: VigraForest | None
    no_forest: str

    def lane(self, number: int) -> Lane:
        """Return a lane by its number.

        Raises
        ------
        InputError
            If there is none.
        """
        for each in self.lanes:
            if each.number == number:
                return each
        have = ", ".join(str(each.number) for each in self.lanes)
        raise InputError(f"{self.path}: has no lane {number}", f"choose one of {have}")


def canonical(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """Return an array with axes t, z, y, x: those that it lacks get the length 1, a channel axis must have length 1.

    Parameters
    ----------
    array : ndarray of shape in the order of `axes`, any type
        Pixels or strokes.
    axes : str
        Letters, a part of t, z, y, x, c in any order.

    Returns
    -------
    ndarray of shape (times, planes, rows, columns)

    Examples
    --------
    >>> import numpy as np
    >>> canonical(np.zeros((5, 7, 1)), "xyc").shape
    (1, 1, 7, 5)
    """
    if "c" in axes:
        array = array.squeeze(axis=axes.index("c"))
        axes = axes.replace("c", "")
    array = array.transpose([axes.index(axis) for axis in CANONICAL if axis in axes])
    return np.expand_dims(array, [k for k, axis in enumerate(CANONICAL) if axis not in axes])
