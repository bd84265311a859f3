"""How far the filters of a bank see: what has to be around a part of an image to compute the part as in the whole."""

from collections.abc import Iterable, Sequence

import numpy as np

from compdistort.backend.banks import FilterBank, HalfGridBank, SeparableScale, WekaBank
from compdistort.backend.records import Float32

_WEKA_DERIVATIVES = 2
"""Pixels that two Sobel filters in a row see on each side."""

_SPREAD = 2
"""Grid points that the cubic B-spline sees on each side."""

Span = tuple[int, int]


def bank_reach(bank: FilterBank) -> tuple[int, int]:
    """Return how many pixels around a pixel its features depend on, at most.

    Parameters
    ----------
    bank : FilterBank
        From `build_bank`.

    Returns
    -------
    along_planes, in_plane : int
        On each side, along z and along rows and columns.
    """
    if isinstance(bank, WekaBank):
        return 0, _WEKA_DERIVATIVES + max(len(scale.kernel) for scale in bank.scales)
    if isinstance(bank, HalfGridBank):
        fine = bank_reach(bank.fine)[1]
        grid = max(map(_scale_reach, bank.scales), default=0) + _SPREAD
        coarse = 2 * (grid + 1) + len(bank.halve) if bank.scales else 0
        return max(fine, coarse), max(fine, coarse)
    along = max((_scale_reach(scale) for scale in bank.scales if not scale.planar), default=0)
    return along, max(map(_scale_reach, bank.scales), default=0)


def spans_around(part: Sequence[Span], shape: Sequence[int], bank: FilterBank) -> tuple[Span, ...]:
    """Return what a part of an image needs around it for features equal to those of the whole image, to the bit.

    Parameters
    ----------
    part : sequence of (int, int)
        First and one past the last index on every axis.
    shape : sequence of int
        Shape of the whole image, 2 or 3 axes.
    bank : FilterBank
        From `build_bank` for the whole image.

    Returns
    -------
    tuple of (int, int)
        The part widened by the bank's reach, as far as the image goes. The set `fast` begins at an even index, where
        its half grid has the points of the whole image.
    """
    along, across = bank_reach(bank)
    reaches = (along, across, across)[-len(shape) :]
    return tuple(_widened(*span, n, reach, bank) for span, n, reach in zip(part, shape, reaches, strict=True))


def planes_around(first: int, last: int, planes: int, bank: FilterBank) -> Span:
    """Return `spans_around` of planes first..last - 1 of a volume, along its planes alone."""
    return _widened(first, last, planes, bank_reach(bank)[0], bank)


def _widened(first: int, last: int, n: int, reach: int, bank: FilterBank) -> Span:
    step = 2 if isinstance(bank, HalfGridBank) else 1
    return max(0, first - reach) // step * step, min(n, last + reach)


def _scale_reach(scale: SeparableScale) -> int:
    outer = _radius((scale.smooth, scale.first, scale.second, scale.narrow))
    return _radius((scale.presmooth,)) + outer + _radius((scale.inner_smooth, scale.inner_first))


def _radius(kernels: Iterable[Float32 | None]) -> int:
    return max(0 if kernel is None else int(np.size(kernel)) - 1 for kernel in kernels)
