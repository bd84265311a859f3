"""Models of the dither-aware coder: fitted by the encoder, stored with the plane, read by the decoder.

A pass has up to five classes of activity (how far apart the pairs of opposite neighbours are), of equally many pixels.
Each has its weights, by least squares on a part of the rows, and the width of its errors: the row of the table that
codes the counted errors in the fewest bits. A pass with few pixels takes the mean of the four nearest neighbours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.plain.dither_sites import CLASSES, WEIGHT_BITS, CellModel, CodedPlane, Int64, Sites
from compdistort.codecs.vsq.normal_cells import (
    FAMILIES,
    PER_OCTAVE,
    REACH,
    ROW_OF_ONE,
    ROWS,
    WIDEST,
    cell_bits,
    row_of,
)
from compdistort.errors import CodecRangeError

FITTED = 1024
"""Pixels that a pass must have for weights of its own."""

CLASS_PIXELS = 8192
"""Pixels that a class must have."""

MOST_CLASSES = 5

SAMPLED = 24576
"""Pixels that a fit looks at: rows are left out of a pass with more."""

_FEWER = 3
"""Limits of classes and widths of errors need fewer rows than weights do."""

_NEVER = 1 << 62
_ONE = 1 << (WEIGHT_BITS - 1)
_FAMILY = 128
_REMEDY = "it is damaged or truncated: get the file again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """The loops that go over pixels: compiled ones, or their slow twins.

    Attributes
    ----------
    encode_pass, decode_pass, activities, normal_sums, cell_counts, saturated_counts : callable
        See `compdistort.backend.plain.dither_coder` and `compdistort.backend.plain.dither_counts`.
    """

    encode_pass: Callable[..., None]
    decode_pass: Callable[..., bool]
    activities: Callable[..., Int64]
    normal_sums: Callable[..., Int64]
    cell_counts: Callable[..., tuple[Int64, Int64]]
    saturated_counts: Callable[..., Int64]


@dataclass(frozen=True, slots=True)
class PassModel:
    """The model of one pass, as it is stored.

    Attributes
    ----------
    limits : tuple of int
        Activities at which the classes begin, but the first; 2**-4 of a cell, strictly rising.
    weights : ndarray of shape (n_classes, n_terms - 1), int8
        Weights of all terms but the first, 2**-7; the first makes their sum 1/2, as a term is a sum of two.
    errors : tuple of int
        Width of the errors of each class, 0 to `WIDEST`; 128 more for the family with more in its tails.
    """

    limits: tuple[int, ...]
    weights: NDArray[np.int8]
    errors: tuple[int, ...]

    def pack(self, sites: Sites) -> bytes:
        """Return the model as bytes."""
        if sites.n_sites < FITTED:
            return bytes(self.errors)
        limits = np.array(self.limits, "<u2").tobytes()
        return bytes([len(self.errors)]) + limits + self.weights.tobytes() + bytes(self.errors)

    def for_loops(self) -> CellModel:
        """Return the model as the loops take it."""
        rows, shifts = np.zeros(CLASSES, np.int64), np.zeros(CLASSES, np.int64)
        for k, error in enumerate(self.errors):
            rows[k], shifts[k] = row_of(error % _FAMILY, error // _FAMILY)
        limits, weights = _all_limits(self.limits), _all_weights(self.weights)
        return CellModel(limits=limits, weights=weights, rows=rows, shifts=shifts)


def unpack_model(stream: bytes, at: int, sites: Sites) -> tuple[PassModel, int]:
    """Read the model of a pass.

    Parameters
    ----------
    stream : bytes
        The codestream.
    at : int
        Where the model begins.
    sites : Sites
        The pass.

    Returns
    -------
    model : PassModel
    end : int
        Where it ends.

    Raises
    ------
    CodecRangeError
        If the stream ends before, or the model is none.
    """
    terms = len(sites.steps)
    n, at = (1, at) if sites.n_sites < FITTED else (stream[at] if at < len(stream) else 0, at + 1)
    sizes = (2 * (n - 1), n * (terms - 1), n) if sites.n_sites >= FITTED else (0, 0, 1)
    ends = [at + sum(sizes[: k + 1]) for k in range(3)]
    if not 1 <= n <= CLASSES or ends[2] > len(stream):
        raise CodecRangeError(f"the model of a pass has {n} classes and {len(stream) - at} bytes", _REMEDY)
    limits = tuple(np.frombuffer(stream[at : ends[0]], "<u2").tolist())
    if list(limits) != sorted(set(limits)):
        raise CodecRangeError(f"the classes of a pass begin at {limits}, which do not rise", _REMEDY)
    weights = np.frombuffer(stream[ends[0] : ends[1]], np.int8).reshape(-1, terms - 1)
    weights = weights if sites.n_sites >= FITTED else _plain_weights(1, terms)
    return PassModel(limits, weights, tuple(stream[ends[1] : ends[2]])), ends[2]


def fit_pass(loops: Loops, plane: CodedPlane, sites: Sites) -> PassModel:
    """Fit the model of a pass to the plane.

    Parameters
    ----------
    loops : Loops
        Compiled or plain; the model is the same.
    plane : CodedPlane
        The whole plane.
    sites : Sites
        The pixels of the pass.

    Returns
    -------
    PassModel
    """
    every = 2 * (-(-sites.n_sites // SAMPLED) // 2) + 1  # odd, so that rows of both parities are seen
    n_classes = min(max(sites.n_sites // CLASS_PIXELS, 1), MOST_CLASSES)
    sparse = _FEWER * every if n_classes > 1 else every
    limits: tuple[int, ...] = ()
    if n_classes > 1:
        wanted = np.arange(1, n_classes) / n_classes
        quantiles = np.quantile(loops.activities(plane, sites, sparse), wanted, method="lower")
        limits = tuple(sorted({min(max(int(value), 1), 65535) for value in quantiles}))
    weights = _plain_weights(len(limits) + 1, len(sites.steps))
    if sites.n_sites >= FITTED:
        weights = _weights(loops.normal_sums(plane, sites, every, _all_limits(limits)), weights)
    counts, squares = loops.cell_counts(plane, sites, sparse, _all_limits(limits), _all_weights(weights), REACH)
    errors = tuple(_error(counts[k], int(squares[k])) for k in range(len(weights)))
    return PassModel(limits, weights, errors)


def _all_limits(limits: tuple[int, ...]) -> Int64:
    found = np.full(CLASSES, _NEVER, np.int64)
    found[: len(limits)] = limits
    return found


def _all_weights(weights: NDArray[np.int8]) -> Int64:
    found = np.zeros((CLASSES, weights.shape[1] + 1), np.int64)
    found[: len(weights), 1:] = weights
    found[: len(weights), 0] = _ONE - found[: len(weights), 1:].sum(axis=1)
    return found


def _plain_weights(n: int, terms: int) -> NDArray[np.int8]:
    """Return the weights of a mean of the four nearest neighbours."""
    weights = np.zeros((n, terms - 1), np.int8)
    weights[:, 0] = _ONE // 2
    return weights


def _weights(sums: Int64, plain: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the weights that the sums of `normal_sums` ask for; a class with few pixels keeps the plain ones."""
    weights, size = plain.copy(), plain.shape[1]
    for k in range(len(weights)):
        n = int(sums[k, -1, -1])
        if n < 4 * size:
            continue
        # The ridge, (1/64 of a cell)^2 a pixel, holds down what an image without noise leaves open.
        matrix = sums[k, :size, :size].astype(np.float64) + 16.0 * n * np.eye(size)
        found = np.linalg.solve(matrix, sums[k, :size, size].astype(np.float64))
        weights[k] = np.clip(np.rint(_ONE * found), -128, 127)
    return weights


def _error(counts: Int64, squares: int) -> int:
    """Return the width of the errors, and its family, that codes the counted pixels in the fewest bits."""
    n = int(counts.sum())
    if n == 0:
        return ROW_OF_ONE
    if 64 * int(counts[:, 0].sum() + counts[:, -1].sum()) > n:
        spread = math.sqrt(max(squares / n / 65536 - 1 / 12, 1.0))
        return min(max(round(PER_OCTAVE * math.log2(spread)) + ROW_OF_ONE, ROWS), WIDEST)
    seen = np.flatnonzero(counts)
    line = int(np.argmin(counts.reshape(-1)[seen] @ cell_bits()[seen]))
    if line < FAMILIES * ROWS:
        return line // ROWS * _FAMILY + line % ROWS
    return line - (FAMILIES - 1) * ROWS
