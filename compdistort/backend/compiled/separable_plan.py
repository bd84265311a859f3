"""Memory and tables of the separable filters on one tile; `separable` runs on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import SeparableBank, SeparableScale
from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.emit import LANES, odd_lines, row_bytes
from compdistort.backend.compiled.separable import FIELDS, GROUP
from compdistort.backend.plain.convolve import border_index

Int64 = NDArray[np.int64]
Span = tuple[int, int]

_SLOTS = {"GS": "gs", "LoG": "log", "GGM": "ggm", "DoG": "dog"}


@dataclass(frozen=True, slots=True)
class WantedScale:
    """One scale with the rows of a block that its operators write; -1 = not wanted."""

    scale: SeparableScale
    rows: dict[str, int]

    @property
    def reach(self) -> int:
        """Pixels that the filters need on each side."""
        narrow = self.scale.narrow.size - 1 if self.rows["dog"] >= 0 else 0
        return max(self.scale.smooth.size - 1, narrow)

    @property
    def before(self) -> int:
        """Pixels that the pre-smoothing needs on each side of what it makes."""
        return 0 if self.scale.presmooth is None else self.scale.presmooth.size - 1


def wanted_scales(bank: SeparableBank, wanted: Sequence[int | None]) -> tuple[WantedScale, ...]:
    """Return the scales that any wanted feature needs, with the rows of a block that they fill; None fills no row."""
    found: dict[int, dict[str, int]] = {}
    for row, feature in enumerate(wanted):
        if feature is None:
            continue
        operator, at = bank.columns[feature]
        rows = found.setdefault(at, dict.fromkeys(_SLOTS.values(), -1))
        if rows[_SLOTS[operator]] >= 0:
            raise ValueError(f"column {operator} of scale {at} is wanted twice")
        rows[_SLOTS[operator]] = row
    return tuple(WantedScale(bank.scales[at], rows) for at, rows in sorted(found.items()))


class SeparablePlan:
    """The memory of one running tile.

    Parameters
    ----------
    scales : tuple of WantedScale
        What is computed.
    border : str
        Border of the bank.
    shape : (planes, rows, columns)
        Shape of the image.
    box : three pairs of int
        Planes, rows and columns of the tile.
    volume : bool
        Whether filters run along z.
    dtype : dtype
        Type of the stored pixels: the image's own, or float32 where a scale is not pre-smoothed.
    arena : Arena
        Where the memory comes from.
    """

    def __init__(
        self,
        scales: tuple[WantedScale, ...],
        border: str,
        shape: tuple[int, int, int],
        box: tuple[Span, Span, Span],
        dtype: Any,
        arena: Arena,
        *,
        volume: bool,
    ) -> None:
        self.scales, self.border, self.shape, self.box, self.volume, self.arena = (
            scales, border, shape, box, volume, arena,
        )  # fmt: skip
        self.dtype = np.dtype(dtype)
        reach = max(s.reach + s.before for s in scales)
        self.rows, self.columns = (_clip(box[i], reach, shape[i]) for i in (1, 2))
        self._plan_source()
        self.table = np.zeros((len(scales), len(FIELDS)), np.int64)
        common = self._common()
        for row, scale in zip(self.table, scales, strict=True):
            fields = common | self._scale(scale)
            row[:] = [fields.get(name, 0) for name in FIELDS]

    def _plan_source(self) -> None:
        """Lay out the ring of image planes (2D: the one plane) that first passes read."""
        self.behind = self.ahead = 0
        planes = 1
        if self.volume:
            self.behind = min(s.reach - s.before if s.scale.presmooth is not None else -s.reach for s in self.scales)
            self.ahead = max(
                s.reach + s.before + (GROUP - 1 if s.scale.presmooth is not None else 0) for s in self.scales
            )
            planes = min(self.ahead - self.behind + 1, self.shape[0])
        (y0, y1), (x0, x1) = self.rows, self.columns
        self.source_planes = planes
        self.source_stride = row_bytes(x1 - x0, self.dtype.itemsize)
        self.source_step = odd_lines((y1 - y0) * self.source_stride)
        self.source = self.arena.take(planes * self.source_step)

    def plane(self, z: int) -> NDArray[Any]:
        """Return the memory of image plane z, with the tile's rows and columns."""
        start = self.source + (z % self.source_planes) * self.source_step
        shape = (self.rows[1] - self.rows[0], self.source_stride // self.dtype.itemsize)
        return self.arena.view(start, shape, self.dtype)[:, : self.columns[1] - self.columns[0]]

    def _common(self) -> dict[str, int]:
        """Lay out the padded rows, which all scales use."""
        width = self.box[2][1] - self.box[2][0]
        take = self.arena.take
        filtered = row_bytes(width + 2 * max(s.reach for s in self.scales))
        smoothed = row_bytes(width + 2 * max(s.reach + s.before for s in self.scales))
        fields = {f"pad{k}": take(filtered) for k in range(5)}
        fields |= {"spare": take(filtered)}
        if any(s.scale.presmooth is not None for s in self.scales):
            fields |= {"pre_row0": take(smoothed), "pre_row1": take(smoothed)}
        return fields

    def _scale(self, scale: WantedScale) -> dict[str, int]:
        kernels = scale.scale
        put = self.arena.put
        fields = scale.rows | {
            "presmooth": int(kernels.presmooth is not None),
            "r": kernels.smooth.size - 1,
            "rn": kernels.narrow.size - 1,
            "rp": scale.before,
            "q": scale.reach,
            "wg": put(kernels.smooth),
            "wd": put(kernels.first),
            "wc": put(kernels.second),
            "wn": put(kernels.narrow),
        }
        (z0, z1), (y0, y1), _ = self.box
        by0, by1 = _clip((y0, y1), scale.reach, self.shape[1])
        first, last = (z0, z1 - 1)
        if kernels.presmooth is not None:
            first, last = max(0, z0 - scale.reach), min(self.shape[0], z1 + scale.reach) - 1
        fields |= {"by0": by0, "by1": by1, "first": first, "last": last, "ready": first, "ready_row": by0}
        if kernels.presmooth is None:
            return fields | self._plain(scale, by0, by1)
        return fields | self._presmoothed(scale, by0, by1)

    def _plain(self, scale: WantedScale, by0: int, by1: int) -> dict[str, int]:
        """Lay out filters that read the image itself."""
        columns = _clip(self.box[2], scale.reach, self.shape[2])
        fields = self._border(columns, scale.reach, "pairs", "count", "lead") | {"y_vectors": _vectors(columns)}
        fields |= self._source_rows(columns, by0)
        if not self.volume:
            first = self.source + fields["src_off"]
            table = self._table(1, scale.reach, lambda y: first + (y - by0) * fields["src_stride"])
            return fields | dict.fromkeys(("t_g", "t_d", "t_c", "t_n"), table)
        return fields | self._z_table(scale.reach) | self._passed_rows(scale, by0, by1 - by0, columns)

    def _presmoothed(self, scale: WantedScale, by0: int, by1: int) -> dict[str, int]:
        """Lay out filters that read pre-smoothed rows, which hold `reach` more columns on each side."""
        assert scale.scale.presmooth is not None
        q, rp, (x0, x1) = scale.reach, scale.before, self.box[2]
        stride = row_bytes(x1 - x0 + 2 * q)
        columns = _clip(self.box[2], q + rp, self.shape[2])
        row0, row1 = _clip((by0, by1), rp, self.shape[1])
        fields = self._border(columns, q + rp, "pre_pairs", "pre_count", "pre_lead")
        fields |= self._source_rows(columns, row0)
        fields |= {
            "wp": self.arena.put(scale.scale.presmooth),
            "src_row1": row1,
            "base_stride": stride,
            "base_vectors": -(-(x1 - x0 + 2 * q) // LANES),
            "y_vectors": -(-(x1 - x0 + 2 * q) // LANES),
        }
        ring = min(2 * q + 2, by1 - by0)
        if not self.volume:
            base = self.arena.take(ring * stride)
            table = self._table(1, q, lambda y: base + ((y - by0) % ring) * stride)
            first = self.source + (row0 - self.rows[0]) * fields["src_stride"]
            source = self._table(1, q + rp, lambda y: first + (y - row0) * fields["src_stride"], 1)
            return fields | dict.fromkeys(("t_g", "t_d", "t_c", "t_n"), table) | {
                "base": base, "ring_rows": ring, "t_src": source, "src_off": fields["x_off"],
            }  # fmt: skip
        return fields | self._z_table(q + rp, 1) | self._smoothed_planes(scale, columns, stride, by0, by1, row0, row1)

    def _smoothed_planes(
        self, scale: WantedScale, columns: Span, stride: int, by0: int, by1: int, row0: int, row1: int
    ) -> dict[str, int]:
        """Lay out the ring of pre-smoothed planes, a group of planes after their z pass, and rings of filtered rows."""
        q, take = scale.reach, self.arena.take
        planes, step = min(2 * q + GROUP, self.shape[0]), odd_lines(stride * (by1 - by0))
        base = take(planes * step)
        temp_stride = row_bytes(columns[1] - columns[0])
        temp_step = odd_lines((row1 - row0) * temp_stride)
        temp = take(GROUP * temp_step)
        fields = {
            "base": base, "base_step": step, "base_planes": planes, "temp": temp, "temp_step": temp_step,
            "temp_stride": temp_stride, "t_bz": self._table(0, q, lambda z: base + (z % planes) * step),
            "t_temp": self._table(1, q + scale.before, lambda y: temp + (y - row0) * temp_stride, 1),
        }  # fmt: skip
        span = (0, self.box[2][1] - self.box[2][0] + 2 * q)
        return fields | self._passed_rows(scale, by0, min(2 * q + 1, by1 - by0), span)

    def _passed_rows(self, scale: WantedScale, by0: int, ring: int, columns: Span) -> dict[str, int]:
        """Rows after the z passes: the Gaussian, and where wanted both derivatives and the narrow Gaussian."""
        stride = row_bytes(columns[1] - columns[0])
        fields = {"ring_rows": ring, "ring_stride": stride}
        needed = {"g": True, "d": scale.rows["ggm"] >= 0, "c": scale.rows["log"] >= 0, "n": scale.rows["dog"] >= 0}
        for name, need in needed.items():
            if need:
                start = self.arena.take(ring * stride)
                fields[name] = start
                fields[f"t_{name}"] = self._table(
                    1, scale.reach, lambda y, start=start: start + ((y - by0) % ring) * stride
                )
        return fields

    def _source_rows(self, columns: Span, row0: int) -> dict[str, int]:
        unit = self.dtype.itemsize
        stride = self.source_stride
        x_off = (columns[0] - self.columns[0]) * unit
        return {
            "unit": unit,
            "src_stride": stride,
            "x_off": x_off,
            "src_off": (row0 - self.rows[0]) * stride + x_off,
            "src_row0": row0,
            "src_vectors": _vectors(columns),
        }

    def _z_table(self, reach: int, more: int = 0) -> dict[str, int]:
        planes, step = self.source_planes, self.source_step
        return {"t_src": self._table(0, reach, lambda z: self.source + (z % planes) * step, more)}

    def _table(self, axis: int, reach: int, place: Any, more: int = 0) -> int:
        """Write the addresses of the planes or rows at the tile's positions and `reach` beyond; see `separable`."""
        first, last = self.box[axis][0] - reach, self.box[axis][1] + reach + more
        at = _fold(np.arange(first, last), self.shape[axis], self.border)
        return self.arena.put(np.asarray(place(at), np.int64)) - 8 * first

    def _border(self, columns: Span, reach: int, pairs: str, count: str, lead: str) -> dict[str, int]:
        """List the copies that fill a row of the tile's columns and `reach` beyond from its columns in the image."""
        first, last = self.box[2][0] - reach, self.box[2][1] + reach
        position = np.arange(first, last)
        outside = position[(position < columns[0]) | (position >= columns[1])]
        source = _fold(outside, self.shape[2], self.border)
        copies = 4 * (np.stack([outside, source], axis=1) - first)
        return {pairs: self.arena.put(copies.astype(np.int64)), count: len(copies), lead: columns[0] - first}


def _clip(span: Span, reach: int, n: int) -> Span:
    return max(0, span[0] - reach), min(n, span[1] + reach)


def _vectors(columns: Span) -> int:
    return -(-(columns[1] - columns[0]) // LANES)


def _fold(position: Int64, n: int, border: str) -> Int64:
    """Return which pixel stands at each position (see `border_index`)."""
    reach = int(max(0, -position.min(initial=0), position.max(initial=0) - n + 1))
    return border_index(n, reach, border)[position + reach]
