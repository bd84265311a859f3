"""Are the pixel statistics those of the residual that went in?

Every test states its null hypothesis, n, alpha and seed; each has a negative control that must fail. Images are flat or
smooth, so that the true mean is known and noise is the only structure.
"""

import numpy as np
import pytest
from scipy import ndimage, stats

from compdistort.score.pixels import ROUNDING_DN2, pixel_statistics
from compdistort.sensor.model import SensorModel

ALPHA = 1e-4
Z = stats.norm.isf(ALPHA / 2)
SEED = 31
SIDE = 512
N = SIDE**2
STEP = 2.0
SENSOR = SensorModel.scalar(offset_dn=100.0, gain_e_per_dn=0.05, read_noise_e=0.2)
"""20 DN/e-: sigma of more than 80 DN, so that rounding to whole grey levels is nothing beside it."""


def exposed(seed=SEED, side=SIDE):
    """Return a ramp of 20 to 500 e- with its noise: (raw, true mean, variance with that of rounding)."""
    rng = np.random.default_rng(seed)
    mean = 100.0 + 20.0 * np.broadcast_to(np.linspace(20, 500, side), (side, side))
    variance = SENSOR.variance_dn2(mean) + ROUNDING_DN2
    raw = np.rint(rng.normal(mean, np.sqrt(variance - ROUNDING_DN2)))
    return raw.astype(np.uint16), mean, variance


def dithered(raw, variance, step=STEP, seed=SEED + 1):
    """Return the image with an error that is uniform within +- step / 2 sigma and independent of everything."""
    error = np.random.default_rng(seed).uniform(-step / 2, step / 2, raw.shape) * np.sqrt(variance)
    return (raw + error).astype(np.float32)


@pytest.fixture(scope="module")
def scene():
    return exposed()


@pytest.fixture(scope="module")
def white(scene):
    raw, mean, variance = scene
    return pixel_statistics(raw, dithered(raw, variance), variance, mean=mean)


def correlation_limit(n=N):
    """Correlation of n independent pairs stays below this with probability 1 - alpha."""
    return Z / np.sqrt(n)


def test_a_uniform_error_of_two_sigma_adds_the_decibels_of_theory(white):
    """Null: variance of the error is step^2 / 12 (1.249 dB at 2 sigma). n = 2**18, alpha = 1e-4, seed 31.

    Var(e^2) of a uniform e is step^4 / 180.
    """
    theory = STEP**2 / 12
    error = Z * STEP**2 / np.sqrt(180 * N)
    assert abs(white.spread**2 - theory) < error
    assert abs(white.added_db - 10 * np.log10(1 + theory)) < 10 / np.log(10) * error / (1 + theory)
    assert abs(white.bias) < Z * np.sqrt(theory / N)
    assert white.largest <= STEP / 2 * (1 + 1e-5)


def test_another_step_is_told(scene):
    """Negative control, same n, alpha and seed: a step larger by 2 % fails the same comparison."""
    raw, mean, variance = scene
    found = pixel_statistics(raw, dithered(raw, variance, 1.02 * STEP), variance, mean=mean)
    assert abs(found.spread**2 - STEP**2 / 12) > Z * STEP**2 / np.sqrt(180 * N)


def test_an_independent_error_is_white_and_of_no_brightness(white):
    """Null: no correlation with neighbours or level. n = 2**18 pairs, alpha = 1e-4 each, seed 31."""
    for value in (white.lag_rows, white.lag_columns, white.brightness, white.truth.lag_rows, white.truth.lag_columns):
        assert abs(value) < correlation_limit()
    assert abs(white.truth.noise - np.sqrt(1 + STEP**2 / 12)) < Z * np.sqrt(1.3 / N)


