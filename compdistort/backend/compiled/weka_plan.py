"""Memory and tables of the Weka 2D planes on one tile; `weka_loops` runs on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32, WekaBank, WekaScale
from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.emit import LANES, row_bytes
from compdistort.backend.compiled.source import Source
from compdistort.backend.compiled.weka_loops import FIELDS, GRADIENT_ROWS
from compdistort.backend.compiled.weka_rows import WEKA_LANES

Int64 = NDArray[np.int64]
Span = tuple[int, int]

DERIVATIVES = FIELDS[FIELDS.index("sobel") :]
"""The nine planes of one blur, in the bank's order."""


@dataclass(slots=True)
class WantedBlur:
    """One blur (None: the image itself) and the rows of a block that its planes fill."""

    scale: WekaScale | None
    planes: dict[str, int] = field(default_factory=dict)
    blur_out: int = -1
    dogs: list[Span] = field(default_factory=list)
    used: bool = False

    @property
    def level(self) -> int:
        """Pixels that the wanted derivatives need on each side: 2 Hessian, 1 Sobel, 0 neither."""
        return 2 if set(self.planes) - {"sobel"} else len(self.planes)

    @property
    def radius(self) -> int:
        """Taps of the half kernel."""
        return 0 if self.scale is None else self.scale.kernel.size


def wanted_blurs(bank: WekaBank, wanted: Sequence[int]) -> tuple[WantedBlur, ...]:
    """Return the blurs that any wanted plane needs, finest first."""
    blurs = [WantedBlur(None), *(WantedBlur(scale) for scale in bank.scales)]
    origin: list[tuple[int, str | int]] = [(0, "blur")]
    if bank.with_sigma_zero:
        origin += [(0, name) for name in DERIVATIVES]
    for index in range(1, len(blurs)):
        origin += [(index, name) for name in ("blur", *DERIVATIVES)]
        origin += [(index, finer) for finer in range(1, index)]
    for row, plane in enumerate(wanted):
        at, what = origin[plane]
        blurs[at].used = True
        if isinstance(what, int):
            blurs[at].dogs.append((what, row))
            blurs[what].used = True
        elif what == "blur":
            blurs[at].blur_out = row
        else:
            blurs[at].planes[what] = row
    place = {at: k for k, at in enumerate(at for at, blur in enumerate(blurs) if blur.used)}
    for blur in blurs:
        blur.dogs = [(place[finer], row) for finer, row in blur.dogs]
    return tuple(blur for blur in blurs if blur.used)


