"""Which pixels a calibration uses: taps, the region of interest inside each, and columns or rows without light."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CalibrationError, ConfigError
from compdistort.sensor.frames import CalibrationFrames

Box = tuple[tuple[int, int], tuple[int, int]]

DARK_SHARE = 0.02
"""A row or column whose signal is below this share of the region's median has no light."""
MIN_SIDE = 16
"""A region needs so many lit rows and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLayout:
    """One part of the frame and the pixels in it that calibrate it.

    Attributes
    ----------
    name : str
        ``frame`` or ``tap ROW,COLUMN``.
    box : tuple
        ``((y0, y1), (x0, x1))`` of the whole part, frame pixels.
    roi : tuple
        The same of the pixels looked at.
    rows, columns : ndarray of shape (n,), int64
        Lit rows and columns inside `roi`, frame pixels.
    notices : tuple of str
        What was left out, by name.
    """

    name: str
    box: Box
    roi: Box
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    notices: tuple[str, ...]


def parse_taps(text: str) -> tuple[int, int]:
    """Read ``RxC``, the number of rows and columns of taps.

    Raises
    ------
    ConfigError
        If it has another form.

    Examples
    --------
    >>> parse_taps("2x2")
    (2, 2)
    """
    match = re.fullmatch(r"(\d{1,2})x(\d{1,2})", text.strip().lower())
    if not match or "0" in match.groups() or int(match[1]) * int(match[2]) > 256:
        raise ConfigError(f"taps '{text}' are not readable", "write ROWSxCOLUMNS, such as 2x2, at most 256 taps")
    return int(match[1]), int(match[2])


def parse_roi(text: str) -> Box:
    """Read ``y0:y1,x0:x1``: first row and one past the last, and the same of columns, counted inside each tap.

    Raises
    ------
    ConfigError
        If it has another form or is empty.

    Examples
    --------
    >>> parse_roi("0:520,50:1074")
    ((0, 520), (50, 1074))
    """
    match = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+)", text.strip())
    numbers = [int(part) for part in match.groups()] if match else [0, 0, 0, 0]
    y0, y1, x0, x1 = numbers
    if y0 >= y1 or x0 >= x1:
        raise ConfigError(f"region of interest '{text}' is not usable", "write y0:y1,x0:x1 (first : one past the last)")
    return (y0, y1), (x0, x1)


def lay_out(frames: CalibrationFrames, taps: tuple[int, int] = (1, 1), roi: Box | None = None) -> list[RegionLayout]:
    """Return the regions of a sensor in raster order, with rows and columns without light left out.

    Parameters
    ----------
    frames : CalibrationFrames
        Flats and darks.
    taps : tuple of int
        Rows and columns of equal taps.
    roi : tuple, optional
        Part of every tap to look at, counted from the tap's top left pixel.

    Raises
    ------
    CalibrationError
        If the frame does not divide into the taps, or a region of interest lies outside or holds nothing lit.
    """
    rows, columns = frames.shape
    if rows % taps[0] or columns % taps[1]:
        raise CalibrationError(
            f"a frame of {rows} x {columns} pixels does not divide into {taps[0]} x {taps[1]} taps", "correct --taps"
        )
    height, width = rows // taps[0], columns // taps[1]
    inner = roi or ((0, height), (0, width))
    if inner[0][1] > height or inner[1][1] > width:
        raise CalibrationError(
            f"--roi {_box(inner)} reaches beyond a tap of {height} x {width} pixels", "count it inside each tap"
        )
    light = _brightest(frames)
    out = []
    for i in range(taps[0]):
        for j in range(taps[1]):
            name = "frame" if taps == (1, 1) else f"tap {i},{j}"
            out.append(_region(name, (i * height, j * width), (height, width), inner, light))
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Light:
    """Signal of the brightest pair (DN), and half the squared differences of flat and dark pair (DN^2)."""

    signal: NDArray[np.float32]
    noise: NDArray[np.float32]
    dark_noise: NDArray[np.float32]


def _brightest(frames: CalibrationFrames) -> _Light:
    """Return the light of the brightest pair that is not saturated."""
    saturated = np.array([np.mean(frame >= frames.max_dn) for frame in frames.flat.a])
    means = np.array([float(frame.mean()) for frame in frames.flat.a])
    index = int(np.argmax(np.where(saturated < 0.5, means, -1)))
    a, b = (stack[index].astype(np.float32) for stack in (frames.flat.a, frames.flat.b))
    c, d = (stack[0].astype(np.float32) for stack in (frames.dark.a, frames.dark.b))
    return _Light(signal=(a + b - c - d) / 2, noise=(a - b) ** 2 / 2, dark_noise=(c - d) ** 2 / 2)


def _region(name: str, corner: tuple[int, int], size: tuple[int, int], inner: Box, light: _Light) -> RegionLayout:
    box = ((corner[0], corner[0] + size[0]), (corner[1], corner[1] + size[1]))
    (y0, y1), (x0, x1) = inner
    roi = ((corner[0] + y0, corner[0] + y1), (corner[1] + x0, corner[1] + x1))
    part = [image[slice(*roi[0]), slice(*roi[1])] for image in (light.signal, light.noise, light.dark_noise)]
    lit_columns = _lit(*part)
    lit_rows = _lit(*(image[:, lit_columns].T for image in part)) if lit_columns.any() else lit_columns
    if lit_columns.sum() < MIN_SIDE or lit_rows.sum() < MIN_SIDE:
        raise CalibrationError(
            f"{name}: --roi {_box(inner)} holds {int(lit_columns.sum())} lit columns and {int(lit_rows.sum())} lit rows"
            f" (at least {MIN_SIDE} of each are needed)",
            "choose the lit part of each tap with --roi y0:y1,x0:x1, or give flats with light",
        )
    return RegionLayout(
        name=name,
        box=box,
        roi=roi,
        rows=roi[0][0] + np.flatnonzero(lit_rows),
        columns=roi[1][0] + np.flatnonzero(lit_columns),
        notices=_notices(name, inner, lit_rows, lit_columns),
    )


def _lit(signal: NDArray[np.float32], noise: NDArray[np.float32], dark_noise: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which columns have light, and noise that fits it.

    Medians along the column, so that dust and hot pixels do not count. The median of a squared normal difference is
    0.455 of its mean, for every column alike.
    """
    level = np.median(signal, axis=0)
    positive = level[level > 0]
    lit = level > max(DARK_SHARE * float(np.median(positive)), 1.0) if positive.size else np.zeros(level.size, bool)
    if not lit.any():
        return np.asarray(lit, bool)
    flat, dark = np.median(noise, axis=0), float(np.median(dark_noise))
    slope = float(np.median((flat[lit] - dark) / level[lit]))
    expected = np.maximum(dark + slope * level, 1e-6)
    tolerance = 2.0 + 12 / np.sqrt(signal.shape[0])
    return np.asarray(lit & (flat <= tolerance * expected) & (flat >= expected / tolerance), bool)


def _notices(name: str, inner: Box, rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> tuple[str, ...]:
    said = []
    for word, start, lit in (("rows", inner[0][0], rows), ("columns", inner[1][0], columns)):
        if not lit.all():
            said.append(f"{word} {', '.join(_runs(start, ~lit))}")
    if not said:
        return ()
    usable = tuple(
        (start + int(np.argmax(lit)), start + lit.size - int(np.argmax(lit[::-1])))
        for start, lit in ((inner[0][0], rows), (inner[1][0], columns))
    )
    return (
        f"{name}: {' and '.join(said)} of it were left out, blank or overscan (no light, or noise that does not fit the"
        f" light); the same by hand: --roi {_box((usable[0], usable[1]))}",
    )


def _runs(start: int, mask: NDArray[np.bool_]) -> list[str]:
    """Return the runs of a mask as ``first:stop``, at most eight of them."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    runs = [f"{start + a}:{start + b}" for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return runs if len(runs) <= 8 else [*runs[:7], f"and {len(runs) - 7} more runs"]


def _box(box: Box) -> str:
    return ",".join(f"{a}:{b}" for a, b in box)
