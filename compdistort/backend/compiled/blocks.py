"""Features of an image in small blocks, only those that are wanted; the same bits as the whole stack.

An image is cut into tiles, independent pieces for threads. A tile is computed a few rows at a time, with a halo that
its neighbours compute too; no feature of the whole image is ever held.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from compdistort.backend.base import FilterBank, Float32, HalfGridBank, SeparableBank, WekaBank
from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.bits import WORD
from compdistort.backend.compiled.emit import LANES
from compdistort.backend.compiled.half_blocks import GridImage, HalfGrid, Share, alone
from compdistort.backend.compiled.separable_tiles import Fill, Planes, SeparableTiles
from compdistort.backend.compiled.source import Source
from compdistort.backend.compiled.tile_layout import Span
from compdistort.backend.compiled.weka_loops import weka_rows
from compdistort.backend.compiled.weka_plan import WekaPlan, wanted_blurs

UNIT = 512
"""Voters take a multiple of so many pixels, those beyond a block included."""

BLOCK_PIXELS, NEAR_BYTES = (4096, 16384), 1 << 21
"""Fewest and most pixels of a block that is as large as its features allow, and the memory that they may take."""

TILE_PLANES, TILE_ROWS, TILE_COLUMNS = 64, 512, 512
"""Largest tile; a volume's may have more planes where there are tiles enough (see `tile_planes`)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of the image, ends excluded; `x0` is a multiple of 64, `z` is 0..1 in 2D."""

    z0: int
    z1: int
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def spans(self) -> tuple[Span, Span, Span]:
        """Planes, rows and columns, ends excluded."""
        return (self.z0, self.z1), (self.y0, self.y1), (self.x0, self.x1)


