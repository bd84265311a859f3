"""What the models of the dither-aware coder are fitted to, as compiled loops; see `plain.dither_counts`."""

import numpy as np

from compdistort.backend.compiled.dither_sites import (
    NEAR,
    class_of,
    count_near,
    first_column,
    flat_steps,
    gather,
    predict,
)
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.plain.dither_counts import FARTHEST
from compdistort.backend.plain.dither_sites import (
    CLASSES,
    CONTEXTS,
    DITHER_BITS,
    FRACTION,
    PHASE_BITS,
    CodedPlane,
    Int64,
    Sites,
)

_COARSER = DITHER_BITS - FRACTION
_IN_CELL = (1 << FRACTION) - 1
_WIDTH = 16
_HALF = _WIDTH // 2
"""Terms of an axial pass; half a row of products is a whole number of the processor's words."""


def activities(plane: CodedPlane, sites: Sites, every: int) -> Int64:
    """Return the activities of pixels; see `compdistort.backend.plain.dither_counts.activities`.

    Parameters
    ----------
    plane, sites, every
        See there.

    Returns
    -------
    ndarray of shape (n_pixels,), int64
    """
    found = np.empty(sites.n_sites, np.int64)
    return found[: _activities(plane.restored, *_flattened(sites), every, found)]


def normal_sums(plane: CodedPlane, sites: Sites, every: int, limits: Int64) -> Int64:
    """Return sums for a fit; see `compdistort.backend.plain.dither_counts.normal_sums`.

    Parameters
    ----------
    plane, sites, every
        See there.
    limits : ndarray of shape (CLASSES,), int64
        See there.

    Returns
    -------
    ndarray of shape (CLASSES, n_terms + 1, n_terms + 1), int64
    """
    size = len(sites.steps)
    # Products of whole numbers whose sums stay below 2**53 are exact as doubles, and many times as fast.
    products, counts = np.zeros((CLASSES, _WIDTH, _WIDTH)), np.zeros(CLASSES, np.int64)
    arrays = plane.restored, plane.indices, plane.saturated
    _normal_sums(*arrays, *_flattened(sites), every, limits, products, counts)
    products[:, _HALF:, :_HALF] = products[:, :_HALF, _HALF:].transpose(0, 2, 1)
    sums = np.zeros((CLASSES, size + 1, size + 1), np.int64)
    sums[:, :size, :size] = products[:, :size, :size]
    sums[:, size, size] = counts
    return sums


def cell_counts(
    plane: CodedPlane, sites: Sites, every: int, limits: Int64, weights: Int64, reach: int
) -> tuple[Int64, Int64]:
    """Count distances from the prediction; see `compdistort.backend.plain.dither_counts.cell_counts`.

    Parameters
    ----------
    plane, sites, every, reach
        See there.
    limits, weights : ndarray of shape (CLASSES,) and (CLASSES, n_terms), int64
        See there.

    Returns
    -------
    counts : ndarray of shape (CLASSES, 2**PHASE_BITS, 2 * reach + 3), int64
        See there.
    squares : ndarray of shape (CLASSES,), int64
        See there.
    """
    counts = np.zeros((CLASSES, 1 << PHASE_BITS, 2 * reach + 3), np.int64)
    squares = np.zeros(CLASSES, np.int64)
    arrays = plane.restored, plane.indices, plane.dither, plane.saturated
    _cell_counts(*arrays, *_flattened(sites), every, limits, weights, counts, squares)
    return counts, squares


def saturated_counts(plane: CodedPlane, sites: Sites) -> Int64:
    """Count saturated pixels; see `compdistort.backend.plain.dither_counts.saturated_counts`.

    Parameters
    ----------
    plane, sites
        See there.

    Returns
    -------
    ndarray of shape (CONTEXTS, 2), int64
    """
    counts = np.zeros((CONTEXTS, 2), np.int64)
    _saturated_counts(plane.restored, plane.indices, plane.saturated, *_flattened(sites), counts)
    return counts


