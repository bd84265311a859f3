"""Does the quantiser add the noise that it promises, and no bias?

Every test states its null hypothesis, n, alpha and seed. Noise and dither come from fixed seeds, so a test passes or
fails for good. Errors are those of decoded fractions where nothing else is said: rounding is another source of noise,
and has its own formula.
"""

import math

import numpy as np
import pytest

from compdistort.codecs.vsq.added_noise import integer_variance
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.codecs.vsq.quantiser import Quantiser

LAW = NoiseLaw(offset_dn=100.0, gain_dn_per_e=2.17, read_noise_dn=3.4)
LEVELS = (30, 100, 300, 1000, 10000)
"""Electrons, all far above the knee."""
SHAPE = (1024, 768)
N = SHAPE[0] * SHAPE[1]
Z = 4.0
"""Standard errors; two-sided alpha = 6e-5 a comparison."""
KURTOSIS = 1.8
"""Of a uniform error: the standard error of its variance is sqrt((1.8 - 1) / n) of it."""


def flat(electrons, seed, noise=1.0):
    """Return raw pixels of a flat field, uint16; `noise` scales what the law says."""
    rng = np.random.default_rng([seed, int(electrons)])
    mean = LAW.offset_dn + LAW.gain_dn_per_e * electrons
    if noise == 1:
        dn = LAW.offset_dn + LAW.gain_dn_per_e * rng.poisson(electrons, SHAPE) + rng.normal(0, LAW.read_noise_dn, SHAPE)
    else:
        dn = rng.normal(mean, noise * sigma_at(electrons), SHAPE)
    return np.clip(np.rint(dn), 0, 65534).astype(np.uint16)


def sigma_at(electrons):
    return math.sqrt(LAW.read_noise_dn**2 + LAW.gain_dn_per_e**2 * electrons)


def error_of(quantiser, plane, dtype=np.float32, seed=11):
    return quantiser.restore(quantiser.quantise(plane, seed), seed, dtype=dtype).astype(np.float64) - plane


@pytest.fixture(scope="module")
def fields():
    return {electrons: flat(electrons, 5) for electrons in LEVELS}


@pytest.mark.parametrize("electrons", LEVELS)
@pytest.mark.parametrize("step", [1.0, 2.0])
def test_bias_and_variance_are_those_of_the_formula(fields, electrons, step):
    """Null: mean error 0, and variance sigma^2(y) step^2 / 12 + K^2 step^4 / 2880, y the raw pixel.

    n = 786432 a level and step, seed 5; bias by z at alpha 6e-5, variance by the same z of a uniform error.
    """
    quantiser = Quantiser(LAW, step=step)
    error = error_of(quantiser, fields[electrons])
    assert abs(error.mean()) < Z * error.std() / math.sqrt(N)
    knee = LAW.offset_dn + 1.5 * LAW.read_noise_dn
    read_off = LAW.read_noise_dn**2 + LAW.gain_dn_per_e * np.maximum(fields[electrons] - knee, 0)
    expected = read_off.mean() * step**2 / 12 + LAW.gain_dn_per_e**2 * step**4 / 2880
    assert np.mean(error**2) / expected == pytest.approx(1, abs=Z * math.sqrt((KURTOSIS - 1) / N) + 2e-4)
    assert np.mean(error**2) < sigma_at(electrons) ** 2 * step**2 / 12 * (1 + Z * math.sqrt((KURTOSIS - 1) / N) + 2e-4)


@pytest.mark.parametrize("electrons", LEVELS)
def test_whole_levels_add_the_variance_of_a_whole_error(fields, electrons):
    """Null: mean 0 and variance V(step sigma / 2) + K^2 step^4 / 2880. n = 786432 a level, step 2, seed 5, same z."""
    error = error_of(Quantiser(LAW, step=2.0), fields[electrons], np.uint16)
    knee = LAW.offset_dn + 1.5 * LAW.read_noise_dn
    read_off = np.sqrt(LAW.read_noise_dn**2 + LAW.gain_dn_per_e * np.maximum(fields[electrons] - knee, 0))
    expected = integer_variance(read_off).mean() + LAW.gain_dn_per_e**2 * 16 / 2880
    assert abs(error.mean()) < Z * error.std() / math.sqrt(N)
    assert np.mean(error**2) / expected == pytest.approx(1, abs=Z * math.sqrt((KURTOSIS - 1) / N) + 1e-3)


