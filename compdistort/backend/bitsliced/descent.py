"""The fallback of the network: the compiled lock-step descents, on the features that the forest reads only."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float32, Float64, SegmentRule, UInt64
from compdistort.backend.compiled.forest import PackedForest

Int64 = NDArray[np.int64]

CHUNK = 8192
"""Pixels of one step: codes and probabilities stay near."""


@dataclass(frozen=True, slots=True)
class Descent:
    """A voter that descends every tree for every pixel (see `voter.Voter`)."""

    used: tuple[int, ...]
    n_classes: int
    packed: PackedForest
    compiled: bool = False

    @classmethod
    def of(cls, forest: FlatForest) -> "Descent":
        """Pack a forest once."""
        inner = forest.feature >= 0
        used = np.unique(forest.feature[inner])
        place = np.zeros(max(1, forest.n_features), np.int16)
        place[used] = np.arange(used.size)
        own = replace(
            forest, feature=np.where(inner, place[forest.feature], -1).astype(np.int16), n_features=used.size, bins=None
        )
        return cls(tuple(int(feature) for feature in used), forest.n_classes, PackedForest.of(own))

    def probabilities(self, features: Float32, out: Float64, nan_counts: Int64) -> None:
        """See `voter.Voter`."""
        self.packed.descend(features, out, nan_counts)

    def passes(self, features: Float32, rule: SegmentRule, nan_counts: Int64) -> NDArray[np.bool_]:
        """Return which of any number of pixels pass a rule.

        Parameters
        ----------
        features : ndarray of shape (n_used, n_pixels), float32
            One row a used feature.
        rule : SegmentRule
            Class, threshold, and whether it is strict.
        nan_counts : ndarray of shape (n_used,), int64
            Grows by the number of NaN in each row.

        Returns
        -------
        ndarray of shape (n_pixels,), bool
        """
        probability = np.empty((self.n_classes, features.shape[1]))
        self.packed.descend(features, probability, nan_counts)
        chosen = probability[rule.foreground]
        passing: NDArray[np.bool_] = chosen > rule.threshold if rule.strict else chosen >= rule.threshold
        return passing

    def mask_bits(self, features: Float32, rule: SegmentRule, bits: UInt64, nan_counts: Int64) -> None:
        """See `voter.Voter`."""
        for start in range(0, features.shape[1], CHUNK):
            found = self.passes(features[:, start : start + CHUNK], rule, nan_counts)
            bits[start // 64 : (start + CHUNK) // 64] = packed_bits(found)


def packed_bits(mask: NDArray[np.bool_]) -> UInt64:
    """Return pixels as bits, pixel 64 w + i in bit i of word w.

    Parameters
    ----------
    mask : ndarray of shape (n_pixels,), bool
        A multiple of 64 pixels.

    Returns
    -------
    ndarray of shape (n_pixels // 64,), uint64
    """
    return np.packbits(mask, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def unpacked_bits(bits: UInt64) -> NDArray[np.uint8]:
    """Return bits as pixels (see `packed_bits`).

    Parameters
    ----------
    bits : ndarray of shape (n_words,), uint64
        64 pixels a word.

    Returns
    -------
    ndarray of shape (64 n_words,), uint8
    """
    return np.unpackbits(bits.astype("<u8", copy=False).view(np.uint8), bitorder="little")
