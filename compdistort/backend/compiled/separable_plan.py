"""Memory and tables of the separable filters on one tile; `separable` runs on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import SeparableBank, SeparableScale
from compdistort.backend.compiled.arena import Arena
from compdistort.backend.compiled.emit import LANES, odd_lines, row_bytes
from compdistort.backend.compiled.separable_fields import FIELDS
from compdistort.backend.compiled.separable_rows import GROUP
from compdistort.backend.compiled.tensor_plan import tensor_fields, tensor_planes_fields
from compdistort.backend.compiled.tile_layout import Span, TileLayout, clip, vectors

_HESSIAN, _TENSOR = ("he1", "he2", "he3"), ("st1", "st2", "st3")
_SLOTS = {"GS": "gs", "LoG": "log", "GGM": "ggm", "DoG": "dog"} | {slot.upper(): slot for slot in _HESSIAN + _TENSOR}


@dataclass(frozen=True, slots=True)
class WantedScale:
    """One scale with the rows of a block that its operators write; -1 = not wanted."""

    scale: SeparableScale
    rows: dict[str, int]

    @property
    def reach(self) -> int:
        """Pixels that the filters need on each side."""
        narrow = self.scale.narrow.size - 1 if self.rows["dog"] >= 0 else 0
        inner = self.scale.inner_smooth if self.tensor else None
        return max(self.scale.smooth.size - 1 + (0 if inner is None else inner.size - 1), narrow)

    @property
    def hessian(self) -> bool:
        """Whether an eigenvalue of the Hessian is wanted."""
        return any(self.rows[slot] >= 0 for slot in _HESSIAN)

    @property
    def tensor(self) -> bool:
        """Whether an eigenvalue of the structure tensor is wanted."""
        return any(self.rows[slot] >= 0 for slot in _TENSOR)

    @property
    def slope(self) -> bool:
        """Whether the first derivative is needed, beside the structure tensor's own."""
        return self.hessian or self.rows["ggm"] >= 0

    @property
    def curve(self) -> bool:
        """Whether the second derivative is needed."""
        return self.hessian or self.rows["log"] >= 0

    @property
    def filters(self) -> bool:
        """Whether anything but the structure tensor is wanted."""
        return self.slope or self.curve or self.rows["gs"] >= 0 or self.rows["dog"] >= 0

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


def plane_window(scales: Sequence[WantedScale]) -> tuple[int, int]:
    """Return how far from plane z the planes lie that are loaded for it, first and last; borders aside."""
    behind = min(s.reach - s.before if s.scale.presmooth is not None else -s.reach for s in scales)
    ahead = max(s.reach + s.before + (GROUP - 1 if s.scale.presmooth is not None else 0) for s in scales)
    return behind, ahead


