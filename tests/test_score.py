"""Scores against SciPy, against slow obvious loops, against hand calculations, and at every edge."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from compdistort.backend.base import PARAMETERS, SegmentRule
from compdistort.errors import ConfigError, InputError
from compdistort.match import MatchCounts
from compdistort.measurands import PLANAR
from compdistort.measure import measure_objects
from compdistort.score import (
    CodecSamples,
    RawSamples,
    axial_spread,
    bca_interval,
    bonett_interval,
    c4,
    clopper_pearson,
    delta_replicate,
    delta_size,
    expected_score,
    holm,
    jackknife,
    linear_spread,
    normal_limits,
    null_rates,
    p_beyond,
    p_within,
    paper_score,
    replicates_needed,
    resultant_length,
    score_study,
    scores_to_dict,
    wrap_axial,
)
from compdistort.score.feret import ends_of, follow, jump_rates

AREA, XM, ANGLE, FERET, FERET_X, FERET_Y, FERET_ANGLE, EXTENT = (
    PARAMETERS.index(name) for name in ("Area", "XM", "Angle", "Feret", "FeretX", "FeretY", "FeretAngle", "Extent")
)
ANGLES = (ANGLE, FERET_ANGLE)


def counts(n_raw, matched=None, n_other=None):
    matched = n_raw if matched is None else matched
    n_other = n_raw if n_other is None else n_other
    return MatchCounts(
        n_raw=n_raw, n_other=n_other, matched=matched, lost=n_raw - matched, new=n_other - matched, split=0, merged=0
    )


def totals_of(areas):
    found = np.isfinite(areas)
    n, area = found.sum(axis=-1).astype(float), np.where(found, areas, 0).sum(axis=-1).astype(float)
    with np.errstate(invalid="ignore"):
        return np.stack([n, area, area / n], axis=-1)


def raw_samples(n=40, n_objects=12, seed=0, lost=0.0):
    """Objects with independent normal noise; areas are whole; some objects are lost in some replicates."""
    rng = np.random.default_rng(seed)
    values = 60 + 25 * rng.random((n_objects, 19))
    spread = 0.5 + rng.random((n_objects, 19))
    replicates = values + spread * rng.normal(size=(n, n_objects, 19))
    values[:, AREA], replicates[:, :, AREA] = np.rint(values[:, AREA]), np.rint(replicates[:, :, AREA])
    replicates[rng.random((n, n_objects)) < lost] = np.nan
    return RawSamples(
        values=values,
        totals=totals_of(values[:, AREA]),
        replicate_values=replicates.astype(np.float32),
        replicate_totals=totals_of(replicates[:, :, AREA]),
        replicate_counts=tuple(counts(n_objects, int(k)) for k in np.isfinite(replicates[:, :, AREA]).sum(axis=1)),
    )


def codec_samples(raw, offset=0.0, noise=0.0, seed=5, name="codec"):
    """A codec that lowers every parameter by `offset` and adds its own noise; 0 and 0 is the identity."""
    rng = np.random.default_rng(seed)
    n, n_objects, _ = raw.replicate_values.shape
    change = offset + noise * rng.normal(size=(n + 1, n_objects, 19))
    values = raw.values - change[0]
    paired = (raw.replicate_values - change[1:]).astype(np.float32)
    return CodecSamples(
        codec=name,
        values=values,
        totals=totals_of(values[:, AREA]),
        counts=counts(n_objects),
        paired_values=paired,
        paired_totals=totals_of(paired[:, :, AREA].astype(float)),
    )


def quantity(scores, name, codec=0):
    return next(q for q in scores.codecs[codec].quantities if q.name == name)


# s and its intervals


def test_c4_and_replicates_needed_match_their_definitions():
    for n in (2, 10, 100):
        mean = stats.chi.mean(n - 1) / math.sqrt(n - 1)
        assert c4(n) == pytest.approx(mean, rel=1e-12)
    assert [replicates_needed(r) for r in (0.2, 0.1, 0.05, 0.02, 0.01)] == [50, 194, 770, 4803, 19209]


def bonett_by_hand(x, level=0.95):
    n, z = len(x), stats.norm.ppf(0.5 + level / 2)
    m = stats.trim_mean(x, 1 / (2 * math.sqrt(n - 4)))
    gamma = n * ((x - m) ** 4).sum() / ((x - x.mean()) ** 2).sum() ** 2
    c = n / (n - z)
    se = c * math.sqrt((gamma - (n - 3) / n) / (n - 1))
    return [math.exp(0.5 * (math.log(c * x.var(ddof=1)) + sign * z * se)) for sign in (-1, 1)]


@pytest.mark.parametrize("n", [5, 6, 7, 8, 9, 10, 30, 101])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bonett_interval_is_the_published_formula(n, level):
    x = np.random.default_rng(n).standard_t(5, size=n)
    e = bonett_interval(x, level)
    assert e.value == pytest.approx(x.std(ddof=1), rel=1e-12)
    assert (e.low, e.high) == pytest.approx(bonett_by_hand(x, level), rel=1e-10)
    assert e.low < e.value < e.high


@pytest.mark.parametrize("n", [2, 3, 4])
def test_below_five_values_the_interval_is_the_normal_laws(n):
    x = np.random.default_rng(n).normal(size=n)
    e, nu = bonett_interval(x), n - 1
    limits = [x.std(ddof=1) * math.sqrt(nu / stats.chi2.ppf(p, nu)) for p in (0.975, 0.025)]
    assert (e.low, e.high) == pytest.approx(limits, rel=1e-10)
    assert [float(v[0]) for v in normal_limits(np.array([x.std(ddof=1)]), np.array([n]))] == pytest.approx(limits)


def test_no_interval_below_two_values():
    assert all(math.isnan(v) for v in (bonett_interval(np.array([3.0])).value, bonett_interval(np.array([])).low))


def test_columns_with_gaps_equal_the_samples_without_them():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 8))
    x[rng.random(x.shape) < 0.3] = np.nan
    spread = linear_spread(x)
    for j in range(8):
        alone = x[np.isfinite(x[:, j]), j]
        assert spread.count[j] == alone.size
        assert spread.value[j] == pytest.approx(alone.std(ddof=1), rel=1e-12)
        assert (spread.low[j], spread.high[j]) == pytest.approx(bonett_by_hand(alone), rel=1e-10)
        assert spread.kurtosis[j] == pytest.approx(stats.kurtosis(alone, fisher=False), rel=1e-10)
        for r in range(30):
            rest = np.delete(x[:, j], r)
            assert spread.left_out[r, j] == pytest.approx(np.nanstd(rest, ddof=1), rel=1e-10)


def test_equal_values_have_exactly_no_spread():
    spread = linear_spread(np.full((7, 2), 0.1))
    assert spread.value.tolist() == spread.low.tolist() == spread.high.tolist() == [0.0, 0.0]
    axial, directed = axial_spread(np.full((7, 2), 33.3))
    assert axial.value.tolist() == [0.0, 0.0]
    assert directed.all()


def test_events_are_flagged_and_steady_noise_is_not():
    rng = np.random.default_rng(4)
    steady = rng.normal(size=(200, 50))
    rare = steady + 8 * (np.arange(200)[:, None] % 20 == 0)
    often = steady + 8 * (np.arange(200)[:, None] % 3 == 0)
    for x, expected in ((rare, True), (often, True), (steady, False), (np.rint(0.8 * steady), False)):
        assert (linear_spread(x, step=1.0).event_driven == expected).mean() > 0.98


def test_bca_interval_agrees_with_scipy():
    x = np.random.default_rng(6).gamma(4.0, size=80)
    ours = bca_interval(x, seed=1)
    theirs = stats.bootstrap((x,), lambda v, axis: v.std(axis=axis, ddof=1), rng=np.random.default_rng(0))
    limits = theirs.confidence_interval
    assert ours.low == pytest.approx(limits.low, rel=0.02)
    assert ours.high == pytest.approx(limits.high, rel=0.05)
    assert bca_interval(x, seed=1) == ours
    assert bca_interval(x, seed=2) != ours
    assert bca_interval(np.full(9, 2.0), seed=1).high == 0


# Special parameters


def test_axial_differences_wrap():
    rng = np.random.default_rng(7)
    a, b = rng.uniform(0, 180, (2, 1000))
    delta = wrap_axial(a - b)
    assert np.all((delta >= -90) & (delta < 90))
    assert np.allclose(np.sin(np.deg2rad(2 * (a - b))), np.sin(np.deg2rad(2 * delta)))
    assert wrap_axial(np.array([179.0 - 1.0, 0.25])).tolist() == [-2.0, 0.25]
    assert math.isnan(wrap_axial(np.array([math.nan]))[0])


@pytest.mark.parametrize(("centre", "sd"), [(90.0, 3.0), (179.5, 3.0), (0.0, 20.0), (10.0, 1e-3)])
def test_axial_spread_is_the_circular_standard_deviation(centre, sd):
    x = (centre + sd * np.random.default_rng(8).normal(size=(60, 3))) % 180
    spread, directed = axial_spread(x)
    assert directed.all()
    for j in range(3):
        assert spread.value[j] == pytest.approx(stats.circstd(x[:, j], high=180), rel=1e-6)
        left = [stats.circstd(np.delete(x[:, j], r), high=180) for r in range(60)]
        assert spread.left_out[:, j] == pytest.approx(left, rel=1e-6)
        assert spread.low[j] < spread.value[j] < spread.high[j]


def test_round_objects_have_no_direction():
    rng = np.random.default_rng(9)
    x = np.stack([rng.uniform(0, 180, 200), rng.normal(60, 10, 200)], axis=1)
    assert resultant_length(x)[0] < 0.3 < resultant_length(x)[1]
    assert axial_spread(x)[1].tolist() == [False, True]


def feret_values(x, y, x2, y2):
    values = np.zeros((*np.shape(x), 19))
    values[..., FERET_X], values[..., FERET_Y] = x, y
    values[..., FERET] = np.hypot(np.subtract(x2, x), np.subtract(y2, y))
    values[..., FERET_ANGLE] = np.rad2deg(np.arctan2(np.subtract(y, y2), np.subtract(x2, x))) % 180
    return values


def test_feret_ends_are_followed_through_a_swap():
    """An upright diameter: in the second image the lower end is the left one, moved by one pixel."""
    upper_first = feret_values([10], [0], [11], [40])
    lower_first = feret_values([10], [41], [11], [0])
    ends = ends_of(upper_first)
    assert [float(v[0]) for v in ends] == [10, 0, 11, 40]
    assert float(upper_first[0, FERET_Y] - lower_first[0, FERET_Y]) == -41
    followed = follow(ends, ends_of(lower_first))
    assert [float(v[0]) for v in followed] == [11, 0, 10, 41]
    assert jump_rates(ends, ends_of(lower_first)) == {"recorded": 1.0, "paired": 0.0}
    assert follow(ends, ends) == ends or all(
        np.array_equal(a, b) for a, b in zip(follow(ends, ends), ends, strict=True)
    )


@pytest.mark.parametrize(("dx", "dy"), [(5, 5), (5, -5), (5, 0), (1, 90), (1, -90)])
def test_both_ends_follow_from_the_reported_one(dx, dy):
    ends = ends_of(feret_values([100], [50], [100 + dx], [50 + dy]))
    assert [float(v[0]) for v in ends] == [100, 50, 100 + dx, 50 + dy]


def test_both_ends_are_corners_of_the_object(cpu_backend):
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 1.2) > 0.15
    labels = cpu_backend.label(mask, SegmentRule(foreground=1))
    ends = ends_of(measure_objects(labels, cpu_backend).parameters)
    padded = np.pad(labels, 1)
    for i in range(len(ends.x)):
        for x, y in ((ends.x[i], ends.y[i]), (ends.other_x[i], ends.other_y[i])):
            assert (padded[int(y) : int(y) + 2, int(x) : int(x) + 2] == i + 1).any()


def test_a_diameter_that_really_turns_stays_a_jump():
    rates = jump_rates(ends_of(feret_values([0], [0], [20], [20])), ends_of(feret_values([0], [20], [20], [0])))
    assert rates == {"recorded": 1.0, "paired": 1.0}
    none = jump_rates(ends_of(np.empty((0, 19))), ends_of(np.empty((5, 0, 19))))
    assert math.isnan(none["recorded"])


def with_parameters(raw, columns):
    """Return samples in which some parameters are replaced: {index: (raw values, replicate values)}."""
    values, replicates = raw.values.copy(), raw.replicate_values.copy()
    for k, (one, many) in columns.items():
        values[:, k], replicates[:, :, k] = one, many
    return replace(raw, values=values, replicate_values=replicates)


def test_swapping_ends_do_not_inflate_the_uncertainty():
    rng = np.random.default_rng(10)
    n, n_objects = 50, 4
    top = rng.integers(0, 2, (n, n_objects))
    upper_left = rng.random((n, n_objects)) < 0.5
    y, y2 = np.where(upper_left, top, 40 + top), np.where(upper_left, 40 + top, top)
    many = feret_values(np.full_like(y, 10), y, np.full_like(y, 12), y2)
    one = feret_values(np.full(n_objects, 10), np.zeros(n_objects), np.full(n_objects, 12), np.full(n_objects, 40))
    columns = (FERET, FERET_X, FERET_Y, FERET_ANGLE)
    raw = with_parameters(raw_samples(n, n_objects), {k: (one[:, k], many[:, :, k]) for k in columns})
    scores = score_study(raw, [codec_samples(raw)])
    assert many[:, :, FERET_Y].std() > 15
    assert scores.object_uncertainty[:, FERET_Y].max() < 1
    assert scores.feret_jumps["recorded"] > 0.2
    assert scores.feret_jumps["paired"] == 0
    assert any("after pairing" in flag for flag in quantity(scores, "FeretY").flags)
    assert quantity(scores, "FeretY").expected.value == 0


# The standard scores against loops


def loop_score(x, d, step, delta=None):
    """Obvious twin: mean over objects of mean(d) / s (or delta / s), again without each replicate in turn."""
    n = len(x)
    everyone, without = np.arange(n), [np.delete(np.arange(n), r) for r in range(n)]

    def divisor_of(keep, j):
        xs = x[keep, j][np.isfinite(x[keep, j])]
        return max(xs.std(ddof=1) if np.ptp(xs) > 0 else 0.0, step / math.sqrt(12))

    def top(keep, j):
        return np.nanmean(d[keep, j]) if delta is None else delta[j]

    lasting = [min(divisor_of(keep, j) for keep in without) > 0 for j in range(x.shape[1])]
    entering = [j for j, lasts in enumerate(lasting) if lasts or not top(everyone, j)]

    def statistic(keep):
        return np.mean([top(keep, j) / divisor_of(keep, j) if top(everyone, j) else 0.0 for j in entering])

    value = statistic(everyone)
    pseudo = np.array([n * value - (n - 1) * statistic(keep) for keep in without])
    return value, pseudo.mean(), pseudo.std(ddof=1) / math.sqrt(n)


@pytest.mark.parametrize("step", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_jackknife_of_all_objects_equals_the_loop(step, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(14, 6))
    x[:, 4] = np.where(np.arange(14) == 3, 1.0, 0.0)  # one replicate holds all the spread
    x[rng.random(x.shape) < 0.15] = np.nan
    x[3, 4] = 1.0
    assert np.count_nonzero((linear_spread(x).left_out == 0).any(axis=0)) == 1
    d = 0.3 + 0.2 * rng.normal(size=x.shape) + np.where(np.isnan(x), np.nan, 0)
    d[rng.random(x.shape) < 0.1] = np.nan
    d[:, 5] = np.where(np.isnan(d[:, 5]), np.nan, 0.0)  # an object that the codec leaves alone
    delta, directed = 0.5 * rng.normal(size=6), np.ones(6, bool)
    spread = linear_spread(x, step)
    for got, expected in (
        (expected_score(d, spread, step, directed).mean, loop_score(x, d, step)),
        (paper_score(delta, spread, step, directed).mean, loop_score(x, d, step, delta)),
    ):
        assert (got.value, got.centre, got.standard_error) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("movers", [1, 2])
def test_an_object_that_one_replicate_alone_moves_has_no_score_without_step(movers):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(100, 40))
    x[:, 0] = 0
    x[:movers, 0] = 0.04
    d = 0.2 * np.ones_like(x)
    spread, directed = linear_spread(x), np.ones(40, bool)
    scores = [expected_score(d, spread, 0.0, directed), paper_score(d[0], spread, 0.0, directed)]
    assert [math.isnan(score.values[0]) for score in scores] == [movers == 1] * 2
    assert [(score.n_objects, score.n_undefined) for score in scores] == [(39, 1) if movers == 1 else (40, 0)] * 2
    for score in scores:
        if movers == 1:
            assert score.mean.value == pytest.approx(0.2, rel=0.05)
            assert abs(score.mean.centre - score.mean.value) < score.mean.standard_error
        else:  # control: two replicates make an s, the mean is ruined, and the interval says so
            assert score.mean.value > 1
            assert score.mean.standard_error > 0.1 * score.mean.value
    assert expected_score(d, spread, 1.0, directed).n_objects == 40  # with a step nothing is undefined


def test_jackknife_of_a_mean_is_the_t_interval():
    x = np.random.default_rng(1).normal(size=25)
    e = jackknife(x.mean(), (x.sum() - x) / 24).estimate(0.95)
    assert (e.low, e.high) == pytest.approx(stats.ttest_1samp(x, 0).confidence_interval(), rel=1e-10)


def test_interval_always_holds_its_value():
    """At 5 replicates 1 / s is biased far beyond the standard error of a mean over 500 objects."""
    raw = raw_samples(5, 500)
    for q in score_study(raw, [codec_samples(raw, 2.0)]).codecs[0].quantities:
        assert q.expected.low <= q.expected.value <= q.expected.high
        assert q.paper.low <= q.paper.value <= q.paper.high


# Tests and rates


def test_p_values_are_student_ts():
    x = np.random.default_rng(2).normal(0.6, 0.5, size=12)
    se = x.std(ddof=1) / math.sqrt(12)
    lower = stats.ttest_1samp(x, -1, alternative="greater").pvalue
    upper = stats.ttest_1samp(x, 1, alternative="less").pvalue
    assert p_within(x.mean(), se, 11, 1.0) == pytest.approx(max(lower, upper), rel=1e-9)
    both = stats.ttest_1samp(x, 0.3, alternative="greater").pvalue
    both += stats.ttest_1samp(x, -0.3, alternative="greater").pvalue
    assert p_beyond(x.mean(), se, 11, 0.3) == pytest.approx(both, rel=1e-9)
    assert (p_within(0.2, 0, 9, 1), p_within(1.0, 0, 9, 1), p_beyond(1.2, 0, 9, 1), p_beyond(1.0, 0, 9, 1)) == (
        0,
        1,
        0,
        1,
    )
    assert math.isnan(p_within(math.nan, 1, 9, 1))


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.2, math.nan, 0.02, 0.3])) == pytest.approx(
        [0.04, 0.4, math.nan, 0.06, 0.4], nan_ok=True
    )
    assert holm(np.array([])).size == 0
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("k", "n"), [(0, 9), (9, 9), (3, 50), (1, 1)])
def test_clopper_pearson_is_scipys(k, n):
    e, theirs = clopper_pearson(k, n, 0.9), stats.binomtest(k, n).proportion_ci(0.9, method="exact")
    assert (e.low, e.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-12)
    assert e.value == k / n


def test_rates_and_their_null():
    assert math.isnan(clopper_pearson(0, 0).value)
    null = null_rates([counts(10, 10), counts(10, 8, 12)])
    assert null["lost"].value == pytest.approx(0.1)
    assert null["new"].value == pytest.approx(4 / 12 / 2)
    assert math.isnan(null_rates([])["lost"].value)


def test_delta_size_histogram():
    raw, other = np.zeros((7, 19)), np.zeros((7, 19))
    raw[:, AREA] = [10, 20, 30, 40, 50, 60, 70]
    other[:, AREA] = [10, 19, 31, 38, 50, 60, math.nan]
    delta = delta_size(PLANAR, raw, other)
    assert delta.edges == (-1.5, -0.5, 0.5, 1.5, 2.5)
    assert delta.counts == (1, 3, 1, 1)
    d = np.array([0, 1, -1, 2, 0, 0])
    assert delta.mean.value == pytest.approx(d.mean())
    assert (delta.mean.low, delta.mean.high) == pytest.approx(stats.ttest_1samp(d, 0).confidence_interval())
    assert delta.spread.value == pytest.approx(d.std(ddof=1))
    other[0, AREA] = -5000
    wide = delta_size(PLANAR, raw, other)
    assert len(wide.counts) <= 200
    assert sum(wide.counts) == 6
    empty = delta_size(PLANAR, raw[:0], other[:0])
    assert (empty.counts, math.isnan(empty.mean.value), math.isnan(empty.spread.value)) == ((0,), True, True)


def test_delta_of_the_replicates_is_the_mean_over_them():
    raw = raw_samples(30, 20, lost=0.1)
    spreads = [np.nanstd(row[:, AREA].astype(float) - raw.values[:, AREA], ddof=1) for row in raw.replicate_values]
    assert delta_replicate(raw) == pytest.approx((np.mean(spreads), *np.quantile(spreads, [0.025, 0.975])))
    assert all(math.isnan(v) for v in delta_replicate(raw_samples(3, 0)))


# A whole study


def test_totals_are_the_papers_definition():
    raw = raw_samples(60, 30, lost=0.05)
    codec = codec_samples(raw, 0.4, 0.3)
    scores = score_study(raw, [codec])
    for k, name in enumerate(("N", "A", "mean_area")):
        q, s = quantity(scores, name), raw.replicate_totals[:, k].std(ddof=1)
        assert q.uncertainty.value == pytest.approx(s, rel=1e-12)
        assert q.paper.value == pytest.approx((raw.totals[k] - codec.totals[k]) / s, rel=1e-10, abs=1e-12)
        d = raw.replicate_totals[:, k] - codec.paired_totals[:, k]
        assert q.expected.value == pytest.approx(d.mean() / s, rel=1e-10, abs=1e-12)
        b = raw.replicate_totals[:, k].mean() - raw.totals[k]
        assert scores.shifts[name].value == q.shift.value == pytest.approx(b / s, rel=1e-10)
    q = quantity(scores, "A")
    assert (q.paper.low, q.paper.high) == pytest.approx(
        [(raw.totals[1] - codec.totals[1]) / limit for limit in (q.uncertainty.high, q.uncertainty.low)]
    )


def test_object_means_are_averages_of_the_objects_scores():
    raw = raw_samples(50, 25, lost=0.1)
    codec = codec_samples(raw, 0.4, 0.3)
    scores = score_study(raw, [codec])
    one = scores.codecs[0]
    s = np.nanstd(raw.replicate_values[:, :, XM].astype(float), axis=0, ddof=1)
    eps = (raw.values[:, XM] - codec.values[:, XM]) / s
    q = quantity(scores, "XM")
    assert one.object_scores[:, XM] == pytest.approx(eps, rel=1e-9)
    assert scores.object_uncertainty[:, XM] == pytest.approx(s, rel=1e-9)
    assert (q.paper.value, q.paper_spread) == pytest.approx((eps.mean(), eps.std(ddof=1)))
    assert q.paper_rms == pytest.approx(math.sqrt((eps**2).mean()))
    assert q.uncertainty.value == pytest.approx(s.mean())
    assert (q.raw, q.compressed) == pytest.approx((raw.values[:, XM].mean(), codec.values[:, XM].mean()))
    limits = np.sort(
        [(eps * s) / scores.object_uncertainty_low[:, XM], (eps * s) / scores.object_uncertainty_high[:, XM]], axis=0
    )
    assert one.object_low[:, XM] == pytest.approx(limits[0], rel=1e-9)
    assert one.object_high[:, XM] == pytest.approx(limits[1], rel=1e-9)


@pytest.mark.parametrize(("n", "n_objects", "lost"), [(2, 3, 0.0), (3, 1, 0.0), (40, 30, 0.3), (100, 5, 0.9)])
def test_identity_is_exactly_zero_and_tolerable(n, n_objects, lost):
    raw = raw_samples(n, n_objects, lost=lost)
    scores = score_study(raw, [codec_samples(raw)])
    one = scores.codecs[0]
    known = one.object_scores[np.isfinite(one.object_scores)]
    assert known.size
    assert not known.any()
    for q in one.quantities:
        if q.n_objects:
            assert (q.paper.value, q.expected.value, q.expected.low, q.expected.high) == (0, 0, 0, 0)
    assert one.verdict == "tolerable"


def test_a_codec_beyond_the_margin_is_intolerable_and_one_between_undecided():
    raw = raw_samples(60, 30)
    for offset, verdict in ((0.02, "tolerable"), (3.0, "intolerable")):
        assert score_study(raw, [codec_samples(raw, offset, 0.1)]).codecs[0].verdict == verdict
    size = abs(quantity(score_study(raw, [codec_samples(raw, 0.2, 0.5)]), "A").expected.value)
    between = score_study(raw, [codec_samples(raw, 0.2, 0.5)], margin=size)
    assert quantity(between, "A").decision == "undecided"
    assert between.codecs[0].verdict == "undecided"
    assert any("total area" in text for text in between.codecs[0].reasons)


def test_a_smaller_margin_is_harder():
    raw = raw_samples(60, 30)
    codec = codec_samples(raw, 0.5, 0.1)
    wide = [quantity(score_study(raw, [codec], margin=m), "XM").p_tolerable for m in (1.0, 0.458, 0.32)]
    assert wide == sorted(wide)


def test_unmatched_objects_leave_the_object_means_undecided_but_a_total_may_condemn():
    raw = raw_samples(60, 40)
    good = codec_samples(raw)
    few = replace(good, counts=counts(40, 35), values=np.where(np.arange(40)[:, None] < 5, np.nan, good.values))
    scores = score_study(raw, [few])
    assert scores.codecs[0].verdict == "undecided"
    assert "87.5%" in scores.codecs[0].reasons[0]
    assert quantity(scores, "XM").decision == "undecided"
    assert quantity(scores, "N").decision == "tolerable"
    assert scores.codecs[0].rates["lost"].value == 0.125
    assert np.isnan(scores.codecs[0].object_scores[:5]).all()
    allowed = score_study(raw, [few], min_matched=0.8)
    assert allowed.codecs[0].verdict == "tolerable"
    lower = replace(few, totals=few.totals - [20, 900, 0], paired_totals=few.paired_totals - [20, 900, 0])
    condemned = score_study(raw, [lower]).codecs[0]
    assert condemned.verdict == "intolerable"
    assert "number of objects" in condemned.reasons[0] or "total area" in condemned.reasons[0]


def test_objects_lost_in_the_compressed_replicates_count_as_unmatched():
    raw = raw_samples(60, 40)
    good = codec_samples(raw)
    paired = good.paired_values.copy()
    paired[np.random.default_rng(0).random(paired.shape[:2]) < 0.2] = np.nan
    assert score_study(raw, [replace(good, paired_values=paired)]).codecs[0].verdict == "undecided"


def test_resolution_stands_in_for_a_spread_of_zero():
    raw = raw_samples(30, 10)
    raw = with_parameters(raw, {AREA: (raw.values[:, AREA], np.tile(raw.values[:, AREA], (30, 1)))})
    raw = replace(raw, replicate_totals=np.tile(raw.totals, (30, 1)))
    codec = codec_samples(raw)
    values, paired = codec.values.copy(), codec.paired_values.copy()
    values[0, AREA] -= 1
    paired[:, 0, AREA] -= 1
    codec = replace(
        codec,
        values=values,
        paired_values=paired,
        totals=totals_of(values[:, AREA]),
        paired_totals=totals_of(paired[:, :, AREA]),
    )
    scores = score_study(raw, [codec])
    assert scores.codecs[0].object_scores[:2, AREA] == pytest.approx([math.sqrt(12), 0])
    assert quantity(scores, "A").paper.value == pytest.approx(math.sqrt(12))
    assert "limited by resolution" in quantity(scores, "A").flags
    assert any("limited by resolution" in flag for flag in quantity(scores, "Area").flags)
    assert quantity(scores, "N").expected.value == 0
    assert any(text.startswith("N is the same in all replicates") for text in scores.warnings)


def test_without_step_a_change_without_spread_is_undefined_and_forbids_a_decision():
    raw = raw_samples(30, 10)
    raw = with_parameters(raw, {EXTENT: (raw.values[:, EXTENT], np.tile(raw.values[:, EXTENT], (30, 1)))})
    good = codec_samples(raw)
    assert score_study(raw, [good]).codecs[0].verdict == "tolerable"
    values, paired = good.values.copy(), good.paired_values.copy()
    values[:3, EXTENT] -= 1
    paired[:, :3, EXTENT] -= 1
    scores = score_study(raw, [replace(good, values=values, paired_values=paired)])
    q = quantity(scores, "Extent")
    assert np.isnan(scores.codecs[0].object_scores[:3, EXTENT]).all()
    assert (q.n_objects, q.paper.value, q.decision) == (7, 0, "undecided")
    assert "changed objects without spread left out: 3" in q.flags
    assert scores.codecs[0].verdict == "undecided"
    totals = raw.replicate_totals.copy()
    totals[:, 2] = raw.totals[2]
    flat = replace(raw, replicate_totals=totals)
    mean_area = quantity(
        score_study(flat, [replace(good, totals=good.totals - [0, 0, 1], paired_totals=totals - [0, 0, 1])]),
        "mean_area",
    )
    assert math.isnan(mean_area.paper.value)
    assert any(flag.startswith("undefined") for flag in mean_area.flags)


@pytest.mark.parametrize("k", [EXTENT, ANGLE])
def test_the_last_digit_of_a_stored_number_is_no_spread(k):
    """The same shape elsewhere in the image: one unit of float32 must not become a score of millions."""
    raw = raw_samples(30, 10)
    stored = raw.values[:, k].astype(np.float32)
    up = np.nextafter(stored, np.float32(1e9))
    raw = with_parameters(raw, {k: (raw.values[:, k], np.where(np.arange(30)[:, None] % 3 == 0, up, stored))})
    good = codec_samples(raw)
    values = good.values.copy()
    values[:, k] *= 1 + 1e-12
    values[0, k] -= 1
    scores = score_study(raw, [replace(good, values=values)])
    assert not scores.object_uncertainty[:, k].any()
    assert math.isnan(scores.codecs[0].object_scores[0, k])
    assert not scores.codecs[0].object_scores[1:, k].any()
    assert scores.codecs[0].verdict == "tolerable"


def test_round_objects_are_left_out_and_an_angle_of_none_does_not_decide():
    rng = np.random.default_rng(11)
    raw = raw_samples(200, 10)
    clear = (np.full(10, 178.0), (178 + 4 * rng.normal(size=(200, 10))) % 180)
    mixed = (clear[0], np.where(np.arange(10) < 4, rng.uniform(0, 180, (200, 10)), clear[1]))
    raw = with_parameters(raw, {ANGLE: mixed, FERET_ANGLE: (np.full(10, 5.0), rng.uniform(0, 180, (200, 10)))})
    scores = score_study(raw, [codec_samples(raw)])
    q = quantity(scores, "Angle")
    assert q.n_objects == 6
    assert {"axial", "4 round objects left out (R < 0.3)"} <= set(q.flags)
    assert np.isnan(scores.object_uncertainty[:4, ANGLE]).all()
    assert scores.object_uncertainty[4:, ANGLE] == pytest.approx(np.full(6, 4.0), rel=0.25)
    none = quantity(scores, "FeretAngle")
    assert (none.n_objects, none.decides) == (0, False)
    assert scores.codecs[0].verdict == "tolerable"


def test_angles_are_compared_across_zero():
    raw = raw_samples(50, 5)
    rng = np.random.default_rng(12)
    raw = with_parameters(raw, {ANGLE: (np.full(5, 1.0), (1 + 3 * rng.normal(size=(50, 5))) % 180)})
    codec = codec_samples(raw)
    values, paired = codec.values.copy(), codec.paired_values.copy()
    values[:, ANGLE], paired[:, :, ANGLE] = 179.0, (paired[:, :, ANGLE] - 2) % 180
    q = quantity(score_study(raw, [replace(codec, values=values, paired_values=paired)]), "Angle")
    assert q.paper.value == pytest.approx(2 / 3, rel=0.25)
    assert q.expected.value == pytest.approx(2 / 3, rel=0.25)
    assert q.raw - q.compressed == pytest.approx(2)


@pytest.mark.parametrize("n", [2, 30])
def test_zero_objects_give_a_result_that_says_so(n):
    raw = raw_samples(n, 0)
    assert math.isnan(raw.totals[2])
    scores = score_study(raw, [codec_samples(raw)])
    assert (scores.n_objects, scores.codecs[0].verdict) == (0, "undecided")
    assert scores.codecs[0].reasons == ("the raw image holds no object",)
    assert "no objects" in scores.warnings[0]
    json.dumps(scores_to_dict(scores), allow_nan=False)


def test_a_codec_that_finds_nothing_is_intolerable():
    raw = raw_samples(40, 20, lost=0.1)
    gone = replace(
        codec_samples(raw),
        values=np.full((20, 19), np.nan),
        totals=np.array([0.0, 0.0, math.nan]),
        counts=counts(20, 0, 0),
        paired_values=np.full((40, 20, 19), np.nan, np.float32),
        paired_totals=np.tile([0.0, 0.0, math.nan], (40, 1)),
    )
    one = score_study(raw, [gone]).codecs[0]
    assert one.verdict == "intolerable"
    assert math.isnan(one.quantities[5].expected.value)
    assert one.delta_size.counts == (0,)
    json.dumps(scores_to_dict(score_study(raw, [gone])), allow_nan=False)


def test_one_replicate_is_refused_and_few_are_warned_of():
    raw = raw_samples(1, 5)
    with pytest.raises(ConfigError, match=r"1 replicate.*ask for 100"):
        score_study(raw, [])
    assert any("only 6 replicates" in text for text in score_study(raw_samples(6, 5), []).warnings)
    assert not any("replicates:" in text and "only" in text for text in score_study(raw_samples(20, 5), []).warnings)


@pytest.mark.parametrize(
    "setting", [{"margin": 0}, {"level": 1.0}, {"alpha": 0.7}, {"min_matched": 1.1}, {"margin": math.nan}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        score_study(raw_samples(5, 3), [], **setting)


def test_samples_of_another_study_are_refused():
    raw = raw_samples(5, 3)
    with pytest.raises(InputError, match=r"codec 'other'|codec other"):
        score_study(raw, [codec_samples(raw_samples(6, 3), name="other")])


def test_double_noise_is_flagged():
    raw = raw_samples(100, 30)
    assert not any("double noise" in text for text in score_study(raw, []).warnings)
    shifted = replace(raw, totals=raw.totals - [0, 4 * raw.replicate_totals[:, 1].std(), 0])
    scores = score_study(shifted, [])
    assert scores.shifts["A"].value == pytest.approx(4, abs=0.5)
    assert scores.shifts["A"].low < scores.shifts["A"].value < scores.shifts["A"].high
    assert any("not raw-equivalent" in text and "A (b = +" in text for text in scores.warnings)


def test_convergence_and_precision():
    raw = raw_samples(120, 10)
    scores = score_study(raw, [])
    assert [point.n_replicates for point in scores.convergence] == [5, 10, 20, 50, 100, 120]
    last = scores.convergence[-1].totals["A"]
    assert last.value == scores.total_uncertainty["A"].value == pytest.approx(raw.replicate_totals[:, 1].std(ddof=1))
    assert scores.convergence[-1].size_median.value == pytest.approx(np.median(scores.object_uncertainty[:, AREA]))
    need = scores.precision["A"]
    assert need.half_width == pytest.approx(0.13, abs=0.04)
    assert need.replicates_for_10_percent == replicates_needed(0.1, need.kurtosis)
    assert scores.precision["N"].replicates_for_5_percent is None


# Invariances and determinism


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 100))
def test_a_positive_affine_change_of_units_leaves_the_score(scale, offset, seed):
    raw = raw_samples(12, 4, seed=seed, lost=0.1)
    codec = codec_samples(raw, 0.5, 0.3)
    exact = {"replicate_values": raw.replicate_values.astype(float)}
    change = lambda v, k=XM: np.concatenate([v[..., :k], scale * v[..., k : k + 1] + offset, v[..., k + 1 :]], axis=-1)  # noqa: E731
    before = score_study(replace(raw, **exact), [replace(codec, paired_values=codec.paired_values.astype(float))])
    after = score_study(
        replace(raw, values=change(raw.values), replicate_values=change(exact["replicate_values"])),
        [replace(codec, values=change(codec.values), paired_values=change(codec.paired_values.astype(float)))],
    )
    a, b = quantity(before, "XM"), quantity(after, "XM")
    for one, two in ((a.paper, b.paper), (a.expected, b.expected), (a.shift, b.shift)):
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), rel=1e-6, abs=1e-8)
    assert b.uncertainty.value == pytest.approx(scale * a.uncertainty.value, rel=1e-9)


def test_order_of_replicates_and_objects_does_not_matter():
    raw = raw_samples(25, 12, lost=0.1)
    codec = codec_samples(raw, 0.5, 0.3)
    rng = np.random.default_rng(13)
    r, j = rng.permutation(25), rng.permutation(12)
    mixed = replace(
        raw,
        values=raw.values[j],
        replicate_values=raw.replicate_values[r][:, j],
        replicate_totals=raw.replicate_totals[r],
    )
    other = replace(
        codec, values=codec.values[j], paired_values=codec.paired_values[r][:, j], paired_totals=codec.paired_totals[r]
    )
    before, after = score_study(raw, [codec]), score_study(mixed, [other])
    for a, b in zip(before.codecs[0].quantities, after.codecs[0].quantities, strict=True):
        for one, two in ((a.paper, b.paper), (a.expected, b.expected), (a.uncertainty, b.uncertainty)):
            assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), rel=1e-9, abs=1e-9)
    assert before.codecs[0].object_scores[j] == pytest.approx(after.codecs[0].object_scores, nan_ok=True)


def test_results_are_the_same_bits_alone_and_among_threads():
    raw = raw_samples(30, 12, lost=0.1)
    codecs = [codec_samples(raw, 0.5, 0.3), codec_samples(raw)]
    texts = [json.dumps(scores_to_dict(score_study(raw, codecs, seed=3)))]
    with ThreadPoolExecutor(4) as pool:
        texts += pool.map(lambda _: json.dumps(scores_to_dict(score_study(raw, codecs, seed=3))), range(4))
    assert len(set(texts)) == 1
    assert json.dumps(scores_to_dict(score_study(raw, codecs, seed=4))) != texts[0]


def test_a_codec_scores_the_same_whatever_its_company():
    raw = raw_samples(30, 12)
    codecs = [codec_samples(raw, 0.5, 0.3), codec_samples(raw, 1.0, name="other")]
    assert repr(score_study(raw, codecs).codecs[0]) == repr(score_study(raw, codecs[:1]).codecs[0])


def test_data_for_json_holds_every_number():
    raw = raw_samples(20, 5)
    scores = score_study(raw, [codec_samples(raw, 0.5)])
    data = json.loads(json.dumps(scores_to_dict(scores), allow_nan=False))
    assert data["codecs"][0]["quantities"][1]["expected"]["value"] == quantity(scores, "A").expected.value
    assert np.shape(data["codecs"][0]["object_scores"]) == (5, 19)
    small = scores_to_dict(scores, objects=False)
    assert "object_scores" not in small["codecs"][0]
    assert "object_uncertainty" not in small
