"""Does the sampler draw the law it promises?

Every test states its null hypothesis, n, alpha and seed; each has a negative control that must be rejected by the same
test. Draws are deterministic (counter-based), so a test passes or fails for good.
"""

import numpy as np
import pytest
from scipy import stats

from compdistort.backend import get_backend
from compdistort.replicate import draw, noise_tables, pixel_mean, pixel_sums, pixel_variance
from compdistort.replicate.law import exact_cdf
from compdistort.sensor.model import SensorMaps, SensorModel
from compdistort.synthetic import SimulatedCamera

ALPHA = 1e-4
SEED = 77
GAIN, READ = 2.17, 1.6
"""DN/e- and e-."""
LEVELS = (0.0, 0.7, 5.0, 60.0, 150.0, 3000.0)
SHAPE = (1024, 1024)


def sensor_at(mu, level=None, gain=GAIN, read=READ):
    """Return a sensor and the grey level that stands for `mu` electrons on it."""
    level = int(300 + gain * mu) if level is None else level
    return SensorModel.scalar(offset_dn=level - gain * mu, gain_e_per_dn=1 / gain, read_noise_e=read), level


def drawn_counts(mu, law="poisson-gaussian", **changes):
    sensor, level = sensor_at(mu, **changes)
    raw = np.full(SHAPE, level, np.uint16)
    drawn = draw(raw, noise_tables(sensor, law), get_backend("numba"), SEED, range(1))
    return np.bincount(drawn.ravel(), minlength=65536)


def chi_square_p(counts, mu, level):
    """Return the p value of the counts under the exact law, values of expected count below 10 pooled in the tails."""
    first, cdf = exact_cdf(mu, level - GAIN * mu, GAIN, READ, 65535)
    expected = np.zeros(65536)
    expected[first : first + cdf.size] = np.diff(cdf, prepend=0.0) * counts.sum()
    low, high = (f(np.flatnonzero(expected >= 10)) for f in (np.min, np.max))
    observed, wanted = (
        np.concatenate([[a[:low].sum()], a[low : high + 1], [a[high + 1 :].sum()]]) for a in (counts, expected)
    )
    keep = wanted >= 1
    statistic = ((observed - wanted)[keep] ** 2 / wanted[keep]).sum()
    return stats.chi2.sf(statistic, keep.sum() - 1)


@pytest.mark.parametrize("mu", LEVELS)
def test_draws_have_the_exact_law(mu):
    """Null: exact Poisson-Gaussian law. n = 2**20 draws, chi-square over its grey values, alpha = 1e-4, seed 77.

    Levels up to 100 e- are inverted exactly; at 150 and 3000 e- the skew-corrected quantile must not be told from the
    exact law by a million draws.
    """
    _, level = sensor_at(mu)
    assert chi_square_p(drawn_counts(mu), mu, level) > ALPHA


@pytest.mark.parametrize("mu", [0.7, 5.0, 60.0, 150.0])
def test_the_gaussian_law_is_rejected(mu):
    """Negative control, same n, alpha and seed: the normal law of equal mean and variance, rounded."""
    _, level = sensor_at(mu)
    assert chi_square_p(drawn_counts(mu, "gaussian"), mu, level) < ALPHA


@pytest.mark.parametrize("mu", [0.7, 5.0, 60.0, 150.0, 3000.0])
def test_a_doubled_gain_is_rejected(mu):
    """Negative control, same n, alpha and seed: K doubled, at the same grey level and offset."""
    _, level = sensor_at(mu)
    sensor = SensorModel.scalar(offset_dn=level - GAIN * mu, gain_e_per_dn=0.5 / GAIN, read_noise_e=READ)
    drawn = draw(np.full(SHAPE, level, np.uint16), noise_tables(sensor), get_backend("numba"), SEED, range(1))
    assert chi_square_p(np.bincount(drawn.ravel(), minlength=65536), mu, level) < ALPHA


@pytest.mark.parametrize("mu", [0.7, 5.0, 150.0])
def test_draws_are_those_of_an_independent_camera(mu):
    """Null: replicates of a grey level and exposures (NumPy's Poisson and normal) have one law.

    n = 2**20 and 2**18, two-sample chi-square, alpha = 1e-4, seeds 77 and 5. Control: a camera with 3 % more light.
    """
    sensor, _ = sensor_at(mu)
    region = sensor.regions[0]
    camera = SimulatedCamera(
        offset_dn=region.offset_dn, gain_e_per_dn=region.gain_e_per_dn, read_noise_e=READ, prnu=0.0
    )
    ours = drawn_counts(mu)
    p_values = []
    for light in (mu, 1.03 * mu + 0.01):
        exposed = camera.read(np.full((512, 512), light), np.random.default_rng(5))
        table = np.stack([ours, np.bincount(exposed.ravel(), minlength=65536)])
        common = table.min(axis=0) >= 5
        table = np.column_stack([table[:, common], table[:, ~common].sum(axis=1)])
        p_values.append(stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)
    assert p_values[0] > ALPHA > p_values[1]


