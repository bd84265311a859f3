"""Scores of a whole study: every quantity under every codec, the verdicts, and what a reader must know first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from compdistort.backend.base import Float64
from compdistort.score.bootstrap import bca_interval
from compdistort.score.cautions import cautions
from compdistort.score.checks import check_samples, check_settings
from compdistort.score.columns import TOTAL, RawColumn, column_makers, feret_jumps
from compdistort.score.convergence import convergence, median_estimate, median_kurtosis, precision_of
from compdistort.score.decision import RAW_ALONE, decide, verdict
from compdistort.score.delta import delta_size
from compdistort.score.quantity import RawScores, Scored, raw_scores, score_quantity, split_offset
from compdistort.score.rates import match_rates, null_rates
from compdistort.score.results import (
    CodecSamples,
    CodecScores,
    Estimate,
    Precision,
    RawSamples,
    StudyScores,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What `score_study` was asked for."""

    margin: float
    level: float
    alpha: float
    min_matched: float


@dataclass(slots=True, eq=False)
class _Gathered:
    """Results that fill up quantity by quantity; object arrays have one column a parameter."""

    uncertainty: list[Float64] = field(default_factory=list)
    low: list[Float64] = field(default_factory=list)
    high: list[Float64] = field(default_factory=list)
    totals: dict[str, Estimate] = field(default_factory=dict)
    shifts: dict[str, Estimate] = field(default_factory=dict)
    precision: dict[str, Precision] = field(default_factory=dict)
    scored: list[list[Scored]] = field(default_factory=list)
    found_rarely: int = 0
    size: str = ""

    def add(self, column: RawColumn, raw: RawScores, level: float) -> None:
        """Keep what a column says whatever the codec."""
        self.shifts[column.name] = raw.shift
        spread = column.spread
        if column.kind == TOTAL:
            self.totals[column.name] = raw.uncertainty
            self.precision[column.name] = precision_of(raw.uncertainty, float(spread.kurtosis[0]), level)
            return
        for kept, values in ((self.uncertainty, spread.value), (self.low, spread.low), (self.high, spread.high)):
            kept.append(np.where(column.directed, values, np.nan))
        if column.name == self.size:
            self.found_rarely = int(np.count_nonzero(spread.count < min(3, len(column.deviation))))
            of_objects = precision_of(median_estimate(spread), median_kurtosis(spread), level)
            self.precision[f"object {self.size.lower()}"] = of_objects


def score_study(
    raw: RawSamples,
    codecs: Sequence[CodecSamples],
    *,
    margin: float = 1.0,
    level: float = 0.95,
    alpha: float = 0.05,
    seed: int = 0,
    min_matched: float = 0.9,
) -> StudyScores:
    """Score every codec of a study.

    Parameters
    ----------
    raw : RawSamples
        The raw image and its replicates.
    codecs : sequence of CodecSamples
        The codecs, aligned like `raw`.
    margin : float
        Largest tolerated |E3|, units of s, > 0; 1 is the paper's, 0.458 and 0.32 let the total uncertainty grow by no
        more than 10 % and 5 %.
    level : float
        Level of all intervals, 0.5 < level < 1.
    alpha : float
        Error rate of each of the two claims, 0 < alpha < 0.5.
    seed : int
        Of the bootstrap that checks s; nothing else draws numbers.
    min_matched : float
        Fraction of objects that must be matched before the object means decide anything.

    Returns
    -------
    StudyScores
        The same bits for the same input, on any number of threads.

    Raises
    ------
    ConfigError
        If there are fewer than two replicates, or a setting is out of range.
    InputError
        If the arrays do not fit together.

    References
    ----------
    .. [1] Pomarico et al. (2022), Sci. Rep. 12, doi 10.1038/s41598-022-07445-4.
    """
    rules = _Rules(margin=margin, level=level, alpha=alpha, min_matched=min_matched)
    check_settings(margin=margin, level=level, alpha=alpha, min_matched=min_matched)
    check_samples(raw, codecs)
    gathered = _gather(raw, codecs, rules)
    null = null_rates(raw.replicate_counts, level)
    return StudyScores(
        n_replicates=len(raw.replicate_totals),
        n_objects=len(raw.values),
        margin=margin,
        level=level,
        codecs=tuple(
            _codec_scores(raw, codec, [row[k] for row in gathered.scored], null, rules)
            for k, codec in enumerate(codecs)
        ),
        object_uncertainty=np.stack(gathered.uncertainty, axis=1),
        total_uncertainty=gathered.totals,
        shifts=gathered.shifts,
        convergence=convergence(raw, level),
        warnings=cautions(raw, gathered.shifts, gathered.totals, gathered.found_rarely),
        object_uncertainty_low=np.stack(gathered.low, axis=1),
        object_uncertainty_high=np.stack(gathered.high, axis=1),
        total_uncertainty_bootstrap={
            name: bca_interval(raw.replicate_totals[:, k] - raw.totals[k], seed, level)
            for k, name in enumerate(raw.measurands.total_names)
        },
        precision=gathered.precision,
        feret_jumps=feret_jumps(raw),
    )


