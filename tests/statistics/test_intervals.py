"""Do intervals hold what they promise, and do verdicts err no more often than they may?

Every test states n (replicates), the null hypothesis or true value, the nominal rate, the number of simulated studies
and the seed; its bounds are the nominal rate and a few binomial standard errors. Each has a negative control: a
shortcut that must fail the same check.
"""

import math

import numpy as np
import pytest
from scipy import stats

from compdistort.score import (
    axial_spread,
    bonett_interval,
    clopper_pearson,
    expected_score,
    holm,
    linear_spread,
    normal_limits,
    p_beyond,
    p_within,
    paper_score,
)
from compdistort.score.epsilon import divisor

ALPHA, LEVEL = 0.05, 0.95
ONE = np.ones(1, bool)


def noise(rng, law, shape):
    """Values of variance 1: normal, t with 5 degrees of freedom, or one in twenty that jumps by 8 (split, merged)."""
    if law == "normal":
        return rng.normal(size=shape)
    if law == "t5":
        return rng.standard_t(5, size=shape) / math.sqrt(5 / 3)
    return (rng.normal(size=shape) + 8 * (rng.random(shape) < 0.05) - 0.4) / math.sqrt(1 + 64 * 0.05 * 0.95)


def error(rate, n_studies, widths=3.0):
    """Return a few standard errors of a simulated rate."""
    return widths * math.sqrt(rate * (1 - rate) / n_studies)


def share(flags):
    return float(np.mean(flags))


# The interval of s. 4000 samples; true sigma 1; nominal 0.95; seed 1. The binomial standard error is 0.0034.


@pytest.mark.parametrize(
    ("law", "n", "least"),
    [("normal", 10, 0.94), ("normal", 100, 0.94), ("t5", 30, 0.90), ("t5", 100, 0.91), ("jump", 100, 0.93)],
)
def test_bonett_interval_covers(law, n, least):
    spread = linear_spread(noise(np.random.default_rng(1), law, (n, 4000)))
    covered = share((spread.low <= 1) & (spread.high >= 1))
    assert covered >= least
    assert covered <= LEVEL + 0.025


@pytest.mark.parametrize(("law", "most"), [("t5", 0.84), ("jump", 0.60)])
def test_chi_square_interval_fails_on_heavy_tails(law, most):
    """Negative control of the test above: n = 100, same samples."""
    spread = linear_spread(noise(np.random.default_rng(1), law, (100, 4000)))
    low, high = normal_limits(spread.value, spread.count)
    assert share((low <= 1) & (high >= 1)) < most
    normal = linear_spread(noise(np.random.default_rng(1), "normal", (100, 4000)))
    low, high = normal_limits(normal.value, normal.count)
    assert share((low <= 1) & (high >= 1)) == pytest.approx(LEVEL, abs=error(LEVEL, 4000))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_values_fall_back_to_an_interval_that_covers(n):
    """Normal law, 4000 samples, seed 2, nominal 0.95. Control: s times 1 +- 1.96 / sqrt(2 (n - 1)) does not."""
    spread = linear_spread(np.random.default_rng(2).normal(size=(n, 4000)))
    assert share((spread.low <= 1) & (spread.high >= 1)) == pytest.approx(LEVEL, abs=error(LEVEL, 4000))
    half = 1.96 / math.sqrt(2 * (n - 1))
    assert share(abs(spread.value - 1) <= half * spread.value) < 0.9


def test_axial_interval_covers_and_a_plain_one_does_not():
    """n = 50, normal with sd 5 degrees about 178, 2000 samples, seed 3; circular sd 5 within 0.1 %."""
    x = (178 + 5 * np.random.default_rng(3).normal(size=(50, 2000))) % 180
    spread, directed = axial_spread(x)
    assert directed.all()
    assert share((spread.low <= 5) & (spread.high >= 5)) == pytest.approx(LEVEL, abs=error(LEVEL, 2000, 4))
    plain = linear_spread(x)
    assert share((plain.low <= 5) & (plain.high >= 5)) == 0


def test_resolution_floor_is_right_for_rounded_values():
    """Latent sd 0.05 to 1.5 steps, n = 100, 3000 phases, seed 4: rms of the divisor against sqrt(sd^2 + 1/12).

    Control: adding 1/12 to an s that holds its rounding already is worse for every sd above 0.3.
    """
    rng = np.random.default_rng(4)
    for sd in (0.05, 0.2, 0.3, 0.5, 1.0, 1.5):
        phase = rng.random(3000)
        s = linear_spread(np.rint(phase + sd * rng.normal(size=(100, 3000))), 1.0).value
        true = math.sqrt(sd**2 + 1 / 12)
        ours, added = (math.sqrt(np.mean(square)) for square in (divisor(s, 1.0) ** 2, s**2 + 1 / 12))
        assert ours == pytest.approx(true, rel=0.13)
        if sd > 0.3:
            assert ours == pytest.approx(true, rel=0.01)
            assert added > 1.01 * true


