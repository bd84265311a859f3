"""How well objects were found, where the true ones are known: precision, recall and F1 by centres."""

from dataclasses import dataclass

from compdistort.backend.base import Float64
from compdistort.match import match_objects
from compdistort.measurands import PLANAR, Measurands


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionScores:
    """Found objects against true ones.

    Attributes
    ----------
    true_positives : int
        Pairs of a found and a true object; each object is in one pair at most.
    found, true : int
        Objects found, and objects there are.
    """

    true_positives: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """Part of the found objects that are true; 1 where nothing was found, as nothing found is wrong."""
        return self.true_positives / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Part of the true objects that were found; 1 where there is none to find."""
        return self.true_positives / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 2 TP / (found + true); 1 where nothing was found and nothing is there."""
        return 2 * self.true_positives / (self.found + self.true) if self.found + self.true else 1.0


def detection_scores(
    found: Float64, true: Float64, radius: float = 3.0, measurands: Measurands = PLANAR
) -> DetectionScores:
    """Count the true objects that were found, one to one by centres of mass.

    Parameters
    ----------
    found, true : ndarray of shape (n_objects, n_columns), float64
        Object tables of `Backend.measure`, of a segmentation and of the truth.
    radius : float
        Largest distance of a pair, in the unit of the centres, > 0.
    measurands : Measurands
        What the tables hold.

    Returns
    -------
    DetectionScores
        Pairs are taken by ascending distance (see `match_objects`).

    Raises
    ------
    ConfigError
        If the radius is not above zero.
    InputError
        If a table has another number of columns, or a centre is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> true, found = np.zeros((2, 19)), np.zeros((3, 19))
    >>> true[:, 1], found[:, 1] = [10.0, 20.0], [11.0, 12.0, 40.0]
    >>> scores = detection_scores(found, true)
    >>> scores.true_positives, scores.recall, scores.f1
    (1, 0.5, 0.4)
    """
    pairs = match_objects(true, found, radius, measurands=measurands)
    return DetectionScores(true_positives=len(pairs), found=len(found), true=len(true))
