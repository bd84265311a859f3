"""Tables of rows and lists of copies that carry an image's border into one tile."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.emit import LANES
from compdistort.backend.plain.convolve import border_index

Int64 = NDArray[np.int64]
Span = tuple[int, int]


class TileLayout:
    """A tile of an image and the memory that its plan takes pieces of.

    Parameters
    ----------
    border : str
        Border of the bank.
    shape : (planes, rows, columns)
        Shape of the image.
    box : three pairs of int
        Planes, rows and columns of the tile.
    arena : Arena
        Where the memory comes from.
    volume : bool
        Whether filters run along z.
    """

    def __init__(
        self, border: str, shape: tuple[int, int, int], box: tuple[Span, Span, Span], arena: Arena, *, volume: bool
    ) -> None:
        self.border, self.shape, self.box, self.arena, self.volume = border, shape, box, arena, volume

    def within(self, axis: int, reach: int) -> Span:
        """Return the tile's positions and `reach` beyond, as far as the image goes."""
        return clip(self.box[axis], reach, self.shape[axis])

    def addresses(self, axis: int, reach: int, place: Any, more: int = 0) -> int:
        """Write the addresses of the planes or rows at the tile's positions and `reach` beyond; see `separable`."""
        first, last = self.box[axis][0] - reach, self.box[axis][1] + reach + more
        at = _fold(np.arange(first, last), self.shape[axis], self.border)
        return self.arena.put(np.asarray(place(at), np.int64)) - 8 * first

    def copies(self, columns: Span, reach: int, pairs: str, count: str, lead: str | None) -> dict[str, int]:
        """List the copies that fill a row of the tile's columns and `reach` beyond from its columns in the image."""
        first, last = self.box[2][0] - reach, self.box[2][1] + reach
        position = np.arange(first, last)
        outside = position[(position < columns[0]) | (position >= columns[1])]
        source = _fold(outside, self.shape[2], self.border)
        moves = 4 * (np.stack([outside, source], axis=1) - first)
        fields = {pairs: self.arena.put(moves.astype(np.int64)), count: len(moves)}
        return fields if lead is None else fields | {lead: columns[0] - first}


def clip(span: Span, reach: int, n: int) -> Span:
    """Return a span and `reach` beyond, within 0..n."""
    return max(0, span[0] - reach), min(n, span[1] + reach)


def vectors(columns: Span) -> int:
    """Return how many vectors hold some columns."""
    return -(-(columns[1] - columns[0]) // LANES)


def _fold(position: Int64, n: int, border: str) -> Int64:
    """Return which pixel stands at each position (see `border_index`)."""
    reach = int(max(0, -position.min(initial=0), position.max(initial=0) - n + 1))
    return border_index(n, reach, border)[position + reach]
