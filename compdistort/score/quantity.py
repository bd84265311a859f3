"""One quantity under one codec: its scores, intervals and remarks, before any decision."""

import math
from dataclasses import dataclass, replace

import numpy as np

from compdistort.backend.base import Float64
from compdistort.score.columns import TOTAL, CodecColumn, RawColumn
from compdistort.score.decision import NO_SPREAD, UNDECIDED, UNMATCHED
from compdistort.score.epsilon import (
    Jackknife,
    Score,
    divisor,
    expected_score,
    mean_uncertainty,
    paper_mean,
    paper_score,
)
from compdistort.score.results import CodecSamples, Estimate, QuantityScore
from compdistort.score.spread import EVENT_DRIVEN, total_estimate

LIMITED = "limited by resolution"
UNDEFINED = "undefined: changes, but no more than one replicate does"
_SHARE = 0.25  # remarks about single objects are made when this share of them is concerned
_UNLIKE = 3.0  # E1 further than this many standard deviations from E3 ...
_UNLIKE_LEAST = 0.05  # ... and this much of s


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A quantity without a decision, what decides it, and its objects' scores.

    Attributes
    ----------
    quantity : QuantityScore
        p values NaN, decision "undecided".
    deciding : Jackknife
        Of E3, or of E1 where no replicate went through the codec.
    scores, low, high : ndarray of shape (n_objects,), float64
        E1 of every object with its interval.
    """

    quantity: QuantityScore
    deciding: Jackknife
    scores: Float64
    low: Float64
    high: Float64


@dataclass(frozen=True, slots=True, eq=False)
class RawScores:
    """What holds for a quantity whatever the codec: s over objects, and the double-noise shift b."""

    uncertainty: Estimate
    shift: Estimate


def raw_scores(column: RawColumn, level: float) -> RawScores:
    """Return s and b of a quantity.

    Parameters
    ----------
    column : RawColumn
        The quantity.
    level : float
        Confidence level.

    Returns
    -------
    RawScores
        b = (mean replicate - chi_raw) / s, as E3 with the raw image in the place of the codec.
    """
    flags = _raw_flags(column)
    if column.kind == TOTAL:
        uncertainty = total_estimate(column.spread, flags)
    else:
        uncertainty = mean_uncertainty(column.spread, column.directed, level, flags)
    shift = expected_score(column.deviation, column.spread, column.step, column.directed)
    return RawScores(uncertainty, shift.mean.estimate(level))


def _raw_flags(column: RawColumn) -> tuple[str, ...]:
    """Return remarks that hold whatever the codec."""
    s, flags = column.spread, [*column.remarks]
    known = np.isfinite(s.value) & column.directed
    limited = known & (s.value <= column.step / math.sqrt(12))
    if column.kind == TOTAL:
        return (*flags, *((LIMITED,) if limited[0] else ()))
    n_known, n_limited, n_events = (int(np.count_nonzero(x)) for x in (known, limited, s.event_driven & known))
    if n_limited > _SHARE * n_known:
        flags.append(f"{LIMITED} in {n_limited} of {n_known} objects")
    if n_events > _SHARE * n_known:
        flags.append(f"{EVENT_DRIVEN} in {n_events} of {n_known} objects")
    return tuple(flags)


def score_quantity(
    column: RawColumn,
    raw: RawScores,
    codec: CodecColumn,
    *,
    level: float,
    min_matched: float,
    enough: bool,
    raw_alone: bool = False,
) -> Scored:
    """Return the scores of one quantity under one codec.

    Parameters
    ----------
    column, raw : RawColumn, RawScores
        The quantity in the raw image and its replicates.
    codec : CodecColumn
        What the codec does to it.
    level : float
        Confidence level.
    min_matched : float
        Least share of the objects with a spread among those that changed.
    enough : bool
        Whether the codec's objects are matched well enough for a decision on object means.
    raw_alone : bool
        Whether no replicate went through the codec.

    Returns
    -------
    Scored
    """
    paper = paper_score(codec.delta, column.spread, column.step, column.directed)
    expected = expected_score(codec.paired, column.spread, column.step, column.directed)
    low, high = object_limits(column, codec.delta, paper.values)
    flags = (*_raw_flags(column), *_codec_flags(column, paper, expected, min_matched=min_matched, enough=enough))
    no_direction = column.directed.size > 0 and not column.directed.any()
    raw_value, compressed = _levels(column, codec.delta)
    quantity = QuantityScore(
        name=column.name,
        kind=column.kind,
        raw=raw_value,
        compressed=compressed,
        uncertainty=raw.uncertainty,
        paper=_paper_estimate(column, paper, low, high, level),
        paper_spread=_spread_over_objects(paper.values) if column.kind != TOTAL else math.nan,
        paper_rms=_rms(paper.values),
        expected=expected.mean.estimate(level),
        p_tolerable=math.nan,
        p_intolerable=math.nan,
        decision=UNDECIDED,
        shift=raw.shift,
        n_objects=paper.n_objects,
        flags=flags,
        n_expected=expected.n_objects,
        decides=column.may_decide and not no_direction,
        by="E1" if raw_alone else "E3",
    )
    return Scored(quantity, (paper if raw_alone else expected).mean, paper.values, low, high)


def split_offset(scored: Scored, column: RawColumn, codec: CodecSamples) -> Scored:
    """Return a quantity with what is left of E1 once the codec's mean pixel residual is taken out.

    Parameters
    ----------
    scored : Scored
        The quantity under the codec.
    column : RawColumn
        The quantity in the raw image and its replicates.
    codec : CodecSamples
        The codec; returned unchanged where it was not measured without its offset.

    Returns
    -------
    Scored
    """
    values, totals = codec.values_without_offset, codec.totals_without_offset
    if values is None or totals is None:
        return scored
    delta = column.compare(replace(codec, values=values, totals=totals)).delta
    left = paper_mean(delta, column.spread, column.step, column.directed)
    return replace(scored, quantity=replace(scored.quantity, paper_without_offset=left))


def object_limits(column: RawColumn, delta: Float64, values: Float64) -> tuple[Float64, Float64]:
    """Return the interval of E1 of every object: the difference over Bonett's limits of s, in order.

    Parameters
    ----------
    column : RawColumn
        The quantity.
    delta, values : ndarray of shape (n_objects,), float64
        chi_raw - chi_c and E1.

    Returns
    -------
    tuple of ndarray of shape (n_objects,), float64
        NaN where E1 is undefined; 0 where it is 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ends = [delta / divisor(limit, column.step) for limit in (column.spread.low, column.spread.high)]
    known = np.isfinite(values)
    zero = values == 0
    low, high = (np.where(known, np.where(zero, 0.0, f(*ends)), np.nan) for f in (np.minimum, np.maximum))
    return low, high


