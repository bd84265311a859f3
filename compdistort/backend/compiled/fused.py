"""From pixels to mask bits or probabilities, block by block: no feature plane of the whole image ever exists.

An image is cut into tiles (`FeatureBlocks`); whoever is free takes the next one, computes the features of a few rows,
lets the forest vote on them while they are in cache, and keeps one bit (or one probability) a pixel. A feature, a
vote and so a bit depends on its own pixel alone: tiles, blocks, threads and their order leave no trace.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FilterBank, FlatForest, Float32, Float64, SegmentRule, UInt64
from compdistort.backend.bitsliced.voter import Voter, voter_for
from compdistort.backend.compiled.blocks import Block, FeatureBlocks, Tile
from compdistort.backend.compiled.team import Team
from compdistort.backend.plain.forest import refuse_nan

Int64 = NDArray[np.int64]
Vote = Callable[[Block, Float32, Int64, Voter], None]

WORD = 64
"""Pixels of one word of mask bits."""

LARGEST_SAFE = np.float32(65535)
"""Up to this size of the pixels no feature can be NaN: whole numbers of 16 bits overflow no filter."""


COMPILE_AFTER_SECONDS = 2.0
"""Votes that took this long are worth a compiled forest, which is made in the background."""


def may_make_nan(image: NDArray[Any]) -> bool:
    """Return whether a feature of the image could be NaN (a NaN or infinite pixel, or huge ones)."""
    return image.dtype == np.float32 and not bool((np.abs(image) <= LARGEST_SAFE).all())


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
    """

    def __init__(self, bank: FilterBank, forest: FlatForest, shape: Sequence[int]) -> None:
        self._bank, self._forest, self._shape = bank, forest, tuple(shape)
        self._every: FeatureBlocks | None = None
        tested = voter_for(forest, wait=None).used
        self._used = FeatureBlocks(bank, self._shape, tested or (0,))  # trees of one leaf test none
        self._patience = _Patience()

    def mask_bits(self, image: NDArray[Any], rule: SegmentRule, team: Team) -> UInt64:
        """Return the mask of an image as packed bits; `rule.smoothing_px` is not applied.

        Parameters
        ----------
        image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
            Pixels, DN.
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
        rows, columns = self._shape[-2:]
        words = -(-columns // WORD)
        out = np.zeros((int(np.prod(self._shape[:-1])), words), np.uint64)

        def vote(block: Block, features: Float32, counts: Int64, voter: Voter) -> None:
            n, width = features.shape[1], block.features.shape[2]
            bits = np.empty(n // WORD, np.uint64)
            voter.mask_bits(features, rule, bits, counts)
            first, start = block.z * rows + block.y, block.x // WORD
            kept = -(-block.columns // WORD)
            out[first : first + block.rows, start : start + kept] = bits.reshape(-1, width // WORD)[: block.rows, :kept]

        self._run(image, vote, team, rule.foreground)
        if columns % WORD:
            out[:, -1] &= np.uint64((1 << (columns % WORD)) - 1)
        return out

    def probability(self, image: NDArray[Any], foreground: int, team: Team) -> Float64:
        """Return the probability of one class, float64 of the image's shape; arguments as `mask_bits`."""
        out = np.empty((int(np.prod(self._shape[:-2])), *self._shape[-2:]), np.float64)

        def vote(block: Block, features: Float32, counts: Int64, voter: Voter) -> None:
            proba = np.empty((self._forest.n_classes, features.shape[1]), np.float64)
            voter.probabilities(features, proba, counts)
            found = proba[foreground].reshape(block.features.shape[1:])
            rows, columns = slice(block.y, block.y + block.rows), slice(block.x, block.x + block.columns)
            out[block.z, rows, columns] = found[: block.rows, : block.columns]

        self._run(image, vote, team, None)
        return out.reshape(self._shape)

    def scratch_bytes(self) -> int:
        """Return the memory that one worker takes: the features of a block and what makes them."""
        return max(self._used.scratch_bytes(tile) for tile in self._used.tiles)

    def _run(self, image: NDArray[Any], vote: Vote, team: Team, foreground: int | None) -> None:
        """Let the team vote on every block; refuse NaN in any feature, tested or not."""
        voter = self._patience.voter(self._forest, foreground)
        every = may_make_nan(image)
        blocks = self._all_features() if every else self._used
        tested = np.array(voter.used, np.int64)
        counts: list[Int64] = []

        def work(tiles: Iterator[Tile]) -> None:
            own, unused = np.zeros(self._forest.n_features, np.int64), np.zeros(tested.size, np.int64)
            for tile in tiles:
                for block in blocks.run(image, tile):
                    flat = block.features.reshape(len(block.features), -1)
                    if every:
                        own += _nan_counts(block)
                    flat = flat[tested] if every else flat[: tested.size]
                    began = time.perf_counter()
                    vote(block, flat, unused, voter)
                    self._patience.add(time.perf_counter() - began)
            counts.append(own)

        team.share(blocks.tiles, work)
        refuse_nan(sum(counts, np.zeros(self._forest.n_features, np.int64)))

    def _all_features(self) -> FeatureBlocks:
        if self._every is None:
            self._every = FeatureBlocks(self._bank, self._shape)
        return self._every


def _nan_counts(block: Block) -> Int64:
    counts: Int64 = np.isnan(block.features[:, : block.rows, : block.columns]).sum(axis=(1, 2))
    return counts


class _Patience:
    """When a forest is worth compiling: after the votes have taken so long that compiling would have paid."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count the time that votes took (threads may overwrite each other's sum: it is only an estimate)."""
        self._seconds += seconds

    def voter(self, forest: FlatForest, foreground: int | None) -> Voter:
        """Return networks where there are some, else descents; after a while have the networks compiled."""
        return voter_for(forest, wait=False if self._seconds >= COMPILE_AFTER_SECONDS else None, foreground=foreground)
