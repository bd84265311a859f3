"""Scores as plain data for JSON: dataclasses become dicts, arrays lists, and what is not a number null."""

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from compdistort.score.results import StudyScores

OBJECT_ARRAYS = (
    "object_scores",
    "object_low",
    "object_high",
    "object_uncertainty",
    "object_uncertainty_low",
    "object_uncertainty_high",
)
"""Fields with a number for every object and parameter, the bulk of a study's scores."""


def scores_to_dict(scores: StudyScores, *, objects: bool = True) -> dict[str, Any]:
    """Return the scores of a study as JSON-safe data.

    Parameters
    ----------
    scores : StudyScores
        From `score_study`.
    objects : bool
        Whether to include the arrays of `OBJECT_ARRAYS` (lists of n_objects rows).

    Returns
    -------
    dict
        Same names as the dataclasses; NaN and infinities are None.
    """
    plain: dict[str, Any] = _plain(scores, frozenset(() if objects else OBJECT_ARRAYS))
    return plain


def _plain(value: Any, left_out: frozenset[str]) -> Any:
    if is_dataclass(value):
        chosen = (f.name for f in fields(value) if f.name not in left_out)
        return {name: _plain(getattr(value, name), left_out) for name in chosen}
    if isinstance(value, dict):
        return {str(key): _plain(item, left_out) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist(), left_out)
    if isinstance(value, list | tuple):
        return [_plain(item, left_out) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