def _paper_estimate(column: RawColumn, paper: Score, low: Float64, high: Float64, level: float) -> Estimate:
    if column.kind == TOTAL:
        return Estimate(value=paper.mean.value, low=float(low[0]), high=float(high[0]))
    return paper.mean.estimate(level)


def _codec_flags(
    column: RawColumn, paper: Score, expected: Score, *, min_matched: float, enough: bool
) -> tuple[str, ...]:
    flags = []
    total = column.kind == TOTAL
    n_undefined = max(paper.n_undefined, expected.n_undefined)
    if total and n_undefined:
        flags.append(UNDEFINED)
    if not total and not enough:
        flags.append(UNMATCHED)
    if not total and n_undefined:
        entered = max(paper.n_objects, expected.n_objects)
        share = n_undefined / (n_undefined + entered)
        words = NO_SPREAD if share > 1 - min_matched else "changed objects without spread"
        flags.append(f"{words}: {n_undefined}")
    if abs(paper.mean.value - expected.mean.value) > _UNLIKE * expected.replicate_spread + _UNLIKE_LEAST:
        flags.append("raw image unlike its replicates (E1 far from E3)")
    return tuple(flags)


def _levels(column: RawColumn, delta: Float64) -> tuple[float, float]:
    """Return the mean over matched objects in the raw image, and that less the mean difference."""
    known = np.isfinite(delta)
    if not known.any():
        return (float(column.raw[0]) if column.kind == TOTAL else math.nan), math.nan
    value = float(column.raw[known].mean())
    return value, value - float(delta[known].mean())


def _spread_over_objects(scores: Float64) -> float:
    known = scores[np.isfinite(scores)]
    return float(known.std(ddof=1)) if known.size > 1 else math.nan


def _rms(scores: Float64) -> float:
    known = scores[np.isfinite(scores)]
    return float(np.sqrt(np.square(known).mean())) if known.size else math.nan
