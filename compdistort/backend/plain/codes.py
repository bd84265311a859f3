"""Features as small whole numbers (codes) that decide a forest as the features do.

A code is either the exact rank of a value among the thresholds of its feature, or the value's bin where the forest was
grown on bins. Both rise with the value, so a comparison with a threshold is one of codes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FeatureBins, FlatForest, Float32, UInt32
from compdistort.backend.plain.forest import refuse_nan
from compdistort.errors import ConfigError

_SIGN = np.uint32(0x80000000)
_MOST = np.finfo(np.float32).max


def ranks(features: Float32, thresholds: Sequence[Float32]) -> NDArray[np.int64]:
    """Return the number of distinct thresholds below each value.

    For the threshold of rank c, ``x <= threshold`` exactly where ``rank(x) <= c``.

    Parameters
    ----------
    features : ndarray of shape (n_features, n_pixels), float32
        One plane a feature, -0.0 as 0.0. Infinities take their natural place; NaN is refused.
    thresholds : sequence of ndarray of shape (n_thresholds,), float32
        The thresholds of each feature in any order, repeated or not.

    Returns
    -------
    ndarray of shape (n_features, n_pixels), int64

    Raises
    ------
    InputError
        If a feature is NaN.

    Examples
    --------
    >>> ranks(np.array([[-1.0, 2.0, 2.5, 9.0]], np.float32), [np.array([3.0, 2.0, 2.0], np.float32)]).tolist()
    [[0, 0, 1, 2]]
    """
    refuse_nan(np.isnan(features).sum(axis=1))
    found = np.zeros(features.shape, np.int64)
    for k, (values, limits) in enumerate(zip(features, thresholds, strict=True)):
        for limit in np.unique(limits):
            found[k] += values > limit
    return found


def bin_slopes(bins: FeatureBins) -> Float32:
    """Return the codes per unit of each piece, as the float32 that every engine multiplies by.

    Parameters
    ----------
    bins : FeatureBins
        The maps.

    Returns
    -------
    ndarray of shape (n_features, n_knots - 1), float32
        Quotients of float64 differences, at most the largest float32.
    """
    rise = np.diff(bins.level.astype(np.float64)) / np.diff(bins.knot.astype(np.float64))
    return np.minimum(rise, _MOST).astype(np.float32)


def bin_codes(features: Float32, bins: FeatureBins) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the bin of each value.

    In float32, one rounding an operation: ``y = (x - knot) * slope + level`` of the piece that starts at the last knot
    not above x, kept between the levels at the ends of the piece; the code is y + 0.5 without its fraction. Every step
    rises with x or stays, so that codes never fall.

    Parameters
    ----------
    features : ndarray of shape (n_features, n_pixels), float32
        One plane a feature. Infinities get the outer codes; NaN is refused.
    bins : FeatureBins
        The maps.

    Returns
    -------
    ndarray of shape (n_features, n_pixels), uint8 or uint16
        Codes 0..top, uint8 for a top of 255.

    Raises
    ------
    InputError
        If a feature is NaN.

    Examples
    --------
    >>> knot, level = np.array([[-1.0, 1.0]], np.float32), np.array([[0.0, 255.0]], np.float32)
    >>> bins = FeatureBins(top=255, knot=knot, level=level)
    >>> bin_codes(np.array([[-9.0, -1.0, 0.5, 1.0, np.inf]], np.float32), bins).tolist()
    [[0, 0, 191, 255, 255]]
    """
    refuse_nan(np.isnan(features).sum(axis=1))
    plane = np.broadcast_to(np.arange(len(features))[:, None], features.shape)
    return _bin_pairs(plane, features, bins)


def bin_edges(bins: FeatureBins) -> Float32:
    """Return the largest float32 whose code is not above k, for every feature and every k below the top.

    Parameters
    ----------
    bins : FeatureBins
        The maps.

    Returns
    -------
    ndarray of shape (n_features, top), float32
        Never falling along a row; repeated where no value gets a code. Finite for finite knots: a first knot has code
        0, so that no edge is below it, and infinity has the top code.
    """
    plane, code = np.indices((len(bins.knot), bins.top))
    return _edges(plane, code, bins)


