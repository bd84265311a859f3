"""The committed noise tables, and how they were made: ``python tests/golden/noise_tables.py`` writes them again.

A hash of drawn noise may only be taken from committed tables: another SciPy may move an entry of fresh ones by a unit.
"""

from pathlib import Path

import numpy as np

from compdistort.backend.base import NoiseTables
from compdistort.replicate import noise_tables
from compdistort.sensor.model import SensorModel

PATH = Path(__file__).with_suffix(".npz")
SENSOR = SensorModel.scalar(offset_dn=52.4, gain_e_per_dn=1.4, read_noise_e=1.8, bits=10)
ARRAYS = ("level", "cdf", "guide", "quantile")
PLACE = (range(5, 8), (0, 3, 6))
SHA256 = "43e425b9f4a222db66cfdb685f1f99c4900b8981612bcbf5e63e68725fca9aaf"
"""Of the replicates of `raw_block` at `PLACE` (numbers and origin), seed 2022, as little-endian uint16."""


def load():
    with np.load(PATH, allow_pickle=False) as file:
        return NoiseTables(law="poisson-gaussian", top=SENSOR.max_dn, **{name: file[name] for name in ARRAYS})


def raw_block():
    """Every grey level of the range, dark pixels below the offset and saturated ones included: shape (3, 18, 57)."""
    return (np.arange(3 * 18 * 57) * 331 % 1024).astype(np.uint16).reshape(3, 18, 57)


if __name__ == "__main__":
    tables = noise_tables(SENSOR)
    np.savez_compressed(PATH, **{name: getattr(tables, name) for name in ARRAYS})
