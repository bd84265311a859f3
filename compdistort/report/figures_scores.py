"""The figures of totals and scores, in the manner of the paper's Fig. 2d and 2e."""

import math
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compdistort.measurands import AT, Total
from compdistort.report.figures_areas import groups, name_length, plain_ticks
from compdistort.report.formatting import fixed, number, short
from compdistort.report.inputs import ReportInput
from compdistort.report.style import (
    BLACK,
    LINE,
    MUTED,
    SKY,
    VERDICT_COLOURS,
    figure_style,
    new_figure,
    plot,
)
from compdistort.report.words import principal, unit_words
from compdistort.score.columns import TOTAL
from compdistort.score.results import CodecScores, QuantityScore

_LINEAR, _LINEAR_SCALE = 2.0, 1.2  # wide scores: linear up to twice the margin, logarithmic beyond
_TICK_GAP = 0.3
_TOTALS_A_ROW = 4


def totals_figure(report: ReportInput) -> Markup:
    """Return every total for the raw image and every codec, with the band of the uncertainty."""
    name, totals = "totals", report.measurands.totals
    columns = min(len(totals), _TOTALS_A_ROW)
    rows = math.ceil(len(totals) / columns)
    with figure_style(name):
        figure, axes = new_figure(10, rows * (3.3 if len(report.codecs) <= 4 else 3.9), rows, columns)
        for one, total in zip(axes, totals, strict=False):
            _totals_axes(one, report, total)
        for one in axes[len(totals) :]:
            one.set_axis_off()
        said = "; ".join(
            f"{codec.codec}: " + ", ".join(f"{q.name} {number(q.compressed)}" for q in codec.quantities[: len(totals)])
            for codec in report.scores.codecs
        )
        return plot(
            figure, name, f"Image totals with bands of one and two standard deviations around the raw image. {said}"
        )


def _totals_axes(axes: Axes, report: ReportInput, total: Total) -> None:
    scores = [next(q for q in codec.quantities if q.name == total.name) for codec in report.scores.codecs]
    axes.set_title(_total_title(total))
    names = ["raw", *(short(codec.codec, 16) for codec in report.scores.codecs)]
    axes.set_xticks(range(len(names)), names)
    if len(names) > 4 or max(map(len, names)) > 9:
        axes.tick_params(axis="x", labelrotation=35)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(names) - 0.5)
    if not scores or not math.isfinite(scores[0].raw):
        axes.text(0.5, 0.5, "not defined", transform=axes.transAxes, ha="center", color=MUTED)
        axes.set_yticks([])
        return
    raw, spread, shift = scores[0].raw, scores[0].uncertainty.value, scores[0].shift.value
    if math.isfinite(spread):
        for factor, alpha in ((2, 0.20), (1, 0.35)):
            axes.axhspan(raw - factor * spread, raw + factor * spread, color=SKY, alpha=alpha, linewidth=0, zorder=0)
        if math.isfinite(shift):
            axes.axhline(raw + shift * spread, color=MUTED, linestyle=":", linewidth=1.3)
    axes.axhline(raw, color=BLACK, linewidth=0.9)
    axes.errorbar(
        [0], [raw], yerr=[spread if math.isfinite(spread) else 0], fmt="o", color=BLACK, markersize=5, capsize=3
    )
    for x, score in enumerate(scores, start=1):
        axes.plot([x], [score.compressed], "D", color=VERDICT_COLOURS[score.decision], markersize=6)


def _total_title(total: Total) -> str:
    """Return what a total is, its symbol or further threshold, and its unit: a quarter of the page holds it."""
    unit, (name, _, threshold) = unit_words(total.unit), total.name.partition(AT)
    words = total.meaning.partition(" (")[0].partition(" at threshold")[0]
    if threshold:
        words = f"{words.removeprefix('total ')} at {threshold}"
    elif total.decides and name not in words:
        words = f"{words} {name}"
    return f"{words[0].upper()}{words[1:]}" + (f" ({unit})" if unit else "")


def score_figures(report: ReportInput) -> list[Markup]:
    """Return the scores of totals and object means of every codec with the lines of the margin."""
    return [_score_figure(report, chosen, f"scores-{chosen.start}") for chosen in groups(len(report.codecs))]


