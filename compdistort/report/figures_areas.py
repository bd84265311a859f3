"""The figures of object areas, in the manner of the paper's Fig. 2b and 2c, and how codecs share figures."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compdistort.backend.base import PARAMETERS, Float64
from compdistort.report.formatting import fixed, ratio, short
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.report.style import BLUE, LINE, MUTED, figure_style, new_figure, plot
from compdistort.score.results import DeltaArea

PER_FIGURE = 4
"""Most codecs side by side in one figure."""
_RASTER_FROM = 1000
_AREA = PARAMETERS.index("Area")


def groups(n: int) -> list[range]:
    """Return the codecs of each figure: as few figures as possible, as equal as possible.

    Examples
    --------
    >>> groups(4), groups(5)
    ([range(0, 4)], [range(0, 3), range(3, 5)])
    """
    if n == 0:
        return []
    size = math.ceil(n / math.ceil(n / PER_FIGURE))
    return [range(start, min(start + size, n)) for start in range(0, n, size)]


def plain_ticks(value: float, _position: Any = None) -> str:
    """Return a tick label without powers of ten."""
    return f"{value:g}".replace("-", "−")


def name_length(n_columns: int) -> int:
    """Return how many letters of a codec's name fit above one of the columns."""
    return 24 if n_columns <= 3 else 17


def area_figures(report: ReportInput) -> list[Markup]:
    """Return area in the raw image against area after each codec, above the histogram of their difference."""
    limit = _delta_limit([one.delta_area for one in report.scores.codecs], report.delta_replicate[0])
    return [_area_figure(report, chosen, limit, f"areas-{chosen.start}") for chosen in groups(len(report.codecs))]


def _area_figure(report: ReportInput, chosen: range, limit: float, name: str) -> Markup:
    n = len(chosen)
    with figure_style(name):
        figure, axes = new_figure(min(10, 3.6 * n), 6.2 if n <= 3 else 5.4, 2, n)
        for column, index in enumerate(chosen):
            codec, scores = report.codecs[index], report.scores.codecs[index]
            axes[column].set_title(f"{short(codec.codec, name_length(n))}\n{ratio(codec.ratio)}")
            _scatter(axes[column], report.raw_values[:, _AREA], codec, _area_limits(report))
            _delta_histogram(axes[n + column], scores.delta_area, limit, report.delta_replicate[0])
        axes[0].set_ylabel("A compressed (px²)")
        axes[n].set_ylabel("objects")
        names = ", ".join(report.codecs[index].codec for index in chosen)
        spreads = "; ".join(
            f"{one.codec}: mean difference {fixed(one.delta_area.mean.value)}, standard deviation "
            f"{fixed(one.delta_area.spread.value)} square pixels"
            for one in (report.scores.codecs[i] for i in chosen)
        )
        alt = f"Areas of matched objects before and after {names}, and histograms of the difference. {spreads}"
        return plot(figure, name, alt)


def _scatter(axes: Axes, raw: Float64, codec: CodecImage, limits: tuple[float, float]) -> None:
    other = codec.values[:, _AREA]
    known = np.isfinite(other)
    x, y = raw[known], other[known]
    if x.size == 0:
        axes.text(0.5, 0.5, "no matched object", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set(xticks=[], yticks=[])
        return
    axes.plot(limits, limits, color=MUTED, linewidth=1, zorder=1)
    axes.plot(
        x, y, "o", color=BLUE, markersize=4, alpha=0.6, markeredgewidth=0, rasterized=x.size > _RASTER_FROM, zorder=2
    )
    if _is_wide(limits):
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(plain_ticks))
            axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set(xlim=limits, ylim=limits, xlabel="A raw (px²)")
    axes.set_aspect("equal", adjustable="box")


def _area_limits(report: ReportInput) -> tuple[float, float]:
    """Return one range for the areas of all codecs."""
    areas = np.concatenate([report.raw_values[:, _AREA], *(codec.values[:, _AREA] for codec in report.codecs)])
    known = areas[np.isfinite(areas)]
    low, high = float(known.min()), float(known.max())
    if _is_wide((low, high)):
        return low / 1.3, high * 1.3
    pad = (high - low) * 0.05 + 0.5
    return max(low - pad, 0.0), high + pad


def _is_wide(limits: tuple[float, float]) -> bool:
    """Return whether areas differ so much that only a logarithmic axis shows them all."""
    return limits[0] > 0 and limits[1] > 30 * limits[0]


def _delta_limit(deltas: Sequence[DeltaArea], replicate_spread: float) -> float:
    """Return the half width of an axis that holds 99 % of every codec's differences, and the spread of noise alone."""
    tops = [3.0, 1.3 * replicate_spread if math.isfinite(replicate_spread) else 0.0]
    for delta in deltas:
        counts, edges = np.asarray(delta.counts, float), np.asarray(delta.edges, float)
        if counts.sum() > 0:
            reach = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
            order = np.argsort(reach, kind="stable")
            share = np.cumsum(counts[order]) / counts.sum()
            tops.append(float(reach[order][np.searchsorted(share, 0.99)]))
    return max(tops) * 1.05


def _delta_histogram(axes: Axes, delta: DeltaArea, limit: float, replicate_spread: float) -> None:
    counts, edges = np.asarray(delta.counts, float), np.asarray(delta.edges, float)
    axes.set(xlabel="ΔA (px²)", xlim=(-limit, limit))
    if counts.sum() == 0:
        axes.text(0.5, 0.5, "no matched object", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set(xticks=[], yticks=[])
        return
    if math.isfinite(replicate_spread):
        axes.axvspan(-replicate_spread, replicate_spread, color=LINE, alpha=0.6, linewidth=0, zorder=0)
    axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.8, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylim(0, counts.max() * 1.08)
    outside = int(counts[(edges[1:] < -limit) | (edges[:-1] > limit)].sum())
    words = f"mean {fixed(delta.mean.value)}, s.d. {fixed(delta.spread.value)} px²"
    axes.set_title(words + (f", {outside} outside" if outside else ""), fontsize=8.5, fontweight="normal")
