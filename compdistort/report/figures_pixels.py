"""The figures of what codecs do to pixels: bias by brightness, and the spectrum of the residual."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from compdistort.report.figures_areas import plain_ticks
from compdistort.report.formatting import fixed, number, short
from compdistort.report.inputs import CodecImage
from compdistort.report.style import BLACK, LINE, MARKERS, MUTED, SERIES, figure_style, new_figure, plot
from compdistort.score.pixel_results import PixelStatistics

MOST_LINES = 6
"""Most codecs in one figure."""
_LEAST_POWER = 1e-5
"""Smallest power that is drawn: below it a residual is nothing beside the noise."""

Found = Sequence[tuple[CodecImage, PixelStatistics]]


def pixel_figures(found: Found) -> list[Markup]:
    """Return bias by brightness and spectrum of the codecs that change a pixel, some codecs a figure.

    Parameters
    ----------
    found : sequence of (CodecImage, PixelStatistics)
        Codecs with their statistics.
    """
    changed = [(codec.codec, pixels) for codec, pixels in found if pixels.rms > 0]
    n_figures = math.ceil(len(changed) / MOST_LINES)
    size = math.ceil(len(changed) / n_figures) if n_figures else 1
    return [_figure(changed[k : k + size], f"pixels-{k}") for k in range(0, len(changed), size)]


def _figure(chosen: Sequence[tuple[str, PixelStatistics]], name: str) -> Markup:
    with figure_style(name):
        figure, (left, right) = new_figure(10, 3.7, 1, 2)
        for (codec, pixels), colour, marker in zip(chosen, SERIES, MARKERS, strict=False):
            look: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "markersize": 3.5,
                "linewidth": 1.2,
                "label": short(codec),
            }
            levels = [(one.low + one.high) / 2 for one in pixels.classes]
            left.plot(levels, [one.bias for one in pixels.classes], **look)
            power = np.array(pixels.spectrum)
            right.plot(pixels.frequencies, np.where(power >= _LEAST_POWER, power, np.nan), **look)
        _bias_axes(left)
        _spectrum_axes(right, [pixels for _, pixels in chosen])
        return plot(figure, name, "Bias by brightness, and spectrum of the residual. " + _said(chosen))


def _bias_axes(axes: Axes) -> None:
    axes.set_title("Bias by brightness")
    axes.axhline(0, color=BLACK, linewidth=0.8)
    axes.set(xlabel="expected grey level (DN)", ylabel="mean residual (σ)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(plain_ticks))
    axes.grid(axis="y", color=LINE, linewidth=0.6)


def _spectrum_axes(axes: Axes, shown: Sequence[PixelStatistics]) -> None:
    axes.set_title("Spectrum of the residual")
    axes.axhline(1, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    axes.set(xlabel="spatial frequency (cycles/pixel)", ylabel="power over σ²", xlim=(0, 0.51), yscale="log")
    values = [1.0, *(p for pixels in shown for p in pixels.spectrum if p >= _LEAST_POWER)]
    low, high = min(values) / 1.6, max(values) * 1.6
    steps = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [m * 10.0**k for k in range(-6, 9) for m in steps if low <= m * 10.0**k <= high]
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, [plain_ticks(tick) for tick in ticks])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(plain_ticks))
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _said(chosen: Sequence[tuple[str, PixelStatistics]]) -> str:
    """Return what the lines show, in words."""
    return "; ".join(
        f"{codec}: largest bias {fixed(pixels.worst.bias, 3)} σ at {pixels.worst.low} to {pixels.worst.high} DN"
        + (
            f", power {number(pixels.spectrum[0])} at low and {number(pixels.spectrum[-1])} at high frequencies"
            if pixels.spectrum
            else ", image too small for a spectrum"
        )
        for codec, pixels in chosen
    )
