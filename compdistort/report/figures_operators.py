"""The figures and maps of the scores of the features; before and after the steps side by side where there are any."""

import re

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from compdistort.backend.base import Float64
from compdistort.report import pictures
from compdistort.report.figures_areas import groups, name_length, plain_ticks
from compdistort.report.figures_image import Panel
from compdistort.report.formatting import number, short
from compdistort.report.inputs import OperatorView
from compdistort.report.style import BLUE, LINE, MUTED, SKY, VERMILLION, figure_style, new_figure, plot, png_uri
from compdistort.score.operators import OperatorScores

MOST_ROWS = 28
"""Features that a figure has room for; of more, those with the largest rms are drawn."""

_SHORTER = (("Normalized", "norm."), ("Square", "sq."), ("Eigenvalue", "eig."), ("Difference", "diff."))
_WIDE = 8.0  # from here on scores are drawn on a logarithmic axis
_LINEAR = 1.0


def feature_words(name: str) -> str:
    """Return a feature's name as it is read.

    Examples
    --------
    >>> feature_words("LoG_s1.6_2d"), feature_words("Gaussian_blur_4.0")
    ('LoG 1.6 2d', 'Gaussian blur 4.0')
    """
    return re.sub(r"_s(?=\d)|_", " ", name)


def shown_features(view: OperatorView) -> list[int]:
    """Return which features are drawn, in their own order: all, or those with the largest rms under any codec."""
    largest = np.max([np.nan_to_num(one.rms) for one in view.codecs], axis=0)
    return sorted(int(index) for index in np.argsort(-largest, kind="stable")[:MOST_ROWS])


def operator_figures(view: OperatorView) -> list[Markup]:
    """Return mean and rms of the score of every feature, codecs side by side.

    Parameters
    ----------
    view : OperatorView
        The scores.
    """
    shown = shown_features(view)
    return [_figure(view, chosen, shown) for chosen in groups(len(view.codecs))]


def _figure(view: OperatorView, chosen: range, shown: list[int]) -> Markup:
    name, codecs = f"operators-{chosen.start}", [view.codecs[index] for index in chosen]
    reach = _reach(view, shown)
    with figure_style(name):
        height = 1.3 + 0.2 * len(shown)
        figure, axes = new_figure(10 if len(codecs) > 1 else 6, height, 1, len(codecs), sharey=True)
        for one, codec in zip(axes, codecs, strict=True):
            one.set_title(short(codec.codec, name_length(len(codecs))))
            _axes(one, codec, shown, reach)
        axes[0].set_yticks(range(len(shown)), [_tick_words(view.names[index]) for index in shown])
        axes[0].set_ylim(len(shown) - 0.4, -0.6)
        alt = "Mean and root mean square of the standard score of every feature. " + "; ".join(
            f"{codec.codec}: largest root mean square {number(codec.rms[codec.worst])}, of "
            f"{feature_words(view.names[codec.worst])}"
            for codec in codecs
        )
        return plot(figure, name, alt)


def _tick_words(name: str) -> str:
    """Return a feature's name with what is long in Weka's names shortened, so that its scale is seen."""
    for word, shorter in _SHORTER:
        name = name.replace(word, shorter)
    return short(feature_words(name), 32)


def _reach(view: OperatorView, shown: list[int]) -> float:
    """Return the largest value that is drawn under any codec."""
    tops = [np.nan_to_num(np.maximum(one.rms, abs(one.mean) + one.deviation))[shown].max() for one in view.codecs]
    return max(1.5, float(max(tops)))


