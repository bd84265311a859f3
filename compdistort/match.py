"""Pair the objects of two images by their centres, and count what has no partner.

The paper pairs objects of the same centre, else the nearest within 3 pixels. Here a partner is used once by default:
candidate pairs are taken in order of distance, equal distances in order of the ids, so the result depends on nothing
but the two tables.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from compdistort.backend.base import Float64, Int32
from compdistort.errors import ConfigError, InputError
from compdistort.measurands import PLANAR, Measurands

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Which objects of two images are the same.

    Attributes
    ----------
    raw_index : ndarray of shape (n_pairs,), int64
        Rows of the raw image's table, ascending, each at most once.
    other_index : ndarray of shape (n_pairs,), int64
        Their partners' rows.
    """

    raw_index: Index
    other_index: Index

    def __len__(self) -> int:
        return int(self.raw_index.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchCounts:
    """How the objects of one image pair with those of the raw image.

    Attributes
    ----------
    n_raw, n_other : int
        Objects in the raw image and in the other one.
    matched, lost, new, split, merged : int
        Pairs; raw objects without partner; objects without raw partner; raw objects that two or more objects of the
        other image overlap; objects of the other image that overlap two or more raw ones.
    """

    n_raw: int
    n_other: int
    matched: int
    lost: int
    new: int
    split: int
    merged: int


def match_objects(
    raw_values: Float64,
    other_values: Float64,
    radius: float = 3.0,
    one_to_one: bool = True,
    measurands: Measurands = PLANAR,
) -> Pairs:
    """Pair the objects of two images by their centres of mass.

    Parameters
    ----------
    raw_values, other_values : ndarray of shape (n_objects, n_columns), float64
        Object tables (or their parameters alone).
    radius : float
        Largest distance of a pair, in the unit of the centres, > 0.
    one_to_one : bool
        True: pairs are taken by ascending distance, ties by raw id, then by the other id; each object is used once.
        False: every raw object takes its nearest neighbour, which others may share (the paper's rule).
    measurands : Measurands
        What the tables hold. Centres are in micrometres where it knows the size of a voxel, so that distances are true
        where voxels are no cubes.

    Returns
    -------
    Pairs

    Raises
    ------
    ConfigError
        If the radius is not above zero.
    InputError
        If a table has another number of columns, or a centre is not finite.

    References
    ----------
    .. [1] Pomarico et al. (2022), Sci. Rep. 12, Methods: objects are rejected beyond 3 pixels.

    Examples
    --------
    >>> raw, other = np.zeros((2, 19)), np.zeros((2, 19))
    >>> raw[:, 1], other[:, 1] = [10.0, 20.0], [20.5, 14.0]
    >>> pairs = match_objects(raw, other)
    >>> pairs.raw_index, pairs.other_index
    (array([1]), array([0]))
    """
    if not 0.0 < radius < np.inf:
        raise ConfigError(f"match radius is {radius}", "give a number above 0, such as 3")
    raw_centres, other_centres = (_centres(values, measurands) for values in (raw_values, other_values))
    raw, other, squared = _candidates(raw_centres, other_centres, radius)
    order = np.lexsort((other, raw, squared))
    taken = _take_each_once(raw[order], other[order], share_other=not one_to_one)
    chosen = order[taken]
    chosen = chosen[np.argsort(raw[chosen], kind="stable")]
    return Pairs(raw[chosen], other[chosen])


def align(raw_values: Float64, other_values: Float64, pairs: Pairs, measurands: Measurands = PLANAR) -> Float64:
    """Return the parameters of the other image's objects in the order of the raw image's objects.

    Parameters
    ----------
    raw_values, other_values : ndarray of shape (n_objects, n_columns), float64
        Object tables (or their parameters alone).
    pairs : Pairs
        Who is who.
    measurands : Measurands
        What the tables hold.

    Returns
    -------
    ndarray of shape (n_raw, n_parameters), float64
        NaN where an object has no partner.
    """
    aligned = np.full((raw_values.shape[0], len(measurands.parameters)), np.nan)
    aligned[pairs.raw_index] = measurands.parameters_of(other_values)[pairs.other_index]
    return aligned


def count_matches(n_raw: int, n_other: int, overlaps: tuple[Index, Index], pairs: Pairs) -> MatchCounts:
    """Count matched, lost, new, split and merged objects.

    Parameters
    ----------
    n_raw, n_other : int
        Objects of the two images.
    overlaps : tuple of two ndarray of shape (n,), int64
        The distinct pairs of ids that share a pixel, as `overlapping` gives them.
    pairs : Pairs
        Who is who.

    Returns
    -------
    MatchCounts
    """
    raw, other = overlaps
    return MatchCounts(
        n_raw=n_raw,
        n_other=n_other,
        matched=len(pairs),
        lost=n_raw - len(pairs),
        new=n_other - np.unique(pairs.other_index).size,
        split=int(np.count_nonzero(np.bincount(raw) > 1)),
        merged=int(np.count_nonzero(np.bincount(other) > 1)),
    )


def overlapping(raw_labels: Int32, other_labels: Int32) -> tuple[Index, Index]:
    """Return the distinct (raw id, other id) that share a pixel.

    Parameters
    ----------
    raw_labels, other_labels : ndarray of shape (rows, columns) or (planes, rows, columns), int32
        Label images, ids 1..n; 0 = background.

    Returns
    -------
    tuple of two ndarray of shape (n_pairs,), int64
        Sorted by the first and then by the second.

    Raises
    ------
    InputError
        If the two images have different shapes.
    """
    if raw_labels.shape != other_labels.shape:
        raise InputError(
            f"label images have shapes {raw_labels.shape} and {other_labels.shape}",
            "compare images of one and the same field",
        )
    n_other = int(other_labels.max(initial=0))
    both = np.flatnonzero((raw_labels != 0) & (other_labels != 0))
    keys = raw_labels.ravel()[both].astype(np.int64) * (n_other + 1) + other_labels.ravel()[both]
    # Neighbouring pixels mostly repeat the pair before them: dropping repeats first makes the sort short.
    starts = np.ones(keys.size, np.bool_)
    starts[1:] = keys[1:] != keys[:-1]
    distinct = np.unique(keys[starts])
    return distinct // (n_other + 1), distinct % (n_other + 1)


def _centres(values: Float64, measurands: Measurands) -> Float64:
    """Return the centres of mass: shape (n_objects, n_axes), in the unit of length."""
    centres = measurands.centres_of(values)
    if not np.isfinite(centres).all():
        raise InputError("an object's centre is not finite", "check the table that the objects came from")
    return centres


def _candidates(raw: Float64, other: Float64, radius: float) -> tuple[Index, Index, Float64]:
    """Return every pair within the radius: rows of both, and squared distance."""
    if not (len(raw) and len(other)):
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0)
    # The tree's rounding must not decide about a pair that lies exactly on the radius: search a little wider.
    near: Any = KDTree(raw).sparse_distance_matrix(KDTree(other), radius * (1 + 1e-9), output_type="ndarray")
    i, j = near["i"].astype(np.int64), near["j"].astype(np.int64)
    delta = raw[i] - other[j]
    squared = delta[:, 0] * delta[:, 0]
    for axis in range(1, delta.shape[1]):
        squared += delta[:, axis] * delta[:, axis]
    inside = squared <= radius * radius
    return i[inside], j[inside], squared[inside]


def _take_each_once(raw: Index, other: Index, *, share_other: bool) -> list[int]:
    """Return which of the ordered candidates are taken when each object serves once (the other one may be shared)."""
    used_raw: set[int] = set()
    used_other: set[int] = set()
    taken = []
    for k, (i, j) in enumerate(zip(raw.tolist(), other.tolist(), strict=True)):
        if i not in used_raw and (share_other or j not in used_other):
            used_raw.add(i)
            used_other.add(j)
            taken.append(k)
    return taken
