"""Votes by the CPU engine: feature planes of the device are copied piece by piece to pinned memory and voted on there.

Two pieces are on their way at a time: while the cores vote on one, the next is copied, and the device is free to
compute the next slab's features.

The votes are part of their thread's turn on the device (see `Cuda.in_turn`), although they need it little: they keep
every core of the one pool busy, so that whoever was let in meanwhile would only wait for the cores instead, with its
features in the device's memory. Another thread that is at work computes features and tables while the first votes.
"""

import time
from collections import deque
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest, Float32, SegmentRule
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.forest_pack import Wanted, narrow

PIECE_BYTES = 1 << 28
"""Pinned memory of one piece at most."""

CHUNK = 1 << 14
"""Pixels that a core votes on at a time, at least."""

UNIT = 512
"""Voters take a multiple of so many pixels; what a piece lacks is filled up with zeros, and its votes are dropped."""

_IN_FLIGHT = 2


def pinned_bytes(n_features: int, n_pixels: int) -> int:
    """Return how much pinned memory the votes of one thread at work take at most.

    Parameters
    ----------
    n_features, n_pixels : int
        Size of the image's features.
    """
    return _IN_FLIGHT * min(PIECE_BYTES, 2 * 4 * n_features * n_pixels)  # CuPy rounds up to a power of two


@dataclass(frozen=True, slots=True)
class _Piece:
    """A copy on its way.

    Attributes
    ----------
    copied : event
        Done when `host` is filled.
    host : ndarray of shape (n_used, n_padded), float32
        Pinned memory.
    n : int
        Pixels; those beyond are 0.
    source : array of shape (n_rows, ...), float32
        Features on the device: kept until they are copied, or another stream would be given their memory.
    first : int
        Place of the first pixel in the output.
    """

    copied: Any
    host: Float32
    n: int
    source: Any
    first: int


@dataclass(frozen=True, slots=True)
class _Sent:
    """Votes on their way to the device: done at the event `copied`."""

    copied: Any
    votes: NDArray[Any]


class HostVotes:
    """Votes of the CPU engine's forest on features of the device; a context whose end completes the output.

    Parameters
    ----------
    cuda : Cuda
        The device.
    forest : FlatForest
        The trees.
    wanted : Wanted
        What the votes become.
    out : array of shape (classes, n), float64 or bool
        Output on the device.
    by_slot : bool
        Whether the features handed in are only those that the forest tests.
    """

    def __init__(self, cuda: Cuda, forest: FlatForest, wanted: Wanted, out: Any, *, by_slot: bool) -> None:
        used, _ = narrow(forest)
        self._rows = range(used.size) if by_slot else used.tolist()
        self._cuda, self._wanted, self._out, self._n_classes = cuda, wanted, out, forest.n_classes
        # Imported here: Numba and LLVM are loaded only where they vote.
        patience = import_module("compdistort.backend.bitsliced.patience").Patience
        self._patience = cuda.memo("votes on the host", forest, lambda: patience(forest))
        self._voter = self._patience.voter(None if wanted.threshold is None else wanted.classes.start)
        self._copies = cuda.copy_stream()
        self._flying: deque[_Piece] = deque()
        self._sent: deque[_Sent] = deque()

    def __enter__(self) -> "HostVotes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._flying:
                self._settle()
        finally:
            self._copies.synchronize()  # also after an error: no copy may outlive its memory
            self._sent.clear()

    def vote(self, features: Any, first: int) -> None:
        """Send features of shape (n_rows, n) on their way; vote on what was sent before.

        Parameters
        ----------
        features : array of shape (n_rows, n), float32
            On the device; must not be changed afterwards.
        first : int
            Place of the first pixel in the output.
        """
        self._copies.wait_event(self._cuda.cp.cuda.get_current_stream().record())
        n = features.shape[1]
        budget = min(PIECE_BYTES, self._cuda.slab_bytes or PIECE_BYTES)
        length = max(UNIT, budget // (4 * len(self._rows)) // UNIT * UNIT)
        for start in range(0, n, length):
            self._send(features, start, min(start + length, n), first)
            if len(self._flying) == _IN_FLIGHT:
                self._settle()

    def _send(self, features: Any, start: int, stop: int, first: int) -> None:
        n = stop - start
        shape = (len(self._rows), -(-n // UNIT) * UNIT)
        memory = self._cuda.cp.cuda.alloc_pinned_memory(4 * shape[0] * shape[1])
        host = np.frombuffer(memory, np.float32, shape[0] * shape[1]).reshape(shape)
        host[:, n:] = 0
        for plane, row in zip(host, self._rows, strict=True):
            features[row, start:stop].get(stream=self._copies, out=plane[:n], blocking=False)
        copied = self._cuda.cp.cuda.Event(block=True, disable_timing=True)
        self._copies.record(copied)
        self._flying.append(_Piece(copied, host, n, features, first + start))

    def _settle(self) -> None:
        """Wait for the oldest piece, vote on it, and send the result to the device."""
        piece = self._flying.popleft()
        piece.copied.synchronize()
        n = piece.n
        step = -(-max(CHUNK, -(-n // (4 * self._cuda.host_threads))) // UNIT) * UNIT
        chunks = (piece.host[:, start : start + step] for start in range(0, n, step))
        began = time.perf_counter()
        votes = np.concatenate(list(self._cuda.host_pool.map(self._decide, chunks)), axis=1)[:, :n]
        self._patience.add(time.perf_counter() - began)
        while self._sent:
            self._sent[0].copied.synchronize()
            self._sent.popleft()
        for row, values in enumerate(votes):
            self._out[row, piece.first : piece.first + n].set(values, stream=self._copies)
        # Some drivers read pageable memory after the call: it is kept until the copy is done.
        self._sent.append(_Sent(self._copies.record(), votes))

    def _decide(self, features: Float32) -> NDArray[Any]:
        """Return the rows of the output for features of shape (n_used, n), n a multiple of 512."""
        classes, threshold = self._wanted.classes, self._wanted.threshold
        rows = np.ascontiguousarray(features[: len(self._voter.used)])  # trees of one leaf test none
        uncounted = np.zeros(len(rows), np.int64)  # NaN was counted on the device
        if threshold is None:
            probability = np.empty((self._n_classes, features.shape[1]), np.float64)
            self._voter.probabilities(rows, probability, uncounted)
            return probability[classes.start : classes.stop]
        bits = np.empty(features.shape[1] // 64, np.uint64)
        rule = SegmentRule(foreground=classes.start, threshold=threshold, strict=self._wanted.strict)
        self._voter.mask_bits(rows, rule, bits, uncounted)
        mask = np.unpackbits(bits.astype("<u8", copy=False).view(np.uint8), bitorder="little")
        return mask.view(np.bool_)[np.newaxis]