def forest_on_bins(forest: FlatForest, bins: FeatureBins) -> FlatForest:
    """Return a forest that was grown on bins with thresholds in the units of the features.

    Parameters
    ----------
    forest : FlatForest
        Grown on ``bin_codes(features, bins)``: its thresholds are codes, whole or not.
    bins : FeatureBins
        The maps.

    Returns
    -------
    FlatForest
        With `bins`. A threshold of the top code or above, which all values pass, becomes infinity.

    Raises
    ------
    ConfigError
        If a threshold is below 0, which no value passes: such a node is no split.
    """
    inner = forest.feature >= 0
    code = np.floor(forest.threshold[inner])
    if not (code >= 0).all():
        bad = forest.threshold[inner][~(code >= 0)][0]
        raise ConfigError(f"a threshold of the forest on bins is {bad:g}", "bins start at 0: train the forest on bins")
    threshold = np.zeros_like(forest.threshold)
    below_top = np.minimum(code, bins.top - 1).astype(np.int64)
    edge = _edges(forest.feature[inner], below_top, bins)
    threshold[inner] = np.where(code >= bins.top, np.float32(np.inf), edge)
    return replace(forest, threshold=threshold, bins=bins)


def threshold_codes(forest: FlatForest) -> NDArray[np.int64]:
    """Return the code c of each threshold: ``x <= threshold`` exactly where ``code(x) <= c``.

    Parameters
    ----------
    forest : FlatForest
        With or without bins.

    Returns
    -------
    ndarray of shape (n_nodes,), int64
        Bins where the forest has some, else ranks; 0 in leaves.

    Raises
    ------
    ConfigError
        If a threshold is no edge of its feature's bins, or NaN.
    """
    inner = forest.feature >= 0
    plane, threshold = forest.feature[inner], forest.threshold[inner]
    if np.isnan(threshold).any():
        raise ConfigError("a threshold of the forest is NaN", "train without missing values")
    code = np.zeros(forest.feature.size, np.int64)
    if forest.bins is not None:
        found = _bin_pairs(plane, threshold, forest.bins)
        with np.errstate(over="ignore", under="ignore"):
            above = _bin_pairs(plane, np.nextafter(threshold, np.float32(np.inf)), forest.bins)
        wrong = (above == found) & (threshold < np.inf)
        if wrong.any():
            raise ConfigError(
                f"threshold {threshold[wrong][0]:g} of feature {plane[wrong][0]} is no edge of its bins",
                "train the forest on bins, or drop them",
            )
        code[inner] = found
        return code
    for feature in np.unique(plane):
        here = inner & (forest.feature == feature)
        code[here] = np.unique(forest.threshold[here], return_inverse=True)[1]
    return code


def _bin_pairs(
    plane: NDArray[np.integer], values: Float32, bins: FeatureBins
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the bin of each value as one of the feature beside it."""
    slope = bin_slopes(bins)
    piece = np.zeros(values.shape, np.int64)
    for knot in bins.knot[:, 1:-1].T:
        piece += knot[plane] <= values
    low, high = bins.level[plane, piece], bins.level[plane, piece + 1]
    with np.errstate(over="ignore", under="ignore"):
        y = (values - bins.knot[plane, piece]) * slope[plane, piece] + low
    y = np.minimum(np.maximum(y, low), high)
    code: Float32 = np.floor(y + np.float32(0.5))
    return code.astype(np.uint8) if bins.top <= np.iinfo(np.uint8).max else code.astype(np.uint16)


def _edges(plane: NDArray[np.integer], code: NDArray[np.int64], bins: FeatureBins) -> Float32:
    """Return the largest float32 whose code is not above `code`, by bisection in the order of the floats."""
    below = np.full(code.shape, _order(np.float32(-np.inf)), np.uint64)  # its code is not above
    above = np.full(code.shape, _order(np.float32(np.inf)), np.uint64)  # its code is
    while (above - below > 1).any():
        middle = (below + above) // 2
        passes = _bin_pairs(plane, _float(middle), bins) <= code
        below, above = np.where(passes, middle, below), np.where(passes, above, middle)
    return _float(below)


def _order(value: np.float32) -> np.uint32:
    """Return the place of a float32 in the order of all floats."""
    bits = value.view(np.uint32)
    return ~bits if bits & _SIGN else bits | _SIGN


def _float(order: NDArray[np.uint64]) -> Float32:
    """Return the floats at places in the order of all floats."""
    place: UInt32 = order.astype(np.uint32)
    return np.where(place & _SIGN, place ^ _SIGN, ~place).astype(np.uint32).view(np.float32)
