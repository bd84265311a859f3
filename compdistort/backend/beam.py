"""What a back-projection is computed from. `compdistort.backend.base` offers all names of this module.

Places on the detector are whole numbers of 2^-32 samples: a pixel's place is exact, whatever the tile or the order in
which it is found, so that every backend reads the same samples with the same weights.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.records import Int32

Int64 = NDArray[np.int64]

PLACE_BITS = 32
"""Bits of a place behind the point."""

TAPS = (1, 2, 4)
"""Samples that a place reads: the nearest, a straight line between two, a cubic B-spline of four coefficients."""

LARGEST_SIZE = 1 << 20
"""Rows and columns of an image at most: places stay below 2^63."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamPlan:
    """Parallel-beam back-projection of filtered projections into square images.

    At angle k the pixel (row, column) has the place ``starts[k] + column * columns[k] + row * rows[k]``; a place p
    between `first` and `last` reads the samples from ``p >> 32`` on (of one tap: the nearest one, the lower of two
    equally near), any other adds nothing. The sum over angles times `scale` is the pixel.

    Attributes
    ----------
    starts, columns, rows : ndarray of shape (n_angles,), int64
        Place of the pixel (0, 0), and what one column or one row further adds, in 2^-32 samples.
    first, last : int
        Smallest and largest place that is read, in 2^-32 samples.
    n_samples : int
        Samples of a projection.
    taps : int
        One of `TAPS`.
    left, right : ndarray of shape (size,), int32
        Columns of each row that are computed, end excluded; the others are 0.
    scale : float
        Factor, a float32.
    """

    starts: Int64
    columns: Int64
    rows: Int64
    first: int
    last: int
    n_samples: int
    taps: int
    left: Int32
    right: Int32
    scale: float

    def __post_init__(self) -> None:
        kinds = [part.dtype for part in (self.starts, self.columns, self.rows, self.left, self.right)]
        if kinds != [np.int64] * 3 + [np.int32] * 2:
            raise TypeError(f"starts, columns and rows must be int64, left and right int32, not {kinds}")
        shapes = {part.shape for part in (self.starts, self.columns, self.rows)}
        if shapes != {(len(self.starts),)} or self.left.shape != self.right.shape or self.left.ndim != 1:
            raise ValueError("a plan needs one start, column and row step an angle, and one left and right a row")
        if self.taps not in TAPS:
            raise ValueError(f"taps must be one of {TAPS}, not {self.taps}")
        if not (0 <= self.first <= self.last and self.index(self.last) + self.taps <= self.n_samples):
            raise ValueError(
                f"places from {self.first} to {self.last} do not stay in {self.n_samples} samples with {self.taps} taps"
            )
        inside = (self.left >= 0) & (self.left <= self.right) & (self.right <= self.size)
        if not self.size <= LARGEST_SIZE or not inside.all():
            raise ValueError(f"left and right must lie in 0 .. {self.size}, and size below {LARGEST_SIZE}")
        if float(np.float32(self.scale)) != self.scale:
            raise ValueError(f"scale must be a float32, not {self.scale!r}")

    @property
    def size(self) -> int:
        """Return the rows, and columns, of an image."""
        return len(self.left)

    @property
    def n_angles(self) -> int:
        """Return the number of projections."""
        return len(self.starts)

    @property
    def bias(self) -> int:
        """Return what is added to a place before its whole part is taken: one tap rounds, half goes down."""
        return (1 << (PLACE_BITS - 1)) - 1 if self.taps == 1 else 0

    def index(self, place: int) -> int:
        """Return the first sample that a place reads."""
        return (place + self.bias) >> PLACE_BITS
