"""The neighbours of a pixel in a pass of the dither-aware coder: the same numbers as `plain.dither_sites`."""

import numpy as np
from numba import njit

from compdistort.backend.plain.dither_sites import ACTIVITY_SHIFT, CLASSES, FRACTION, LARGEST, WEIGHT_BITS

MARGIN = 3
"""Lattice places to the farthest neighbour."""

NEAR = 4
"""Nearest neighbours."""

_TOP = LARGEST << FRACTION
_HALF = 1 << (WEIGHT_BITS - 1)


@njit(nogil=True, error_model="numpy")
def flat_steps(steps, width, stride):
    """Return the steps as distances in the flat plane."""
    flat = np.empty(steps.shape[0], np.int64)
    for k in range(flat.size):
        flat[k] = (steps[k, 0] * width + steps[k, 1]) * stride
    return flat


@njit(nogil=True, error_model="numpy", inline="always")
def first_column(axial, row):
    """Return the first lattice column of a row of a pass."""
    return 1 - (row & 1) if axial else 1


@njit(nogil=True, error_model="numpy", inline="always")
def gather(restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms):
    """Write the places of the nearest neighbours and the terms; return the activity."""
    if row >= MARGIN and column >= MARGIN and row + MARGIN <= last_row and column + MARGIN <= last_column:
        here = (row * width + column) * stride
        near[0], near[1] = here + flat[0], here - flat[0]
        near[2], near[3] = here + flat[1], here - flat[1]
        for k in range(n_pairs):
            terms[k] = np.int64(restored[here + flat[k]]) + np.int64(restored[here - flat[k]])
        for k in range(n_pairs, flat.size):
            terms[k] = 2 * np.int64(restored[here + flat[k]])
    else:
        _gather_at_border(restored, width, stride, last_row, last_column, row, column, steps, n_pairs, near, terms)
    mean, activity = np.int64(0), np.int64(0)
    for k in range(n_pairs):
        mean += terms[k]
    mean //= n_pairs
    for k in range(n_pairs):
        activity += abs(terms[k] - mean)
    return activity >> ACTIVITY_SHIFT


@njit(nogil=True, error_model="numpy")
def _gather_at_border(restored, width, stride, last_row, last_column, row, column, steps, n_pairs, near, terms):
    for k in range(steps.shape[0]):
        dy, dx = steps[k, 0], steps[k, 1]
        if k < n_pairs:
            one = (_mirrored(row + dy, last_row) * width + _mirrored(column + dx, last_column)) * stride
            two = (_mirrored(row - dy, last_row) * width + _mirrored(column - dx, last_column)) * stride
            terms[k] = np.int64(restored[one]) + np.int64(restored[two])
            if k < NEAR // 2:
                near[2 * k], near[2 * k + 1] = one, two
        elif row + dy < 0 or column + dx < 0 or column + dx > last_column:
            terms[k] = terms[0]
        else:
            terms[k] = 2 * np.int64(restored[((row + dy) * width + column + dx) * stride])


@njit(nogil=True, error_model="numpy")
def _mirrored(place, last):
    if last == 0:
        return 0
    place %= 2 * last
    return min(place, 2 * last - place)


@njit(nogil=True, error_model="numpy", inline="always")
def class_of(activity, limits):
    """Return the class of an activity."""
    own = 0
    while own < CLASSES - 1 and activity >= limits[own]:
        own += 1
    return own


@njit(nogil=True, error_model="numpy", inline="always")
def predict(weights, own, terms, n_terms):
    """Return the prediction of a restored index."""
    total = np.int64(_HALF)
    for k in range(n_terms):
        total += weights[own, k] * terms[k]
    return min(max(total >> WEIGHT_BITS, 0), _TOP)


@njit(nogil=True, error_model="numpy", inline="always")
def count_near(indices, near, wanted):
    """Return how many of the nearest neighbours have an index."""
    found = 0
    for k in range(NEAR):
        found += 1 if indices[near[k]] == wanted else 0
    return found
