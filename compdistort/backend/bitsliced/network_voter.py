"""Votes on features by networks; what every voter can do."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, Float64, SegmentRule, UInt64
from compdistort.backend.bitsliced.codes import Encoder
from compdistort.backend.bitsliced.descent import Descent, packed_bits
from compdistort.backend.bitsliced.network import Network
from compdistort.backend.compiled.votes import add_votes, mark, settle, take_codes
from compdistort.backend.plain.forest import refuse_nan

Int64 = NDArray[np.int64]

UNIT = 512
"""A network counts a multiple of so many pixels."""

CHUNK = 16384
"""Pixels of one step: their codes stay near, and enough of them are open after the first phase to fill a second."""


class Voter(Protocol):
    """A forest that is ready to vote. Any number of threads may call it at once; Python's lock is free meanwhile."""

    @property
    def used(self) -> tuple[int, ...]:
        """Rising indices of the features that any tree tests: the rows of `features`, in this order."""

    @property
    def compiled(self) -> bool:
        """Whether networks vote."""

    def mask_bits(self, features: Float32, rule: SegmentRule, bits: UInt64, nan_counts: Int64) -> None:
        """Mark the pixels whose probability of the rule's class passes its threshold, exactly as scikit-learn's.

        Parameters
        ----------
        features : ndarray of shape (n_used, n_pixels), float32
            C order; n_pixels is a multiple of 512.
        rule : SegmentRule
            Class, threshold (any number), and whether it is strict.
        bits : ndarray of shape (n_pixels // 64,), uint64
            Takes the mask, pixel 64 w + i in bit i of word w.
        nan_counts : ndarray of shape (n_used,), int64
            Grows by the number of NaN in each row; a pixel with one gets any bit (see `refuse_used_nan`).
        """

    def probabilities(self, features: Float32, out: Float64, nan_counts: Int64) -> None:
        """Write the probabilities of all classes, the bits of scikit-learn's ``predict_proba`` with ``n_jobs=1``.

        By the votes of the networks where all leaves are certain and every class has its network, else by descents.

        Parameters
        ----------
        features : ndarray of shape (n_used, n_pixels), float32
            As for `mask_bits`.
        out : ndarray of shape (n_classes, n_pixels), float64
            Takes them.
        nan_counts : ndarray of shape (n_used,), int64
            As for `mask_bits`.
        """


@dataclass(frozen=True, slots=True)
class Compiled:
    """A voter of networks (see `Voter`); classes without one are descended.

    Attributes
    ----------
    networks : dict
        Networks by the class that they count.
    complement : bool
        Whether all leaves are certain and classes are two: the network of the second decides about both.
    """

    used: tuple[int, ...]
    encoder: Encoder
    descent: Descent
    networks: dict[int, Network]
    complement: bool
    compiled: bool = True

    @property
    def seconds(self) -> float:
        """What compiling took; 0 where all was read from disk."""
        return sum(network.seconds for network in self.networks.values())

    def mask_bits(self, features: Float32, rule: SegmentRule, bits: UInt64, nan_counts: Int64) -> None:
        """See `Voter`."""
        inverted = self.complement and rule.foreground == 0
        network = self.networks.get(1 if inverted else rule.foreground)
        if network is None:
            self.descent.mask_bits(features, rule, bits, nan_counts)
            return
        sure, possible = network.sum.needed(rule)
        if inverted:  # n - k votes pass where k do not reach one more than those that may be missing
            needed = network.sum.n_trees - (sure + network.sum.offset) + 1
            sure = possible = needed - network.sum.offset
        for start in range(0, features.shape[1], CHUNK):
            own = bits[start // 64 : (start + CHUNK) // 64]
            left = decide(network, self._codes(features, start, nan_counts), sure, possible, own)
            if inverted:
                np.invert(own, out=own)
            if left.size:
                self._ask(features[:, start : start + CHUNK], rule, left, own)

    def probabilities(self, features: Float32, out: Float64, nan_counts: Int64) -> None:
        """See `Voter`."""
        counted = {target: own for target, own in self.networks.items() if own.sum.one == 1}
        if len(counted) < (1 if self.complement else len(out)):
            self.descent.probabilities(features, out, nan_counts)
            return
        for start in range(0, features.shape[1], CHUNK):
            codes = self._codes(features, start, nan_counts)
            for target, network in counted.items():
                votes = np.full(codes.shape[1], network.sum.offset, np.int64)
                add_votes(network.count(codes), votes)
                out[target, start : start + CHUNK] = votes / network.sum.n_trees
                if self.complement:
                    out[1 - target, start : start + CHUNK] = (network.sum.n_trees - votes) / network.sum.n_trees

    def _codes(self, features: Float32, start: int, nan_counts: Int64) -> NDArray[np.integer]:
        codes = np.empty((len(features), min(CHUNK, features.shape[1] - start)), self.encoder.dtype)
        self.encoder.encode(features, codes, nan_counts, start)
        return codes

    def _ask(self, features: Float32, rule: SegmentRule, pixels: Int64, bits: UInt64) -> None:
        """Decide the pixels whose rounded sum leaves it open by the sum itself."""
        passing = np.zeros(features.shape[1], np.bool_)
        uncounted = np.zeros(len(features), np.int64)  # NaN was counted with the codes
        passing[pixels] = self.descent.passes(np.ascontiguousarray(features[:, pixels]), rule, uncounted)
        bits |= packed_bits(passing)


def decide(network: Network, codes: NDArray[np.integer], sure: int, possible: int, bits: UInt64) -> Int64:
    """Mark the pixels whose count reaches `sure`, phase by phase; only who is open goes on.

    Parameters
    ----------
    network : Network
        What counts.
    codes : ndarray of shape (n_used, n_pixels), uint8 or uint16
        Codes of the encoder; n_pixels is a multiple of 512.
    sure, possible : int
        See `Sum.needed`.
    bits : ndarray of shape (n_pixels // 64,), uint64
        Takes the marks.

    Returns
    -------
    ndarray of shape (n,), int64
        The pixels whose count reaches `possible` only.
    """
    first, *later = network.phases(sure, possible)
    pixels, votes = mark(network.count(codes, first), sure, possible - first.left, bits)
    for phase in later:
        counter = network.count(take_codes(codes, pixels, UNIT), phase)
        pixels, votes = settle(counter, pixels, votes, sure, possible - phase.left, bits)
    return pixels


def refuse_used_nan(used: tuple[int, ...], nan_counts: Int64) -> None:
    """Raise for the first feature that holds NaN, by its own index.

    Parameters
    ----------
    used : tuple of int
        The voter's features.
    nan_counts : ndarray of shape (n_used,), int64
        What its calls counted.

    Raises
    ------
    InputError
        If any is above zero.
    """
    counts = np.zeros(max(used, default=0) + 1, np.int64)
    counts[list(used)] = nan_counts
    refuse_nan(counts)
