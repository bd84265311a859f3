"""Bins: features rounded to 256 or 65536 whole numbers before training, on request and never unasked.

A forest on bins runs faster. Its thresholds are those of the codes, so its masks are exactly scikit-learn's on the same
codes, but not those of a forest on the features themselves: `compdistort.forest.bin_effect` measures by how much.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from compdistort.backend.base import FeatureBins, Float32
from compdistort.errors import ConfigError, InputError

NONE = "none"
"""Features stay float32."""

TOPS = {"uint16": 65535, "uint8": 255}
"""Largest code of each kind of bins."""

N_KNOTS = 4
"""Knots of a piecewise-linear map; an affine one beside it has them in a line."""

FEWEST_CODES = 16
"""A map is bent where an affine one leaves the middle half of the annotated pixels fewer codes than this.

Of 256 codes that reach from 0.05 % to 99.95 %, the middle half of a normal law gets 52, of an exponential law 37, of a
log-normal law of unit width 14. Ten pieces of debris of 7 x 7 pixels and 60000 DN in the two scenes of
`compdistort demo` (ilastik set, uint8): 732 and 2183 pixels of the mask change by affine maps, 82 and 373 by these, 83
and 534 by another seed. Without debris neither choice is seen beside the seeds. The price: what is far from nearly all
annotated values, such as the halo of the debris, gets fewer codes than by an affine map.
"""

_OUTSIDE = 0.0005
_INNER = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedBins:
    """Maps from features to codes that were chosen from training images.

    Attributes
    ----------
    kind : str
        A key of `TOPS`.
    maps : FeatureBins
        With 2 knots where all maps are affine, else with 4.
    affine, piecewise : tuple of str
        Names of the features with an affine map, and with a piecewise-linear one.
    """

    kind: str
    maps: FeatureBins
    affine: tuple[str, ...]
    piecewise: tuple[str, ...]


def check_kind(kind: str) -> None:
    """Raise ConfigError if a kind of bins does not exist.

    Examples
    --------
    >>> check_kind("uint8")
    """
    if kind not in (NONE, *TOPS):
        raise ConfigError(f"bins '{kind}' are unknown", f"use {NONE}, {' or '.join(TOPS)}")


def fit_bins(kind: str, sample: Float32, annotated: Float32, names: tuple[str, ...]) -> FittedBins:
    """Choose a map to codes for every feature; the same features give the same maps.

    The outer knots are the 0.05 % and 99.95 % quantiles of the images, moved outwards to hold every annotated value.
    The map between them is affine, unless that leaves the middle half of the annotated pixels fewer than
    `FEWEST_CODES` codes. Then it has two more knots: half of the codes are shared evenly by its three pieces, half in
    proportion to the annotated values in them, and the knots are those quantiles of the annotated values that make the
    codes per unit of the feature largest in the geometric mean over these values.

    Parameters
    ----------
    kind : str
        A key of `TOPS`.
    sample : ndarray of shape (n_sample, n_features), float32
        Features of pixels spread over the training images.
    annotated : ndarray of shape (n_pixels, n_features), float32
        Features of the annotated pixels.
    names : tuple of str
        One a feature.

    Returns
    -------
    FittedBins

    Raises
    ------
    InputError
        If a feature of the sample is not finite.
    """
    top = TOPS[kind]
    _check_finite(sample, names)
    pairs = [_affine(s, a) for s, a in zip(sample.T, annotated.T, strict=True)]
    bent = [_bent(low, high, np.sort(a), top) for (low, high), a in zip(pairs, annotated.T, strict=True)]
    if any(bent):
        chosen = [found or _in_a_line(low, high, top) for found, (low, high) in zip(bent, pairs, strict=True)]
    else:
        chosen = [([float(low), float(high)], [0.0, float(top)]) for low, high in pairs]
    knot, level = (np.array([each[part] for each in chosen], np.float32) for part in (0, 1))
    return FittedBins(
        kind=kind,
        maps=FeatureBins(top=top, knot=knot, level=level),
        affine=tuple(name for name, found in zip(names, bent, strict=True) if not found),
        piecewise=tuple(name for name, found in zip(names, bent, strict=True) if found),
    )


def bin_problem(bins: FeatureBins, n_features: int) -> str:
    """Return what is wrong with bins of unknown origin, "" where nothing is.

    Parameters
    ----------
    bins : FeatureBins
        The maps.
    n_features : int
        Features of the forest.

    Returns
    -------
    str
    """
    knot, level = bins.knot, bins.level
    if bins.top not in TOPS.values():
        return f"bins with the largest code {bins.top}, not 255 or 65535"
    if knot.shape != level.shape or knot.ndim != 2 or len(knot) != n_features or not 2 <= knot.shape[1] <= N_KNOTS:
        return f"bins of shapes {knot.shape} and {level.shape} for {n_features} features"
    if not (np.isfinite(knot).all() and (np.diff(knot, axis=1) > 0).all()):
        return "bins whose knots do not rise"
    whole = np.isfinite(level).all() and (level == np.floor(level)).all()
    if not (whole and (np.diff(level, axis=1) > 0).all() and (level[:, 0] == 0).all()):
        return "bins whose levels are not whole numbers that rise from 0"
    return "" if (level[:, -1] == bins.top).all() else f"bins whose levels do not end at {bins.top}"


def _check_finite(sample: Float32, names: tuple[str, ...]) -> None:
    bad = ~np.isfinite(sample)
    if bad.any():
        column = int(np.flatnonzero(bad.any(axis=0))[0])
        raise InputError(
            f"feature {names[column]} is not finite on {int(bad[:, column].sum())} of {len(sample)} pixels, so that "
            "bins cannot be chosen",
            "look for NaN or huge values in the image",
        )


def _affine(sample: Float32, annotated: Float32) -> tuple[np.float32, np.float32]:
    """Return the outer knots of one feature."""
    low = min(np.quantile(sample, _OUTSIDE, method="lower"), annotated.min())
    high = max(np.quantile(sample, 1 - _OUTSIDE, method="higher"), annotated.max())
    return np.float32(low), np.float32(high if high > low else low + max(abs(low), np.float32(1)))


def _in_a_line(low: np.float32, high: np.float32, top: int) -> tuple[list[float], list[float]]:
    """Return an affine map with two superfluous knots; one too narrow for them is made wider."""
    step = (float(high) - float(low)) / (N_KNOTS - 1)
    knots = [float(np.float32(low + k * step)) for k in range(N_KNOTS)]
    for k in range(1, N_KNOTS):
        knots[k] = max(knots[k], float(np.nextafter(np.float32(knots[k - 1]), np.float32(np.inf))))
    return knots, [top * k / (N_KNOTS - 1) for k in range(N_KNOTS)]


def _bent(low: np.float32, high: np.float32, values: Float32, top: int) -> tuple[list[float], list[float]] | None:
    """Return knots and levels of a piecewise-linear map, None where an affine one will do or no other exists."""
    quarter, three = np.quantile(values, 0.25, method="lower"), np.quantile(values, 0.75, method="lower")
    if (float(three) - float(quarter)) / (float(high) - float(low)) * top >= FEWEST_CODES:
        return None
    best, finest = None, -np.inf
    inner = np.unique(np.quantile(values, _INNER, method="lower"))
    for pair in combinations(inner[(inner > low) & (inner < high)], N_KNOTS - 2):
        knots = np.array([low, *pair, high], np.float64)
        share = np.diff([0, *np.searchsorted(values, pair, side="right"), values.size]) / values.size
        codes = (share + 1 / share.size) / 2
        fineness = float(share @ np.log(codes / np.diff(knots)))
        if fineness > finest:
            best, finest = (knots, codes), fineness
    if best is None:
        return None
    return best[0].tolist(), [0.0, *np.rint(top * np.cumsum(best[1])[:-1]).tolist(), float(top)]
