"""Levels of a photon transfer curve: signal and temporal variance from pairs of frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.sensor.flat_noise import MAD_TO_SD
from compdistort.sensor.frames import CalibrationFrames, FramePairs
from compdistort.sensor.layout import RegionLayout

Float64 = NDArray[np.float64]

SERIES = 5
"""From so many flat pairs on, every pair is one level; with fewer, levels are made inside each pair."""
TOTAL_BINS = 50
PIXELS_PER_BIN = 2000
BLOCK = 8
OUTLIER = 6.0
"""Pixel differences beyond so many standard deviations (cosmic rays, blinking pixels) are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTable:
    """One row a level.

    Attributes
    ----------
    signal : ndarray of shape (n,), float64
        Mean above the dark level, DN.
    variance : ndarray of shape (n,), float64
        Temporal variance, DN^2.
    count : ndarray of shape (n,), int64
        Pixel pairs behind it.
    clipped : ndarray of shape (n,), float64
        Share of pixels at the top of the range.
    pair : ndarray of shape (n,), int64
        Flat pair that it comes from.
    outliers : int
        Pixel pairs left out.
    binned : bool
        Whether levels were made from local means inside pairs.
    """

    signal: Float64
    variance: Float64
    count: NDArray[np.int64]
    clipped: Float64
    pair: NDArray[np.int64]
    outliers: int
    binned: bool


def cut(stack: NDArray[np.uint16], region: RegionLayout) -> Float64:
    """Return the lit pixels of one frame, shape (lit rows, lit columns), float64."""
    return stack[np.ix_(region.rows, region.columns)].astype(np.float64)


def temporal_variance(difference: Float64) -> tuple[float, int, int]:
    """Return the variance of one frame from the difference of two, the pixels used and the outliers left out.

    Parameters
    ----------
    difference : ndarray, any shape, float64
        A - B of pixels that saw the same light, DN.

    Returns
    -------
    variance : float
        ``0.5 [mean d^2 - (mean d)^2]``, times N / (N - 1): the second term takes out a drift of the lamp.
    used, outliers : int
        Number of pixels.

    Examples
    --------
    >>> temporal_variance(np.array([1.0, 3.0, 1.0, 3.0]))[0]  # a drift of 2 DN, and noise
    0.6666666666666666
    """
    d = difference.ravel()
    middle = float(np.median(d))
    sd = MAD_TO_SD * float(np.median(np.abs(d - middle)))
    if sd >= 1.0:  # below, most differences are equal and their median says nothing about the tails
        d = d[np.abs(d - middle) <= OUTLIER * sd]
    return float(d.var(ddof=1)) / 2, d.size, difference.size - d.size


def dark_level(dark: FramePairs, region: RegionLayout) -> tuple[float, float, int, int]:
    """Return offset (DN), temporal variance (DN^2), pixel pairs and outliers of the dark pairs of a region."""
    parts = [(cut(a, region), cut(b, region)) for a, b in zip(dark.a, dark.b, strict=True)]
    offset = float(np.mean([(np.mean(a) + np.mean(b)) / 2 for a, b in parts]))
    found = [temporal_variance(a - b) for a, b in parts]
    used = np.array([n for _, n, _ in found])
    variance = float(np.average([v for v, _, _ in found], weights=used - 1))
    return offset, variance, int(used.sum()), sum(n for _, _, n in found)


def make_levels(frames: CalibrationFrames, region: RegionLayout) -> LevelTable:
    """Return the levels of a region, in order of signal.

    Many pairs give one level each. Few pairs are taken apart: blocks of 8 x 8 pixels are sorted by the mean of the two
    frames, so that a pixel's own noise does not choose its level, and each group of blocks gives one level.
    """
    binned = len(frames.flat) < SERIES
    dark = np.mean(
        [(cut(a, region) + cut(b, region)) / 2 for a, b in zip(frames.dark.a, frames.dark.b, strict=True)], 0
    )
    tables = []
    for index in range(len(frames.flat)):
        table = _pair_levels(frames, index, region, dark)
        tables.append(table if binned else _merge(table))
    table = np.concatenate(tables)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return LevelTable(
        signal=table[:, 0].copy(),
        variance=table[:, 1].copy(),
        count=table[:, 2].astype(np.int64),
        clipped=table[:, 3].copy(),
        pair=table[:, 4].astype(np.int64),
        outliers=int(table[:, 5].sum()),
        binned=binned,
    )


def _pair_levels(frames: CalibrationFrames, index: int, region: RegionLayout, dark: Float64) -> Float64:
    """Return signal, variance, count, clipped share, pair and outliers of the groups of blocks of one pair."""
    a, b = cut(frames.flat.a[index], region), cut(frames.flat.b[index], region)
    signal, difference = _blocks((a + b) / 2 - dark), _blocks(a - b)
    full = _blocks((np.maximum(a, b) >= frames.max_dn).astype(np.float64))
    means = signal.mean(axis=1)
    wanted = max(1, TOTAL_BINS // min(len(frames.flat), SERIES))
    n_bins = int(np.clip(signal.size // PIXELS_PER_BIN, 1, wanted))
    rows = []
    for members in np.array_split(np.argsort(means, kind="stable"), n_bins):
        variance, used, outliers = temporal_variance(difference[members])
        rows.append((signal[members].mean(), variance, used, full[members].mean(), index, outliers))
    return np.array(rows, np.float64)


def _merge(table: Float64) -> Float64:
    """Return one row for a whole pair.

    Groups first: an outlier in a dim corner is one for the dim corner, and a lamp drift scales with the light.
    """
    count = table[:, 2]
    share = count / count.sum()
    merged = (share @ table[:, 0], (count - 1) @ table[:, 1] / (count - 1).sum(), count.sum(), share @ table[:, 3])
    return np.array([[*merged, table[0, 4], table[:, 5].sum()]])


def _blocks(image: Float64) -> Float64:
    """Return whole 8 x 8 blocks, shape (n_blocks, 64)."""
    rows, columns = (n // BLOCK for n in image.shape)
    part = image[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return part.transpose(0, 2, 1, 3).reshape(rows * columns, BLOCK * BLOCK)