# The standard scores of one total and of object means


def simulate(rng, n, n_objects, truth, law, codec_noise):
    """Return (x, d): noise of dependent objects with sigma 0.6 to 1.6, and paired differences of mean truth * sigma."""
    sigma = np.exp(0.3 * np.linspace(-1.5, 1.5, n_objects)) if n_objects > 1 else np.ones(1)
    x = noise(rng, law, (n, n_objects))
    if n_objects > 1:  # objects of one replicate share part of their noise
        x = math.sqrt(0.3) * rng.normal(size=(n, 1)) + math.sqrt(0.7) * x
    d = truth + codec_noise * rng.normal(size=(n, n_objects))
    return sigma * x, sigma * d, sigma


def studies(n_studies, seed, n, n_objects=1, truth=1.0, law="normal", codec_noise=0.5):
    """Return jackknifes of E3 and estimates of E1 of simulated studies."""
    rng, expected, paper = np.random.default_rng(seed), [], []
    directed = np.ones(n_objects, bool)
    for _ in range(n_studies):
        x, d, sigma = simulate(rng, n, n_objects, truth, law, codec_noise)
        spread = linear_spread(x)
        expected.append(expected_score(d, spread, 0.0, directed).mean)
        paper.append(paper_score(truth * sigma, spread, 0.0, directed).mean)
    return expected, paper


def coverage(jackknifes, truth):
    intervals = [j.estimate(LEVEL) for j in jackknifes]
    return share([e.low <= truth <= e.high for e in intervals])


@pytest.mark.parametrize(
    ("n", "n_objects", "law", "least"),
    [
        (20, 1, "normal", 0.93),
        (20, 60, "normal", 0.92),
        (100, 1, "normal", 0.93),
        (100, 60, "t5", 0.92),
        (100, 60, "jump", 0.93),
    ],
)
def test_score_intervals_cover(n, n_objects, law, least):
    """True E1 = E3 = 1, nominal 0.95, 500 studies, seed 5; standard error 0.01. E1 of a total has its own test."""
    expected, paper = studies(500, 5, n, n_objects, law=law)
    assert coverage(expected, 1.0) >= least
    if n_objects > 1:
        assert coverage(paper, 1.0) >= least


def test_interval_around_the_plain_value_misses():
    """Negative control: n = 20, 60 objects, t5, seed 5. Around the plain value the same width covers too rarely."""
    expected, _ = studies(500, 5, 20, 60, law="t5")
    quantile = stats.t.ppf(0.975, 19)
    plain = share([abs(j.value - 1) <= quantile * j.standard_error for j in expected])
    assert plain < 0.88
    assert coverage(expected, 1.0) > 0.92


def test_interval_of_single_objects_ignores_that_they_depend_on_each_other():
    """Negative control: n = 100, 60 objects with a common part, 500 studies, seed 6, true b = 0.

    The jackknife leaves out whole replicates; a standard error from the scatter over objects takes them as
    independent, and fails.
    """
    rng, covered, naive = np.random.default_rng(6), [], []
    for _ in range(500):
        x, _, _ = simulate(rng, 100, 60, 0.0, "normal", 0.0)
        score = expected_score(x, linear_spread(x), 0.0, np.ones(60, bool))
        e = score.mean.estimate(LEVEL)
        covered.append(e.low <= 0 <= e.high)
        naive.append(abs(score.values.mean()) <= 2 * score.values.std(ddof=1) / math.sqrt(60))
    assert share(covered) == pytest.approx(LEVEL, abs=error(LEVEL, 500))
    assert share(naive) < 0.6


def test_paper_score_of_a_total_covers():
    """Difference over Bonett's limits: true E1 = 2, n = 100, t5, 2000 studies, seed 7. Control: chi-square limits."""
    spread = linear_spread(noise(np.random.default_rng(7), "t5", (100, 2000)))
    covered = share((2 / spread.high <= 2) & (2 / spread.low >= 2))
    assert covered >= 0.90
    low, high = normal_limits(spread.value, spread.count)
    assert share((2 / high <= 2) & (2 / low >= 2)) < 0.85


# Verdicts


