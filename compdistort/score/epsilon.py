"""The standard scores: E1 of the paper, E3 the paired expected score, b the double-noise shift.

All three divide a difference by s and average over objects. s comes from the replicates, so their intervals are
those of the delete-one jackknife over replicates, all objects together: objects of one replicate depend on each
other. The interval uses pseudo-values and so lacks the bias of 1 / s (E[1/s] = 1.094 / sigma at 10 replicates,
1.008 at 100); the value itself keeps the paper's definition, and the interval is widened to hold it.

The divisor is s, but no less than q / sqrt(12) for a quantity of step q (GUM F.2.2.1): s of a quantity that noise moves
across steps holds its rounding already, and s of one that noise does not move would divide by zero.

Without a step an s of 0 scores nothing, and so does an s that one replicate alone makes: it is 0 without that one, so
the jackknife cannot tell how uncertain it is. One such object, moved once in 100 replicates by the hundredth of a
pixel, would score in the hundreds and carry the mean of all others with it.

References
----------
.. [1] Pomarico et al. (2022), Sci. Rep. 12, doi 10.1038/s41598-022-07445-4.
.. [2] Tukey (1958), Ann. Math. Stat. 29, 614: pseudo-values. JCGM 100:2008 F.2.2.1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from compdistort.backend.base import Float64
from compdistort.score.results import Estimate
from compdistort.score.spread import Spread

MIN_REPLICATES = 3
"""An object needs this many matched replicates for a score: leaving one out must leave an s (two in a study of two)."""


@dataclass(frozen=True, slots=True)
class Jackknife:
    """A statistic and what leaving out each replicate says about it.

    Attributes
    ----------
    value : float
        The statistic of all replicates.
    centre, standard_error : float
        Mean of the pseudo-values (free of the 1/n bias) and its standard error.
    n : int
        Replicates.
    """

    value: float
    centre: float
    standard_error: float
    n: int

    @property
    def largest(self) -> float:
        """The larger magnitude of `value` and `centre`: what a claim of smallness must start from."""
        return max(abs(self.value), abs(self.centre))

    @property
    def smallest(self) -> float:
        """The smaller magnitude, 0 where the signs differ: what a claim of largeness must start from."""
        return min(abs(self.value), abs(self.centre)) if self.value * self.centre > 0 else 0.0 * self.value

    def estimate(self, level: float, flags: tuple[str, ...] = ()) -> Estimate:
        """Return value and t interval of n - 1 degrees of freedom."""
        half = float(stdtrit(self.n - 1, 0.5 + level / 2)) * self.standard_error
        low, high = min(self.centre - half, self.value), max(self.centre + half, self.value)
        if not math.isfinite(half):
            low = high = math.nan
        return Estimate(value=self.value, low=low, high=high, flags=flags)


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A score of all objects of a quantity.

    Attributes
    ----------
    values : ndarray of shape (n_objects,), float64
        Score of every object; NaN = undefined.
    mean : Jackknife
        Of their mean over objects.
    n_objects, n_undefined : int
        Objects that entered; objects that changed although no more than one replicate varies (no step).
    replicate_spread : float
        Standard deviation over replicates of the mean over objects of d_r / s; NaN for E1.
    """

    values: Float64
    mean: Jackknife
    n_objects: int
    n_undefined: int
    replicate_spread: float = math.nan


def jackknife(value: float, left_out: Float64) -> Jackknife:
    """Return the jackknife of a statistic.

    Parameters
    ----------
    value : float
        The statistic of all replicates.
    left_out : ndarray of shape (n_replicates,), float64
        The statistic without each replicate.

    Returns
    -------
    Jackknife
        Centre and standard error are NaN where the statistic does not exist without one of the replicates.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 6.0])
    >>> j = jackknife(3.0, (x.sum() - x) / 2)
    >>> j.centre, round(j.standard_error, 6), round(float(x.std(ddof=1) / np.sqrt(3)), 6)
    (3.0, 1.527525, 1.527525)
    """
    n = left_out.size
    if not np.isfinite(left_out).all():
        return Jackknife(value, math.nan, math.nan, n)
    pseudo = n * value - (n - 1) * left_out
    return Jackknife(value, float(pseudo.mean()), float(pseudo.std(ddof=1) / math.sqrt(n)), n)


def divisor(s: Float64, step: float) -> Float64:
    """Return s, or the resolution step / sqrt(12) where that is larger; NaN stays NaN.

    Examples
    --------
    >>> divisor(np.array([0.0, 2.0]), 1.0).round(4)
    array([0.2887, 2.    ])
    """
    return np.maximum(s, step / math.sqrt(12))


