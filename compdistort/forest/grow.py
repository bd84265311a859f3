"""Growing a forest on annotated pixels with scikit-learn, on their features or on codes of them."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from compdistort.backend.base import FeatureBins, FlatForest
from compdistort.backend.plain.codes import bin_codes, forest_on_bins
from compdistort.forest.flatten import flatten
from compdistort.forest.presets import build_estimator
from compdistort.forest.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a forest is grown: preset, seed, and whether classes weigh the same.

    `trees` and `leaves` (most leaves of a tree) take the place of the preset's own where they are not 0.
    """

    preset: str
    seed: int
    balanced: bool
    trees: int = 0
    leaves: int = 0


def grow(rows: Rows, recipe: Recipe, bins: FeatureBins | None, *, oob: bool) -> tuple[Any, FlatForest]:
    """Grow a forest.

    Parameters
    ----------
    rows : Rows
        Annotated pixels.
    recipe : Recipe
        How.
    bins : FeatureBins or None
        Where given, scikit-learn sees the codes of the features.
    oob : bool
        Whether the out-of-bag error is wanted.

    Returns
    -------
    RandomForestClassifier
        Fitted, on codes where there are bins.
    FlatForest
        The same forest with thresholds in the units of the features.
    """
    features = rows.features
    if bins is not None:
        features = bin_codes(np.ascontiguousarray(features.T), bins).T.astype(np.float32)
    estimator = build_estimator(recipe.preset, recipe.seed, balanced=recipe.balanced, oob=oob)
    if recipe.trees:
        estimator.set_params(n_estimators=recipe.trees)
    if recipe.leaves:
        estimator.set_params(max_leaf_nodes=recipe.leaves)
    with warnings.catch_warnings():
        # Said in our own words by `out_of_bag`.
        warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")
        estimator.fit(features, rows.pixels.value)
    forest = flatten(estimator)
    return estimator, forest if bins is None else forest_on_bins(forest, bins)


def out_of_bag(estimator: Any, rows: Rows) -> tuple[float | None, tuple[str, ...]]:
    """Return the error over pixels that some tree did not see, and a note where there are pixels that all trees saw.

    With balanced classes, scikit-learn draws the few pixels of a rare class for nearly every tree.
    """
    votes = np.nan_to_num(estimator.oob_decision_function_)
    judged = votes.sum(axis=1) > 0
    if not judged.any():
        return None, ("no out-of-bag error: every tree saw every annotated pixel",)
    found = estimator.classes_[votes[judged].argmax(axis=1)]
    error = float((found != rows.pixels.value[judged]).mean())
    n_seen = int((~judged).sum())
    return error, (f"out-of-bag error leaves out {n_seen} pixels that every tree saw",) if n_seen else ()
