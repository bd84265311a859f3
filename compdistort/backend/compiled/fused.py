"""From pixels to mask bits or probabilities, block by block: no feature plane of the whole image ever exists.

An image is cut into tiles (`FeatureBlocks`); whoever is free takes the next one, computes the features of a few rows,
lets the forest vote on them while they are in cache, and keeps one bit (or one probability) a pixel. A feature, a
vote and so a bit depends on its own pixel alone: tiles, blocks, threads and their order leave no trace.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from math import gcd

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FilterBank, FlatForest, Float32, Float64, SegmentRule, UInt64
from compdistort.backend.bitsliced.patience import Patience
from compdistort.backend.bitsliced.voter import Voter, voter_for
from compdistort.backend.compiled.bits import WORD, put_rows
from compdistort.backend.compiled.blocks import TILE_COLUMNS, TILE_PLANES, TILE_ROWS, UNIT, Block, FeatureBlocks, Tile
from compdistort.backend.compiled.source import Source
from compdistort.backend.compiled.team import Team
from compdistort.backend.plain.forest import refuse_nan
from compdistort.backend.planes import Slabs

Int64 = NDArray[np.int64]
Vote = Callable[[Block, Float32, Int64, Voter], None]

TILES_A_THREAD, DEEP_PLANES = 4, 128
"""Tiles of an image for each of several threads at least, where they are so deep: what surrounds one costs."""

LEAST_ROWS = 64
"""Rows of a tile at least: what surrounds one is computed for it alone."""

VOTE_BYTES, CODE_BYTES = 16, 2
"""Memory of a pixel while a forest votes on its block: its number and votes, and the code of each feature, at most."""

PIXEL_TYPES = {1: np.uint8, 2: np.uint16, 4: np.float32}
"""Types of pixels by their bytes."""

LARGEST_SAFE = np.float32(65535)
"""Up to this size of the pixels no feature can be NaN: whole numbers of 16 bits overflow no filter."""


def may_make_nan(image: Source) -> bool:
    """Return whether a feature of the image could be NaN (a NaN or infinite pixel, or huge ones).

    Of a volume that comes slab by slab nobody knows beforehand.
    """
    if image.dtype != np.float32:
        return False
    return isinstance(image, Slabs) or not bool((np.abs(image.whole()) <= LARGEST_SAFE).all())


def tile_size(shape: Sequence[int], threads: int, most_planes: int | None = None) -> tuple[int, int, int]:
    """Return the largest tile for images of a shape: as deep as leaves enough tiles, since what surrounds one costs.

    Each thread gets one of `TILE_PLANES` planes or more where that is possible, and up to `TILES_A_THREAD` of
    `DEEP_PLANES`: threads may not be equally fast. These are as many for each, unless there are many anyway.

    With `most_planes` that is the depth, and a slab of tiles is shared by the threads: tiles have fewer rows where
    there would not be one for each.

    Examples
    --------
    >>> tile_size((128, 128, 128), 1), tile_size((550, 2048, 2048), 2), tile_size((256, 256, 256), 2)
    ((128, 512, 512), (550, 512, 512), (128, 512, 512))
    >>> tile_size((300, 512, 512), 2), tile_size((1000, 512, 512), 2), tile_size((550, 2048, 2048), 3)
    ((150, 512, 512), (167, 512, 512), (550, 512, 512))
    >>> tile_size((550, 2048, 2048), 2, 64), tile_size((512, 512, 512), 2, 64)
    ((64, 512, 512), (64, 256, 512))
    """
    planes, rows, columns = (1, *shape)[-3:]
    if most_planes is not None:
        down = -(-threads // -(-columns // TILE_COLUMNS))
        return most_planes, max(LEAST_ROWS, min(TILE_ROWS, -(-rows // down))), TILE_COLUMNS
    across = -(-rows // TILE_ROWS) * -(-columns // TILE_COLUMNS)
    if threads == 1:
        return max(TILE_PLANES, planes), TILE_ROWS, TILE_COLUMNS
    wanted = TILES_A_THREAD * threads
    even = 1 if across >= wanted else threads // gcd(threads, across)  # so many slabs, or a multiple
    slabs = even * max(1, min(wanted // across, planes // DEEP_PLANES) // even)
    return max(TILE_PLANES, -(-planes // slabs)), TILE_ROWS, TILE_COLUMNS


class FusedVotes:
    """Features and votes of images of one shape.

    Parameters
    ----------
    bank : FilterBank
        Filters.
    forest : FlatForest
        The trees.
    shape : sequence of int
        Shape of the images, ([planes,] rows, columns).
    threads : int
        Threads that may share an image.
    slab : int, optional
        Planes of a volume that are decided together; what images must hold is these and those that surround them.
    """

    def __init__(
        self, bank: FilterBank, forest: FlatForest, shape: Sequence[int], threads: int, slab: int | None = None
    ) -> None:
        self._bank, self._forest, self._shape = bank, forest, tuple(shape)
        self._tile, self._by_slab = tile_size(self._shape, threads, slab), slab is not None
        self._every: FeatureBlocks | None = None
        tested = voter_for(forest, wait=None).used
        self._used = FeatureBlocks(bank, self._shape, tested or (0,), tile=self._tile)  # trees of one leaf test none
        self._patience = Patience(forest)

    def mask_bits(self, image: Source, rule: SegmentRule, team: Team) -> UInt64:
        """Return the mask of an image as packed bits; `rule.smoothing_px` is not applied.

        Parameters
        ----------
        image : Source
            Pixels, DN: uint8, uint16 or float32.
        rule : SegmentRule
            Class, threshold and its side.
        team : Team
            Who may work.

        Returns
        -------
        ndarray of shape (planes * rows, ceil(columns / 64)), uint64
            Bit i of word w of a row = column 64 w + i; bits beyond the last column are 0.

        Raises
        ------
        InputError
            If a feature is NaN.
        """
        rule = replace(rule, foreground=range(self._forest.n_classes)[rule.foreground])  # -1 is the last
        rows, columns = self._shape[-2:]
        words = -(-columns // WORD)
        out = np.zeros((int(np.prod(self._shape[:-1])), words), np.uint64)

        def vote(block: Block, features: Float32, counts: Int64, voter: Voter) -> None:
            bits = np.empty(features.shape[1] // WORD + 1, np.uint64)  # one more: rows end anywhere
            voter.mask_bits(features, rule, bits[:-1], counts)
            first = block.z * rows + block.y
            put_rows(bits, block.width, block.rows, block.columns, out, first, block.x // WORD)

        self._run(image, vote, team, rule.foreground)
        return out

    def probability(self, image: Source, foreground: int, team: Team) -> Float64:
        """Return the probability of one class, float64 of the image's shape; arguments as `mask_bits`."""
        out = np.empty((int(np.prod(self._shape[:-2])), *self._shape[-2:]), np.float64)
        self._run(image, self._probability_into(out, 0, foreground), team, None)
        return out.reshape(self._shape)

    def plane_probability(self, image: Source, plane: int, foreground: int, team: Team) -> Float64:
        """Return the same of one plane, float64 of shape (rows, columns), where slabs are single planes."""
        out = np.empty((1, *self._shape[-2:]), np.float64)
        self._run(image, self._probability_into(out, plane, foreground), team, None, only=plane)
        return out[0]

    def _probability_into(self, out: Float64, first: int, foreground: int) -> Vote:
        """Return what writes the probability of a class to `out`, of which plane 0 is plane `first` of the image."""

        def vote(block: Block, features: Float32, counts: Int64, voter: Voter) -> None:
            proba = np.empty((self._forest.n_classes, features.shape[1]), np.float64)
            voter.probabilities(features, proba, counts)
            found = proba[foreground, : block.rows * block.width].reshape(block.rows, block.width)
            rows, columns = slice(block.y, block.y + block.rows), slice(block.x, block.x + block.columns)
            out[block.z - first, rows, columns] = found[:, : block.columns]

        return vote

    def scratch_bytes(self, itemsize: int = 4, *, every: bool = False) -> int:
        """Return the memory that one worker takes: a block's features, what makes and codes them, a prepared image.

        `itemsize` is that of a pixel. With `every`, of images whose pixels may be NaN: features that no tree tests are
        computed too.
        """
        blocks, dtype = self._blocks(every=every), PIXEL_TYPES[itemsize]
        used, own = len(self._used.wanted), []
        for tile in blocks.tiles:
            pixels, last = blocks.block_pixels(tile)
            copied = 4 * used * (pixels if every else last if last < pixels else 0)
            own.append(blocks.scratch_bytes(tile, dtype) + (VOTE_BYTES + CODE_BYTES * used) * pixels + copied)
        return max(own) + blocks.prepared_bytes()

    def planes_held(self, *, every: bool = False) -> int:
        """Return the most planes that an image must hold at a time; `every` as of `scratch_bytes`."""
        blocks = self._blocks(every=every)
        spans = [blocks.planes_of(tiles) for tiles in self._slabs(blocks)]
        return max(last - first for first, last in spans)

    def _blocks(self, *, every: bool) -> FeatureBlocks:
        return self._all_features() if every else self._used

    def _slabs(self, blocks: FeatureBlocks) -> list[list[Tile]]:
        """Return the tiles that are shared at a time: those of equal planes, or all of them."""
        if not self._by_slab:
            return [list(blocks.tiles)]
        return [list(tiles) for _, tiles in groupby(blocks.tiles, key=lambda tile: tile.z0)]

    def _run(self, image: Source, vote: Vote, team: Team, foreground: int | None, only: int | None = None) -> None:
        """Let the team vote on every block, or on those of one slab; refuse NaN in any feature, tested or not."""
        voter = self._patience.voter(foreground)
        every = may_make_nan(image)
        blocks = self._blocks(every=every)
        tested = np.array(voter.used, np.int64)
        counts: list[Int64] = []
        prepared = blocks.prepare(image, team.share)

        def decide(block: Block, own: Int64) -> None:
            # A copy only of a tile's last rows, which may be fewer than a block's.
            flat = np.ascontiguousarray(block.features[:, : -(-block.rows * block.width // UNIT) * UNIT])
            if every:
                own += _nan_counts(block)
            flat = flat[tested] if every else flat[: tested.size]
            began = time.perf_counter()
            vote(block, flat, np.zeros(tested.size, np.int64), voter)
            self._patience.add(time.perf_counter() - began)

        def work(tiles: Iterator[Tile]) -> None:
            own = np.zeros(self._forest.n_features, np.int64)
            for tile in tiles:
                for block in blocks.run(prepared, tile):
                    decide(block, own)
                del block  # and with it the tile's memory, before the next one takes its own
            counts.append(own)

        slabs = self._slabs(blocks)
        for tiles in slabs if only is None else slabs[only : only + 1]:
            image.hold(*blocks.planes_of(tiles))
            team.share(tiles, work)
        blocks.done(prepared)
        refuse_nan(sum(counts, np.zeros(self._forest.n_features, np.int64)))

    def _all_features(self) -> FeatureBlocks:
        if self._every is None:
            self._every = FeatureBlocks(self._bank, self._shape, tile=self._tile)
        return self._every


def _nan_counts(block: Block) -> Int64:
    counts: Int64 = np.isnan(block.planes).sum(axis=(1, 2))
    return counts
