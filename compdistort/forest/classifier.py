"""A trained pixel classifier: which features, which forest, what its classes are called."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compdistort.backend.base import FeatureBins, FlatForest
from compdistort.backend.plain.codes import forest_on_bins
from compdistort.errors import ConfigError
from compdistort.features import FeatureSpec, feature_names
from compdistort.forest.bins import bin_problem
from compdistort.forest.flatten import flatten

MAX_CLASS_VALUE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Features, forest and classes.

    Attributes
    ----------
    features : FeatureSpec
        What the forest was trained on, in this order.
    forest : FlatForest
        The trees.
    class_names : tuple of str
        One a class.
    class_values : tuple of int
        The annotation value of each class, 1 to 255, rising.
    foreground : int
        Index of the class whose objects are measured.
    ndim : int
        Axes of the images that it was trained on, 2 or 3.
    training : dict
        JSON-ready report of the training.

    Raises
    ------
    ConfigError
        If the parts do not belong together.
    """

    features: FeatureSpec
    forest: FlatForest
    class_names: tuple[str, ...]
    class_values: tuple[int, ...]
    foreground: int
    ndim: int = 2
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_expected = len(feature_names(self.features))
        if self.forest.n_features != n_expected:
            raise ConfigError(
                f"the forest reads {self.forest.n_features} features, set '{self.features.set}' has {n_expected}",
                "give the set and the sigmas that it was trained on",
            )
        if not len(self.class_names) == len(self.class_values) == self.forest.n_classes:
            raise ConfigError(
                f"{len(self.class_names)} class names and {len(self.class_values)} class values do not fit a forest of "
                f"{self.forest.n_classes} classes",
                "give one of each a class",
            )
        if list(self.class_values) != sorted(set(self.class_values) & set(range(1, MAX_CLASS_VALUE + 1))):
            raise ConfigError(f"class values {self.class_values} are not rising numbers of 1 to 255", "renumber them")
        if not 0 <= self.foreground < self.forest.n_classes:
            raise ConfigError(f"foreground {self.foreground} is no class index", "give 0 to n_classes - 1")
        if self.ndim not in (2, 3):
            raise ConfigError(f"a classifier of images with {self.ndim} axes does not exist", "give 2 or 3")

    @property
    def foreground_value(self) -> int:
        """Annotation value of the foreground class."""
        return self.class_values[self.foreground]


def foreground_index(class_values: tuple[int, ...], value: int | None) -> int:
    """Return the index of the class with an annotation value; None takes the highest.

    Raises
    ------
    ConfigError
        If no class has that value.

    Examples
    --------
    >>> foreground_index((1, 2, 5), None), foreground_index((1, 2, 5), 1)
    (2, 0)
    """
    if value is None:
        return len(class_values) - 1
    if value not in class_values:
        raise ConfigError(
            f"foreground value {value} is not annotated (values: {', '.join(map(str, class_values))})",
            "choose one of them with --foreground",
        )
    return class_values.index(value)


def from_sklearn(
    estimator: Any,
    features: FeatureSpec,
    *,
    foreground: int | None = None,
    class_names: tuple[str, ...] | None = None,
    ndim: int = 2,
    bins: FeatureBins | None = None,
) -> Classifier:
    """Import a scikit-learn forest that was fitted elsewhere, in this process.

    Parameters
    ----------
    estimator : RandomForestClassifier or ExtraTreesClassifier
        Fitted on the float32 features of `features`, in their order, or on their codes, with one label a pixel.
    features : FeatureSpec
        The features.
    foreground : int, optional
        Label of the class whose objects are measured; default: the highest.
    class_names : tuple of str, optional
        One a class, in the order of ``estimator.classes_``.
    ndim : int
        Axes of the images, 2 or 3.
    bins : FeatureBins, optional
        Where given, `estimator` was fitted on the codes that these maps make of the features.

    Returns
    -------
    Classifier
        Labels 1 to 255 are kept as class values. Others are numbered 1, 2, ... in the order of ``classes_``, their old
        labels are their names, and `foreground` is one of the new numbers.

    Raises
    ------
    ConfigError
        If it is no such forest, or does not fit the features or the bins.
    """
    forest = flatten(estimator) if bins is None else _on_bins(flatten(estimator), bins)
    labels = np.asarray(estimator.classes_)
    numeric = np.issubdtype(labels.dtype, np.integer) and labels.min() >= 1 and labels.max() <= MAX_CLASS_VALUE
    values = tuple(int(v) for v in labels) if numeric else tuple(range(1, labels.size + 1))
    default_names = tuple(f"class {v}" for v in values) if numeric else tuple(str(v) for v in labels)
    return Classifier(
        features=features,
        forest=forest,
        class_names=default_names if class_names is None else class_names,
        class_values=values,
        foreground=foreground_index(values, foreground),
        ndim=ndim,
        training={"source": f"imported from scikit-learn, {type(estimator).__name__}", "n_trees": forest.n_trees},
    )


def _on_bins(forest: FlatForest, bins: FeatureBins) -> FlatForest:
    problem = bin_problem(bins, forest.n_features)
    if problem:
        raise ConfigError(problem, "give the maps to codes that the forest was fitted on")
    if (forest.threshold[forest.feature >= 0] >= bins.top).any():
        raise ConfigError(
            f"a threshold of the forest is {forest.threshold.max():g}, the largest code is {bins.top}",
            "give the maps to codes that the forest was fitted on",
        )
    return forest_on_bins(forest, bins)
