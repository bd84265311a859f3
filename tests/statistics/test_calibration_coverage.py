"""Coverage of the calibration's intervals on simulated cameras with known gain.

Null hypothesis of each test: the 95 % interval of the gain holds the truth in 95 % of calibrations. n and seed are
named in each test; alpha = 0.001 (two-sided, exact binomial). The negative controls must reject it.
"""

import numpy as np
import pytest
from scipy.stats import binomtest

from compdistort.sensor.fit import fit_line

ALPHA = 0.001
GAIN, READ = 0.5, 6.0
PIXELS = 2000
SIGNALS = np.geomspace(20, 20_000, 16)


def variances(rng, *, one_frame=False):
    """Return dark and level variances of one simulated exposure series, by two-frame or by one-frame estimates."""
    response = 1 + 0.01 * rng.standard_normal(PIXELS)
    out = []
    for electrons in (0.0, *SIGNALS):
        a, b = (
            np.rint(100 + GAIN * (rng.poisson(electrons * response) + rng.normal(0, READ, PIXELS))) for _ in range(2)
        )
        difference = a - b
        out.append(a.var(ddof=1) if one_frame else difference.var(ddof=1) / 2)
    return np.array(out)


def hits(n, seed, *, one_frame=False, error_scale=1.0):
    """Count the calibrations whose 95 % interval holds the true gain."""
    rng = np.random.default_rng(seed)
    x = np.concatenate(([0.0], GAIN * SIGNALS))
    count = np.full(x.size, PIXELS)
    found = 0
    for _ in range(n):
        fit = fit_line(x, variances(rng, one_frame=one_frame), count)
        found += abs(fit.gain_dn_per_e - GAIN) < 1.96 * error_scale * fit.gain_standard_error
    return found


def test_gain_interval_covers_the_truth():
    """n = 400, seed 41."""
    found = hits(400, 41)
    assert binomtest(found, 400, 0.95).pvalue > ALPHA


@pytest.mark.parametrize("control", [{"one_frame": True}, {"error_scale": 0.7}], ids=["one frame", "interval x 0.7"])
def test_negative_controls_fail(control):
    """n = 400, seed 42: PRNU of 1 % read as noise, and intervals that are too short."""
    found = hits(400, 42, **control)
    assert binomtest(found, 400, 0.95).pvalue < ALPHA


def test_weights_are_worth_it():
    """n = 200, seed 43: the unweighted fit through zero scatters more; variance ratio by an F test, alpha 0.001."""
    from scipy.stats import f

    from compdistort.sensor.fit import fit_emva

    rng = np.random.default_rng(43)
    x = np.concatenate(([0.0], GAIN * SIGNALS))
    weighted, plain = [], []
    for _ in range(200):
        v = variances(rng)
        weighted.append(fit_line(x, v, np.full(x.size, PIXELS)).gain_dn_per_e)
        plain.append(fit_emva(x[1:], v[1:], v[0]))
    ratio = np.var(plain, ddof=1) / np.var(weighted, ddof=1)
    assert ratio > f.isf(ALPHA, 199, 199)
    assert np.mean(weighted) == pytest.approx(GAIN, abs=4 * np.std(weighted) / 200**0.5)
