"""What coding changed, measured while an image is written: added noise and bias over all its pixels."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Change:
    """Sums over pixels.

    Attributes
    ----------
    pixels : int
        How many.
    change, square : float
        Sum of decoded minus raw, DN, and of its square, DN^2.
    variance : float
        Sum of the noise variance that the law gives at the raw grey levels, DN^2.
    """

    pixels: int = 0
    change: float = 0.0
    square: float = 0.0
    variance: float = 0.0

    @classmethod
    def of(cls, raw: NDArray[Any], decoded: NDArray[Any], variance_dn2: NDArray[np.float64]) -> Self:
        """Return the sums of some pixels, all arrays of shape (rows, columns)."""
        change = decoded.astype(np.float64) - raw
        return cls(raw.size, float(change.sum()), float(np.square(change).sum()), float(variance_dn2.sum()))

    def add(self, other: "Change") -> None:
        """Count the pixels of another part, too."""
        self.pixels += other.pixels
        self.change += other.change
        self.square += other.square
        self.variance += other.variance

    @property
    def added_db(self) -> float:
        """Added noise in dB: 10 log10(1 + mean squared change / mean variance of the law); NaN without noise."""
        return 10 * math.log10(1 + self.square / self.variance) if self.variance > 0 else math.nan

    @property
    def bias_sigma(self) -> float:
        """Mean change over the root of the law's mean variance; NaN without noise."""
        return self.change / math.sqrt(self.variance * self.pixels) if self.variance > 0 else math.nan