def test_another_variance_would_be_seen(fields):
    """Negative control: a step that is 1 % larger fails the test of the variance."""
    error = error_of(Quantiser(LAW, step=2.02), fields[1000])
    expected = LAW.variance_dn2(fields[1000]).mean() * 4 / 12
    assert np.mean(error**2) / expected > 1 + Z * math.sqrt((KURTOSIS - 1) / N) + 2e-4


@pytest.mark.parametrize("electrons", [30, 1000])
def test_the_error_is_white_and_knows_nothing_of_the_image(fields, electrons):
    """Null: correlation 0 of neighbours in rows and columns, and with the raw pixel. n = 786432, seed 5, same z."""
    plane = fields[electrons]
    error = error_of(Quantiser(LAW, step=2.0), plane)
    bound = Z / math.sqrt(N)
    assert abs(np.corrcoef(error[:, 1:].ravel(), error[:, :-1].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(error[1:].ravel(), error[:-1].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(error.ravel(), plane.ravel())[0, 1]) < bound


def test_plain_rounding_knows_the_image():
    """Negative control: at a quarter of the noise the error of plain rounding follows the raw pixel."""
    plane = flat(1000, 6, noise=0.25)
    error = error_of(Quantiser(LAW, step=1.5, dither="none"), plane)
    assert abs(np.corrcoef(error.ravel(), plane.ravel())[0, 1]) > 0.1


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.25, 2.0])
@pytest.mark.parametrize("electrons", [100, 1000])
def test_a_wrong_gain_costs_noise_never_bias(fields, gain, electrons):
    """Null: mean error 0 whatever gain the quantiser believes. n = 786432, step 2, seed 5, same z."""
    believed = NoiseLaw(offset_dn=100.0, gain_dn_per_e=2.17 * gain, read_noise_dn=3.4)
    error = error_of(Quantiser(believed, step=2.0), fields[electrons])
    assert abs(error.mean()) < Z * error.std() / math.sqrt(N)
    nominal = sigma_at(electrons) ** 2 * 4 / 12
    assert (np.mean(error**2) > 1.1 * nominal) == (gain > 1)


def largest_bias(quantiser, noise):
    """Return the largest bias over the phases of the mean in a cell, in units of the believed noise."""
    biases = []
    for electrons in np.linspace(1000, 1060, 7):
        plane = flat(electrons, 8, noise)[:256]
        biases.append(abs(error_of(quantiser, plane).mean()) / sigma_at(electrons))
    return max(biases)


def test_less_noise_than_believed_biases_plain_rounding_alone():
    """A quarter of the believed noise, n = 7 x 196608, seed 8.

    Null of subtractive dither: bias 0, alpha 6e-5 each of 7. Negative control: plain rounding, above 0.1 sigma.
    """
    assert largest_bias(Quantiser(LAW, step=1.5), 0.25) < Z * 1.5 / math.sqrt(12 * 256 * SHAPE[1])
    assert largest_bias(Quantiser(LAW, step=1.5, dither="none"), 0.25) > 0.1


def test_replaced_cells_add_twice_the_variance(fields):
    """Null: variance sigma^2 step^2 / 6, step 1.41. n = 786432, seed 5, same z; kurtosis 2.4 of a triangle.

    The mean error is 0 to half a grey level alone: whole grey levels do not fill the cells evenly.
    """
    plane = fields[1000]
    error = error_of(Quantiser(LAW, step=1.41, dither="replaced"), plane)
    sigma2 = LAW.variance_dn2(plane - 1.5 * LAW.read_noise_dn).mean()
    assert abs(error.mean()) < 0.5 + Z * error.std() / math.sqrt(N)
    assert np.mean(error**2) / (sigma2 * 1.41**2 / 6) == pytest.approx(1, abs=Z * math.sqrt(1.4 / N) + 2e-3)
    assert np.abs(error).max() < 1.41 * math.sqrt(LAW.variance_dn2(plane).max()) * 1.1