def moment_z(raw_level, sensor, mean, variance, law="poisson-gaussian"):
    """Return z scores of mean and variance over 2**20 draws of one grey level."""
    n = 1 << 10
    raw = np.full((32, 32), raw_level, np.uint16)
    sums = pixel_sums(raw, noise_tables(sensor, law), get_backend("numba"), SEED, range(n))
    total, s1, s2 = raw.size * n, sums.sum1.sum(keepdims=True), sums.sum2.sum(keepdims=True)
    kurtosis = 3.0 + 1.0 / max((raw_level - sensor.regions[0].offset_dn) / sensor.regions[0].gain_dn_per_e, 1.0)
    z_mean = (pixel_mean(s1, total)[0] - mean) / np.sqrt(variance / total)
    z_variance = (pixel_variance(s1, s2, total)[0] - variance) / (variance * np.sqrt((kurtosis - 1) / total))
    return np.array([z_mean.item(), z_variance.item()])


@pytest.mark.parametrize("law", ["poisson-gaussian", "gaussian"])
@pytest.mark.parametrize("signal", [-6.0, -4.0, -0.5, 0.0, 3.0, 40.0, 150.0, 4000.0])
def test_mean_and_variance_are_those_of_the_sensor(law, signal):
    """Null: mean y and variance K^2 sigma_d^2 + K (y - offset) + 1/12, above and below the offset.

    n = 2**20 draws, two z tests, alpha = 1e-4 (|z| < 3.9), seed 77.
    """
    sensor = SensorModel.scalar(offset_dn=200 - signal % 1, gain_e_per_dn=1 / 1.5, read_noise_e=3.0)
    level = round(sensor.regions[0].offset_dn + signal)
    variance = float(sensor.variance_dn2(np.array([level]))[0]) + 1 / 12
    assert variance == pytest.approx(20.25 + 1.5 * signal + 1 / 12)
    assert np.abs(moment_z(level, sensor, level, variance, law)).max() < 3.9


def test_clipping_the_signal_instead_of_the_variance_is_rejected():
    """Negative control: below the offset, the variance and the mean that a clipped signal would give."""
    sensor = SensorModel.scalar(offset_dn=200, gain_e_per_dn=1 / 1.5, read_noise_e=3.0)
    z_mean, z_variance = np.abs(moment_z(196, sensor, 200.0, 20.25 + 1 / 12))
    assert z_mean > 100
    assert z_variance > 100


def test_maps_draw_the_law_of_each_pixel():
    """Null: per-pixel mean and variance of the maps. n = 4096 replicates x 256 pixels of one variance each.

    Sum of squared z over pixels, chi-square, alpha = 1e-4, seed 77. Control: read noise and gain of the mirrored maps.
    """
    rng = np.random.default_rng(SEED)
    shape = (16, 16)
    maps = SensorMaps(
        gain_e_per_dn=rng.uniform(0.4, 1.2, shape),
        offset_dn=rng.uniform(95, 105, shape),
        read_noise_e=rng.uniform(1, 4, shape),
    )
    sensor = SensorModel(
        regions=SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.8, read_noise_e=2.0).regions,
        maps=maps,
        frame_shape=shape,
    )
    raw = rng.integers(110, 2000, shape).astype(np.uint16)
    n = 4096
    sums = pixel_sums(raw, noise_tables(sensor, shape=shape), get_backend("numba"), SEED, range(n))
    variance = sensor.variance_dn2(raw) + 1 / 12
    z_mean = (pixel_mean(sums.sum1, n) - raw) / np.sqrt(variance / n)
    z_variance = (pixel_variance(sums.sum1, sums.sum2, n) / variance - 1) / np.sqrt(2 / (n - 1))
    for z in (z_mean, z_variance):
        assert ALPHA < stats.chi2.sf((z**2).sum(), z.size) < 1 - ALPHA
    mirrored = sensor.variance_dn2(raw[::-1])[::-1] + 1 / 12
    z_wrong = (pixel_variance(sums.sum1, sums.sum2, n) / mirrored - 1) / np.sqrt(2 / (n - 1))
    assert stats.chi2.sf((z_wrong**2).sum(), z_wrong.size) < ALPHA


def correlations(noise):
    """Return sqrt(n) times the correlation of neighbours along each axis: standard normal under independence."""
    standard = (noise - noise.mean()) / noise.std()
    out = []
    for axis in range(noise.ndim):
        a, b = (np.take(standard, range(k, standard.shape[axis] - 1 + k), axis) for k in (0, 1))
        out.append(float((a * b).mean() * np.sqrt(a.size)))
    return np.array(out)


@pytest.mark.parametrize("mu", [0.7, 60.0, 3000.0])
def test_neighbours_and_replicates_are_uncorrelated(mu):
    """Null: no correlation between replicates, planes, rows, columns. n = 2**20, |z| < 4.3 (alpha = 2e-5), seed 77.

    Control: 1 % of the neighbour's noise mixed in along each axis.
    """
    sensor, level = sensor_at(mu)
    raw = np.full((16, 64, 64), level, np.uint16)
    noise = draw(raw, noise_tables(sensor), get_backend("numba"), SEED, range(16)).astype(np.float64)
    assert np.abs(correlations(noise)).max() < 4.3
    for axis in range(4):
        assert correlations(noise + 0.01 * np.roll(noise, 1, axis))[axis] > 4.3
