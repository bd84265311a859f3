"""Features of an image in small blocks, only those that are wanted; the same bits as the whole stack.

An image is cut into tiles, independent pieces for threads. A tile is computed a few rows at a time, with a halo that
its neighbours compute too; no feature of the whole image is ever held.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FilterBank, Float32, SeparableBank, WekaBank
from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.emit import LANES
from compdistort.backend.compiled.separable import advance, filter_rows
from compdistort.backend.compiled.separable_plan import SeparablePlan, wanted_scales
from compdistort.backend.compiled.weka_loops import weka_rows
from compdistort.backend.compiled.weka_plan import WekaPlan, wanted_blurs

WORD, UNIT = 64, 512
"""The width of a block is a multiple of the first, its pixels are one of the second."""

TILE_PLANES, TILE_ROWS, TILE_COLUMNS = 64, 512, 512
"""Largest tile."""

_Fill = Callable[[int, int, int, int, int], None]
_Planes = Callable[[Any], Iterator[tuple[int, _Fill]]]


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of the image, ends excluded; `x0` is a multiple of 64, `z` is 0..1 in 2D."""

    z0: int
    z1: int
    y0: int
    y1: int
    x0: int
    x1: int


@dataclass(frozen=True, slots=True)
class Block:
    """Features of some rows of one plane.

    Attributes
    ----------
    z, y, x : int
        First pixel.
    rows, columns : int
        How many rows and columns of `features` lie in the tile; the others hold 0.
    features : ndarray of shape (n_wanted, rows_padded, width), float32
        The features; overwritten by the next block of the same iterator. `width` is a multiple of 64, a plane of one
        of 512 pixels.
    """

    z: int
    y: int
    x: int
    rows: int
    columns: int
    features: Float32


