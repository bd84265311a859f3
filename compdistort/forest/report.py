"""What a training says about its own quality."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from compdistort.backend.base import Float64, UInt8
from compdistort.features import FeatureSpec
from compdistort.forest.bin_effect import BinsReport

_POOR = 0.9
_MANY_OOB_ERRORS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The annotated classes.

    Attributes
    ----------
    values : tuple of int
        Annotation values, rising.
    names : tuple of str
        One a class.
    foreground : int
        Index of the class whose objects are measured.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    foreground: int

    def pairs(self) -> Iterator[tuple[int, str]]:
        """Go through (value, name)."""
        return zip(self.values, self.names, strict=True)

    def count(self, labels: UInt8) -> dict[str, int]:
        """Return how often each class occurs among annotation values of any shape."""
        return {name: int((labels == value).sum()) for value, name in self.pairs()}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Quality on annotated pixels that the judged forest was not trained on.

    Attributes
    ----------
    source : str
        Where those pixels come from, and which forest was judged.
    n_pixels : dict of str to int
        Judged pixels by class name.
    accuracy : float
        Fraction of pixels given their own class (the most probable one).
    recall : dict of str to float
        The same, by class.
    dice : float
        Of the foreground at probability >= 0.5, on those pixels.
    """

    source: str
    n_pixels: dict[str, int]
    accuracy: float
    recall: dict[str, float]
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What was trained on what, and how good it is.

    Attributes
    ----------
    features : FeatureSpec
        Features.
    image_dtype : str
        Type of the grey values: a forest that was trained on 16-bit values means nothing on 8-bit ones.
    preset : str
        Forest preset.
    n_trees, seed : int
        Size and seed of the forest.
    balanced : bool
        Whether every class weighed the same in training.
    n_pixels : dict of str to int
        Annotated pixels by class name, all of which the final forest was trained on.
    foreground : str
        Class whose objects are measured.
    oob_error : float or None
        Fraction of training pixels that the trees which did not see them get wrong. Neighbours of such a pixel were
        seen, so this is an optimistic figure. None where every tree saw every pixel.
    held_out : HeldOut or None
        None where no such estimate was possible.
    warnings : tuple of str
        What a reader must know.
    bins : BinsReport or None
        What bins change; None for a forest on float32 features.
    """

    features: FeatureSpec
    image_dtype: str
    preset: str
    n_trees: int
    seed: int
    balanced: bool
    n_pixels: dict[str, int]
    foreground: str
    oob_error: float | None
    held_out: HeldOut | None
    warnings: tuple[str, ...]
    bins: BinsReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        held_out = None if self.held_out is None else asdict(self.held_out)
        return {
            "features": self.features.to_dict(),
            "image_dtype": self.image_dtype,
            "preset": self.preset,
            "n_trees": self.n_trees,
            "seed": self.seed,
            "balanced": self.balanced,
            "n_pixels": self.n_pixels,
            "foreground": self.foreground,
            "oob_error": self.oob_error,
            "held_out": held_out,
            "warnings": list(self.warnings),
            **({} if self.bins is None else {"bins": self.bins.to_dict()}),
        }


def judge(probability: Float64, labels: UInt8, classes: Classes, source: str) -> HeldOut:
    """Compare probabilities with annotations.

    Parameters
    ----------
    probability : ndarray of shape (n_classes, n_pixels), float64
        What the forest says.
    labels : ndarray of shape (n_pixels,), uint8
        Annotation values of known classes.
    classes : Classes
        The classes.
    source : str
        Where the pixels come from.

    Returns
    -------
    HeldOut
        Recall holds the classes that occur in `labels`.
    """
    found = probability.argmax(axis=0)
    hits = {name: found[labels == value] == i for i, (value, name) in enumerate(classes.pairs())}
    inside, truth = probability[classes.foreground] >= 0.5, labels == classes.values[classes.foreground]
    both = int(inside.sum() + truth.sum())
    return HeldOut(
        source=source,
        n_pixels=classes.count(labels),
        accuracy=float(sum(int(hit.sum()) for hit in hits.values()) / labels.size),
        recall={name: float(hit.mean()) for name, hit in hits.items() if hit.size},
        dice=float(2 * (inside & truth).sum() / both) if both else 1.0,
    )


def weaknesses(oob_error: float | None, held_out: HeldOut | None, why_not: str) -> tuple[str, ...]:
    """Return the sentences that a weak or unjudged classifier deserves."""
    out = []
    if oob_error is not None and oob_error > _MANY_OOB_ERRORS:
        out.append(f"out-of-bag error is {oob_error:.1%}: the annotations contradict each other or the features")
    if held_out is None:
        out.append(f"no held-out estimate: {why_not}")
        return tuple(out)
    if held_out.dice < _POOR:
        out.append(f"Dice of the foreground on held-out annotations is only {held_out.dice:.3f}")
    out += [
        f"recall of {name} on held-out annotations is only {value:.3f}"
        for name, value in held_out.recall.items()
        if value < _POOR
    ]
    return tuple(out)
