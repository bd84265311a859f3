"""Runs the separable filters on a tile: those of a volume together, those of single planes beside them.

A planar scale of a volume is what a 2D image has: the filters of a plane read nothing of other planes. So each plane of
the tile starts them anew, on memory of one plane and without a halo along z, while the scales that run along z go on
from plane to plane.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import SeparableBank
from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.emit import LANES
from compdistort.backend.compiled.separable import advance, filter_rows
from compdistort.backend.compiled.separable_plan import SeparablePlan, WantedScale, plane_window, wanted_scales
from compdistort.backend.compiled.source import Source
from compdistort.backend.compiled.tile_layout import Span

Fill = Callable[[int, int, int, int, int], None]
"""Fills a block: first row, the one behind the last, address, bytes from feature to feature and from row to row."""

Planes = Callable[[Any], Iterator[tuple[int, Fill]]]
"""Makes an image's planes, each with what fills its blocks."""


class Box(Protocol):
    """The ends of a tile."""

    @property
    def spans(self) -> tuple[Span, Span, Span]:
        """Planes, rows and columns, ends excluded."""


class SeparableTiles:
    """Wanted separable features on tiles of images of one shape.

    Parameters
    ----------
    bank : SeparableBank
        Filters.
    wanted : sequence of int or None
        The feature that each row of a block holds; None fills no row.
    shape : (planes, rows, columns)
        Shape of the images.
    volume : bool
        Whether filters run along z, those of planar scales excepted.
    """

    def __init__(
        self, bank: SeparableBank, wanted: Sequence[int | None], shape: tuple[int, int, int], *, volume: bool
    ) -> None:
        self._border, self._shape = bank.border, shape
        scales = wanted_scales(bank, wanted)
        solid = tuple(s for s in scales if volume and not s.scale.planar)
        planar = tuple(s for s in scales if not volume or s.scale.planar)
        self._parts = [(part, along_z) for part, along_z in ((solid, True), (planar, False)) if part]

    @property
    def halo(self) -> tuple[int, int]:
        """Planes that a tile reads before its first and behind its last one."""
        before = behind = 0
        for scales, along_z in self._parts:
            if along_z:
                first, last = plane_window(scales)
                before, behind = max(before, run_up(scales) - first), max(behind, last)
        return before, behind

    def plan(self, tile: Box, block_rows: int, dtype: Any, arena: Arena) -> Planes:
        """Lay out the memory of a tile.

        Parameters
        ----------
        tile : Box
            The tile.
        block_rows : int
            Rows of a block; these filters need not know.
        dtype : dtype
            Type of the image.
        arena : Arena
            Where the memory comes from.

        Returns
        -------
        callable
            Yields each plane of the tile of an image, with the function that fills its blocks.
        """
        plans = [
            SeparablePlan(
                part,
                self._border,
                self._shape,
                tile.spans,
                # Filters with several outputs read float32 alone.
                np.float32 if any(s.scale.presmooth is None for s in part) else dtype,
                arena,
                volume=volume,
            )
            for part, volume in self._parts
        ]
        return partial(_planes, plans)


def _planes(plans: Sequence[SeparablePlan], image: Source) -> Iterator[tuple[int, Fill]]:
    z0, z1 = plans[0].box[0]
    parts = [(_solid_planes if plan.volume else _single_planes)(plan, image) for plan in plans]
    for z, *fills in zip(range(z0, z1), *parts, strict=True):
        yield z, fills[0] if len(fills) == 1 else partial(_fill_all, fills)


def _fill_all(fills: Sequence[Fill], y: int, last: int, out: int, step: int, row_bytes: int) -> None:
    for fill in fills:
        fill(y, last, out, step, row_bytes)


def _solid_planes(plan: SeparablePlan, image: Source) -> Iterator[Fill]:
    """Go through the planes of a volume, and before them through those that its first ones need."""
    z0, z1 = plan.box[0]
    ready = 0
    for z in range(z0 - run_up(plan.scales), z1):
        first = max(ready, z + plan.behind, 0)
        ready = max(ready, min(z + plan.ahead, plan.shape[0] - 1) + 1)
        for p in range(first, ready):
            plan.plane(p)[...] = image.read(p, plan.rows, plan.columns)
        advance(plan.table, z)
        if z >= z0:
            yield _filler(plan, z)


def _single_planes(plan: SeparablePlan, image: Source) -> Iterator[Fill]:
    """Go through planes of which none knows of another."""
    fresh = plan.table.copy()
    for z in range(*plan.box[0]):
        begin_anew(plan, fresh)
        plan.plane(z)[...] = image.read(z, plan.rows, plan.columns)
        yield _filler(plan, z)


def run_up(scales: Sequence[WantedScale]) -> int:
    """Return the planes that filters go through before the first one that is wanted.

    Filters that read the image itself need none; those of pre-smoothed planes, or of products of gradients, make these
    one by one, as many as they reach to both sides.
    """
    return max((2 * s.reach for s in scales if s.scale.presmooth is not None or s.tensor), default=0)


def begin_anew(plan: SeparablePlan, fresh: NDArray[np.int64]) -> None:
    """Forget what the filters have noted of the plane before: which rows of it were ready.

    Parameters
    ----------
    plan : SeparablePlan
        The plan of a tile.
    fresh : ndarray of shape (n_scales, n_fields), int64
        Its table as it was laid out.
    """
    plan.table[...] = fresh


def _filler(plan: SeparablePlan, z: int) -> Fill:
    x0, x1 = plan.box[2]
    vectors = -(-(x1 - x0) // LANES)

    def fill(y: int, last: int, out: int, step: int, row_bytes: int) -> None:
        filter_rows(plan.table, plan.volume, z, y, last, out, step, row_bytes, vectors)

    return fill
