"""Separable filters: the kernels against the plain twin, on every level."""

import pytest
from cudahost import bodies_convolve as bodies


def test_presets_are_the_plain_twins(engine):
    bodies.check_presets(engine)


def test_axes_shorter_than_a_kernel(engine):
    bodies.check_thin(engine)


def test_lengths_around_those_of_a_tile(engine):
    bodies.check_edges(engine)


def test_radii_up_to_97_taps(engine):
    bodies.check_radii(engine)


def test_columns_in_any_subset_and_order(engine):
    bodies.check_columns(engine)


def test_any_slab_gives_the_same_planes(engine):
    bodies.check_slabs(engine)


def test_planes_that_are_filtered_by_themselves(engine):
    bodies.check_planar(engine)


def test_memory_for_less_than_one_plane(engine):
    bodies.check_little_memory(engine)


def test_pixels_of_every_type_and_size(engine):
    bodies.check_types(engine)


def test_smoothed_probabilities_are_the_plain_twins(engine):
    bodies.check_smooth(engine)


def test_banks_that_cannot_be_made_are_refused(engine):
    bodies.check_refusals(engine)


def test_indices_beyond_31_bits_and_axes_beyond_27(level, engine):
    if level == "device":
        pytest.skip("single blocks of a launch run only where g++ built the kernels")
    bodies.check_giant(engine)
    bodies.check_longest_axis(engine)
