"""The set `fast` block by block: fields on the half grid once an image, then the way back a few rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, HalfGridBank, SeparableScale, UInt8
from compdistort.backend.compiled.arena import Arena, aligned_zeros
from compdistort.backend.compiled.emit import LANES, odd_lines
from compdistort.backend.compiled.half_loops import LEAD, SCALE, grid_fields, halve, spread_rows
from compdistort.backend.compiled.half_taps import PAIRS
from compdistort.backend.compiled.source import Pixels, Source
from compdistort.backend.plain.convolve import border_index
from compdistort.backend.plain.half_grid import grid_index, grid_points

Int64 = NDArray[np.int64]
Fill = Callable[[int, int, int, int, int], None]
Piece = tuple[int, int, int]
Share = Callable[[Sequence[Any], Callable[[Iterator[Any]], None]], None]
"""Lets a function work on pieces, by one thread or several; see `Team.share`."""

AT_ONCE = 16
"""Points along the first axis of one piece of work."""

LONG_ROW = 16
"""Cache lines of a long row."""

KEPT_BYTES = 1 << 26
"""Fields up to this size are kept for the next image: fresh memory costs as much as the filters of a fine sigma."""


def alone(pieces: Sequence[Any], work: Callable[[Iterator[Any]], None]) -> None:
    """Let `work` run on all pieces, here and now."""
    work(iter(pieces))


@dataclass(frozen=True, slots=True)
class GridImage:
    """An image with its fields on the half grid.

    Attributes
    ----------
    pixels : Source
        The image.
    fields : tuple of ndarrays of shape (n_fields, planes, rows, columns) of the grid, float32
        One array a wanted coarse sigma; see `half_loops`.
    """

    pixels: Source
    fields: tuple[Float32, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.pixels.dtype


class Grid(NamedTuple):
    """An image on the grid: its memory, the address of point 0, bytes from plane to plane and from row to row."""

    memory: UInt8
    start: int
    plane_bytes: int
    row_bytes: int


def grid_memory(points: tuple[int, int, int]) -> tuple[int, int]:
    """Return the bytes of a plane and of a row of the grid, in whole vectors.

    Planes are an odd number of cache lines apart, so that those which a column of taps reads share no cache set; rows
    too, where they are so long that few of them fill the nearest cache.

    Examples
    --------
    >>> grid_memory((64, 64, 64)), grid_memory((1, 1024, 1024))
    ((16448, 256), (4259904, 4160))
    """
    lines = -(-points[2] // LANES)
    row = 4 * LANES * (lines if lines < LONG_ROW else lines | 1)
    return odd_lines(points[1] * row), row


def field_row(n: int) -> int:
    """Return the points of a row of fields of an image of `n` columns: whole vectors, and what the way back reads."""
    return odd_lines(4 * LANES * (-(-n // (2 * LANES)) + 1)) // 4


class FineRunner(Protocol):
    """What computes the fine features of a tile."""

    def plan(self, tile: Any, block_rows: int, dtype: Any, arena: Arena) -> Callable[[Any], Iterator[tuple[int, Fill]]]:
        """Lay out the memory of a tile; return what makes an image's planes in it."""
        ...


