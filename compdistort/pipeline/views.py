"""What of a volume a report shows: one plane, and the maximum over all planes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Int32

Image = NDArray[Any]


@dataclass(frozen=True, slots=True)
class View:
    """Which plane stands for an image.

    Attributes
    ----------
    plane : int or None
        Plane of a volume; None of an image that is a plane itself.
    """

    plane: int | None = None

    @property
    def origin(self) -> tuple[int, int, int]:
        """(plane, row, column) of the first pixel shown."""
        return (self.plane or 0, 0, 0)

    def of(self, image: Image) -> Image:
        """Return the plane that is shown, of shape (rows, columns)."""
        return image if self.plane is None else np.ascontiguousarray(image[self.plane])


def choose_view(labels: Int32) -> View:
    """Return the view of an image: of a volume, the first of the planes that show most objects.

    Parameters
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Objects of the raw image; where there are none, the middle plane is shown.

    Returns
    -------
    View

    Examples
    --------
    >>> labels = np.zeros((3, 2, 2), np.int32)
    >>> choose_view(labels).plane, choose_view(labels[0]).plane
    (1, None)
    """
    if labels.ndim == 2:
        return View()
    counts = [np.unique(plane[plane > 0]).size for plane in labels]
    return View(int(np.argmax(counts)) if any(counts) else len(labels) // 2)


def projection(image: Image) -> Image:
    """Return the maximum over planes, of shape (rows, columns); a plane is its own."""
    return image if image.ndim == 2 else image.max(axis=0)
