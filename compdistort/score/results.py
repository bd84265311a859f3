"""What scoring takes and gives: plain frozen data, free of any array library but NumPy.

Notation of statistics: chi is one prediction (an object parameter or an image total), chi_raw the one of the raw
image, chi_c the one of its compressed version, s the standard deviation over replicates (the predictive
uncertainty, the paper's sigma_raw).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from compdistort.backend.base import Float32, Float64
from compdistort.match import MatchCounts
from compdistort.measurands import PLANAR, Measurands


def _no_objects() -> Float64:
    return np.empty((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSamples:
    """The raw image and its replicates, aligned to the raw image's objects.

    Attributes
    ----------
    values : ndarray of shape (n_objects, n_parameters), float64
        Parameters of the raw image's objects, order of `measurands`.
    totals : ndarray of shape (n_totals,), float64
        Order of `measurands`.
    replicate_values : ndarray of shape (n_replicates, n_objects, n_parameters), float32
        The same objects found in each replicate; NaN where an object was not matched.
    replicate_totals : ndarray of shape (n_replicates, n_totals), float64
        Totals of each replicate over all its objects, matched or not.
    replicate_counts : tuple of MatchCounts
        One a replicate: the null of the lost / new / split / merged rates.
    measurands : Measurands
        What is predicted.
    """

    values: Float64
    totals: Float64
    replicate_values: Float32
    replicate_totals: Float64
    replicate_counts: tuple[MatchCounts, ...]
    measurands: Measurands = PLANAR


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSamples:
    """One codec applied to the raw image (`values`) and to every replicate (`paired_*`), aligned like `RawSamples`.

    Those `without_offset` are of the decoded raw image without its mean pixel residual; None where not measured.
    Of a codec that exists for the raw image alone (`raw_alone`) every paired value is NaN.
    """

    codec: str
    values: Float64
    totals: Float64
    counts: MatchCounts
    paired_values: Float32
    paired_totals: Float64
    values_without_offset: Float64 | None = None
    totals_without_offset: Float64 | None = None
    raw_alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its confidence interval (level in the study's statistics section).

    Attributes
    ----------
    value, low, high : float
        NaN where it is not defined.
    flags : tuple of str
        Words such as "limited by resolution", "event-driven sigma", "axial", "round objects left out".
    """

    value: float
    low: float
    high: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityScore:
    """One predicted quantity under one codec: an image total, or the mean over objects of one parameter.

    Attributes
    ----------
    name : str
        A total or a parameter of the study's measurands.
    kind : str
        ``"total"`` or ``"object mean"``.
    raw, compressed : float
        The quantity in the raw image and in its compressed version (object means: over matched objects), own unit.
    uncertainty : Estimate
        s with its interval (object means: mean over objects of s), own unit.
    paper : Estimate
        E1, the paper's epsilon: (chi_raw - chi_c) / s; for object means its average over objects.
    paper_spread : float
        Standard deviation of E1 over objects (error bar of Fig. 2e); NaN for totals.
    paper_rms : float
        Root mean square of E1 over objects (means can cancel); |E1| for totals.
    expected : Estimate
        E3, mean(chi(x_r) - chi(C(x_r))) / s, with the jackknife's interval over replicates.
    p_tolerable, p_intolerable : float
        Larger p value of the two one-sided tests that |E3| < margin; Holm-adjusted p value that |E3| > margin.
    decision : str
        ``"tolerable"``, ``"intolerable"`` or ``"undecided"``.
    shift : Estimate
        b = (mean replicate - chi_raw) / s, the double-noise shift (the same for every codec).
    n_objects : int
        Objects that entered E1 (totals: all).
    flags : tuple of str
        Remarks, as in `Estimate`.
    n_expected : int
        Objects that entered E3 (totals: all).
    decides : bool
        Whether the codec's verdict rests on it: not for a total that follows from others, nor for an angle that no
        object has.
    paper_without_offset : float
        E1 once the codec's mean pixel residual is taken out; NaN where that was not measured.
    by : str
        Which score decides: ``"E3"``, or ``"E1"`` where no replicate went through the codec.
    """

    name: str
    kind: str
    raw: float
    compressed: float
    uncertainty: Estimate
    paper: Estimate
    paper_spread: float
    paper_rms: float
    expected: Estimate
    p_tolerable: float
    p_intolerable: float
    decision: str
    shift: Estimate
    n_objects: int
    flags: tuple[str, ...] = ()
    n_expected: int = 0
    decides: bool = True
    paper_without_offset: float = math.nan
    by: str = "E3"

    @property
    def deciding(self) -> Estimate:
        """The score that decides."""
        return self.paper if self.by == "E1" else self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaSize:
    """Histogram of size_raw - size_codec over matched objects (paper's Fig. 2c and Tables 1 and 2), own unit.

    The size is the area of an object in a plane, its volume in a volume.

    `edges` has one entry more than `counts`; `mean` and `spread` (standard deviation) are of the sample itself, their
    intervals beside them.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: Estimate
    spread: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecScores:
    """All that is said of one codec.

    Attributes
    ----------
    codec : str
        Its id in the study.
    verdict : str
        ``"tolerable"``, ``"intolerable"`` or ``"undecided"``.
    reasons : tuple of str
        The quantities that decide, in words, worst first.
    quantities : tuple of QuantityScore
        The totals, then the object means; those that `decides` marks make the verdict.
    counts : MatchCounts
        Of the compressed raw image.
    rates : dict of str to Estimate
        ``matched``, ``lost``, ``new``, ``split``, ``merged`` as fractions with Clopper-Pearson intervals.
    null_rates : dict of str to Estimate
        The same of the replicates against the raw image: mean and 2.5 - 97.5 % range.
    delta_size : DeltaSize
        The differences of area or volume.
    object_scores : ndarray of shape (n_objects, n_parameters), float64
        E1 of every object and parameter; NaN where unmatched or undefined.
    object_low, object_high : ndarray of shape (n_objects, n_parameters), float64
        Their intervals, from the Bonett interval of s.
    """

    codec: str
    verdict: str
    reasons: tuple[str, ...]
    quantities: tuple[QuantityScore, ...]
    counts: MatchCounts
    rates: dict[str, Estimate]
    null_rates: dict[str, Estimate]
    delta_size: DeltaSize
    object_scores: Float64
    object_low: Float64 = field(default_factory=_no_objects)
    object_high: Float64 = field(default_factory=_no_objects)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergencePoint:
    """Uncertainty s and its interval when only the first `n_replicates` are used.

    Attributes
    ----------
    n_replicates : int
        How many.
    totals : dict of str to Estimate
        s of each total.
    size_median : Estimate
        Medians over objects of s of the size and of its limits, own unit.
    """

    n_replicates: int
    totals: dict[str, Estimate]
    size_median: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How well s of one quantity is known, and how many replicates would make it better.

    Attributes
    ----------
    half_width : float
        Half the width of the interval of s over s.
    kurtosis : float
        m4 / m2^2 of the replicates; 3 for a normal law.
    replicates_for_10_percent, replicates_for_5_percent : int or None
        Replicates for a half-width of 10 % and 5 %; None where s is not defined or zero.
    """

    half_width: float
    kurtosis: float
    replicates_for_10_percent: int | None
    replicates_for_5_percent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyScores:
    """Scores of a whole study.

    Attributes
    ----------
    n_replicates, n_objects : int
        Sample sizes.
    margin, level : float
        Margin of the decision in units of s; confidence level of the intervals.
    codecs : tuple of CodecScores
        One a codec, in the study's order.
    object_uncertainty : ndarray of shape (n_objects, n_parameters), float64
        s of every object and parameter (axial where the parameter is an angle); NaN where too few replicates match.
    total_uncertainty : dict of str to Estimate
        s of each total.
    shifts : dict of str to Estimate
        Double-noise shift b of each total and parameter.
    convergence : tuple of ConvergencePoint
        How s settles with the number of replicates.
    warnings : tuple of str
        What a reader must know before trusting a number, worst first (double noise |b| > 0.5, zero objects, ...).
    object_uncertainty_low, object_uncertainty_high : ndarray of shape (n_objects, n_parameters), float64
        Bonett limits of `object_uncertainty`.
    total_uncertainty_bootstrap : dict of str to Estimate
        s of each total with its BCa bootstrap interval: a check of the Bonett interval.
    precision : dict of str to Precision
        Of each total, and of ``object area`` or ``object volume`` (medians over objects).
    feret_jumps : dict of str to float
        Share of matched replicates in which the end of the Feret diameter jumps: ``recorded`` as measured, ``paired``
        after the ends were paired; empty where it is not measured.
    """

    n_replicates: int
    n_objects: int
    margin: float
    level: float
    codecs: tuple[CodecScores, ...]
    object_uncertainty: Float64
    total_uncertainty: dict[str, Estimate]
    shifts: dict[str, Estimate]
    convergence: tuple[ConvergencePoint, ...]
    warnings: tuple[str, ...] = field(default=())
    object_uncertainty_low: Float64 = field(default_factory=_no_objects)
    object_uncertainty_high: Float64 = field(default_factory=_no_objects)
    total_uncertainty_bootstrap: dict[str, Estimate] = field(default_factory=dict)
    precision: dict[str, Precision] = field(default_factory=dict)
    feret_jumps: dict[str, float] = field(default_factory=dict)
