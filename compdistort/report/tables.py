"""The tables of the page: cells as text, so that the template only lays them out."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from compdistort.report.formatting import (
    NOTHING,
    fixed,
    interval,
    number,
    percent,
    plain,
    ratio,
    relative_half_width,
    size,
)
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.report.words import (
    decisive,
    delta_places,
    quantity_meaning,
    raw_alone,
    size_symbol,
    size_unit,
)
from compdistort.score.results import CodecScores, Estimate, Precision, QuantityScore

RATES = ("matched", "lost", "new", "split", "merged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell.

    Attributes
    ----------
    text, small : str
        Content, and what stands under it in grey.
    verdict : str
        A verdict's name where the cell shows one.
    mark : str
        Letters that point to notes below the table.
    number : bool
        Whether it is set to the right.
    """

    text: str
    small: str = ""
    verdict: str = ""
    mark: str = ""
    number: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: the first cell of every row is its heading.

    Attributes
    ----------
    caption : str
        Title above the table.
    head : tuple of Cell
        Column heads.
    rows : tuple of tuple of Cell
        Body.
    note : str
        Below the table.
    css_class : str
        Look: ``verdicts``, ``dense``, ``narrow`` or nothing.
    """

    caption: str
    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    css_class: str = ""


def words_cell(text: str, small: str = "") -> Cell:
    """Return a cell of words."""
    return Cell(text=text, small=small, number=False)


def head_cells(first: str, *others: str) -> tuple[Cell, ...]:
    """Return column heads: words first, numbers after."""
    return (words_cell(first), *(Cell(text=text) for text in others))


def estimate_cell(estimate: Estimate, places: int | None = None) -> Cell:
    """Return a value with its interval under it."""
    value = number(estimate.value) if places is None else fixed(estimate.value, places)
    return Cell(text=value, small=interval(estimate, places))


def verdict_cell(word: str, small: str = "") -> Cell:
    """Return a cell that shows a verdict."""
    return Cell(text=word, small=small, verdict=word, number=False)


def pairs(report: ReportInput) -> Iterable[tuple[CodecImage, CodecScores]]:
    """Return every codec with its scores."""
    return zip(report.codecs, report.scores.codecs, strict=True)


def verdict_table(report: ReportInput) -> Table:
    """Return the verdict of every codec: what it saves, what decides, how many objects were found again."""
    rows = []
    for codec, scores in pairs(report):
        q = decisive(scores)
        deciding = Cell(text=NOTHING) if q is None else _deciding_cell(q)
        asked = "" if codec.target_ratio is None else f"asked {ratio(codec.target_ratio)}"
        if not codec.reached:
            asked += ", not reached"
        matched = scores.rates.get("matched")
        rows.append(
            (
                words_cell(codec.codec),
                verdict_cell(scores.verdict, "of this image alone" if raw_alone(scores) else ""),
                Cell(text=ratio(codec.ratio), small=asked),
                deciding,
                words_cell(
                    NOTHING if q is None else q.name,
                    "" if q is None else quantity_meaning(q.name, report.measurands),
                ),
                Cell(text=NOTHING if matched is None else percent(matched.value), small=f"of {scores.counts.n_raw}"),
            )
        )
    return Table(
        caption="Verdicts",
        head=(
            words_cell("Codec"),
            words_cell("Verdict"),
            Cell(text="Compression"),
            Cell(text="Largest E3", small="with interval, in s"),
            words_cell("found in"),
            Cell(text="Objects matched"),
        ),
        rows=tuple(rows),
        css_class="verdicts",
    )


def _deciding_cell(q: QuantityScore) -> Cell:
    name = "E1 " if q.by == "E1" else ""
    return Cell(text=name + fixed(q.deciding.value), small=interval(q.deciding, 2))


def precision_table(report: ReportInput) -> Table:
    """Return how large the uncertainty of each total is, how well it is known, and what would make it better known."""
    scores = report.scores
    rows = []
    for name, estimate in scores.total_uncertainty.items():
        check, known = scores.total_uncertainty_bootstrap.get(name), scores.precision.get(name)
        rows.append(
            (
                words_cell(name.replace("_", " "), "; ".join(estimate.flags)),
                estimate_cell(estimate),
                Cell(text=NOTHING if check is None else interval(check) or NOTHING),
                Cell(text=percent(relative_half_width(estimate), 2)),
                *(_needed(known, goal) for goal in ("replicates_for_10_percent", "replicates_for_5_percent")),
            )
        )
    return Table(
        caption="Uncertainty s of the image totals",
        head=(
            *head_cells("Total", "s"),
            Cell(text="check", small="BCa bootstrap"),
            Cell(text="known to ±"),
            Cell(text="replicates", small="for ± 10 %"),
            Cell(text="replicates", small="for ± 5 %"),
        ),
        rows=tuple(rows),
        note=f"Bonett intervals at {plain(100 * scores.level)} %; planning figures from the kurtosis seen so far.",
    )


def _needed(known: Precision | None, goal: str) -> Cell:
    count = None if known is None else getattr(known, goal)
    return Cell(text=NOTHING if count is None else number(count))


def delta_table(report: ReportInput) -> Table:
    """Return mean and standard deviation of the size difference (the paper's Tables 1 and 2), replicates last."""
    symbol, places = size_symbol(report.measurands), delta_places(report.measurands)
    rows = [
        (
            words_cell(codec.codec),
            Cell(text=str(scores.counts.matched)),
            estimate_cell(scores.delta_size.mean, places),
            estimate_cell(scores.delta_size.spread, places),
            Cell(text=_times(scores.delta_size.spread.value, report.delta_replicate[0])),
        )
        for codec, scores in pairs(report)
    ]
    mean, low, high = report.delta_replicate
    spread = estimate_cell(Estimate(value=mean, low=low, high=high), places)
    rows.append(
        (words_cell("replicates", "noise alone"), Cell(text=NOTHING), Cell(text=NOTHING), spread, Cell(text="1.00"))
    )
    return Table(
        caption=(
            f"{report.measurands.size} difference Δ{symbol} = {symbol} raw − {symbol} compressed over matched objects, "
            f"{size_unit(report.measurands)}"
        ),
        head=head_cells("Codec", "objects", f"mean Δ{symbol}", f"s.d. of Δ{symbol}", "s.d. over noise alone"),
        rows=tuple(rows),
        note=f"Intervals at {plain(100 * report.scores.level)} %; for the replicates mean and range over replicates.",
        css_class="narrow",
    )


def _times(value: float, reference: float) -> str:
    return fixed(value / reference) if reference > 0 else NOTHING


def file_table(report: ReportInput) -> Table:
    """Return file sizes and ratios (the paper's Table 3)."""
    rows = [
        (
            words_cell("raw", "2 bytes a pixel"),
            Cell(text=size(report.raw_bytes)),
            Cell(text="1:1"),
            Cell(text=NOTHING),
            words_cell(""),
        )
    ]
    rows += [
        (
            words_cell(codec.codec),
            Cell(text=size(codec.encoded_bytes)),
            Cell(text=ratio(codec.ratio), small="" if codec.reached else "target not reached"),
            Cell(text=NOTHING if codec.target_ratio is None else ratio(codec.target_ratio)),
            words_cell(codec.description),
        )
        for codec in report.codecs
    ]
    return Table(
        caption="File sizes and compression ratios",
        head=(*head_cells("Codec", "size", "ratio", "asked for"), words_cell("Chain")),
        rows=tuple(rows),
    )


def matching_table(report: ReportInput) -> Table:
    """Return matched, lost, new, split and merged objects with interval, and the null of the replicates."""
    rows = []
    for codec, scores in pairs(report):
        cells = [_rate(getattr(scores.counts, name), scores.rates.get(name)) for name in RATES]
        rows.append((words_cell(codec.codec), Cell(text=str(scores.counts.n_other)), *cells))
    for null, names in _distinct_nulls(report):
        label = words_cell("replicates", "noise alone" if names is None else f"noise alone, for {names}")
        cells = [
            Cell(text=percent(null[name].value), small=_percent_interval(null[name]))
            if name in null
            else Cell(text=NOTHING)
            for name in RATES
        ]
        rows.append((label, Cell(text=NOTHING), *cells))
    return Table(
        caption="Objects found again, lost, new, split and merged",
        head=head_cells("Codec", "objects", *RATES),
        rows=tuple(rows),
        note=(
            f"Counts, then rates with Clopper-Pearson intervals at {plain(100 * report.scores.level)} %; for the "
            "replicates the mean rate and the range of 2.5 to 97.5 % of them."
        ),
    )


def _rate(count: int, rate: Estimate | None) -> Cell:
    if rate is None or not math.isfinite(rate.value):
        return Cell(text=str(count))
    return Cell(text=f"{count}  ({percent(rate.value)})", small=_percent_interval(rate))


def _percent_interval(rate: Estimate) -> str:
    if not (math.isfinite(rate.low) and math.isfinite(rate.high)):
        return ""
    return f"{fixed(100 * rate.low, 1)} to {fixed(100 * rate.high, 1)} %"


def _distinct_nulls(report: ReportInput) -> list[tuple[dict[str, Estimate], str | None]]:
    """Return the null rates once where all codecs share them, else one set a codec."""
    nulls = [(scores.codec, scores.null_rates) for scores in report.scores.codecs]
    if not nulls:
        return []
    shown = {repr(null) for _, null in nulls}
    return [(nulls[0][1], None)] if len(shown) == 1 else [(null, codec) for codec, null in nulls]