def _gather(raw: RawSamples, codecs: Sequence[CodecSamples], rules: _Rules) -> _Gathered:
    """Score one quantity after another: its columns exist only while it is the turn of that quantity."""
    gathered = _Gathered(size=raw.measurands.size)
    enough = [well_matched(raw, codec, rules.min_matched) for codec in codecs]
    for make in column_makers(raw, rules.level):
        column = make()
        of_raw = raw_scores(column, rules.level)
        gathered.add(column, of_raw, rules.level)
        gathered.scored.append(
            [
                split_offset(
                    score_quantity(
                        column,
                        of_raw,
                        column.compare(codec),
                        level=rules.level,
                        min_matched=rules.min_matched,
                        enough=matched,
                        raw_alone=codec.raw_alone,
                    ),
                    column,
                    codec,
                )
                for codec, matched in zip(codecs, enough, strict=True)
            ]
        )
    return gathered


def well_matched(raw: RawSamples, codec: CodecSamples, min_matched: float) -> bool:
    """Return whether a codec keeps enough objects, of the raw image and of what each replicate shows.

    Parameters
    ----------
    raw, codec : RawSamples, CodecSamples
        Samples.
    min_matched : float
        Least fraction.

    Returns
    -------
    bool
        Objects that noise alone loses are not held against the codec.
    """
    size = raw.measurands.index(raw.measurands.size)
    found = np.isfinite(raw.replicate_values[:, :, size])
    both = np.count_nonzero(found & np.isfinite(codec.paired_values[:, :, size]))
    kept_in_pairs = codec.raw_alone or both >= min_matched * np.count_nonzero(found)
    return codec.counts.matched >= min_matched * codec.counts.n_raw and bool(kept_in_pairs)


def _codec_scores(
    raw: RawSamples, codec: CodecSamples, scored: Sequence[Scored], null: dict[str, Estimate], rules: _Rules
) -> CodecScores:
    quantities = decide(
        [one.quantity for one in scored], [one.deciding for one in scored], margin=rules.margin, alpha=rules.alpha
    )
    rates = match_rates(codec.counts, rules.level)
    word, reasons = verdict(quantities, rates["matched"].value, rules.min_matched, rules.margin)
    of_objects = scored[len(raw.measurands.totals) :]
    return CodecScores(
        codec=codec.codec,
        verdict=word,
        reasons=(*reasons, RAW_ALONE) if codec.raw_alone else reasons,
        quantities=quantities,
        counts=codec.counts,
        rates=rates,
        null_rates=null,
        delta_size=delta_size(raw.measurands, raw.values, codec.values, rules.level),
        object_scores=np.stack([one.scores for one in of_objects], axis=1),
        object_low=np.stack([one.low for one in of_objects], axis=1),
        object_high=np.stack([one.high for one in of_objects], axis=1),
    )