def _flattened(sites):
    lattice = sites.stride, sites.axial, sites.last_row, sites.last_column
    return sites.width, *lattice, sites.steps, sites.n_pairs


@kept_loop
def _activities(restored, width, stride, axial, last_row, last_column, steps, n_pairs, every, found):
    flat, near, terms = flat_steps(steps, width, stride), np.empty(NEAR, np.int64), np.empty(steps.shape[0], np.int64)
    n = 0
    for row in range(0 if axial else 1, last_row + 1, every if axial else 2 * every):
        for column in range(first_column(axial, row), last_column + 1, 2):
            found[n] = gather(
                restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms
            )
            n += 1
    return n


@kept_loop
def _normal_sums(
    restored, indices, saturated, width, stride, axial, last_row, last_column, steps, n_pairs, every, limits,
    products, counts,
):  # fmt: skip
    flat, near, terms = flat_steps(steps, width, stride), np.empty(NEAR, np.int64), np.empty(steps.shape[0], np.int64)
    size, found = terms.size, np.zeros(_WIDTH)
    for row in range(0 if axial else 1, last_row + 1, every if axial else 2 * every):
        for column in range(first_column(axial, row), last_column + 1, 2):
            here = (row * width + column) * stride
            if indices[here] == saturated:
                continue
            activity = gather(
                restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms
            )
            first, farthest = terms[0], 0
            for k in range(1, size):
                away = terms[k] - first
                farthest = max(farthest, abs(away))
                found[k - 1] = away
            away = 2 * np.int64(restored[here]) - first
            found[size - 1] = away
            if max(farthest, abs(away)) > FARTHEST:
                continue
            own = class_of(activity, limits)
            counts[own] += 1
            # The lower left quarter is the upper right one.
            for i in range(_HALF):
                value = found[i]
                for j in range(_HALF):
                    products[own, i, j] += value * found[j]
            for i in range(size):
                value = found[i]
                for j in range(_HALF, _WIDTH):
                    products[own, i, j] += value * found[j]


@kept_loop
def _cell_counts(
    restored, indices, dither, saturated, width, stride, axial, last_row, last_column, steps, n_pairs, every, limits,
    weights, counts, squares,
):  # fmt: skip
    flat, near, terms = flat_steps(steps, width, stride), np.empty(NEAR, np.int64), np.empty(steps.shape[0], np.int64)
    last = counts.shape[2] - 1
    for row in range(0 if axial else 1, last_row + 1, every if axial else 2 * every):
        for column in range(first_column(axial, row), last_column + 1, 2):
            here = (row * width + column) * stride
            if indices[here] == saturated:
                continue
            activity = gather(
                restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms
            )
            own = class_of(activity, limits)
            mean = predict(weights, own, terms, flat.size)
            centre = mean + (np.int64(dither[here]) >> _COARSER)
            phase = (centre & _IN_CELL) >> (FRACTION - PHASE_BITS)
            step = np.int64(indices[here]) - (centre >> FRACTION)
            counts[own, phase, min(max(step + last // 2, 0), last)] += 1
            error = min(abs(np.int64(restored[here]) - mean), FARTHEST)
            squares[own] += error * error


@kept_loop
def _saturated_counts(
    restored, indices, saturated, width, stride, axial, last_row, last_column, steps, n_pairs, counts
):
    flat, near, terms = flat_steps(steps, width, stride), np.empty(NEAR, np.int64), np.empty(steps.shape[0], np.int64)
    for row in range(0 if axial else 1, last_row + 1, 1 if axial else 2):
        for column in range(first_column(axial, row), last_column + 1, 2):
            gather(restored, width, stride, last_row, last_column, row, column, steps, flat, n_pairs, near, terms)
            here = (row * width + column) * stride
            counts[count_near(indices, near, saturated), 1 if indices[here] == saturated else 0] += 1