@pytest.mark.parametrize("n", [10, 20, 100])
def test_tolerable_is_claimed_wrongly_no_more_often_than_alpha(n):
    """H0: E3 = 1 = margin (the worst case), alpha 0.05, 2000 studies of one total, seed 8, standard error 0.005."""
    expected, _ = studies(2000, 8, n)
    claimed = share([p_within(j.largest, j.standard_error, n - 1, 1.0) < ALPHA for j in expected])
    assert claimed <= ALPHA + error(ALPHA, 2000)


def test_a_normal_law_instead_of_students_errs_too_often():
    """Negative control of the test above: n = 5, z instead of t, and the centre instead of the larger of the two."""
    expected, _ = studies(2000, 9, 5)
    wrong = share([stats.norm.sf((1 - abs(j.centre)) / j.standard_error) < ALPHA for j in expected])
    right = share([p_within(j.largest, j.standard_error, 4, 1.0) < ALPHA for j in expected])
    assert wrong > ALPHA + 5 * error(ALPHA, 2000, 1)
    assert right <= ALPHA + error(ALPHA, 2000)


@pytest.mark.parametrize("truth", [1.0, 0.2])
def test_intolerable_is_claimed_wrongly_no_more_often_than_alpha(truth):
    """H0: E3 = margin = `truth` (0.2 is small against its standard error, so both tails count), n = 100, seed 10."""
    expected, _ = studies(1500, 10, 100, truth=truth, codec_noise=2.0)
    claimed = share([p_beyond(j.smallest, j.standard_error, 99, truth) < ALPHA for j in expected])
    assert claimed <= ALPHA + error(ALPHA, 1500)


def test_verdicts_have_power():
    """n = 100, differences without scatter, 400 studies, seed 11. The planning table says P(tolerable | 0.8) = 0.93.

    Control: at E3 = 0.95 the claim must be rare.
    """
    for truth, least, most in ((0.8, 0.88, 0.97), (0.5, 0.99, 1.0), (0.95, 0.0, 0.35)):
        expected, _ = studies(400, 11, 100, truth=truth, codec_noise=0.0)
        power = share([p_within(j.largest, j.standard_error, 99, 1.0) < ALPHA for j in expected])
        assert least <= power <= most
    beyond, _ = studies(400, 12, 100, truth=1.4, codec_noise=0.0)
    assert share([p_beyond(j.smallest, j.standard_error, 99, 1.0) < ALPHA for j in beyond]) > 0.95


def test_holm_keeps_the_familywise_error():
    """H0: 21 quantities exactly at the margin, n = 60, 200 studies, seed 13; familywise alpha 0.05 (error 0.015).

    Control: without the correction some quantity is condemned in most studies.
    """
    rng, holms, single = np.random.default_rng(13), [], []
    for _ in range(200):
        p = []
        common = rng.normal(size=(60, 1))
        for _ in range(21):
            x = 0.5 * common + math.sqrt(0.75) * rng.normal(size=(60, 1))
            d = 1 + 0.5 * rng.normal(size=(60, 1))
            j = expected_score(d, linear_spread(x), 0.0, ONE).mean
            p.append(p_beyond(j.smallest, j.standard_error, 59, 1.0))
        holms.append(holm(np.array(p)).min() < ALPHA)
        single.append(min(p) < ALPHA)
    assert share(holms) <= ALPHA + error(ALPHA, 200)
    assert share(single) > 0.3


def test_clopper_pearson_covers_everywhere():
    """n = 40 objects, all 41 outcomes weighted exactly, nominal 0.95. Control: the normal interval fails near 0."""
    estimates = [clopper_pearson(k, 40, LEVEL) for k in range(41)]
    k = np.arange(41)
    half = stats.norm.ppf(0.975) * np.sqrt(k / 40 * (1 - k / 40) / 40)
    worst = 1.0
    for p in (0.01, 0.05, 0.3, 0.5, 0.97):
        weight = stats.binom.pmf(k, 40, p)
        assert sum(w for w, e in zip(weight, estimates, strict=True) if e.low <= p <= e.high) >= LEVEL
        worst = min(worst, weight[(k / 40 - half <= p) & (p <= k / 40 + half)].sum())
    assert worst < 0.6


@pytest.mark.parametrize("law", ["normal", "t5"])
def test_bonett_interval_of_single_samples_agrees_with_the_columns(law):
    """The one-sample function covers as its columns do: n = 50, true sigma 1, 5000 samples, seed 14."""
    rng = np.random.default_rng(14)
    estimates = [bonett_interval(noise(rng, law, 50)) for _ in range(5000)]
    assert 0.9 <= share([e.low <= 1 <= e.high for e in estimates]) <= 0.97
