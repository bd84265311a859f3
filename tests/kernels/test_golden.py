"""Committed hashes, made by the plain twins: every engine, on every level, must give the same bytes.

A hash cannot drift with the twin it is compared to: a change of the definition shows here.
"""

import hashlib
import json

import numpy as np
import pytest
from golden import feature_hashes, noise_tables, volume_hashes, votes

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


def check_beams(engine, taps):
    plan = volume_hashes.plan_of(taps)
    images = engine.to_host(engine.backproject(engine.to_device(volume_hashes.projections(plan)), plan))
    assert images.dtype == np.float32
    assert volume_hashes.image_hash(images) == volume_hashes.BEAMS[taps]


def check_surface(engine):
    table = engine.measure(engine.to_device(volume_hashes.label_volume()))
    assert volume_hashes.count_hash(table) == volume_hashes.SURFACE


CHECKS = {
    "noise": (check_noise,),
    **{f"features-{case.replace(' ', '-')}": (check_features, case) for case in feature_hashes.CASES},
    **{f"votes-{case}": (check_votes, case) for case in votes.CASES},
    **{f"beams-{taps}": (check_beams, taps) for taps in volume_hashes.BEAMS},
    "surface": (check_surface,),
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


@pytest.mark.parametrize("taps", volume_hashes.BEAMS)
def test_a_place_moved_by_a_sample_changes_the_images(taps, cpu_backend):
    plan = volume_hashes.plan_of(taps)
    moved = np.roll(volume_hashes.projections(plan), 1, axis=2)
    assert volume_hashes.image_hash(cpu_backend.backproject(moved, plan)) != volume_hashes.BEAMS[taps]


def test_a_voxel_less_changes_the_counts(cpu_backend):
    labels = volume_hashes.label_volume()
    last = np.argwhere(labels == labels.max())[-1]
    labels[tuple(last)] = 0
    assert volume_hashes.count_hash(cpu_backend.measure(labels)) != volume_hashes.SURFACE
