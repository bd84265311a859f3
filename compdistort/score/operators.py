"""Standard scores of the features themselves: what a codec changes in a filtered image, in units of its own noise.

For a feature F and a pixel, the score is (F(raw) - F(codec(raw))) / s, with s the standard deviation of F at that pixel
over raw-equivalent replicates (the paper's Fig. 4f and 4g).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64

Int64 = NDArray[np.int64]


class RunningSpread:
    """Mean and standard deviation over replicates, one replicate at a time (Welford: nothing large cancels).

    Parameters
    ----------
    shape : sequence of int
        Shape of what is added.

    References
    ----------
    .. [1] Welford (1962), Note on a method for calculating corrected sums of squares and products, Technometrics 4.

    Examples
    --------
    >>> spread = RunningSpread((1,))
    >>> for value in (1e9, 1e9 + 1, 1e9 + 2):
    ...     spread.add(np.array([value]))
    >>> spread.deviation().tolist()
    [1.0]
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.n = 0
        self.mean: Float64 = np.zeros(shape)
        self._squares: Float64 = np.zeros(shape)

    def add(self, values: NDArray[Any]) -> None:
        """Add one replicate, an array of the spread's shape; the order of replicates enters the rounding."""
        self.n += 1
        before = values - self.mean
        self.mean += before / self.n
        self._squares += before * (values - self.mean)

    def deviation(self) -> Float64:
        """Return the unbiased standard deviation, float64 of the spread's shape.

        Raises
        ------
        ValueError
            With fewer than two replicates.
        """
        if self.n < 2:
            raise ValueError(f"a standard deviation needs at least 2 replicates, not {self.n}")
        return np.sqrt(self._squares / (self.n - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorScores:
    """Scores of all features under one codec.

    Attributes
    ----------
    codec : str
        Its id in the study.
    mean, rms, deviation : ndarray of shape (n_features,), float64
        Over the pixels that have a score; NaN where none has.
    left_out : ndarray of shape (n_features,), int64
        Pixels without a score: those where the replicates do not differ.
    worst : int
        The feature with the largest rms; the first where none moves.
    worst_scores : ndarray of shape (rows, columns), float64
        Its scores; NaN where left out.
    """

    codec: str
    mean: Float64
    rms: Float64
    deviation: Float64
    left_out: Int64
    worst: int
    worst_scores: Float64


def operator_scores(codec: str, raw: NDArray[Any], compressed: NDArray[Any], deviation: Float64) -> OperatorScores:
    """Return the scores of the features of one codec.

    Parameters
    ----------
    codec : str
        Its id.
    raw, compressed : ndarray of shape (n_features, rows, columns), float32
        Features of the raw image and of its compressed version.
    deviation : ndarray of shape (n_features, rows, columns), float64
        Standard deviation of the features over replicates, same units.

    Returns
    -------
    OperatorScores

    Examples
    --------
    >>> raw = np.array([[[3.0, 5.0]], [[1.0, 1.0]]], np.float32)
    >>> found = operator_scores("c", raw, raw - 1, np.array([[[0.5, 0.0]], [[1.0, 1.0]]]))
    >>> found.mean.tolist(), found.left_out.tolist(), found.worst, found.worst_scores.tolist()
    ([2.0, 1.0], [1, 0], 0, [[2.0, nan]])
    """
    planes = [_scores(*one) for one in zip(raw, compressed, deviation, strict=True)]
    mean, rms, spread = (np.array(column) for column in zip(*map(_moments, planes), strict=True))
    worst = int(np.argmax(np.nan_to_num(rms)))
    return OperatorScores(
        codec=codec,
        mean=mean,
        rms=rms,
        deviation=spread,
        left_out=np.array([np.isnan(plane).sum() for plane in planes], np.int64),
        worst=worst,
        worst_scores=planes[worst],
    )


def _scores(raw: NDArray[Any], compressed: NDArray[Any], deviation: Float64) -> Float64:
    scores = np.full(raw.shape, np.nan)
    np.divide(raw.astype(np.float64) - compressed, deviation, out=scores, where=deviation > 0)
    return scores


def _moments(scores: Float64) -> tuple[float, float, float]:
    """Return mean, rms and standard deviation of the pixels that have a score."""
    known = scores[~np.isnan(scores)]
    if not known.size:
        return np.nan, np.nan, np.nan
    return float(known.mean()), float(np.sqrt(np.mean(known**2))), float(known.std())
