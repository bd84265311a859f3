"""The figures about the uncertainty itself: how s settles with the replicates, and the noise law they obey."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter

from compdistort.backend.base import Float64
from compdistort.measurands import AT
from compdistort.report.figures_areas import plain_ticks
from compdistort.report.formatting import percent, relative_half_width
from compdistort.report.inputs import ReportInput
from compdistort.report.style import BLACK, BLUE, MARKERS, MUTED, SERIES, VERMILLION, figure_style, new_figure, plot
from compdistort.score.results import ConvergencePoint

_MAX_LINES = 4
_BINS = 40


def precision_at(point: ConvergencePoint, size: str) -> dict[str, float]:
    """Return the relative half-width of the interval of s for every total and for the median object's size."""
    out = {total: relative_half_width(estimate) for total, estimate in point.totals.items()}
    return {**out, f"object {size.lower()}": relative_half_width(point.size_median)}


def convergence_figure(report: ReportInput) -> Markup | None:
    """Return how precisely s is known against the number of replicates; None without a usable point."""
    points = report.scores.convergence
    # Further thresholds have no lines of their own: there are seven colours.
    precisions = [
        {name: one for name, one in precision_at(point, report.measurands.size).items() if AT not in name}
        for point in points
    ]
    series = {name: [one[name] for one in precisions] for name in (precisions[0] if precisions else ())}
    if not any(math.isfinite(value) for values in series.values() for value in values):
        return None
    n = np.array([point.n_replicates for point in points], float)
    name = "convergence"
    with figure_style(name):
        figure, (axes,) = new_figure(6.8, 3.5)
        reference = NormalDist().inv_cdf(0.5 + report.scores.level / 2) / np.sqrt(2 * np.maximum(n - 1, 1))
        axes.plot(n, 100 * reference, color=BLACK, linestyle=(0, (4, 3)), linewidth=1, label="normal law")
        for (label, values), colour, marker in zip(series.items(), SERIES, MARKERS, strict=False):
            axes.plot(
                n, 100 * np.array(values), color=colour, marker=marker, markersize=5, label=label.replace("_", " ")
            )
        axes.set(
            xscale="log", yscale="log", xlabel="number of replicates", ylabel="half-width of the interval of s (%)"
        )
        axes.set_xticks(n, [plain_ticks(value) for value in n])
        axes.minorticks_off()
        _plain_log_ticks(axes, [100 * v for values in series.values() for v in values if math.isfinite(v) and v > 0])
        axes.grid(axis="y", color="#e6e9ed", linewidth=0.7)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        last = {k: percent(v[-1]) for k, v in series.items()}
        words = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in last.items())
        return plot(figure, name, f"Precision of s against the number of replicates; with all {int(n[-1])}: {words}")


def _plain_log_ticks(axes: Any, values: list[float]) -> None:
    low, high = min(values), max(values)
    ticks = [m * 10.0**k for k in range(-3, 5) for m in (1, 2, 5)]
    inside = [t for t in ticks if low / 1.6 <= t <= high * 1.6]
    axes.set_yticks(inside, [plain_ticks(t) for t in inside])
    axes.set_ylim(low / 1.5, high * 1.5)


def noise_figure(report: ReportInput) -> Markup | None:
    """Return variance over replicates against grey level, with the law of the sensor; None without noise."""
    level, variance = _binned(report)
    if level.size < 2:
        return None
    name = "noise-law"
    with figure_style(name):
        figure, (axes,) = new_figure(6.8, 3.5)
        regions = report.sensor.get("regions", [])
        for index, region in enumerate(regions if len(regions) <= _MAX_LINES and _draws_lines(report.sensor) else ()):
            gain = 1.0 / region["gain_e_per_dn"]
            law = np.maximum(0.0, (gain * region["read_noise_e"]) ** 2 + gain * (level - region["offset_dn"])) + 1 / 12
            label = "sensor model" if len(regions) == 1 else f"model, {region['name']}"
            colour = VERMILLION if len(regions) == 1 else SERIES[index + 1]
            axes.plot(level, law, color=colour, linewidth=1.4, label=label)
        axes.plot(level, variance, "o", color=BLUE, markersize=4, label="replicates")
        axes.set(xlabel="grey level of the raw image (DN)", ylabel="variance over replicates (DN²)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(plain_ticks))
        axes.grid(color="#e6e9ed", linewidth=0.7)
        axes.legend(loc="upper left", labelcolor=MUTED)
        return plot(
            figure,
            name,
            f"Variance of a pixel over replicates rises from {variance[0]:.3g} to {variance[-1]:.3g} square DN between "
            f"grey levels {level[0]:.0f} and {level[-1]:.0f}, together with the sensor model",
        )


def _draws_lines(sensor: dict[str, Any]) -> bool:
    return sensor.get("kind") != "pixel"


def _binned(report: ReportInput) -> tuple[Float64, Float64]:
    """Return mean grey level and mean variance in bins of equal width that hold enough pixels."""
    raw, variance = report.frame.ravel().astype(np.float64), report.sigma_dn.ravel() ** 2
    if not (variance > 0).any():
        return np.empty(0), np.empty(0)
    edges = np.linspace(raw.min(), raw.max() + 1, _BINS + 1)
    where = np.clip(np.digitize(raw, edges) - 1, 0, _BINS - 1)
    counts = np.bincount(where, minlength=_BINS)
    enough = counts >= 20
    total = np.maximum(counts, 1)
    level = np.bincount(where, weights=raw, minlength=_BINS) / total
    mean = np.bincount(where, weights=variance, minlength=_BINS) / total
    return level[enough], mean[enough]
