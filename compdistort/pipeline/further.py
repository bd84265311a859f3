"""The further totals of every image of a study: checked once, found image by image, kept in its store.

Each is one more way from probability to objects, over the same image, by the same verbs of the engine: a study with
them segments and measures an image `Further.passes` times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from compdistort.backend.base import Float64, SegmentRule
from compdistort.config import StudyConfig
from compdistort.errors import ConfigError
from compdistort.forest import Classifier
from compdistort.measurands import Further, Measurands, further_values
from compdistort.measurands.further import ORGAN_LEVEL
from compdistort.pipeline.chain import Chain
from compdistort.store import ArrayWrite, StudyStore


def further_of(config: StudyConfig, classifier: Classifier, rule: SegmentRule) -> Further:
    """Return what a study predicts beside the totals of its objects.

    Parameters
    ----------
    config : StudyConfig
        Its section ``measure``.
    classifier : Classifier
        Whose classes there are.
    rule : SegmentRule
        From probability to the study's objects.

    Returns
    -------
    Further

    Raises
    ------
    ConfigError
        If a further threshold is the study's own, or ``organ_excludes`` is no class, or that of the objects.
    """
    section, values = config.measure, classifier.class_values
    for level in section.more_thresholds:
        if f"{level:g}" == f"{rule.threshold:g}":
            raise ConfigError(
                f"measure.more_thresholds holds {level:g}, which is the threshold of the study's objects", "remove it"
            )
    organ = section.organ_excludes
    if organ is not None and organ not in values:
        raise ConfigError(
            f"measure.organ_excludes = {organ} is no class of the classifier",
            f"give the annotation value of what is not the organ (classes: {', '.join(map(str, values))})",
        )
    if organ is not None and organ == values[rule.foreground]:
        raise ConfigError(
            f"measure.organ_excludes = {organ} is the class of the objects", "give the one that is not the organ"
        )
    return Further(thresholds=section.more_thresholds, organ_excludes=organ)


def further_in(facts: Mapping[str, Any]) -> Further:
    """Return what was committed with the reference of a study (its fact ``further``)."""
    stored = facts["further"]
    return Further(thresholds=tuple(stored["thresholds"]), organ_excludes=stored["organ_excludes"])


def find_further(chain: Chain, image: Any, values: Float64) -> tuple[float, ...]:
    """Return the further totals of an image.

    Parameters
    ----------
    chain : Chain
        The chain; its `measurands` say what is wanted.
    image : object
        Image on the raw scale, DN, as `Chain.find` takes it.
    values : ndarray of shape (n_objects, n_columns), float64
        Its objects.

    Returns
    -------
    tuple of float
        As `further_values`.
    """
    further = chain.measurands.further
    if not chain.measurands.further_totals:
        return ()
    tables = [_table(chain, image, replace(chain.rule, threshold=level)) for level in further.thresholds]
    outside = None if further.organ_excludes is None else _table(chain, image, _outside(chain, further.organ_excludes))
    return further_values(chain.measurands, values, tables, outside, prod(chain.seen.shape))


def _outside(chain: Chain, organ_excludes: int) -> SegmentRule:
    """Return the rule that finds what is not organ: every pixel of it, whatever the study asks of its objects."""
    return SegmentRule(
        foreground=chain.classifier.class_values.index(organ_excludes),
        threshold=ORGAN_LEVEL,
        smoothing_px=chain.rule.smoothing_px,
        connectivity=chain.rule.connectivity,
    )


def _table(chain: Chain, image: Any, rule: SegmentRule) -> Float64:
    return replace(chain, rule=rule).find(image).values


def further_writes(store: StudyStore, place: str, measurands: Measurands, totals: Float64) -> Sequence[ArrayWrite]:
    """Return the writes of the further ones of an image's totals; none where the study has none."""
    if not measurands.further_totals:
        return ()
    return (store.write_whole(f"{place}/further", totals[len(measurands.table_totals) :]),)


def stored_totals(store: StudyStore, place: str, measurands: Measurands) -> Float64:
    """Return the totals of an image: of its stored table of objects, and those that `further_writes` stored."""
    further = store.read(f"{place}/further").tolist() if measurands.further_totals else ()
    return measurands.totals_of(store.read(f"{place}/objects"), further)
