"""From features to the small whole numbers that the network compares: exact, and fast."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FeatureBins, FlatForest, Float32, UInt16
from compdistort.backend.compiled.codes import PIECES, SIDE, cells_of, encode_bins, encode_ranks
from compdistort.backend.plain.codes import bin_slopes, threshold_codes
from compdistort.errors import ConfigError

_MOST_CELLS = 1 << 14
_RAMPS = (1, 8)
_CROWD = 4
"""Mean number of thresholds in the cell of a threshold above which a map of more ramps is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Turns features into codes, so that every test of a forest becomes a comparison of whole numbers.

    Attributes
    ----------
    used : tuple of int
        Rising indices of the features that any tree tests; rows of `features` and codes are in this order.
    dtype : dtype
        uint8 or uint16, of all codes.
    node_code : ndarray of shape (n_nodes,), int64
        For each inner node the c with ``x <= threshold`` exactly where ``code(x) <= c``; 0 in leaves.
    tables : tuple of ndarray
        What the loops read: of ranks or of bins.
    binned : bool
        Whether codes are bins of the forest, or exact ranks among its thresholds.
    """

    used: tuple[int, ...]
    dtype: np.dtype[Any]
    node_code: NDArray[np.int64]
    tables: tuple[NDArray[Any], ...]
    binned: bool

    def encode(self, features: Float32, out: NDArray[Any], nan_counts: NDArray[np.int64], skip: int = 0) -> None:
        """Write the codes of many pixels. Releases the GIL; one encoder serves many threads.

        Parameters
        ----------
        features : ndarray of shape (n_used, n_pixels), float32
            One row for each feature of `used`, C order.
        out : ndarray of shape (n_used, n_wanted), uint8 or uint16
            Takes the codes; `dtype` is its type. The code of NaN is any.
        nan_counts : ndarray of shape (n_used,), int64
            Grows by the number of NaN in each row of these pixels.
        skip : int
            Pixels before those that are wanted.
        """
        assert out.dtype == self.dtype
        assert features.flags.c_contiguous
        assert 0 <= skip <= features.shape[1] - out.shape[1]
        assert nan_counts.shape == (len(self.used),) == features.shape[:1] == out.shape[:1]
        loop: Callable[..., None] = encode_bins if self.binned else encode_ranks
        loop(features, skip, *self.tables, out, nan_counts)


def encoder_of(forest: FlatForest) -> Encoder:
    """Return the encoder of a forest.

    Parameters
    ----------
    forest : FlatForest
        With bins: codes are its bins. Without: the exact rank among the forest's distinct thresholds of the feature.

    Returns
    -------
    Encoder

    Raises
    ------
    ConfigError
        If a feature has more than 65535 distinct thresholds, a threshold is no edge of its bins, or their maps have
        more than 4 knots.

    Examples
    --------
    >>> stump = FlatForest(
    ...     feature=np.array([2, -1, -1], np.int16), threshold=np.array([0.5, 0, 0], np.float32),
    ...     left=np.array([1, 0, 1], np.int32), root=np.zeros(1, np.int32), depth=np.ones(1, np.int32),
    ...     leaf_value=np.eye(2), n_features=3,
    ... )
    >>> encoder = encoder_of(stump)
    >>> codes, nan_counts = np.empty((1, 3), encoder.dtype), np.zeros(1, np.int64)
    >>> encoder.encode(np.array([[-1.0, 0.5, 0.75]], np.float32), codes, nan_counts)
    >>> encoder.used, codes.tolist(), int(encoder.node_code[0])
    ((2,), [[0, 0, 1]], 0)
    """
    inner = forest.feature >= 0
    used = np.unique(forest.feature[inner])
    node_code = threshold_codes(forest)
    if forest.bins is not None:
        top, tables = forest.bins.top, _bin_tables(forest.bins, used)
    else:
        limits = [np.unique(forest.threshold[forest.feature == feature]) for feature in used]
        top, tables = max((own.size for own in limits), default=0), _rank_tables(limits)
    if top > np.iinfo(np.uint16).max:
        raise ConfigError(
            f"a feature has {top} distinct thresholds, more than 65535", "train with max_leaf_nodes, or on bins"
        )
    return Encoder(
        used=tuple(int(feature) for feature in used),
        dtype=np.dtype(np.uint8 if top <= np.iinfo(np.uint8).max else np.uint16),
        node_code=node_code,
        tables=tables,
        binned=forest.bins is not None,
    )


def _bin_tables(bins: FeatureBins, used: NDArray[np.integer]) -> tuple[NDArray[Any], ...]:
    """Return what `encode_bins` reads: a piece that is repeated starts where it started, so that nothing changes."""
    tables = bins.knot[:, :-1], bin_slopes(bins), bins.level[:, :-1], bins.level[:, 1:]
    n_pieces = tables[0].shape[1]
    if n_pieces > PIECES:
        raise ConfigError(f"maps to bins have {n_pieces + 1} knots", f"use {PIECES + 1} at most")
    piece = [0] if n_pieces == 1 else [min(k, n_pieces - 1) for k in range(PIECES)]
    return tuple(np.ascontiguousarray(table[used][:, piece]) for table in tables)


def _rank_tables(limits: list[Float32]) -> tuple[NDArray[Any], ...]:
    """Return what `encode_ranks` reads."""
    maps = [_map(own) for own in limits]
    n_ramps = max((knot.size for knot, _, _ in maps), default=1)
    ramps = np.zeros((3, len(limits), n_ramps), np.float32)  # absent ramps rise by nothing
    bases = []
    for k, (own, ramp) in enumerate(zip(limits, maps, strict=True)):
        ramps[:, k, : ramp[0].size] = ramp
        bases.append(_base(own, *ramp))
    padded = [np.append(own, np.full(SIDE, np.inf, np.float32)) for own in limits]
    knot, scale, width = ramps
    return knot, scale, width, _joined(bases, np.uint16), _starts(bases), _joined(padded, np.float32), _starts(padded)


def _map(limits: Float32) -> tuple[Float32, Float32, Float32]:
    """Return the ramps of the map to cells: one where thresholds lie evenly enough, else more."""
    for n_ramps in _RAMPS:
        ramp = _ramps(limits, n_ramps)
        base = _base(limits, *ramp).astype(np.int64)
        counts = base[1:] - base[:-1]
        if counts @ counts <= _CROWD * limits.size:
            break
    return ramp


def _ramps(limits: Float32, n_ramps: int) -> tuple[Float32, Float32, Float32]:
    """Return start, slope and height of ramps, each over the same number of thresholds."""
    finite = limits[np.isfinite(limits)].astype(np.float64)
    if finite.size <= SIDE:
        return (np.zeros(1, np.float32),) * 3
    ends = np.quantile(finite, np.linspace(0, 1, n_ramps + 1), method="nearest").astype(np.float32)
    n_cells = min(1 << (2 * finite.size).bit_length(), _MOST_CELLS)  # 2 to 4 a threshold: more leave the L1 cache
    width = np.full(n_ramps, n_cells // n_ramps, np.float32)
    most = np.finfo(np.float32).max
    with np.errstate(divide="ignore"):
        scale = np.minimum(width / np.diff(ends.astype(np.float64)), most).astype(np.float32)
    return ends[:-1], scale, width


def _base(limits: Float32, knot: Float32, scale: Float32, width: Float32) -> UInt16:
    """Return the number of thresholds in the cells before each cell, and before the end."""
    cells = np.empty(limits.size, np.int32)
    cells_of(limits, knot, scale, width, np.empty(limits.size, np.float32), cells)
    n_cells = int(width.sum()) + 1
    return np.searchsorted(cells, np.arange(n_cells + 1)).astype(np.uint16)


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)


def _starts(parts: list[NDArray[Any]]) -> NDArray[np.int64]:
    return np.cumsum([0, *(part.size for part in parts)], dtype=np.int64)
