"""Committed hashes, made by the plain twins: every engine, on every level, must give the same bytes.

A hash cannot drift with the twin it is compared to: a change of the definition shows here.
"""

import hashlib
import json

import numpy as np
import pytest
from golden import feature_hashes, noise_tables, votes

from compdistort.rng import Stream, derive_key


def check_noise(engine):
    raw = engine.to_device(noise_tables.raw_block())
    key = derive_key(2022, Stream.NOISE)
    block = engine.to_host(engine.replicate(raw, noise_tables.load(), key, *noise_tables.PLACE))
    assert block.dtype == np.uint16
    assert hashlib.sha256(block.astype("<u2").tobytes()).hexdigest() == noise_tables.SHA256


def check_features(engine, case):
    image = feature_hashes.made_up_image(feature_hashes.CASES[case][1])
    bank = feature_hashes.bank_of(case)
    stack = engine.to_host(engine.feature_stack(engine.to_device(image), bank))
    assert feature_hashes.plane_hashes(bank.names, stack) == json.loads(feature_hashes.FILE.read_text())[case]


def check_votes(engine, case):
    forest = votes.load(case)
    probability = engine.to_host(engine.forest_proba(engine.to_device(votes.pixels(forest)), forest))
    assert probability.dtype == np.float64
    assert votes.vote_hash(probability) == json.loads(votes.HASHES.read_text())[case]


CHECKS = {
    "noise": (check_noise,),
    **{f"features-{case.replace(' ', '-')}": (check_features, case) for case in feature_hashes.CASES},
    **{f"votes-{case}": (check_votes, case) for case in votes.CASES},
}


@pytest.fixture(params=CHECKS)
def check(request):
    function, *case = CHECKS[request.param]
    return lambda engine: function(engine, *case)


def test_cpu_engines_give_the_committed_bytes(check, cpu_backend):
    check(cpu_backend)


def test_the_cuda_engine_gives_the_committed_bytes(check, engine):
    check(engine)


@pytest.mark.parametrize("case", votes.CASES)
def test_a_pixel_moved_off_its_threshold_changes_the_votes(case, cpu_backend):
    forest = votes.load(case)
    above = np.nextafter(votes.pixels(forest), np.float32(np.inf))
    probability = cpu_backend.forest_proba(above, forest)
    assert votes.vote_hash(probability) != json.loads(votes.HASHES.read_text())[case]
