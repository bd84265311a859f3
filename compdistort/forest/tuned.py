"""The threshold and the smallest size that were tuned in training, and what holds where the user says nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compdistort.errors import ModelFileError

THRESHOLD, MIN_SIZE = 0.5, 1
"""What holds where nobody says anything."""


@dataclass(frozen=True, slots=True)
class Decision:
    """From which probability and which size on there is an object.

    Attributes
    ----------
    threshold : float
        Level of the probability.
    min_size : int
        Smallest object, pixels or voxels.
    note : str
        Which of the two were tuned in training; empty where neither was.
    """

    threshold: float
    min_size: int
    note: str = ""


def decide(training: Mapping[str, Any], threshold: float | None, min_size: int | None) -> Decision:
    """Return what the user asks for, else what training found best, else 0.5 and 1.

    Parameters
    ----------
    training : mapping
        Training report of a classifier; ``tuning`` in it holds ``threshold`` and ``min_size``.
    threshold, min_size
        What the user asks for; None for nothing.

    Returns
    -------
    Decision

    Raises
    ------
    ModelFileError
        If the report holds a pair that cannot be.

    Examples
    --------
    >>> tuned = {"tuning": {"threshold": 0.35, "min_size": 4}}
    >>> decide(tuned, None, None).note
    'P >= 0.35 and objects of 4 pixels or more, as tuned in training'
    >>> decide(tuned, 0.5, 1)
    Decision(threshold=0.5, min_size=1, note='')
    >>> decide({}, None, None)
    Decision(threshold=0.5, min_size=1, note='')
    """
    tuned = tuned_pair(training)
    level, size = tuned or (THRESHOLD, MIN_SIZE)
    return Decision(
        threshold=level if threshold is None else threshold,
        min_size=size if min_size is None else min_size,
        note="" if tuned is None else _note(level, size, threshold, min_size),
    )


def tuned_pair(training: Mapping[str, Any]) -> tuple[float, int] | None:
    """Return the tuned threshold and smallest size of a training report, None where nothing was tuned.

    Raises
    ------
    ModelFileError
        If they cannot be: the report may come from a file.
    """
    if "tuning" not in training:
        return None
    tuning = training["tuning"]
    level, size = tuning["threshold"], tuning["min_size"]
    numbers = isinstance(level, int | float) and math.isfinite(level) and isinstance(size, int)
    if not (numbers and 0 <= level <= 1 and size >= 1):
        raise ModelFileError(f"holds the tuned threshold {level} and size {size}, which cannot be")
    return float(level), size


def _note(level: float, size: int, threshold: float | None, min_size: int | None) -> str:
    if threshold is None and min_size is None:
        return f"P >= {level:g} and objects of {size} pixels or more, as tuned in training"
    if threshold is None:
        return f"P >= {level:g}, as tuned in training with a smallest size of {size} pixels, not {min_size}"
    if min_size is None:
        return f"objects of {size} pixels or more, as tuned in training with P >= {level:g}, not {threshold:g}"
    return ""
