"""The memory that the fused engine says one replicate takes, against what is allocated while it makes one."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend.base import SegmentRule
from compdistort.backend.bitsliced.voter import voter_for
from compdistort.backend.compiled.components import find_components
from compdistort.backend.compiled.engine import KEPT_BYTES, Engine
from compdistort.backend.compiled.runs import object_bytes, objects_from_bits
from compdistort.backend.compiled.source import Drawn
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import flatten
from compdistort.replicate import noise_tables
from compdistort.sensor.model import SensorModel

KEY = (1, 2)
SETS = {
    "ilastik 3D": ("ilastik", (72, 64, 70)),
    "fast 3D": ("fast", (40, 64, 70)),
    "ilastik": ("ilastik", (300, 270)),
    "weka": ("weka", (600, 330)),
}


def made(name):
    """Return an engine, and image, noise, filters, forest and rule of a scene whose objects are many and small."""
    set_name, shape = SETS[name]
    draw = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(draw.normal(size=shape), 1) > 0.1
    raw = draw.poisson(300 + 200 * truth).astype(np.uint16)
    bank = build_bank(FeatureSpec(set=set_name), len(shape), shape)
    engine = Engine(1)
    places = np.sort(draw.choice(raw.size, 400, replace=False))
    rows = engine.feature_rows(raw.astype(np.float32), bank, places)
    forest = flatten(RandomForestClassifier(20, random_state=0).fit(rows, truth.ravel()[places]))
    voter_for(forest, wait=True, foreground=1)
    rule = SegmentRule(foreground=1, connectivity=8 if raw.ndim == 2 else 6)
    noise = noise_tables(SensorModel.scalar(offset_dn=100, gain_e_per_dn=1, read_noise_e=2))
    return engine, raw, noise, bank, forest, rule


def allocated(work):
    """Return the most memory that is allocated at a time while a call runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", SETS)
def test_the_memory_of_a_replicate_is_forecast_to_ten_percent(name):
    engine, raw, noise, bank, forest, rule = made(name)
    arguments = (raw, noise, KEY, bank, forest, rule, range(1))
    engine.replicate_tables(*arguments)
    another = Engine(1)  # the set `fast` keeps the memory of an image for the next one
    peak = allocated(lambda: another.replicate_tables(*arguments))
    assert 0.9 < engine.working_bytes(raw.shape, bank, forest, 2, 0) / peak < 1.1
    # Pixels of twice the size take more, unless the filters ask for these anyway.
    assert engine.working_bytes(raw.shape, bank, forest, 4, 0) >= engine.working_bytes(raw.shape, bank, forest, 2, 0)


@pytest.mark.parametrize("name", ["ilastik 3D", "weka"])
def test_the_memory_of_many_objects_is_forecast_from_their_runs(name):
    engine, raw, noise, bank, forest, rule = made(name)
    bits = engine._bits(Drawn(raw, noise, KEY, 0), bank, forest, rule)
    runs = find_components(bits, raw.shape, rule).start.size
    peak = allocated(lambda: objects_from_bits(bits, raw.shape, rule, want_labels=False))
    assert 0.6 < object_bytes(raw.shape, runs) / peak < 3
    none, some = (engine.working_bytes(raw.shape, bank, forest, 2, n) for n in (0, runs))
    assert some - none == object_bytes(raw.shape, runs) - object_bytes(raw.shape, 0)
    # So many that finding them takes more than voting did: nothing of the votes is left by then.
    many = 100 * KEPT_BYTES
    assert engine.working_bytes(raw.shape, bank, forest, 2, many) < object_bytes(raw.shape, many) + none
