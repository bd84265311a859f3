"""The ends of the largest Feret diameter: a pair without order.

ImageJ reports the left one of the two ends. Where the diameter stands nearly upright, noise decides which end that
is, and FeretY jumps by the whole diameter although nothing moved. So ends are compared pairwise: the reported end
with whichever end of the other object continues it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import PARAMETERS, Float64

_X, _Y, _LENGTH, _ANGLE = (PARAMETERS.index(name) for name in ("FeretX", "FeretY", "Feret", "FeretAngle"))
_JUMP_SHARE = 0.25  # an end that moved by more than this share of the diameter has jumped ...
_JUMP_PX = 2.0  # ... unless it moved by no more than two pixels


class Ends(NamedTuple):
    """Both ends: arrays (..., n_objects), float64, px. `x` and `y` belong to the end that is followed."""

    x: Float64
    y: Float64
    other_x: Float64
    other_y: Float64


def ends_of(values: NDArray[np.floating]) -> Ends:
    """Return both ends of the Feret diameter, the reported one first.

    Parameters
    ----------
    values : ndarray of shape (..., n_objects, 19), float32 or float64
        Object parameters, order of `PARAMETERS`.

    Returns
    -------
    Ends
        The second end, a pixel corner and hence rounded, lies to the right of the first one. (No diameter is exactly
        upright: the corner next to its end is further away.)
    """
    x, y, length, angle = (values[..., k].astype(np.float64) for k in (_X, _Y, _LENGTH, _ANGLE))
    rightward = np.deg2rad(np.where(angle > 90, angle - 180, angle))  # FeretAngle is in [0, 180)
    return Ends(x, y, np.rint(x + length * np.cos(rightward)), np.rint(y - length * np.sin(rightward)))


def follow(reference: Ends, ends: Ends) -> Ends:
    """Return `ends` in the order that brings both nearest to those of `reference` (as they are if that is a tie)."""
    straight = np.square(reference.x - ends.x) + np.square(reference.y - ends.y)
    straight += np.square(reference.other_x - ends.other_x) + np.square(reference.other_y - ends.other_y)
    crossed = np.square(reference.x - ends.other_x) + np.square(reference.y - ends.other_y)
    crossed += np.square(reference.other_x - ends.x) + np.square(reference.other_y - ends.y)
    swap = crossed < straight
    return Ends(
        np.where(swap, ends.other_x, ends.x),
        np.where(swap, ends.other_y, ends.y),
        np.where(swap, ends.x, ends.other_x),
        np.where(swap, ends.y, ends.other_y),
    )


def jump_rates(reference: Ends, ends: Ends) -> dict[str, float]:
    """Return the share of ends that jumped: ``recorded`` as measured, ``paired`` after `follow`; NaN without ends."""
    length = np.hypot(reference.other_x - reference.x, reference.other_y - reference.y)
    limit = np.maximum(_JUMP_SHARE * length, _JUMP_PX)
    rates = {}
    for name, tried in (("recorded", ends), ("paired", follow(reference, ends))):
        moved = np.hypot(tried.x - reference.x, tried.y - reference.y)
        known = np.isfinite(moved)
        n = int(np.count_nonzero(known))
        rates[name] = float(np.count_nonzero(moved > limit) / n) if n else float("nan")
    return rates