class HalfGrid:
    """Runs the set `fast` on a tile.

    Parameters
    ----------
    bank : HalfGridBank
        Filters.
    wanted : sequence of int
        Features, one a row of a block.
    shape : (planes, rows, columns)
        Shape of the images.
    fine : FineRunner or None
        Computes the fine features among them; None where there are none.
    volume : bool
        Whether filters run along z.

    Raises
    ------
    ValueError
        If columns are so few that a border would be mirrored twice; a bank built for the shape has no such sigma.
    """

    def __init__(
        self, bank: HalfGridBank, wanted: Sequence[int], shape: tuple[int, int, int], fine: FineRunner | None, *,
        volume: bool,
    ) -> None:  # fmt: skip
        self.bank, self.shape, self.fine, self.volume = bank, shape, fine, volume
        planes, rows, columns = map(grid_points, shape)
        self.points = (planes if volume else 1, rows, columns)
        self.rows: dict[int, dict[str, int]] = {}
        self._spare: list[tuple[Float32, ...]] = []  # a list's pop and append need no lock
        for row, feature in enumerate(wanted):
            if feature in bank.coarse_features:
                operator, at = bank.coarse_columns[bank.coarse_features.index(feature)]
                self.rows.setdefault(at, {})[operator] = row
        reach = max((_reach(bank.scales[at]) for at in self.rows), default=0)
        if 2 * reach > shape[2]:
            raise ValueError(f"{shape[2]} columns are fewer than the {2 * reach} that the widest filter needs")

    def prepare(self, image: Source, share: Share = alone) -> GridImage:
        """Compute the fields of an image, by all threads that `share` has.

        Parameters
        ----------
        image : Source
            Pixels in DN: uint8, uint16 or float32. All of them are read, and held where fine features are wanted.
        share : callable
            Shares the work.

        Returns
        -------
        GridImage
        """
        if not self.rows:
            return GridImage(image, ())
        image.hold(0, self.shape[0])
        pixels = image.whole()
        grid = self._halved(pixels, share)
        fields = self._fields()
        pieces = [(s, *span) for s in range(len(fields)) for span in self._spans()]

        def work(left: Iterator[Piece]) -> None:
            for s, first, last in left:
                at = list(self.rows)[s]
                self._filter(grid, self.bank.scales[at], self.rows[at], fields[s], first, last)

        share(pieces, work)
        return GridImage(Pixels(pixels) if self.fine else image, fields)

    def done(self, image: GridImage) -> None:
        """Take back the fields of an image that no block reads any more."""
        if image.fields and sum(each.nbytes for each in image.fields) <= KEPT_BYTES:
            self._spare.append(image.fields)

    def _fields(self) -> tuple[Float32, ...]:
        """Return room for the fields of an image; its padding holds zeros, or what an earlier image left there."""
        try:
            return self._spare.pop()
        except IndexError:  # none to spare; asked this way because another thread may take the last one meanwhile
            pass
        shape = (5 + self.volume, *self.points[:2], field_row(self.shape[2]))
        return tuple(aligned_zeros(shape) for _ in self.rows)

    def fields_bytes(self) -> int:
        """Return the memory of one image's fields."""
        fields = len(self.rows) * (5 + self.volume) * self.points[0] * self.points[1] * field_row(self.shape[2])
        return 4 * fields + self.points[0] * grid_memory(self.points)[0]

    def plan(
        self, tile: Any, block_rows: int, dtype: Any, arena: Arena
    ) -> Callable[[Source | GridImage], Iterator[tuple[int, Fill]]]:
        """Lay out the memory of a tile; return what makes an image's planes in it."""
        fine = None if self.fine is None else self.fine.plan(tile, block_rows, dtype, arena)
        vectors = -(-(tile.x1 - tile.x0) // (2 * LANES))
        points, rows = 4 * LANES * (vectors + 1), block_rows // 2 + 5
        line = arena.take(3 * points)
        mixed = arena.take(6 * rows * points) if self.volume else 0
        weights = np.concatenate([self.bank.spread, self.bank.spread])
        zi, yi = (_mirrors(n) for n in self.shape[:2])

        def planes(image: Source | GridImage) -> Iterator[tuple[int, Fill]]:
            if not isinstance(image, GridImage):
                raise TypeError("the image has no fields on the half grid: prepare it first")
            table = self._table(image)
            exact = fine(image.pixels) if fine else ((z, None) for z in range(tile.z0, tile.z1))
            for z, fill_fine in exact:

                def fill(
                    y: int, last: int, out: int, step: int, row_bytes: int, z: int = z, fine: Fill | None = fill_fine
                ) -> None:
                    if fine is not None:
                        fine(y, last, out, step, row_bytes)
                    spread_rows(
                        table, zi, yi, weights, self.volume, z, y, last, tile.x0, vectors, mixed, rows, line, out, step,
                        row_bytes,
                    )  # fmt: skip

                yield z, fill

        return planes

    def _table(self, image: GridImage) -> Int64:
        """Return the numbers of every sigma; see `half_loops.SCALE`."""
        table = np.full((len(self.rows), len(SCALE)), -1, np.int64)
        for line, fields, rows in zip(table, image.fields, self.rows.values(), strict=True):
            line[:4] = (fields.ctypes.data + 4 * LEAD, *fields.strides[:3])
            line[4:] = [rows.get(operator, -1) for operator in ("GS", "LoG", "DoG", "GGM")]
        return table

    def _spans(self) -> list[tuple[int, int]]:
        n = self.points[0 if self.volume else 1]
        return [(first, min(n, first + AT_ONCE)) for first in range(0, n, AT_ONCE)]

    def _halved(self, image: NDArray[Any], share: Share) -> Grid:
        """Return the image on the grid."""
        _, ny, nx = self.shape
        assert self.bank.halve.size == PAIRS
        indices = [border_index(n, PAIRS, "reflect") for n in self.shape]
        plane_bytes, row_bytes = grid_memory(self.points)
        memory = aligned_zeros((self.points[0], plane_bytes), np.uint8)
        grid = Grid(memory, memory.ctypes.data, plane_bytes, row_bytes)

        def work(left: Iterator[tuple[int, int]]) -> None:
            plane = aligned_zeros((ny * nx + LANES if self.volume else 0,))
            width = nx + 4 * LANES
            row, halves = aligned_zeros((width,)), aligned_zeros((2, width))
            table = np.zeros((3, 2 * PAIRS), np.int64)
            for first, last in left:
                halve(
                    image.ctypes.data, image.itemsize, self.shape, self.volume, self.bank.halve, *indices, grid[1:],
                    first, last, plane, row, halves, table,
                )  # fmt: skip

        share(self._spans(), work)
        return grid

    def _filter(
        self, grid: Grid, scale: SeparableScale, rows: dict[str, int], fields: Float32, first: int, last: int
    ) -> None:
        """Write the fields of one sigma at some points of the first axis."""
        radius, narrow = scale.smooth.size - 1, scale.narrow.size - 1
        reach = _reach(scale)
        index = [grid_index(n, r)[0] for r in (radius, narrow) for n in self.shape[:2]]
        mirrors = _mirrors(self.shape[2])
        signs = mirrors[1].astype(np.float32)
        plane_bytes, row_bytes = grid[2:]
        side = -(-reach // LANES) * LANES
        grid_fields(
            grid[1:], self.points, self.volume, "LoG" in rows or "GGM" in rows, "DoG" in rows,
            (scale.smooth, scale.first, scale.second, scale.narrow), tuple(index), int(mirrors[0, 2 + self.points[2]]),
            (mirrors[0], signs, np.ones_like(signs)), fields, first, last,
            aligned_zeros((4 if self.volume else 0, plane_bytes // 4)),
            aligned_zeros((6, row_bytes // 4 + 2 * side)), np.zeros((2, 2 * reach + 1), np.int64),
        )  # fmt: skip


def _reach(scale: SeparableScale) -> int:
    """Return the taps on each side of a point."""
    return max(scale.smooth.size, scale.narrow.size) - 1


def _mirrors(n: int) -> Int64:
    """Return which point stands at -2.. along an axis of `n` pixels, and below it -1 where it is a mirror image."""
    index, sign = grid_index(n, 2)
    return np.stack([index, sign.astype(np.int64)])
