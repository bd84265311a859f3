"""Raw-equivalent replicates, exact law, against NumPy's Poisson and normal generators, in one run.

`make bench` times them; a plain test run executes each once, so that it cannot rot.
"""

import numpy as np
import pytest

from compdistort.backend import get_backend
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorModel

SHAPE = (1024, 1024)
OFFSET_DN, GAIN_E_PER_DN, READ_NOISE_E = 240.0, 0.5, 1.6


@pytest.fixture(scope="module", params=[20.0, 1000.0], ids=["20e", "1000e"])
def raw(request):
    draw = np.random.Generator(np.random.Philox(1))
    electrons = draw.poisson(request.param, SHAPE)
    return np.rint(OFFSET_DN + electrons / GAIN_E_PER_DN).astype(np.uint16)


def test_compdistort(benchmark, raw):
    backend = get_backend("cpu")
    sensor = SensorModel.scalar(offset_dn=OFFSET_DN, gain_e_per_dn=GAIN_E_PER_DN, read_noise_e=READ_NOISE_E)
    tables, key = noise_tables(sensor), derive_key(1, Stream.NOISE)
    made = benchmark(lambda: backend.replicate(raw, tables, key, range(1)))
    assert made.shape == (1, *SHAPE)


def test_numpy_poisson_and_normal(benchmark, raw):
    draw = np.random.default_rng(1)
    electrons = np.maximum((raw - OFFSET_DN) * GAIN_E_PER_DN, 0)

    def replicate():
        noisy = draw.poisson(electrons) + draw.normal(0, READ_NOISE_E, SHAPE)
        return np.rint(OFFSET_DN + noisy / GAIN_E_PER_DN).clip(0, 65535).astype(np.uint16)

    assert benchmark(replicate).shape == SHAPE
