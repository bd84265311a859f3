"""Standard scores with intervals, and the verdict on each codec."""

from compdistort.score.axial import axial_spread, resultant_length, wrap_axial
from compdistort.score.bootstrap import bca_interval
from compdistort.score.convergence import convergence
from compdistort.score.decision import holm, p_beyond, p_within
from compdistort.score.delta import delta_replicate, delta_size
from compdistort.score.epsilon import expected_score, jackknife, paper_score
from compdistort.score.pixel_results import PixelStatistics
from compdistort.score.pixels import pixel_statistics
from compdistort.score.rates import clopper_pearson, match_rates, null_rates
from compdistort.score.results import (
    CodecSamples,
    CodecScores,
    ConvergencePoint,
    DeltaSize,
    Estimate,
    Precision,
    QuantityScore,
    RawSamples,
    StudyScores,
)
from compdistort.score.serialise import scores_to_dict
from compdistort.score.spread import bonett_interval, c4, linear_spread, normal_limits, replicates_needed
from compdistort.score.study import score_study

__all__ = [
    "CodecSamples",
    "CodecScores",
    "ConvergencePoint",
    "DeltaSize",
    "Estimate",
    "PixelStatistics",
    "Precision",
    "QuantityScore",
    "RawSamples",
    "StudyScores",
    "axial_spread",
    "bca_interval",
    "bonett_interval",
    "c4",
    "clopper_pearson",
    "convergence",
    "delta_replicate",
    "delta_size",
    "expected_score",
    "holm",
    "jackknife",
    "linear_spread",
    "match_rates",
    "normal_limits",
    "null_rates",
    "p_beyond",
    "p_within",
    "paper_score",
    "pixel_statistics",
    "replicates_needed",
    "resultant_length",
    "score_study",
    "scores_to_dict",
    "wrap_axial",
]