class SeparablePlan(TileLayout):
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
        super().__init__(border, shape, box, arena, volume=volume)
        self.scales = scales
        self.dtype = np.dtype(dtype)
        reach = max(s.reach + s.before for s in scales)
        self.rows, self.columns = (clip(box[i], reach, shape[i]) for i in (1, 2))
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
            self.behind, self.ahead = plane_window(self.scales)
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
        if any(s.hessian or s.tensor for s in self.scales):
            entries = row_bytes(width)
            fields |= {"padded": take(6 * filtered), "padded_step": filtered}
            fields |= {"entries": take(6 * entries), "entries_step": entries, "eigenvalues": 1}
        if any(s.scale.presmooth is not None for s in self.scales):
            fields |= {"pre_row0": take(smoothed), "pre_row1": take(smoothed)}
        return fields

    def _scale(self, scale: WantedScale) -> dict[str, int]:
        kernels = scale.scale
        put = self.arena.put
        fields = scale.rows | {
            "presmooth": int(kernels.presmooth is not None),
            "filters": int(scale.filters),
            "slope": int(scale.slope),
            "curve": int(scale.curve),
            "hessian": int(scale.hessian),
            "tensor": int(scale.tensor),
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
        by0, by1 = clip((y0, y1), scale.reach, self.shape[1])
        first, last = (z0, z1 - 1)
        if kernels.presmooth is not None:
            first, last = max(0, z0 - scale.reach), min(self.shape[0], z1 + scale.reach) - 1
        fields |= {"by0": by0, "by1": by1, "z0": z0, "last": last, "ready": first, "ready_row": by0}
        fields |= (self._plain if kernels.presmooth is None else self._presmoothed)(scale, by0, by1)
        return fields | self._tensor(kernels, fields) if scale.tensor else fields

    def _tensor(self, kernels: SeparableScale, fields: dict[str, int]) -> dict[str, int]:
        """Lay out the structure tensor, which reads the rows that the other filters read."""
        own = tensor_fields(self, kernels)
        if not self.volume:
            return own
        width = LANES * fields["y_vectors"]
        own |= tensor_planes_fields(self, kernels, width, own["row0"], own["row1"])
        if kernels.presmooth is None:
            return own | {"t_in": fields["t_src"], "in_off": fields["src_off"], "in_stride": fields["src_stride"]}
        return own | {"t_in": fields["t_bz"], "in_off": 0, "in_stride": fields["base_stride"]}

    def _plain(self, scale: WantedScale, by0: int, by1: int) -> dict[str, int]:
        """Lay out filters that read the image itself."""
        columns = clip(self.box[2], scale.reach, self.shape[2])
        fields = self.copies(columns, scale.reach, "pairs", "count", "lead") | {"y_vectors": vectors(columns)}
        fields |= self._source_rows(columns, by0)
        if not self.volume:
            first = self.source + fields["src_off"]
            table = self.addresses(1, scale.reach, lambda y: first + (y - by0) * fields["src_stride"])
            return fields | dict.fromkeys(("t_g", "t_d", "t_c", "t_n"), table)
        return fields | self._z_table(scale.reach) | self._passed_rows(scale, by0, by1 - by0, columns)

    def _presmoothed(self, scale: WantedScale, by0: int, by1: int) -> dict[str, int]:
        """Lay out filters that read pre-smoothed rows, which hold `reach` more columns on each side."""
        assert scale.scale.presmooth is not None
        q, rp, (x0, x1) = scale.reach, scale.before, self.box[2]
        stride = row_bytes(x1 - x0 + 2 * q)
        columns = clip(self.box[2], q + rp, self.shape[2])
        row0, row1 = clip((by0, by1), rp, self.shape[1])
        fields = self.copies(columns, q + rp, "pre_pairs", "pre_count", "pre_lead")
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
            table = self.addresses(1, q, lambda y: base + ((y - by0) % ring) * stride)
            first = self.source + (row0 - self.rows[0]) * fields["src_stride"]
            source = self.addresses(1, q + rp, lambda y: first + (y - row0) * fields["src_stride"], 1)
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
            "temp_stride": temp_stride, "t_bz": self.addresses(0, q, lambda z: base + (z % planes) * step),
            "t_temp": self.addresses(1, q + scale.before, lambda y: temp + (y - row0) * temp_stride, 1),
        }  # fmt: skip
        span = (0, self.box[2][1] - self.box[2][0] + 2 * q)
        return fields | self._passed_rows(scale, by0, min(2 * q + 1, by1 - by0), span)

    def _passed_rows(self, scale: WantedScale, by0: int, ring: int, columns: Span) -> dict[str, int]:
        """Rows after the z passes: the Gaussian, and where wanted both derivatives and the narrow Gaussian."""
        stride = row_bytes(columns[1] - columns[0])
        fields = {"ring_rows": ring, "ring_stride": stride}
        needed = {"g": scale.filters, "d": scale.slope, "c": scale.curve, "n": scale.rows["dog"] >= 0}
        for name, need in needed.items():
            if need:
                start = self.arena.take(ring * stride)
                fields[name] = start
                fields[f"t_{name}"] = self.addresses(
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
            "src_vectors": vectors(columns),
        }

    def _z_table(self, reach: int, more: int = 0) -> dict[str, int]:
        planes, step = self.source_planes, self.source_step
        return {"t_src": self.addresses(0, reach, lambda z: self.source + (z % planes) * step, more)}
