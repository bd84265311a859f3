"""The objects of one image as a study needs them: their table, and who overlaps whom; however they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, Int32
from compdistort.match import overlapping
from compdistort.pipeline.views import View, choose_view, projection
from compdistort.store import ArrayWrite, StudyStore

Index = NDArray[np.int64]
LABELS = "reference/labels"


class Truth(NamedTuple):
    """How the pixels of objects compare with those of true ones.

    Attributes
    ----------
    found, true, both : int
        Pixels of objects, of true objects, and of both.
    n_true : int
        True objects.
    """

    found: int
    true: int
    both: int
    n_true: int


class Objects(Protocol):
    """The objects of one image."""

    @property
    def values(self) -> Float64:
        """Return the object table, float64 of shape (n_objects, n_columns)."""
        ...

    @property
    def n_runs(self) -> int:
        """Return the runs of voxels that they are kept as; 0 where they are kept as labels."""
        ...

    def overlaps(self, other: Any) -> tuple[Index, Index]:
        """Return the distinct (own id, id in `other`) that share a pixel; `other` is kept in the same way."""
        ...

    def choose_view(self) -> View:
        """Return which plane shows most of the objects."""
        ...

    def shown(self, view: View) -> Int32:
        """Return the labels that a view shows, of shape (rows, columns)."""
        ...

    def projection(self) -> Int32:
        """Return the largest label over all planes, of shape (rows, columns)."""
        ...

    def against(self, truth: Any) -> Truth:
        """Return how the pixels compare with those of true objects, labels that are kept as the image is."""
        ...

    def writes(self, store: StudyStore) -> Sequence[ArrayWrite]:
        """Return what a store keeps of them beside the table."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledObjects:
    """Objects as a label image in memory (see `Objects`).

    Attributes
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Ids 1..n in raster order; 0 = background.
    values : ndarray of shape (n_objects, n_columns), float64
        Their table.
    """

    labels: Int32
    values: Float64

    @classmethod
    def read(cls, store: StudyStore, values: Float64) -> Self:
        """Return the objects that `writes` stored."""
        return cls(labels=store.read(LABELS), values=values)

    @property
    def n_runs(self) -> int:
        """Return 0: there are none."""
        return 0

    def overlaps(self, other: "LabelledObjects") -> tuple[Index, Index]:
        """Return the distinct (own id, id in `other`) that share a pixel."""
        return overlapping(self.labels, other.labels)

    def choose_view(self) -> View:
        """Return which plane shows most of the objects."""
        return choose_view(self.labels)

    def shown(self, view: View) -> Int32:
        """Return the labels that a view shows."""
        shown: Int32 = view.of(self.labels)
        return shown

    def projection(self) -> Int32:
        """Return the largest label over all planes."""
        largest: Int32 = projection(self.labels)
        return largest

    def against(self, truth: Int32) -> Truth:
        """Return how the pixels compare with those of true objects, a label image."""
        found, true = self.labels > 0, truth > 0
        n_true = int(np.unique(truth[true]).size)
        return Truth(found=int(found.sum()), true=int(true.sum()), both=int((found & true).sum()), n_true=n_true)

    def writes(self, store: StudyStore) -> Sequence[ArrayWrite]:
        """Return the write of the label image."""
        return [store.write_whole(LABELS, self.labels)]
