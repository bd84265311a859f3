"""Raw-equivalent replicates: the kernels against the plain twin, on every level."""

import numpy as np
import pytest
from cudahost import bodies_noise as bodies
from cudahost.levels import open_engine

from compdistort.backend.plain.noise import replicate as plain_replicate

KEY = bodies.KEY


def test_philox_gives_the_known_answers(engine):
    bodies.check_philox(engine)


def test_replicates_of_every_sensor_and_law_are_the_plain_twins(engine):
    bodies.check_laws(engine)


def test_maps_keep_the_last_bit_of_every_pixels_law(engine):
    bodies.check_maps(engine)


def test_rows_of_every_length_and_shift_and_the_largest_numbers(engine):
    bodies.check_places(engine)


def test_empty_images_and_ranges(engine):
    bodies.check_empty(engine)


def test_rows_and_planes_beyond_the_grid(engine):
    bodies.check_strides(engine)


def test_both_ends_of_the_range(engine):
    bodies.check_ends(engine)


def test_halves_go_to_the_even_number(engine):
    bodies.check_rounding(engine)


def test_words_equal_to_a_step_of_the_law(engine):
    bodies.check_ties(engine)


def test_the_rarest_words(engine):
    bodies.check_rare_words(engine)


def test_golden_block(engine):
    bodies.check_golden(engine)


def test_levels_above_the_top_are_refused(engine):
    bodies.check_levels_above_top_are_refused(engine)


def test_indices_beyond_31_bits(level, engine):
    if level == "device" and engine.cuda.free_bytes() < 14 * 10**9:
        pytest.skip("the volume needs 14 GB")
    bodies.check_beyond_31_bits(engine)


@pytest.fixture(scope="module")
def host():
    return open_engine("plain")


def test_slices_of_a_larger_array_draw_as_copies_do(host):
    """A pointer that is aligned to nothing but its own 16 bits."""
    flat = bodies.all_levels((1 + 6 * 40,))
    part = host.to_device(flat)[1:].reshape(6, 40)
    wanted = plain_replicate(flat[1:].reshape(6, 40), bodies.tables("scalar"), KEY, range(2))
    assert np.array_equal(host.to_host(host.replicate(part, bodies.tables("scalar"), KEY, range(2))), wanted)


def test_unfit_arguments_are_refused_as_by_the_plain_twin(host):
    noise, plane = bodies.tables("regions"), bodies.PLANE
    cases = {
        "crop the tables": (np.zeros((11, 30), np.uint16), range(1), (0, 0, 0)),
        "axes": (np.zeros(37, np.uint16), range(1), (0, 0, 0)),
        "replicates": (np.zeros(plane, np.uint16), range(-1, 1), (0, 0, 0)),
        "0 .. 2": (np.zeros(plane, np.uint16), range(2**32, 2**32 + 1), (0, 0, 0)),
        "origin": (np.zeros(plane, np.uint16), range(1), (0, -1, 0)),
        "32 bits": (np.zeros(plane, np.uint16), range(1), (0, 0, 2**32 - 36)),
    }
    for match, (raw, numbers, origin) in cases.items():
        with pytest.raises(ValueError, match=match):
            host.replicate(host.to_device(raw), noise, KEY, numbers, origin)
        with pytest.raises(ValueError, match=match):
            plain_replicate(raw, noise, KEY, numbers, origin)


def test_tables_that_lack_a_region_or_a_level_are_refused_as_by_the_plain_twin(host):
    raw = np.full(bodies.PLANE, 4095, np.uint16)
    made = bodies.tables("regions")
    for noise in (bodies.replace(made, level=made.level[:2]), bodies.replace(made, level=made.level[:, :4095].copy())):
        with pytest.raises(IndexError):
            host.replicate(host.to_device(raw), noise, KEY, range(1))
        with pytest.raises(IndexError):
            plain_replicate(raw, noise, KEY, range(1))


def test_tables_are_uploaded_once(host, monkeypatch):
    raw, noise = host.to_device(bodies.all_levels((3, 5))), bodies.replace(bodies.tables("scalar"))
    first = host.to_host(host.replicate(raw, noise, KEY, range(1)))
    monkeypatch.setattr(host.cuda, "upload", None)
    assert np.array_equal(host.to_host(host.replicate(raw, noise, KEY, range(1))), first)