def _axes(axes: Axes, codec: OperatorScores, shown: list[int], reach: float) -> None:
    axes.axvspan(-1, 1, color=SKY, alpha=0.18, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.7)
    mean, rms, deviation = (values[shown] for values in (codec.mean, codec.rms, codec.deviation))
    rows = np.arange(len(shown))
    axes.hlines(rows, mean - deviation, mean + deviation, color="#9aa3ad", linewidth=1.1)
    axes.plot(mean, rows, "o", markersize=4, markerfacecolor="white", markeredgecolor=BLUE)
    axes.plot(rms, rows, "D", markersize=4, color=VERMILLION)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("score (units of s)")
    if reach > _WIDE:
        axes.set_xscale("symlog", linthresh=_LINEAR)
        top = int(np.ceil(np.log10(reach)))
        decades = [10.0**k for k in range(0, top + 1, max(1, top // 2))]
        axes.set_xticks([*(-x for x in reversed(decades)), 0.0, *decades])
        axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(plain_ticks))
    axes.set_xlim(-1.12 * reach, 1.12 * reach)


def comparison_figures(before: OperatorView, after: OperatorView) -> list[Markup]:
    """Return the rms of the score of every operator and sigma before and after the steps, codecs side by side.

    Parameters
    ----------
    before : OperatorView
        In a recorded frame, filtered as a plane; what such a plane does not have is missing.
    after : OperatorView
        In what the classifier sees: its features are the rows.
    """
    shown = shown_features(after)
    place = {_key(name): index for index, name in enumerate(before.names)}
    rows = [place.get(_key(after.names[index])) for index in shown]
    return [_comparison(before, after, chosen, shown, rows) for chosen in groups(len(after.codecs))]


def _key(name: str) -> str:
    """Return operator and sigma of a feature, however planes are filtered."""
    return name.removesuffix("_2d")


def _comparison(
    before: OperatorView, after: OperatorView, chosen: range, shown: list[int], rows: list[int | None]
) -> Markup:
    name = f"operators-before-after-{chosen.start}"
    pairs = [
        (after.codecs[index].codec, _picked(before.codecs[index].rms, rows), after.codecs[index].rms[shown])
        for index in chosen
    ]
    every = [one.rms for view in (before, after) for one in view.codecs]
    reach = max(1.5, *(float(np.nan_to_num(rms).max()) for rms in every))
    with figure_style(name):
        figure, axes = new_figure(10 if len(pairs) > 1 else 6, 1.6 + 0.2 * len(shown), 1, len(pairs), sharey=True)
        for one, (codec, earlier, later) in zip(axes, pairs, strict=True):
            one.set_title(short(codec, name_length(len(pairs))))
            _comparison_axes(one, earlier, later, reach)
        axes[0].set_yticks(range(len(shown)), [_tick_words(_key(after.names[index])) for index in shown])
        axes[0].set_ylim(len(shown) - 0.4, -0.6)
        alt = "Root mean square of the standard score of every operator before and after the steps. " + "; ".join(
            f"{codec}: largest {number(_largest(earlier))} before, {number(_largest(later))} after"
            for codec, earlier, later in pairs
        )
        return plot(figure, name, alt)


def _picked(values: Float64, rows: list[int | None]) -> Float64:
    return np.array([np.nan if row is None else values[row] for row in rows])


def _largest(values: Float64) -> float:
    return float(np.nan_to_num(values).max())


def _comparison_axes(axes: Axes, before: Float64, after: Float64, reach: float) -> None:
    axes.axvspan(0, 1, color=SKY, alpha=0.18, linewidth=0, zorder=0)
    at = np.arange(len(after))
    axes.hlines(at, np.fmin(before, after), np.fmax(before, after), color="#9aa3ad", linewidth=1.1)
    axes.plot(before, at, "o", markersize=4.5, markerfacecolor="white", markeredgecolor=BLUE)
    axes.plot(after, at, "D", markersize=4, color=VERMILLION)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("rms of the score")
    if reach > _WIDE:
        axes.set_xscale("symlog", linthresh=_LINEAR)
        axes.set_xticks([0.0, *(10.0**k for k in range(int(np.ceil(np.log10(reach))) + 1))])
        axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(plain_ticks))
    axes.set_xlim(-0.04 * reach if reach <= _WIDE else -0.2, 1.12 * reach)


def operator_maps(view: OperatorView, stage: str = "") -> tuple[Panel, ...]:
    """Return for every codec the map of the scores of the feature with the largest rms.

    Parameters
    ----------
    view : OperatorView
        The scores.
    stage : str
        "before" or "after" the steps; empty where there are none.
    """
    palette, of_stage = pictures.diverging_palette(), f", {stage}" if stage else ""
    panels = []
    for codec in view.codecs:
        feature = feature_words(view.names[codec.worst])
        rows, columns = codec.worst_scores.shape
        alt = f"Map of the standard score of {feature} under {codec.codec}{of_stage}"
        picture = Markup('<img src="{}" alt="{}" width="{}" height="{}" class="pixels">').format(
            png_uri(pictures.diverging(codec.worst_scores), palette), alt, columns, rows
        )
        moved = codec.rms[codec.worst] > 0
        detail = f"{feature}, rms {number(codec.rms[codec.worst])}" if moved else "no feature changes"
        panels.append(Panel(label=f"{codec.codec}{of_stage}", detail=detail, picture=picture))
    return tuple(panels)