def paper_score(delta: Float64, spread: Spread, step: float, directed: NDArray[np.bool_]) -> Score:
    """Return E1 = (chi_raw - chi_c) / s of every object and its mean.

    Parameters
    ----------
    delta : ndarray of shape (n_objects,), float64
        chi_raw - chi_c; NaN = not matched.
    spread : Spread
        s of every object.
    step : float
        Step of the quantity.
    directed : ndarray of shape (n_objects,), bool
        False = no score (angle of a round object).

    Returns
    -------
    Score
        0 where nothing changed, whatever s.
    """
    unchanged = (delta == 0) & directed
    entered, values, undefined = _paper_values(delta, spread, step, directed)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(unchanged, 0.0, delta) / divisor(spread.left_out, step)
    return Score(values, _over_objects(values, left, entered, unchanged), int(entered.sum()), undefined)


def paper_mean(delta: Float64, spread: Spread, step: float, directed: NDArray[np.bool_]) -> float:
    """Return the mean over objects of `paper_score` alone, without its jackknife; NaN where no object has a score."""
    entered, values, _ = _paper_values(delta, spread, step, directed)
    return float(values[entered].mean()) if entered.any() else math.nan


def _paper_values(
    delta: Float64, spread: Spread, step: float, directed: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Float64, int]:
    """Return which objects enter E1, its values, and how many have none although they changed."""
    eligible = np.isfinite(delta) & directed & (spread.count >= _needed(spread))
    scales = divisor(spread.value, step), divisor(spread.left_out, step)
    return _divided(delta, *scales, (delta == 0) & directed, eligible)


def expected_score(paired: Float64, spread: Spread, step: float, directed: NDArray[np.bool_]) -> Score:
    """Return mean over r of d_r / s of every object and its mean over objects: E3, or b for d_r = chi(x_r) - chi(y).

    Parameters
    ----------
    paired : ndarray of shape (n_replicates, n_objects), float64
        d_r; NaN = not matched.
    spread, step, directed
        As in `paper_score`.

    Returns
    -------
    Score
        0 where no d_r differs from 0, whatever s.
    """
    known = np.isfinite(paired)
    count = known.sum(axis=0)
    d = np.where(known, paired, 0.0)
    unchanged = ~d.any(axis=0) & (count > 0) & directed
    scale, left_scale = divisor(spread.value, step), divisor(spread.left_out, step)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = d.sum(axis=0)
        mean = total / count
        eligible = (count > 1) & directed & (spread.count >= _needed(spread))
        entered, values, undefined = _divided(mean, scale, left_scale, unchanged, eligible)
        left = np.where(count - known > 0, (total - d) / (count - known), mean) / left_scale
        single = np.where(known & entered & ~unchanged, d / scale, np.where(known & unchanged, 0.0, np.nan))
    return Score(
        values,
        _over_objects(values, left, entered, unchanged),
        int(entered.sum()),
        undefined,
        _spread_of_row_means(single),
    )


def _needed(spread: Spread) -> int:
    return min(MIN_REPLICATES, len(spread.left_out))


def _divided(
    numerator: Float64,
    scale: Float64,
    left_scale: Float64,
    unchanged: NDArray[np.bool_],
    eligible: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], Float64, int]:
    """Return which objects have a score, the scores, and how many changed although no more than one replicate did."""
    scorable = (left_scale > 0).all(axis=0)
    entered = unchanged | (eligible & scorable)
    values = np.full(numerator.shape, np.nan)
    np.divide(numerator, scale, out=values, where=entered & ~unchanged)
    values[unchanged] = 0.0
    return entered, values, int(np.count_nonzero(eligible & ~unchanged & ~scorable))


def _over_objects(
    values: Float64, left: Float64, entered: NDArray[np.bool_], unchanged: NDArray[np.bool_]
) -> Jackknife:
    """Return the jackknife of the mean over the objects that entered."""
    if not entered.any():
        return Jackknife(math.nan, math.nan, math.nan, len(left))
    left[:, unchanged] = 0.0
    return jackknife(float(values[entered].mean()), left[:, entered].mean(axis=1))


def _spread_of_row_means(single: Float64) -> float:
    known = np.isfinite(single)
    count = known.sum(axis=1)
    rows = count > 0
    if np.count_nonzero(rows) < 2:
        return math.nan
    means = np.where(known, single, 0.0).sum(axis=1)[rows] / count[rows]
    return float(means.std(ddof=1))


def mean_uncertainty(spread: Spread, directed: NDArray[np.bool_], level: float, flags: tuple[str, ...]) -> Estimate:
    """Return the mean over objects of s, with the jackknife's interval over replicates."""
    entered = (spread.count >= _needed(spread)) & np.isfinite(spread.value) & directed
    none = np.zeros(entered.shape, np.bool_)
    return _over_objects(spread.value, spread.left_out.copy(), entered, none).estimate(level, flags)