def test_its_spectrum_is_flat(white):
    """Null: power of every ring of frequencies is spread^2. 64 tiles, alpha = 1e-4 for all 32 rings, seed 31.

    A ring of k cycles holds about pi * k independent modes a tile; every mode has a relative deviation of 1.
    """
    power = np.array(white.spectrum)
    modes = np.pi * np.arange(1, 33) * (SIDE // white.tile) ** 2
    z = (power / white.spread**2 - 1) * np.sqrt(modes)
    assert np.abs(z).max() < stats.norm.isf(ALPHA / 2 / 32) * 1.1  # rings hold somewhat fewer modes than their length


def test_a_smoothed_error_is_not_white(scene):
    """Negative control of the two tests above, same n, alpha and seed: the error goes through a kernel of 3 x 3."""
    raw, mean, variance = scene
    error = (dithered(raw, variance) - raw) / np.sqrt(variance)
    decoded = raw + ndimage.uniform_filter(error, 3) * np.sqrt(variance)
    found = pixel_statistics(raw, decoded, variance, mean=mean)
    assert found.lag_rows == pytest.approx(2 / 3, abs=0.02)
    assert found.lag_columns == pytest.approx(2 / 3, abs=0.02)
    assert found.spectrum[0] > 5 * found.spread**2 > 10 * found.spectrum[-1]


def test_smoothing_shows_as_less_noise_that_is_correlated(scene):
    """The raw image through a mean of 3 x 3 (a codec that throws fine noise away): noise 1/3, correlation 2/3.

    n = 2**18; means of 3 x 3 are right to 4 standard errors of N / 9 independent values.
    """
    raw, mean, variance = scene
    decoded = ndimage.uniform_filter(raw.astype(np.float64), 3)
    found = pixel_statistics(raw, decoded, variance, mean=mean)
    assert found.truth.noise == pytest.approx(1 / 3, rel=4 / np.sqrt(2 * N / 9) + 0.01)
    assert found.truth.lag_rows == pytest.approx(2 / 3, abs=0.02)
    assert found.grain < 0.2
    assert found.rms == pytest.approx(np.sqrt(8 / 9), rel=0.01)


def test_the_raw_image_itself_has_noise_one(scene):
    """Null: noise 1, no correlation. n = 2**18, alpha = 1e-4, seed 31."""
    raw, mean, variance = scene
    found = pixel_statistics(raw, raw, variance, mean=mean)
    assert abs(found.truth.noise - 1) < Z / np.sqrt(2 * N)
    assert abs(found.truth.lag_rows) < correlation_limit()
    assert abs(found.truth.lag_columns) < correlation_limit()
    assert (found.rms, found.bias, found.added_db, found.grain) == (0.0, 0.0, 0.0, 1.0)


def test_smoothing_has_no_bias_by_brightness(scene):
    """Null: mean residual 0 in every one of 20 classes of the true mean. n = 2**18, alpha = 1e-4 for all, seed 31.

    Residuals of a 3 x 3 mean cancel in their neighbourhood, so independent ones bound the error of a class.
    """
    raw, mean, variance = scene
    decoded = ndimage.uniform_filter(raw.astype(np.float64), 3, mode="mirror")
    found = pixel_statistics(raw, decoded, variance, mean=mean)
    assert len(found.classes) == 20
    for one in found.classes:
        assert abs(one.bias) < stats.norm.isf(ALPHA / 2 / 20) * one.spread / np.sqrt(one.n_pixels)


def test_classes_of_the_raw_pixel_itself_would_call_it_biased(scene):
    """Negative control, same n, alpha and seed: levels of the pixel itself bring regression to the mean."""
    raw, _, variance = scene
    decoded = ndimage.uniform_filter(raw.astype(np.float64), 3, mode="mirror")
    found = pixel_statistics(raw, decoded, variance, level=raw)
    assert abs(found.worst.bias) > 10 * stats.norm.isf(ALPHA / 2 / 20) * found.worst.spread / np.sqrt(
        found.worst.n_pixels
    )


def test_a_bias_of_one_class_is_found(scene):
    """Negative control of the classes: 0.1 sigma added to the brightest twentieth alone."""
    raw, mean, variance = scene
    bright = mean > np.quantile(mean, 0.95)
    decoded = dithered(raw, variance) + 0.1 * bright * np.sqrt(variance)
    found = pixel_statistics(raw, decoded, variance, mean=mean)
    assert found.worst == found.classes[-1]
    assert found.worst.bias == pytest.approx(0.1, abs=0.03)
    assert found.brightness > correlation_limit()
