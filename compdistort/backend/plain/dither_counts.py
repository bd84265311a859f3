"""What the models of the dither-aware coder are fitted to: whole numbers, counted pixel by pixel."""

import numpy as np

from compdistort.backend.plain.dither_sites import (
    CLASSES,
    CONTEXTS,
    DITHER_BITS,
    FRACTION,
    PHASE_BITS,
    CodedPlane,
    Int64,
    Sites,
    activity,
    class_of,
    near_places,
    predicted,
    site_places,
    site_terms,
)

FARTHEST = 1 << 17
"""A difference of two terms above this, in 2**-8 of a cell, is left out of sums, which stay below 2**53."""


def activities(plane: CodedPlane, sites: Sites, every: int) -> Int64:
    """Return the activity of every pixel, or of those of every n-th row.

    Parameters
    ----------
    plane : CodedPlane
        A whole plane.
    sites : Sites
        The pixels.
    every : int
        Rows to go on by, odd.

    Returns
    -------
    ndarray of shape (n_pixels,), int64
        2**-4 of a cell.
    """
    every_place = site_places(sites, every)
    return np.array([activity(site_terms(plane, sites, *place), sites.n_pairs) for place in every_place], np.int64)


def normal_sums(plane: CodedPlane, sites: Sites, every: int, limits: Int64) -> Int64:
    """Return the sums that a least-squares fit of the weights needs, by class.

    With the differences D of every term but the first to the first one, and the difference z of twice the pixel to
    it, the fit is ``z = sum v D``. Saturated pixels are left out, and those with a difference above `FARTHEST`.

    Parameters
    ----------
    plane, sites, every
        See `activities`.
    limits : ndarray of shape (CLASSES,), int64
        As of `CellModel`.

    Returns
    -------
    ndarray of shape (CLASSES, n_terms + 1, n_terms + 1), int64
        Sums of the products of D and z (in this order); the last row and column hold the number of pixels at their end
        and zeros.
    """
    size = len(sites.steps)
    sums = np.zeros((CLASSES, size + 1, size + 1), np.int64)
    for place in site_places(sites, every):
        here = (place[0] * sites.width + place[1]) * sites.stride
        terms = site_terms(plane, sites, *place)
        found = [*(term - terms[0] for term in terms[1:]), 2 * int(plane.restored[here]) - terms[0]]
        if plane.indices[here] == plane.saturated or max(abs(value) for value in found) > FARTHEST:
            continue
        own = class_of(activity(terms, sites.n_pairs), limits.tolist())
        sums[own, :size, :size] += np.outer(found, found)
        sums[own, size, size] += 1
    return sums


def cell_counts(
    plane: CodedPlane, sites: Sites, every: int, limits: Int64, weights: Int64, reach: int
) -> tuple[Int64, Int64]:
    """Count how far from the prediction the pixels lie, by class; saturated pixels are left out.

    Parameters
    ----------
    plane, sites, every
        See `activities`.
    limits, weights : ndarray of shape (CLASSES,) and (CLASSES, n_terms), int64
        As of `CellModel`.
    reach : int
        Cells that are told apart, to either side.

    Returns
    -------
    counts : ndarray of shape (CLASSES, 2**PHASE_BITS, 2 * reach + 3), int64
        Pixels by the place of the prediction in its cell and by cells to the pixel's; the ends are all beyond `reach`.
    squares : ndarray of shape (CLASSES,), int64
        Sums of the squared errors, 2**-16 of a squared cell; an error counts `FARTHEST` at most.
    """
    counts = np.zeros((CLASSES, 1 << PHASE_BITS, 2 * reach + 3), np.int64)
    squares = np.zeros(CLASSES, np.int64)
    for place in site_places(sites, every):
        here = (place[0] * sites.width + place[1]) * sites.stride
        if plane.indices[here] == plane.saturated:
            continue
        terms = site_terms(plane, sites, *place)
        own = class_of(activity(terms, sites.n_pairs), limits.tolist())
        mean = predicted(terms, weights[own].tolist())
        centre = mean + (int(plane.dither[here]) >> (DITHER_BITS - FRACTION))
        phase = (centre & ((1 << FRACTION) - 1)) >> (FRACTION - PHASE_BITS)
        step = int(plane.indices[here]) - (centre >> FRACTION)
        counts[own, phase, min(max(step, -reach - 1), reach + 1) + reach + 1] += 1
        squares[own] += min(abs(int(plane.restored[here]) - mean), FARTHEST) ** 2
    return counts, squares


def saturated_counts(plane: CodedPlane, sites: Sites) -> Int64:
    """Count the pixels that are not, and those that are saturated, by how many of their nearest neighbours are.

    Parameters
    ----------
    plane, sites
        See `activities`.

    Returns
    -------
    ndarray of shape (CONTEXTS, 2), int64
    """
    counts = np.zeros((CONTEXTS, 2), np.int64)
    for place in site_places(sites):
        here = (place[0] * sites.width + place[1]) * sites.stride
        around = plane.indices[near_places(sites, *place)]
        counts[np.count_nonzero(around == plane.saturated), int(plane.indices[here] == plane.saturated)] += 1
    return counts
