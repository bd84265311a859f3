"""What the report tells of the scores of the features: a figure, a table, maps, and the rows of CSV and twin."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from compdistort.report import pictures
from compdistort.report.figures_areas import groups, name_length, plain_ticks
from compdistort.report.figures_image import Panel
from compdistort.report.formatting import NOTHING, fixed, number, plural, short
from compdistort.report.inputs import OperatorView, ReportInput
from compdistort.report.style import BLUE, LINE, MUTED, SKY, VERMILLION, figure_style, new_figure, plot, png_uri
from compdistort.report.tables import Cell, Table, head_cells, words_cell
from compdistort.score.operators import OperatorScores

MOST_ROWS = 28
"""Features that a figure has room for; of more, those with the largest rms are drawn."""

CSV_COLUMNS = ("codec", "feature", "mean", "rms", "standard_deviation", "pixels_left_out")

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


def operator_maps(view: OperatorView) -> tuple[Panel, ...]:
    """Return for every codec the map of the scores of the feature with the largest rms."""
    palette = pictures.diverging_palette()
    panels = []
    for codec in view.codecs:
        feature = feature_words(view.names[codec.worst])
        rows, columns = codec.worst_scores.shape
        alt = f"Map of the standard score of {feature} under {codec.codec}"
        picture = Markup('<img src="{}" alt="{}" width="{}" height="{}" class="pixels">').format(
            png_uri(pictures.diverging(codec.worst_scores), palette), alt, columns, rows
        )
        moved = codec.rms[codec.worst] > 0
        detail = f"{feature}, rms {number(codec.rms[codec.worst])}" if moved else "no feature changes"
        panels.append(Panel(label=codec.codec, detail=detail, picture=picture))
    return tuple(panels)


def operator_table(view: OperatorView) -> Table:
    """Return of every codec the feature with the largest rms, and its numbers."""
    rows = []
    for codec in view.codecs:
        at = codec.worst
        values = (codec.mean[at], codec.rms[at], codec.deviation[at])
        rows.append(
            (
                words_cell(codec.codec),
                words_cell(feature_words(view.names[at]) if codec.rms[at] > 0 else NOTHING),
                *(Cell(text=fixed(float(value))) for value in values),
                Cell(text=str(int(codec.left_out.max()))),
            )
        )
    return Table(
        caption="The feature that moves most",
        head=(words_cell("Codec"), *head_cells("Feature", "mean", "rms", "standard deviation", "pixels left out")),
        rows=tuple(rows),
        note=(
            "Pixels left out: those where the replicates do not differ, of the feature with most of them. "
            "All features are in tables/operators.csv."
        ),
        css_class="dense narrow",
    )


def part_words(report: ReportInput, view: OperatorView) -> str:
    """Return where the part lies and how it was computed: one sentence."""
    (top, bottom), (left, right) = view.rows, view.columns
    plane = "" if report.volume is None else f"plane {report.volume.plane}, "
    return (
        f"Computed on {plane}rows {top} to {bottom - 1} and columns {left} to {right - 1}, with s from "
        f"{plural(view.n_replicates, 'replicate')}."
    )


def csv_rows(view: OperatorView) -> Iterable[Sequence[Any]]:
    """Give a row of `CSV_COLUMNS` for every codec and feature."""
    for codec in view.codecs:
        columns = (codec.mean.tolist(), codec.rms.tolist(), codec.deviation.tolist(), codec.left_out.tolist())
        for name, *values in zip(view.names, *columns, strict=True):
            yield codec.codec, name, *values


def operators_dict(view: OperatorView) -> dict[str, Any]:
    """Return the scores as data for the twin."""
    return {
        "rows": view.rows,
        "columns": view.columns,
        "n_replicates": view.n_replicates,
        "features": view.names,
        "codecs": {
            codec.codec: {
                "mean": codec.mean,
                "rms": codec.rms,
                "standard_deviation": codec.deviation,
                "pixels_left_out": codec.left_out,
                "largest_rms": view.names[codec.worst],
            }
            for codec in view.codecs
        },
    }


def page_parts(report: ReportInput) -> dict[str, Any] | None:
    """Return what the page shows of the scores of the features; None where the study did not ask for them."""
    view = report.operators
    if view is None:
        return None
    return {
        "figures": operator_figures(view),
        "maps": operator_maps(view),
        "table": operator_table(view),
        "part": part_words(report, view),
        "fewer": len(view.names) > MOST_ROWS,
        "n_shown": MOST_ROWS,
    }
