"""The rate-distortion figures of a sweep: |expected score| with its interval against the compression ratio."""

import math
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from compdistort.report.formatting import fixed, number, plain, short
from compdistort.report.style import (
    BLACK,
    GREEN,
    LINE,
    MARKERS,
    MUTED,
    SERIES,
    figure_style,
    new_figure,
    plot,
)
from compdistort.report.sweep_words import carried

_COLUMNS = 4
_LINES = ("-", "--", ":")
"""Further curves than colours take the next kind of line."""
_LEGEND_COLUMNS = 5
_WIDE = 300.0
"""A span of ratios as wide as that is labelled by powers of ten alone."""


def magnitude(estimate: dict[str, float | None]) -> tuple[float, float, float] | None:
    """Return |score| and the interval of it; None where the score is undefined.

    Parameters
    ----------
    estimate : dict
        ``value``, ``low``, ``high``; None where undefined.

    Returns
    -------
    (float, float, float) or None
        Value, low, high; an interval that holds 0 starts there. Without an interval all three are the value.

    Examples
    --------
    >>> magnitude({"value": -1.0, "low": -1.5, "high": -0.5}), magnitude({"value": 0.1, "low": -0.2, "high": 0.4})
    ((1.0, 0.5, 1.5), (0.1, 0.0, 0.4))
    """
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return None
    if low is None or high is None:
        return abs(value), abs(value), abs(value)
    ends = sorted((abs(low), abs(high)))
    return abs(value), 0.0 if low <= 0 <= high else ends[0], ends[1]


def rate_figure(twin: dict[str, Any]) -> Markup:
    """Return |score| of every total that decides against the ratio, one curve a codec.

    Parameters
    ----------
    twin : dict
        What ``sweep.json`` holds; a point was scored.
    """
    totals = [each for each in twin["quantities"] if each["kind"] == "total"]
    return _figure(twin, totals, "sweep-totals", 4.4, min(2, len(totals)))


def object_figure(twin: dict[str, Any]) -> Markup:
    """Return the same of the means over objects, as small multiples."""
    means = [each for each in twin["quantities"] if each["kind"] != "total"]
    return _figure(twin, means, "sweep-objects", 2.5, _COLUMNS)


def _figure(twin: dict[str, Any], chosen: Sequence[dict[str, str]], name: str, height: float, columns: int) -> Markup:
    rows = math.ceil(len(chosen) / columns)
    curves = [curve for curve in twin["series"] if carried(curve)]
    with figure_style(name):
        legend = 0.28 * math.ceil(len(curves) / _LEGEND_COLUMNS) + 0.1
        # Shared axes: panels compare at a glance, and tick labels are laid out once.
        figure, axes = new_figure(10, rows * height + legend, rows, columns, sharex=True, sharey=True)
        for one, quantity in zip(axes, chosen, strict=False):
            _panel(one, twin["margin"], quantity, curves)
        _scales(axes[0], twin["margin"], curves, [quantity["name"] for quantity in chosen])
        for place, one in enumerate(axes):
            if place >= len(chosen):
                one.set_axis_off()
            elif place + columns >= len(chosen):
                one.tick_params(labelbottom=True)
                one.set_xlabel("compression ratio")
            if place % columns == 0:
                one.set_ylabel("|E3| (units of s)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=_LEGEND_COLUMNS, handlelength=2.6)
        return plot(figure, name, _alt(twin, chosen, curves))


def _alt(twin: dict[str, Any], chosen: Sequence[dict[str, str]], curves: Sequence[dict[str, Any]]) -> str:
    """Return the first quantity of a figure in words."""
    name = chosen[0]["name"]
    said = "; ".join(
        f"{curve['name']}: "
        + ", ".join(
            f"{number(point['ratio'])}:1 {fixed(point['scores'][name]['expected']['value'])}"
            for point in carried(curve)
        )
        for curve in curves
    )
    names = ", ".join(each["name"] for each in chosen)
    margin = number(twin["margin"])
    head = f"Absolute expected score of {names} against compression ratio, tolerable below {margin}."
    return f"{head} Score of {name}: {said}"


def _panel(axes: Axes, margin: float, quantity: dict[str, str], curves: Sequence[dict[str, Any]]) -> None:
    name = quantity["name"]
    axes.set_title(f"{name}, {quantity['meaning']}" if quantity["kind"] == "total" else name)
    axes.axhspan(0, margin, color=GREEN, alpha=0.13, linewidth=0, zorder=0)
    axes.axhline(margin, color=BLACK, linestyle=(0, (4, 3)), linewidth=0.9)
    for place, curve in enumerate(curves):
        _draw(axes, place, curve, name)
    axes.grid(color=LINE, linewidth=0.5)


def _scales(axes: Axes, margin: float, curves: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Set the scales that all panels share: the ratio logarithmic, the score linear up to the margin."""
    points = [point for curve in curves for point in carried(curve)]
    found = [magnitude(point["scores"][name]["expected"]) for point in points for name in names]
    top = 1.3 * max([1.5 * margin, *(each[2] for each in found if each is not None)])
    axes.set_yscale("symlog", linthresh=margin, linscale=1.0)
    axes.set_ylim(-0.04 * margin, top)
    axes.yaxis.set_major_locator(FixedLocator([0, *_ticks(margin, top)]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: plain(y)))
    low, high = (factor * limit(point["ratio"] for point in points) for factor, limit in ((0.8, min), (1.25, max)))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _WIDE else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: plain(x)))


def _ticks(margin: float, top: float) -> list[float]:
    """Return the margin and the powers of ten beyond it that are clear of it."""
    powers = (10.0**k for k in range(-6, 12))
    return [margin / 2, margin, *(power for power in powers if 2.5 * margin < power <= top)]


def _draw(axes: Axes, place: int, curve: dict[str, Any], name: str) -> None:
    """Draw one curve with its intervals."""
    colour, marker = SERIES[place % len(SERIES)], MARKERS[(place + place // len(SERIES)) % len(MARKERS)]
    line = next(islice(cycle(_LINES), place // len(SERIES), None))
    shown = [
        (point, point["scores"][name]["decision"], found)
        for point in carried(curve)
        if (found := magnitude(point["scores"][name]["expected"])) is not None
    ]
    xs, ys = [point["ratio"] for point, _, _ in shown], [found[0] for _, _, found in shown]
    axes.plot(xs, ys, line, color=colour, linewidth=1.2, zorder=2)
    for point, decision, (value, low, high) in shown:
        axes.plot([point["ratio"]] * 2, [low, high], "-", color=colour, linewidth=1.0, zorder=2)
        face = colour if decision == "tolerable" else "white"
        axes.plot([point["ratio"]], [value], marker, color=colour, markerfacecolor=face, markersize=5.5, zorder=3)
        if not point["reached"]:
            axes.plot([point["ratio"]], [value], "o", markersize=11, fillstyle="none", color=MUTED, zorder=3)
    axes.plot([], [], marker + line, color=colour, label=short(curve["name"]))