class WekaPlan:
    """The memory of one running tile.

    Parameters
    ----------
    blurs : tuple of WantedBlur
        What is computed.
    shape : (rows, columns)
        Shape of the image.
    box : two pairs of int
        Rows and columns of the tile.
    block_rows : int
        Rows of a block.
    arena : Arena
        Where the memory comes from.
    """

    def __init__(
        self,
        blurs: tuple[WantedBlur, ...],
        shape: tuple[int, int],
        box: tuple[Span, Span],
        block_rows: int,
        arena: Arena,
    ) -> None:
        self.blurs, self.shape, self.box, self.block_rows, self.arena = blurs, shape, box, block_rows, arena
        self.reach = max(blur.radius for blur in blurs)
        self.columns = _clip(box[1], 2, shape[1])
        self.rows = (
            min(max(0, box[0][0] - b.level - b.radius) for b in blurs),
            max(min(shape[0], box[0][1] + b.level + b.radius) for b in blurs),
        )
        self.stride = row_bytes(self.columns[1] - self.columns[0] + 2 * self.reach + LANES)
        self.source = arena.take((self.rows[1] - self.rows[0]) * self.stride)
        self.table = np.zeros((len(blurs), len(FIELDS)), np.int64)
        self.dogs = np.array([dog for blur in blurs for dog in blur.dogs], np.int64).reshape(-1, 2)
        common = self._common()
        done = 0
        for row, blur in zip(self.table, blurs, strict=True):
            fields = dict.fromkeys(DERIVATIVES, -1) | common | self._blur(blur) | blur.planes
            fields |= {"dogs": done, "dog_count": len(blur.dogs)}
            row[:] = [fields[name] for name in FIELDS]
            done += len(blur.dogs)

    def load(self, image: Source) -> None:
        """Copy the tile's pixels, with zeros beyond the image's columns."""
        (y0, y1), (x0, x1) = self.rows, self.columns
        first, last = max(0, x0 - self.reach), min(self.shape[1], x1 + self.reach)
        rows: Float32 = self.arena.view(self.source, (y1 - y0, self.stride // 4), np.float32)
        lead = self.reach - (x0 - first)
        rows[:, lead : lead + last - first] = image.read(0, (y0, y1), (first, last))

    def _common(self) -> dict[str, int]:
        (x0, x1), (bx0, bx1) = self.box[1], self.columns
        width = x1 - x0
        take = self.arena.take
        fields = {name: take(row_bytes(width)) for name in ("a", "c", "d", "spare")}
        return fields | self._edges("edges", "edge_count", 2) | self._edges("gradient_pairs", "gradient_count", 1) | {
            "rows": self.shape[0], "columns": self.shape[1], "x0": x0, "bx0": bx0, "bx1": bx1,
            "source": self.source + 4 * self.reach, "source_stride": self.stride, "sy0": self.rows[0],
            "lead": bx0 - (x0 - 2), "wide_vectors": -(-(bx1 - bx0) // WEKA_LANES),
            "vectors": -(-width // WEKA_LANES), "gradient_vectors": -(-(width + 2) // WEKA_LANES),
            "gradient_stride": row_bytes(width + 2),
        }  # fmt: skip

    def _blur(self, blur: WantedBlur) -> dict[str, int]:
        by0, by1 = _clip(self.box[0], blur.level, self.shape[0])
        take = self.arena.take
        stride = row_bytes(self.box[1][1] - self.box[1][0] + 4)
        ring = min(self.block_rows + 5, by1 - by0)
        gradient = max(0, self.box[0][0] - 1) if blur.level == 2 else self.box[0][0]
        fields = {
            "level": blur.level, "is_image": int(blur.scale is None), "r": blur.radius, "blur": take(ring * stride),
            "blur_rows": ring, "blur_stride": stride, "by0": by0, "by1": by1, "ready_blur": by0,
            "ready_gradient": gradient, "blur_out": blur.blur_out,
        }  # fmt: skip
        rings = GRADIENT_ROWS * row_bytes(self.box[1][1] - self.box[1][0] + 2)
        fields |= {name: take(rings) if blur.level else 0 for name in ("gy", "gx")}
        names = ("wg", "wt", "half", "half_rows", "half_stride", "half_end", "t_half", "ready_half")
        if blur.scale is None:
            return fields | dict.fromkeys(names, 0)
        hy0, hy1 = _clip((by0, by1), blur.radius - 1, self.shape[0])
        rows = min(2 * blur.radius, hy1 - hy0)
        half, none = take(rows * stride), take(stride)
        position = np.arange(by0 - blur.radius, by1 + blur.radius)
        inside = (position >= 0) & (position < self.shape[0])
        lead = 4 * (self.columns[0] - (self.box[1][0] - 2))
        address = np.where(inside, half + (position % rows) * stride + lead, none)
        table = self.arena.put(address.astype(np.int64)) - 8 * (by0 - blur.radius)
        kernels = {"wg": self.arena.put(blur.scale.kernel), "wt": self.arena.put(blur.scale.tail)}
        return fields | kernels | {
            "half": half, "half_rows": rows, "half_stride": stride, "half_end": hy1, "t_half": table,
            "ready_half": hy0,
        }  # fmt: skip

    def _edges(self, pairs: str, count: str, reach: int) -> dict[str, int]:
        """List the copies that give a row, which begins `reach` pixels left of the tile, its repeated edge pixels."""
        first, last = self.box[1][0] - reach, self.box[1][1] + reach
        position = np.arange(first, last)
        outside = position[(position < 0) | (position >= self.shape[1])]
        nearest = np.clip(outside, 0, self.shape[1] - 1)
        copies = 4 * (np.stack([outside, nearest], axis=1) - first)
        return {pairs: self.arena.put(copies.astype(np.int64)), count: len(copies)}


def _clip(span: Span, reach: int, n: int) -> Span:
    return max(0, span[0] - reach), min(n, span[1] + reach)