@dataclass(frozen=True, slots=True)
class Block:
    """Features of some rows of one plane.

    Attributes
    ----------
    z, y, x : int
        First pixel.
    rows, columns, width : int
        Pixel (r, c) of the block is entry ``r width + c`` of a feature; ``width >= columns``.
    features : ndarray of shape (n_wanted, n), float32
        The features; overwritten by the next block of the same iterator. n is a multiple of 512. Entries that are no
        pixel hold 0.
    """

    z: int
    y: int
    x: int
    rows: int
    columns: int
    width: int
    features: Float32

    @property
    def planes(self) -> Float32:
        """The features as a view of shape (n_wanted, rows, columns)."""
        n = self.rows * self.width
        return self.features[:, :n].reshape(-1, self.rows, self.width)[..., : self.columns]


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
    block_pixels : int, optional
        About how many pixels a block has; default as many as keep its features near, within `BLOCK_PIXELS`.
    tile : (planes, rows, columns)
        Largest tile; columns a multiple of 64.
    """

    def __init__(
        self,
        bank: FilterBank,
        shape: Sequence[int],
        wanted: Sequence[int] | None = None,
        block_pixels: int | None = None,
        tile: tuple[int, int, int] = (TILE_PLANES, TILE_ROWS, TILE_COLUMNS),
    ) -> None:
        self._image_shape = tuple(shape)
        self._shape: tuple[int, int, int] = (1, *shape)[-3:]  # type: ignore[assignment]
        self.wanted = tuple(range(len(bank.names)) if wanted is None else wanted)
        fewest, most = BLOCK_PIXELS
        self._block = block_pixels or min(most, max(fewest, NEAR_BYTES // (4 * len(self.wanted))))
        if len(set(self.wanted)) < len(self.wanted):
            raise ValueError(f"a feature is wanted twice: {self.wanted}")
        if tile[2] % WORD:
            raise ValueError(f"tiles of {tile[2]} columns do not begin at multiples of {WORD}")
        pieces = [
            [(first, min(n, first + size)) for first in range(0, n, size)]
            for n, size in zip(self._shape, tile, strict=True)
        ]
        self.tiles = tuple(Tile(*z, *y, *x) for z in pieces[0] for y in pieces[1] for x in pieces[2])
        self._lanes = 2 * LANES if isinstance(bank, HalfGridBank) else LANES
        self._runner: SeparableTiles | _Weka | HalfGrid
        if isinstance(bank, WekaBank):
            self._runner = _Weka(bank, self.wanted, self._shape)
        elif isinstance(bank, SeparableBank):
            self._runner = SeparableTiles(bank, self.wanted, self._shape, volume=len(shape) == 3)
        else:
            self._runner = _half_grid(bank, self.wanted, self._shape, volume=len(shape) == 3)

    def prepare(self, image: Source, share: Share = alone) -> Source | GridImage:
        """Return what `run` takes: the image, with what must be known of all of it before its first block.

        Parameters
        ----------
        image : Source
            Pixels in DN: uint8, uint16 or float32.
        share : callable
            Lets several threads work, as `Team.share` does.

        Returns
        -------
        Source or GridImage

        Raises
        ------
        ValueError
            If the image has another shape than the blocks were laid out for.
        """
        if image.shape != self._image_shape:
            raise ValueError(f"image has shape {image.shape}, blocks are laid out for {self._image_shape}")
        return self._runner.prepare(image, share) if isinstance(self._runner, HalfGrid) else image

    def planes_of(self, tiles: Sequence[Tile]) -> tuple[int, int]:
        """Return the planes that tiles read, the last one excluded: their own and those that surround them.

        Of the set `fast` that is all of them.
        """
        if isinstance(self._runner, HalfGrid):
            return 0, self._shape[0]
        before, behind = self._runner.halo if isinstance(self._runner, SeparableTiles) else (0, 0)
        first, last = min(tile.z0 for tile in tiles), max(tile.z1 for tile in tiles)
        return max(0, first - before), min(self._shape[0], last + behind)

    def done(self, prepared: Source | GridImage) -> None:
        """Take back what `prepare` gave; no block of it may be read any more."""
        if isinstance(prepared, GridImage):
            assert isinstance(self._runner, HalfGrid)
            self._runner.done(prepared)

    def prepared_bytes(self) -> int:
        """Return the memory of one prepared image, without its pixels."""
        return self._runner.fields_bytes() if isinstance(self._runner, HalfGrid) else 0

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
        rows, _, n = self._block_shape(tile)
        self._runner.plan(tile, rows, np.dtype(dtype), arena)
        arena.take(4 * len(self.wanted) * n)
        return arena.size

    def block_pixels(self, tile: Tile) -> tuple[int, int]:
        """Return the pixels of a tile's first and last block, those beyond them included; the last may be smaller."""
        rows, width, n = self._block_shape(tile)
        last = (tile.y1 - tile.y0) % rows or rows
        return n, -(-last * width // UNIT) * UNIT

    def run(self, image: Source | GridImage, tile: Tile) -> Iterator[Block]:
        """Yield the blocks of a tile, in raster order.

        Parameters
        ----------
        image : Source or GridImage
            What `prepare` gave.
        tile : Tile
            One of `tiles`.

        Yields
        ------
        Block
        """
        arena = Arena(np.zeros(self.scratch_bytes(tile, image.dtype), np.uint8))
        rows, width, n = self._block_shape(tile)
        planes = self._runner.plan(tile, rows, image.dtype, arena)
        address = arena.take(4 * len(self.wanted) * n)
        out: Float32 = arena.view(address, (len(self.wanted), n), np.float32)
        columns = tile.x1 - tile.x0
        for z, fill in planes(image):
            for y in range(tile.y0, tile.y1, rows):
                block = Block(z, y, tile.x0, min(rows, tile.y1 - y), columns, width, out)
                fill(y, y + block.rows, address, 4 * n, 4 * width)
                out[:, block.rows * width :] = 0
                if width > columns:
                    out[:, : block.rows * width].reshape(-1, block.rows, width)[..., columns:] = 0
                yield block

    def _block_shape(self, tile: Tile) -> tuple[int, int, int]:
        """Return rows of a block, pixels from row to row, and pixels in all."""
        width = -(-(tile.x1 - tile.x0) // self._lanes) * self._lanes
        most, height = max(1, self._block // width), tile.y1 - tile.y0
        rows = -(-height // -(-height // most))  # blocks of about the same size
        return rows, width, -(-rows * width // UNIT) * UNIT


class _Weka:
    """Runs the Weka 2D set on a tile."""

    def __init__(self, bank: WekaBank, wanted: Sequence[int], shape: tuple[int, int, int]) -> None:
        self.blurs, self.shape = wanted_blurs(bank, wanted), shape

    def plan(self, tile: Tile, block_rows: int, dtype: Any, arena: Arena) -> Planes:
        """Lay out the memory of a tile; return what makes an image's planes in it."""
        return partial(self._planes, WekaPlan(self.blurs, self.shape[1:], tile.spans[1:], block_rows, arena))

    def _planes(self, plan: WekaPlan, image: Source) -> Iterator[tuple[int, Fill]]:
        """Yield the one plane with the function that fills its blocks."""
        plan.load(image)

        def fill(y: int, last: int, out: int, step: int, row_bytes: int) -> None:
            weka_rows(plan.table, plan.dogs, y, last, out, step, row_bytes)

        yield 0, fill


def _half_grid(bank: HalfGridBank, wanted: Sequence[int], shape: tuple[int, int, int], *, volume: bool) -> HalfGrid:
    """Return what runs the set `fast`; its fine features are run as those of any separable bank."""
    fine = [bank.fine_features.index(f) if f in bank.fine_features else None for f in wanted]
    exact = SeparableTiles(bank.fine, fine, shape, volume=volume) if any(f is not None for f in fine) else None
    return HalfGrid(bank, wanted, shape, exact, volume=volume)
