"""The figures of object sizes (areas or volumes), in the manner of the paper's Fig. 2b and 2c; groups of codecs."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compdistort.backend.base import Float64
from compdistort.report.formatting import ratio, short
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.report.style import BLUE, LINE, MUTED, figure_style, new_figure, plot
from compdistort.report.words import delta_words, size_symbol, size_unit
from compdistort.score.results import DeltaSize

PER_FIGURE = 4
"""Most codecs side by side in one figure."""
_RASTER_FROM = 1000
_HISTOGRAM_FROM = 5000
"""Objects from which on points would hide each other: their density is drawn instead."""


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
    """Return size in the raw image against size after each codec, above the histogram of their difference."""
    deltas = [one.delta_size for one in report.scores.codecs]
    limit = _delta_limit(deltas, report.delta_replicate[0], _step(report))
    return [_area_figure(report, chosen, limit, f"areas-{chosen.start}") for chosen in groups(len(report.codecs))]


def _area_figure(report: ReportInput, chosen: range, limit: float, name: str) -> Markup:
    n = len(chosen)
    with figure_style(name):
        figure, axes = new_figure(min(10, 3.6 * n), 6.2 if n <= 3 else 5.4, 2, n)
        for column, index in enumerate(chosen):
            codec, scores = report.codecs[index], report.scores.codecs[index]
            axes[column].set_title(f"{short(codec.codec, name_length(n))}\n{ratio(codec.ratio)}")
            _scatter(axes[column], report, codec, _size_limits(report))
            _delta_histogram(axes[n + column], report, scores.delta_size, limit)
        axes[0].set_ylabel(f"{size_symbol(report.measurands)} compressed ({size_unit(report.measurands)})")
        axes[n].set_ylabel("objects")
        names = ", ".join(report.codecs[index].codec for index in chosen)
        spreads = "; ".join(
            f"{one.codec}: mean difference {delta_words(report.measurands, one.delta_size.mean.value)}, standard "
            f"deviation {delta_words(report.measurands, one.delta_size.spread.value)} {size_unit(report.measurands)}"
            for one in (report.scores.codecs[i] for i in chosen)
        )
        sizes = f"{report.measurands.size}s of matched objects before and after {names}"
        alt = f"{sizes}, and histograms of the difference. {spreads}"
        return plot(figure, name, alt)


def _scatter(axes: Axes, report: ReportInput, codec: CodecImage, limits: tuple[float, float]) -> None:
    raw, other = _sizes(report, report.raw_values), _sizes(report, codec.values)
    known = np.isfinite(other)
    x, y = raw[known], other[known]
    if x.size == 0:
        axes.text(0.5, 0.5, "no matched object", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set(xticks=[], yticks=[])
        return
    axes.plot(limits, limits, color=MUTED, linewidth=1, zorder=1)
    if x.size > _HISTOGRAM_FROM:
        scale: Literal["linear", "log"] = "log" if _is_wide(limits) else "linear"
        axes.hexbin(
            x, y, gridsize=70, bins="log", mincnt=1, xscale=scale, yscale=scale, cmap="viridis_r", linewidths=0,
            rasterized=True, zorder=2,
        )  # fmt: skip
    else:
        many = x.size > _RASTER_FROM
        axes.plot(x, y, "o", color=BLUE, markersize=4, alpha=0.6, markeredgewidth=0, rasterized=many, zorder=2)
    if _is_wide(limits):
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(plain_ticks))
            axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set(xlim=limits, ylim=limits, xlabel=f"{size_symbol(report.measurands)} raw ({size_unit(report.measurands)})")
    axes.set_aspect("equal", adjustable="box")


def _step(report: ReportInput) -> float:
    """Return the size of a pixel or voxel."""
    return report.measurands.parameter(report.measurands.size).step


def _sizes(report: ReportInput, values: Float64) -> Float64:
    return values[:, report.measurands.index(report.measurands.size)]


def _size_limits(report: ReportInput) -> tuple[float, float]:
    """Return one range for the sizes of all codecs."""
    tables = (report.raw_values, *(codec.values for codec in report.codecs))
    sizes = np.concatenate([_sizes(report, values) for values in tables])
    known = sizes[np.isfinite(sizes)]
    low, high = float(known.min()), float(known.max())
    if _is_wide((low, high)):
        return low / 1.3, high * 1.3
    pad = (high - low) * 0.05 + 0.5 * _step(report)
    return max(low - pad, 0.0), high + pad


def _is_wide(limits: tuple[float, float]) -> bool:
    """Return whether sizes differ so much that only a logarithmic axis shows them all."""
    return limits[0] > 0 and limits[1] > 30 * limits[0]


def _delta_limit(deltas: Sequence[DeltaSize], replicate_spread: float, step: float) -> float:
    """Return the half width of an axis that holds 99 % of every codec's differences, and the spread of noise alone."""
    tops = [3.0 * step, 1.3 * replicate_spread if math.isfinite(replicate_spread) else 0.0]
    for delta in deltas:
        counts, edges = np.asarray(delta.counts, float), np.asarray(delta.edges, float)
        if counts.sum() > 0:
            reach = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
            order = np.argsort(reach, kind="stable")
            share = np.cumsum(counts[order]) / counts.sum()
            tops.append(float(reach[order][np.searchsorted(share, 0.99)]))
    return max(tops) * 1.05


def _delta_histogram(axes: Axes, report: ReportInput, delta: DeltaSize, limit: float) -> None:
    replicate_spread, unit = report.delta_replicate[0], size_unit(report.measurands)
    counts, edges = np.asarray(delta.counts, float), np.asarray(delta.edges, float)
    axes.set(xlabel=f"Δ{size_symbol(report.measurands)} ({unit})", xlim=(-limit, limit))
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
    mean, spread = (delta_words(report.measurands, each.value) for each in (delta.mean, delta.spread))
    words = f"mean {mean}, s.d. {spread} {unit}"
    axes.set_title(words + (f", {outside} outside" if outside else ""), fontsize=8.5, fontweight="normal")