class FeatureBlocks:
    """Wanted features of images of one shape.

    Parameters
    ----------
    bank : FilterBank
        Filters.
    shape : sequence of int
        Shape of the images, ([planes,] rows, columns).
    wanted : sequence of int, optional
        Which features, in this order; all without it. What none of them needs is not computed.
    block_pixels : int
        About how many pixels a block has.
    tile : (planes, rows, columns)
        Largest tile; columns a multiple of 64.
    """

    def __init__(
        self,
        bank: FilterBank,
        shape: Sequence[int],
        wanted: Sequence[int] | None = None,
        block_pixels: int = 4096,
        tile: tuple[int, int, int] = (TILE_PLANES, TILE_ROWS, TILE_COLUMNS),
    ) -> None:
        self._block, self._image_shape = block_pixels, tuple(shape)
        self._shape: tuple[int, int, int] = (1, *shape)[-3:]  # type: ignore[assignment]
        self.wanted = tuple(range(len(bank.names)) if wanted is None else wanted)
        pieces = [
            [(first, min(n, first + size)) for first in range(0, n, size)]
            for n, size in zip(self._shape, tile, strict=True)
        ]
        self.tiles = tuple(Tile(*z, *y, *x) for z in pieces[0] for y in pieces[1] for x in pieces[2])
        self._runner: _Separable | _Weka
        if isinstance(bank, WekaBank):
            self._runner = _Weka(bank, self.wanted, self._shape)
        else:
            self._runner = _Separable(bank, self.wanted, self._shape, volume=len(shape) == 3)

    def scratch_bytes(self, tile: Tile, dtype: Any = np.float32) -> int:
        """Return the memory of one running iterator.

        Parameters
        ----------
        tile : Tile
            One of `tiles`.
        dtype : dtype
            Type of the image.

        Returns
        -------
        int
            Bytes.
        """
        arena = Arena()
        shape = self._block_shape(tile)
        self._runner.plan(tile, shape[1], np.dtype(dtype), arena)
        arena.take(4 * math.prod(shape))
        return arena.size

    def run(self, image: NDArray[Any], tile: Tile) -> Iterator[Block]:
        """Yield the blocks of a tile, in raster order.

        Parameters
        ----------
        image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
            Pixels in DN.
        tile : Tile
            One of `tiles`.

        Yields
        ------
        Block

        Raises
        ------
        ValueError
            If the image has another shape than the blocks were laid out for.
        """
        if image.shape != self._image_shape:
            raise ValueError(f"image has shape {image.shape}, blocks are laid out for {self._image_shape}")
        arena = Arena(np.zeros(self.scratch_bytes(tile, image.dtype), np.uint8))
        shape = self._block_shape(tile)
        planes = self._runner.plan(tile, shape[1], image.dtype, arena)
        address = arena.take(4 * math.prod(shape))
        out = arena.view(address, shape, np.float32)
        columns, rows, row_bytes = tile.x1 - tile.x0, shape[1], 4 * shape[2]
        for z, fill in planes(image.reshape(self._shape)):
            for y in range(tile.y0, tile.y1, rows):
                last = min(y + rows, tile.y1)
                fill(y, last, address, rows * row_bytes, row_bytes)
                out[:, last - y :] = 0
                if columns % LANES:
                    out[:, :, columns:] = 0
                yield Block(z, y, tile.x0, last - y, columns, out)

    def _block_shape(self, tile: Tile) -> tuple[int, int, int]:
        width = -(-(tile.x1 - tile.x0) // WORD) * WORD
        unit = UNIT // math.gcd(UNIT, width)
        rows = min(max(unit, self._block // width // unit * unit), -(-(tile.y1 - tile.y0) // unit) * unit)
        return len(self.wanted), rows, width


class _Separable:
    """Runs the separable filters on a tile."""

    def __init__(
        self, bank: SeparableBank, wanted: Sequence[int | None], shape: tuple[int, int, int], *, volume: bool
    ) -> None:
        self.scales, self.border, self.shape, self.volume = wanted_scales(bank, wanted), bank.border, shape, volume

    def plan(self, tile: Tile, block_rows: int, dtype: Any, arena: Arena) -> _Planes:
        """Lay out the memory of a tile; return what makes an image's planes in it."""
        if any(s.scale.presmooth is None for s in self.scales):
            dtype = np.float32  # filters with several outputs read float32 alone
        box = ((tile.z0, tile.z1), (tile.y0, tile.y1), (tile.x0, tile.x1))
        plan = SeparablePlan(self.scales, self.border, self.shape, box, dtype, arena, volume=self.volume)
        return partial(self._planes, plan, tile)

    def _planes(self, plan: SeparablePlan, tile: Tile, image: NDArray[Any]) -> Iterator[tuple[int, _Fill]]:
        """Yield each plane of the tile with the function that fills its blocks."""
        vectors = -(-(tile.x1 - tile.x0) // LANES)
        (ya, yb), (xa, xb) = plan.rows, plan.columns
        behind = 2 * max(s.reach for s in self.scales) if self.volume else 0
        ready = 0
        for z in range(tile.z0 - behind, tile.z1):
            first = max(ready, z + plan.behind, 0)
            ready = max(ready, min(z + plan.ahead, self.shape[0] - 1) + 1)
            for p in range(first, ready):
                plan.plane(p)[...] = image[p, ya:yb, xa:xb]
            if self.volume:
                advance(plan.table, z)
            if z >= tile.z0:

                def fill(y: int, last: int, out: int, step: int, row_bytes: int, z: int = z) -> None:
                    filter_rows(plan.table, self.volume, z, y, last, out, step, row_bytes, vectors)

                yield z, fill


class _Weka:
    """Runs the Weka 2D set on a tile."""

    def __init__(self, bank: WekaBank, wanted: Sequence[int], shape: tuple[int, int, int]) -> None:
        self.blurs, self.shape = wanted_blurs(bank, wanted), shape

    def plan(self, tile: Tile, block_rows: int, dtype: Any, arena: Arena) -> _Planes:
        """Lay out the memory of a tile; return what makes an image's planes in it."""
        box = ((tile.y0, tile.y1), (tile.x0, tile.x1))
        return partial(self._planes, WekaPlan(self.blurs, self.shape[1:], box, block_rows, arena))

    def _planes(self, plan: WekaPlan, image: NDArray[Any]) -> Iterator[tuple[int, _Fill]]:
        """Yield the one plane with the function that fills its blocks."""
        plan.load(image[0])

        def fill(y: int, last: int, out: int, step: int, row_bytes: int) -> None:
            weka_rows(plan.table, plan.dogs, y, last, out, step, row_bytes)

        yield 0, fill


def whole_stack(image: NDArray[Any], blocks: FeatureBlocks) -> Float32:
    """Return the wanted features of a whole image.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
        Pixels in DN.
    blocks : FeatureBlocks
        Made for this shape.

    Returns
    -------
    ndarray of shape (n_wanted, *image.shape), float32
    """
    n = len(blocks.wanted)
    out = np.empty((n, *image.shape), np.float32)
    planes = out.reshape(n, -1, *image.shape[-2:])
    for tile in blocks.tiles:
        for block in blocks.run(image, tile):
            rows, columns = slice(block.y, block.y + block.rows), slice(block.x, block.x + block.columns)
            planes[:, block.z, rows, columns] = block.features[:, : block.rows, : block.columns]
    return out