def _score_figure(report: ReportInput, chosen: range, name: str) -> Markup:
    codecs = [report.scores.codecs[index] for index in chosen]
    margin = report.scores.margin
    reach = _score_reach(report.scores.codecs, margin)
    with figure_style(name):
        figure, axes = new_figure(10 if len(codecs) > 1 else 6, 6.6, 1, len(codecs), sharey=True)
        for one, codec in zip(axes, codecs, strict=True):
            one.set_title(f"{short(codec.codec, name_length(len(codecs)))}\n{codec.verdict}")
            _score_axes(one, codec, margin, reach)
        shown = [q.name for q in codecs[0].quantities if principal(q)]
        axes[0].set_yticks(range(len(shown)), shown)
        axes[0].set_ylim(len(shown) - 0.4, -0.6)
        alt = "Standard scores of every quantity with the lines of the margin. " + "; ".join(
            f"{codec.codec} is {codec.verdict}, largest expected score {fixed(_largest(codec))}" for codec in codecs
        )
        return plot(figure, name, alt)


def _largest(codec: CodecScores) -> float:
    values = [q.deciding.value for q in codec.quantities if q.decides and math.isfinite(q.deciding.value)]
    return max(values, key=abs, default=math.nan)


def _score_reach(codecs: Sequence[CodecScores], margin: float) -> float:
    """Return the largest score of any codec, its interval included."""
    tops = [1.5 * margin]
    for codec in codecs:
        for q in filter(principal, codec.quantities):
            spread = q.paper_spread if math.isfinite(q.paper_spread) else 0.0
            ends = (q.deciding.low, q.deciding.high, q.deciding.value, abs(q.paper.value) + spread)
            tops += [abs(x) for x in ends if math.isfinite(x)]
    return max(tops)


def _score_axes(axes: Axes, codec: CodecScores, margin: float, reach: float) -> None:
    axes.axvspan(-margin, margin, color=SKY, alpha=0.18, linewidth=0, zorder=0)
    for position in (-margin, margin):
        axes.axvline(position, color=BLACK, linestyle=(0, (4, 3)), linewidth=0.9)
    axes.axvline(0, color=MUTED, linewidth=0.7)
    shown = [*filter(principal, codec.quantities)]
    n_totals = sum(q.kind == TOTAL for q in shown)
    for row, q in enumerate(shown):
        _score_row(axes, row, q)
    axes.axhline(n_totals - 0.5, color=LINE, linewidth=0.9)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("score (units of s)")
    if reach > 8 * margin:
        axes.set_xscale("symlog", linthresh=_LINEAR * margin, linscale=_LINEAR_SCALE)
        axes.set_xticks(_symmetric_ticks(margin, 1.12 * reach))
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], symmetric=True))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_ticks))
    axes.set_xlim(-1.12 * reach, 1.12 * reach)


def _symmetric_ticks(margin: float, reach: float) -> list[float]:
    """Return ticks of the symmetric logarithmic axis: 0, the margin, and round numbers clear of each other."""
    positive = [margin]
    for tick in (m * 10.0**k for k in range(-3, 9) for m in (1, 2, 5)):
        gap = (_place(tick, margin) - _place(positive[-1], margin)) / _place(reach, margin)
        if margin < tick <= reach and gap > _TICK_GAP:
            positive.append(tick)
    return [*(-x for x in reversed(positive)), 0.0, *positive]


def _place(score: float, margin: float) -> float:
    """Return where matplotlib's symmetric logarithmic scale puts a score."""
    threshold = _LINEAR * margin
    linear = _LINEAR_SCALE / (1 - 1 / 10)
    return linear * score / threshold if score <= threshold else linear + math.log10(score / threshold)


def _score_row(axes: Axes, row: int, q: QuantityScore) -> None:
    """Draw the paper's score with its spread over objects above, the score that decides with its interval below."""
    colour = VERDICT_COLOURS[q.decision]
    if math.isfinite(q.paper.value):
        if math.isfinite(q.paper_spread):
            ends = [q.paper.value - q.paper_spread, q.paper.value + q.paper_spread]
            axes.plot(ends, [row - 0.17] * 2, color="#9aa3ad", linewidth=1.1, solid_capstyle="butt")
        axes.plot([q.paper.value], [row - 0.17], "o", markersize=4, markerfacecolor="white", markeredgecolor=MUTED)
    score = q.deciding
    if math.isfinite(score.value):
        if math.isfinite(score.low) and math.isfinite(score.high):
            axes.plot([score.low, score.high], [row + 0.17] * 2, color=colour, linewidth=2.6, solid_capstyle="butt")
        axes.plot([score.value], [row + 0.17], "D", markersize=4, color=colour)
