"""How a forest is grown: the two recipes of the paper."""

from dataclasses import dataclass
from typing import Any

from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Settings of a random forest; trees are grown out.

    Attributes
    ----------
    n_trees : int
        Number of trees.
    max_features : int or "sqrt"
        Features that compete at a node.
    criterion : {"entropy", "gini"}
        What a split lowers.
    """

    n_trees: int
    max_features: int | str
    criterion: str


PRESETS = {
    "weka": Preset(n_trees=200, max_features=2, criterion="entropy"),
    "ilastik": Preset(n_trees=100, max_features="sqrt", criterion="gini"),
}
"""``weka``: as Trainable Weka Segmentation's FastRandomForest in the paper. ``ilastik``: as ilastik's forest."""


def find_preset(name: str) -> Preset:
    """Return a preset by name, or raise ConfigError."""
    if name not in PRESETS:
        raise ConfigError(f"forest preset '{name}' is unknown", f"use {' or '.join(PRESETS)}")
    return PRESETS[name]


def default_spec(preset: str) -> FeatureSpec:
    """Return the feature set that belongs to a preset: the set of the same name.

    Examples
    --------
    >>> default_spec("ilastik").set
    'ilastik'
    """
    find_preset(preset)
    return FeatureSpec(set=preset)


def build_estimator(preset: str, seed: int, *, balanced: bool, oob: bool) -> Any:
    """Return an unfitted scikit-learn forest of a preset.

    Parameters
    ----------
    preset : str
        A key of `PRESETS`.
    seed : int
        Seed of the bootstrap and of the feature draws, 0 to 2^32 - 1.
    balanced : bool
        Weigh pixels so that every class weighs the same, however many pixels were drawn of it.
    oob : bool
        Whether the out-of-bag error is wanted.

    Returns
    -------
    RandomForestClassifier
    """
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - one second to import

    found = find_preset(preset)
    return RandomForestClassifier(
        found.n_trees,
        max_features=found.max_features,
        criterion=found.criterion,
        class_weight="balanced" if balanced else None,
        bootstrap=True,
        oob_score=oob,
        random_state=seed,
        n_jobs=1,
    )
