"""The figures of a benchmark page: accuracy against time, and where the time goes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from compdistort.report.formatting import number, short
from compdistort.report.style import (
    BLACK,
    BLUE,
    GREEN,
    LINE,
    MARKERS,
    MUTED,
    ORANGE,
    PURPLE,
    SERIES,
    SKY,
    VERMILLION,
    figure_style,
    new_figure,
    plot,
)

TRUST_COLOURS = {
    "equal trust": GREEN,
    "undecided verdict": ORANGE,
    "another verdict": VERMILLION,
    "accuracy unclear": SKY,
    "less accurate": MUTED,
    "no object": PURPLE,
}
"""Colour of a point by the first rule that its pipeline breaks."""

STAGE_COLOURS = {"noise": SKY, "features": BLUE, "forest": ORANGE, "objects": GREEN}
"""Colour of the part of a bar by its stage."""

_LOWEST_BAR = 0.36


def thread_words(rows: Sequence[dict[str, Any]]) -> str:
    """Return on how many threads times were taken, as the end of a caption; nothing where no row is of the CPU."""
    of_cpu = [row["threads"] == 1 for row in rows]
    if all(of_cpu):
        return ", one thread"
    return ", CPU engines on one thread" if any(of_cpu) else ""


def trade_figure(twin: dict[str, Any]) -> Markup:
    """Return score against time of a whole replicate, one numbered point a row.

    Parameters
    ----------
    twin : dict
        What ``bench.json`` holds.
    """
    name = "bench-trade"
    judged = [(k, row) for k, row in enumerate(twin["rows"]) if row["score"] is not None]
    sets = list(dict.fromkeys(row["set"] for _, row in judged))
    with figure_style(name):
        figure, (axes,) = new_figure(9.4, 4.6)
        for k, row in judged:
            time = _whole(row)
            colour = TRUST_COLOURS[row["standing"]["kind"]]
            axes.plot([time["min"], time["median"]], [row["score"]] * 2, color=colour, linewidth=1)
            axes.plot(
                [time["median"]],
                [row["score"]],
                MARKERS[sets.index(row["set"]) % len(MARKERS)],
                color=colour,
                markersize=8,
            )
            axes.annotate(
                str(k + 1),
                (time["median"], row["score"]),
                (6, 5 if k % 2 else -12),
                textcoords="offset points",
                fontsize=8.5,
            )
        chosen = twin["rows"][twin["fastest_at_equal_trust"]]
        axes.plot([_whole(chosen)["median"]], [chosen["score"]], "o", markersize=16, fillstyle="none", color=BLACK)
        _legend(axes, sets, {row["standing"]["kind"] for _, row in judged})
        kind = twin["rows"][twin["most_accurate"]]["score_kind"]
        axes.set(
            xlabel=f"whole replicate{thread_words(twin['rows'])} (ns a pixel)", ylabel=f"{kind[0].upper()}{kind[1:]}"
        )
        _logarithmic(axes, [_whole(row)["median"] for _, row in judged])
        axes.grid(color=LINE, linewidth=0.6)
        axes.margins(y=0.18)
        said = "; ".join(
            f"{row['pipeline']} on {row['device']}: {number(_whole(row)['median'])} ns, {row['score']:.4f}"
            for _, row in judged
        )
        return plot(figure, name, f"Score against time of a whole replicate. {said}")


def _whole(row: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = row["ns_per_pixel"]["replicate"]
    return found


def _legend(axes: Axes, sets: Sequence[str], kinds: set[str]) -> None:
    """Explain the colours and markers that occur by handles without data."""
    for word, colour in TRUST_COLOURS.items():
        if word in kinds:
            axes.plot([], [], "o", color=colour, label=word)
    axes.plot([], [], "o", markersize=12, fillstyle="none", color=BLACK, label="fastest at equal trust")
    for k, each in enumerate(sets):
        axes.plot([], [], MARKERS[k % len(MARKERS)], color=BLACK, fillstyle="none", label=f"set {each}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), labelspacing=0.7)


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Make x logarithmic with whole numbers as ticks, wide enough that some are seen."""
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.35, max(values) * 1.35)
    subs = (1, 2, 5) if max(values) / min(values) > 4 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def stage_figure(twin: dict[str, Any]) -> Markup:
    """Return the time of every stage as parts of a bar, with the whole fused replicate as a mark.

    Parameters
    ----------
    twin : dict
        What ``bench.json`` holds.
    """
    name = "bench-stages"
    rows = twin["rows"]
    places = np.arange(len(rows))
    with figure_style(name):
        figure, (axes,) = new_figure(9.4, 1.3 + _LOWEST_BAR * len(rows))
        left = np.zeros(len(rows))
        for stage, colour in STAGE_COLOURS.items():
            width = np.array([row["ns_per_pixel"][stage]["median"] for row in rows])
            axes.barh(places, width, 0.62, left=left, color=colour, label=stage)
            left += width
        axes.plot([_whole(row)["median"] for row in rows], places, "D", color=BLACK, markersize=5, label="whole, fused")
        axes.set_yticks(
            places, [f"{k + 1}  {short(row['pipeline'], 34)} {row['device']}" for k, row in enumerate(rows)]
        )
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"median time{thread_words(rows)} (ns a pixel)")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(SERIES))
        said = "; ".join(
            f"{row['pipeline']}: "
            + ", ".join(f"{stage} {number(row['ns_per_pixel'][stage]['median'])}" for stage in STAGE_COLOURS)
            for row in rows
        )
        return plot(figure, name, f"Time of every stage, ns a pixel. {said}")
