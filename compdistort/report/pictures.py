"""Arrays as pictures: grey levels, outlines of objects, the diverging map, and what is said of them in numbers."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, Int32, UInt8
from compdistort.report.style import BLUE, ORANGE, SKY, VERMILLION, rgb

Bool = NDArray[np.bool_]
Picture = NDArray[np.uint16] | NDArray[np.float32] | Float64

MAX_PIXELS, VOLUME_PIXELS = 1200, 640
"""Longest side of a picture of a plane, and of a volume, which has more pictures; larger images are reduced."""
GREYS = 250
OUTLINE, WINDOW = 250, 251
"""Palette rows of the outlines and of the frame that marks the magnified part."""
MAP_LIMIT = 3.0
"""The diverging map ends at this many standard deviations."""
_MAP_STEPS = 61
_MISSING = _MAP_STEPS


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the image that is magnified."""

    row: int
    column: int
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the part."""
        return slice(self.row, self.row + self.rows), slice(self.column, self.column + self.columns)


def boundary(labels: Int32) -> Bool:
    """Return the object pixels of which at least one of the four neighbours belongs to something else.

    Examples
    --------
    >>> boundary(np.pad(np.ones((3, 3), np.int32), 1)).sum()
    np.int64(8)
    """
    padded = np.pad(labels, 1)
    inside = np.ones(labels.shape, bool)
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inside &= padded[rows : rows + labels.shape[0], columns : columns + labels.shape[1]] == labels
    return (labels > 0) & ~inside


def choose_window(labels: Int32, side: int = 144) -> Window:
    """Return the part with the most outline, where the effect of a codec is best seen; the middle without objects."""
    rows, columns = (min(side, n) for n in labels.shape)
    mark = boundary(labels)
    if not mark.any():
        return Window((labels.shape[0] - rows) // 2, (labels.shape[1] - columns) // 2, rows, columns)
    sums = np.pad(np.cumsum(np.cumsum(mark, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    counts = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    row, column = np.unravel_index(int(np.argmax(counts)), counts.shape)
    return Window(int(row), int(column), rows, columns)


def contrast(image: Picture) -> tuple[float, float]:
    """Return the grey levels that become black and white: those that 0.3 and 99.8 % of the pixels do not exceed."""
    low, high = (float(q) for q in np.percentile(image, (0.3, 99.8)))
    if image.dtype.kind == "f":  # what steps make may span much less than 1
        return low, high if high > low else low + 1.0
    return low, max(high, low + 1.0)


def grey(image: Picture, limits: tuple[float, float]) -> UInt8:
    """Return an image as rows of `grey_palette`."""
    low, high = limits
    scaled = (np.asarray(image, np.float64) - low) / (high - low)
    return np.rint(np.clip(scaled, 0, 1) * (GREYS - 1)).astype(np.uint8)


def grey_palette() -> UInt8:
    """Return grey levels, then the colours of outlines and of the frame."""
    ramp = np.repeat(np.rint(np.linspace(0, 255, GREYS))[:, None], 3, axis=1)
    return np.concatenate([ramp, [rgb(ORANGE), rgb(SKY)]]).astype(np.uint8)


def reduction(shape: tuple[int, ...], longest: int = MAX_PIXELS) -> int:
    """Return the whole factor by which an image is reduced to fit."""
    return max(1, math.ceil(max(shape) / longest))


def reduce_mean(image: Picture, factor: int) -> Float64:
    """Return block means; what does not fill a block at the far edges is cut."""
    rows, columns = (n // factor * factor for n in image.shape)
    blocks = np.asarray(image[:rows, :columns], np.float64).reshape(rows // factor, factor, columns // factor, factor)
    means: Float64 = blocks.mean(axis=(1, 3))
    return means


def thicken(mark: Bool, width: int) -> Bool:
    """Return a mark that is `width` pixels wide, so that it is still seen when the picture is shown smaller."""
    out = mark.copy()
    for shift in range(1, width):
        out[shift:] |= mark[:-shift]
    wide = out.copy()
    for shift in range(1, width):
        wide[:, shift:] |= out[:, :-shift]
    return wide


def frame(shape: tuple[int, int], window: Window, factor: int, width: int) -> Bool:
    """Return the outline of the magnified part in a picture reduced by `factor`."""
    out = np.zeros(shape, bool)
    top, left = window.row // factor, window.column // factor
    bottom, right = (window.row + window.rows) // factor, (window.column + window.columns) // factor
    out[top:bottom, left:right] = True
    out[top + width : bottom - width, left + width : right - width] = False
    return out


def edge_path(labels: Int32) -> str:
    """Return the outlines of all objects along the pixel edges, as the data of an SVG path.

    Examples
    --------
    >>> edge_path(np.array([[0, 0], [1, 1]], np.int32))
    'M0 1h2'
    """
    steps = [f"M{start} {row}h{length}" for row, start, length in _runs(labels[1:] != labels[:-1])]
    steps += [f"M{row} {start}v{length}" for row, start, length in _runs((labels[:, 1:] != labels[:, :-1]).T)]
    return "".join(steps)


def _runs(mark: Bool) -> list[tuple[int, int, int]]:
    """Return (line of the edge, start, length) of every run of True along the rows."""
    change = np.diff(np.pad(mark, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(change == 1)
    stops = np.nonzero(change == -1)[1]
    return [(int(r) + 1, int(a), int(b - a)) for r, a, b in zip(rows, starts, stops, strict=True)]


def diverging(scores: Float64) -> UInt8:
    """Return scores as rows of `diverging_palette`; beyond the limit the end colours."""
    position = np.clip(np.nan_to_num(scores) / MAP_LIMIT, -1, 1) * (_MAP_STEPS // 2) + _MAP_STEPS // 2
    rows: UInt8 = np.rint(position).astype(np.uint8)
    rows[np.isnan(scores)] = _MISSING
    return rows


def diverging_palette() -> UInt8:
    """Return blue - white - vermillion, and grey for pixels without a score."""
    position = np.linspace(-1, 1, _MAP_STEPS)[:, None]
    ends = np.where(position < 0, rgb(BLUE), rgb(VERMILLION))
    colours = 255 + np.abs(position) ** 0.8 * (ends - 255)
    palette: UInt8 = np.rint(np.concatenate([colours, [(150, 150, 150)]])).astype(np.uint8)
    return palette


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """Pixel residual of a codec in units of the pixel's own noise, (raw - decoded) / sigma_dn.

    Attributes
    ----------
    scores : ndarray of shape (rows, columns), float64
        NaN where the noise is zero but the pixel changed.
    mean, spread, rms, beyond_1, beyond_3 : float
        Of all pixels that have a score; the last two are fractions.
    unscored : int
        Pixels without a score.
    """

    scores: Float64
    mean: float
    spread: float
    rms: float
    beyond_1: float
    beyond_3: float
    unscored: int


def residual(raw: Picture, decoded: Picture, sigma_dn: Float64) -> Residual:
    """Return the residual of a codec.

    Parameters
    ----------
    raw, decoded : ndarray of shape (rows, columns), uint16 or float32
        Before and after, DN.
    sigma_dn : ndarray of shape (rows, columns), float64
        Standard deviation of every pixel over replicates, DN.
    """
    delta = np.asarray(raw, np.float64) - np.asarray(decoded, np.float64)
    scores = np.full(delta.shape, np.nan)
    np.divide(delta, sigma_dn, out=scores, where=sigma_dn > 0)
    scores[(sigma_dn <= 0) & (delta == 0)] = 0.0
    known = scores[np.isfinite(scores)]
    if known.size == 0:
        known = np.array([np.nan])
    return Residual(
        scores=scores,
        mean=float(known.mean()),
        spread=float(known.std()),
        rms=float(np.sqrt(np.mean(known**2))),
        beyond_1=float(np.mean(np.abs(known) > 1)),
        beyond_3=float(np.mean(np.abs(known) > MAP_LIMIT)),
        unscored=int(np.isnan(scores).sum()),
    )
