"""Contrast stretch of a volume to 16 bit, after Fiji's "Enhance Contrast" with the histogram of the stack."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError, InputError

TOP = 65535
"""Largest 16-bit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchLimits:
    """Limits of a stretch, which other images may share.

    Attributes
    ----------
    minimum, maximum : float
        Values of the codes 0 and 65535 of the conversion to 16 bit.
    low, high : int
        Lowest and highest of these codes that do not saturate.
    """

    minimum: float
    maximum: float
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastStretch:
    """A stretched volume, and how to find its values again.

    Attributes
    ----------
    volume : ndarray of the shape of the input, uint16
        Codes.
    minimum, maximum : float
        Least and largest value of the input: codes 0 and 65535 of its conversion to 16 bit.
    low, high : float
        Values that became 0 and 65535 by the stretch.
    saturated_percent : float
        Pixels that may saturate, half at either end.
    below, above : int
        Pixels below `low` and above `high`.
    """

    volume: NDArray[np.uint16]
    minimum: float
    maximum: float
    low: float
    high: float
    saturated_percent: float
    below: int
    above: int


def contrast_stretch(volume: NDArray[Any], saturated_percent: float = 0.35) -> ContrastStretch:
    """Return a volume in 16 bit, its contrast stretched until some pixels saturate.

    After Fiji, whose own output it was not compared with yet: the values are converted to 16 bit over their whole range
    and rounded; the limits are the first codes from either end at which more than half of `saturated_percent` of all
    pixels have been counted; what lies between is spread over all codes, fractions cut off.

    Parameters
    ----------
    volume : ndarray of shape (planes, rows, columns) or (rows, columns), any real dtype
        Values, finite. Planes are worked on one by one.
    saturated_percent : float
        Pixels that may saturate, percent of all.

    Returns
    -------
    ContrastStretch

    Raises
    ------
    InputError
        If values are not finite, or all equal.
    ConfigError
        If `saturated_percent` is not in 0 .. 100.

    References
    ----------
    .. [1] Rasband et al., ImageJ, Process > Enhance Contrast (Use Stack Histogram).

    Examples
    --------
    >>> made = contrast_stretch(np.arange(1000.0).reshape(10, 100), saturated_percent=2)
    >>> round(made.low), round(made.high), made.below, made.volume.max()
    (10, 989, 10, np.uint16(65535))
    """
    limits = stretch_limits(volume, saturated_percent)
    return stretch_between(volume, limits, saturated_percent)


def stretch_limits(volume: NDArray[Any], saturated_percent: float = 0.35) -> StretchLimits:
    """Return the limits that `contrast_stretch` finds; parameters and errors as there."""
    if not 0 <= saturated_percent < 100:
        raise ConfigError(f"saturated_percent is {saturated_percent}", "it must be at least 0 and below 100")
    planes = volume.reshape(-1, *volume.shape[-2:])
    minimum, maximum = _range(planes)
    histogram = np.zeros(TOP + 1, np.int64)
    for plane in planes:
        histogram += np.bincount(_codes(plane, minimum, maximum).ravel(), minlength=TOP + 1)
    low, high = _limits(histogram, saturated_percent)
    return StretchLimits(minimum=minimum, maximum=maximum, low=low, high=high)


def stretch_between(volume: NDArray[Any], limits: StretchLimits, saturated_percent: float = 0.35) -> ContrastStretch:
    """Return a volume stretched between limits that may be those of another one.

    Parameters
    ----------
    volume : ndarray of shape (planes, rows, columns) or (rows, columns), any real dtype
        Values, finite; those outside of the limits saturate.
    limits : StretchLimits
        The limits.
    saturated_percent : float
        What they were found for; it is handed on.

    Returns
    -------
    ContrastStretch
    """
    minimum, maximum, low, high = limits.minimum, limits.maximum, limits.low, limits.high
    table = np.clip((np.arange(TOP + 1) - low) / max(high - low, 1) * TOP, 0, TOP).astype(np.uint16)
    planes = volume.reshape(-1, *volume.shape[-2:])
    out, below, above = np.empty(planes.shape, np.uint16), 0, 0
    for number, plane in enumerate(planes):
        codes = _codes(plane, minimum, maximum)
        out[number] = table[codes]
        below += int(((codes < low) | (plane < minimum)).sum())
        above += int(((codes > high) | (plane > maximum)).sum())
    unit = (maximum - minimum) / TOP
    return ContrastStretch(
        volume=out.reshape(volume.shape),
        minimum=minimum,
        maximum=maximum,
        low=minimum + low * unit,
        high=minimum + high * unit,
        saturated_percent=saturated_percent,
        below=below,
        above=above,
    )


def _range(planes: NDArray[Any]) -> tuple[float, float]:
    """Return the least and the largest value."""
    if not planes.size:
        raise InputError(f"a volume of shape {planes.shape} has no contrast: it has no pixels")
    ends = [(float(plane.min()), float(plane.max())) for plane in planes]
    minimum, maximum = min(low for low, _ in ends), max(high for _, high in ends)
    if not np.isfinite([minimum, maximum, *(low + high for low, high in ends)]).all():
        raise InputError("the volume holds values that are not finite", "check the projections and their flat field")
    if minimum == maximum:
        raise InputError(f"all values of the volume are {minimum:g}: there is no contrast to stretch")
    return minimum, maximum


def _codes(plane: NDArray[Any], minimum: float, maximum: float) -> NDArray[np.int64]:
    """Return the codes of the conversion to 16 bit."""
    scaled = (plane.astype(np.float64) - minimum) * (TOP / (maximum - minimum))
    return (np.clip(scaled, 0, TOP) + 0.5).astype(np.int64)


def _limits(histogram: NDArray[np.int64], saturated_percent: float) -> tuple[int, int]:
    """Return the lowest and the highest code that do not saturate."""
    allowed = int(histogram.sum() * saturated_percent / 200)
    low = int((np.cumsum(histogram) > allowed).argmax())
    high = TOP - int((np.cumsum(histogram[::-1]) > allowed).argmax())
    return low, max(low, high)
