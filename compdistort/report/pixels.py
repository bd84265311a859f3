"""What the report tells of what a codec does to pixels: tables, remarks, and the rows of CSV and twin."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from compdistort.report.figures_pixels import pixel_figures
from compdistort.report.formatting import fixed, listing, number
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.report.tables import Cell, Table, head_cells, pairs, words_cell
from compdistort.score.columns import TOTAL
from compdistort.score.pixel_results import PixelStatistics
from compdistort.score.pixels import WINDOW
from compdistort.score.results import CodecScores, QuantityScore

_NAMES = (
    "n_pixels", "offset_dn", "bias", "spread", "rms", "largest", "added_db", "lag_rows", "lag_columns", "grain",
    "brightness",
)  # fmt: skip
PIXEL_COLUMNS = ("codec", *_NAMES, "worst_bias", "worst_low_dn", "worst_high_dn")
CLASS_COLUMNS = ("codec", "low_dn", "high_dn", "pixels", "bias", "spread")
SPECTRUM_COLUMNS = ("codec", "cycles_per_pixel", "power")

_SHIFTS, _FOLLOWS, _COLOURED, _SMOOTHS, _ROUGHENS = 0.05, 0.1, 0.05, 0.9, 1.1
"""From here on the page says of a codec that it shifts, follows the brightness, is not white, smooths, adds noise."""


def known(report: ReportInput) -> list[tuple[CodecImage, PixelStatistics]]:
    """Return the codecs whose pixel statistics were recorded."""
    return [(codec, codec.pixels) for codec in report.codecs if codec.pixels is not None]


def pixel_table(found: Sequence[tuple[CodecImage, PixelStatistics]]) -> Table:
    """Return the pixel statistics of every codec."""
    rows = tuple((words_cell(codec.codec), *_cells(pixels)) for codec, pixels in found)
    return Table(
        caption="Residual (decoded − raw) / σ of all pixels",
        head=(
            *head_cells("Codec", "bias"),
            Cell(text="worst class", small="grey levels"),
            *head_cells("", "s.d.", "rms", "largest")[1:],
            Cell(text="correlation", small="rows / columns"),
            Cell(text="added noise", small="dB"),
            *head_cells("", "fine grain")[1:],
            Cell(text="correlation", small="with brightness"),
        ),
        rows=rows,
        note=(
            "Worst class: the largest |bias| of the brightness classes. Added noise: 10 log₁₀(1 + s.d.²), which holds "
            "for an error that does not depend on the noise. Fine grain: 1 as in the raw image, below smoothed, above "
            "noise added. All classes and spectra are in tables/pixel_classes.csv and tables/pixel_spectrum.csv."
        ),
        css_class="dense",
    )


def _cells(pixels: PixelStatistics) -> tuple[Cell, ...]:
    worst = pixels.worst
    return (
        Cell(text=fixed(pixels.bias, 3), small=f"{number(pixels.offset_dn)} DN"),
        Cell(text=fixed(worst.bias, 3), small=f"{worst.low} to {worst.high}"),
        Cell(text=fixed(pixels.spread, 3)),
        Cell(text=fixed(pixels.rms, 3)),
        Cell(text=fixed(pixels.largest, 1)),
        Cell(text=f"{fixed(pixels.lag_rows)} / {fixed(pixels.lag_columns)}"),
        Cell(text=fixed(pixels.added_db)),
        Cell(text=fixed(pixels.grain)),
        Cell(text=fixed(pixels.brightness)),
    )


def split_table(report: ReportInput) -> Table:
    """Return of every codec how much of E1 is a constant that can be taken out, and what is left."""
    shown = [(codec, split_quantities(scores)) for codec, scores in pairs(report) if codec.pixels is not None]
    totals = [q.name for q in shown[0][1] if q.kind == TOTAL]
    return Table(
        caption="Removable offset and information lost",
        head=(
            words_cell("Codec"),
            *(Cell(text=name, small=report.measurands.total(name).meaning) for name in totals),
            Cell(text="object mean", small="with the largest |E1|"),
        ),
        rows=tuple((words_cell(codec.codec), *map(_split_cell, quantities)) for codec, quantities in shown),
        note=(
            "E1; under it, the part of it that is an offset, and what is left: the mean of raw − decoded over all "
            "pixels was added to the decoded raw image, which then went through the chain again. All quantities are "
            "in tables/scores.csv."
        ),
        css_class="dense",
    )


def _split_cell(q: QuantityScore) -> Cell:
    name = "" if q.kind == TOTAL else f"{q.name} "
    left = q.paper_without_offset
    return Cell(text=f"{name}{fixed(q.paper.value)}", small=f"{fixed(q.paper.value - left)} and {fixed(left)}")


def split_quantities(scores: CodecScores) -> list[QuantityScore]:
    """Return the quantities whose split is shown: totals that decide, and the object mean with the largest |E1|."""
    totals = [q for q in scores.quantities if q.kind == TOTAL and q.decides]
    means = [q for q in scores.quantities if q.kind != TOTAL]
    return [*totals, max(means, key=lambda q: abs(q.paper.value) if math.isfinite(q.paper.value) else -1.0)]


def remarks(codec: str, pixels: PixelStatistics) -> str:
    """Return what stands out in a codec's pixels: a sentence, or nothing.

    Parameters
    ----------
    codec : str
        Its name.
    pixels : PixelStatistics
        Its statistics.

    Returns
    -------
    str
    """
    if pixels.rms == 0:
        return ""
    said = []
    if abs(pixels.bias) >= _SHIFTS:
        said.append(f"shifts the mean pixel by {fixed(pixels.bias, 3)} σ ({number(pixels.offset_dn)} DN)")
    if abs(pixels.brightness) >= _FOLLOWS:
        said.append(f"changes bright and dark places differently (correlation {fixed(pixels.brightness)})")
    if pixels.grain <= _SMOOTHS:
        said.append(f"smooths (fine grain {fixed(pixels.grain)})")
    if pixels.grain >= _ROUGHENS:
        said.append(f"adds noise (fine grain {fixed(pixels.grain)})")
    lag = max(pixels.lag_rows, pixels.lag_columns, key=abs)
    if abs(lag) >= _COLOURED:
        said.append(f"leaves a residual whose neighbours depend on each other (correlation {fixed(lag)})")
    return f"{codec} {listing(said)}." if said else f"{codec} leaves a white residual without bias."


def page_parts(report: ReportInput) -> dict[str, Any] | None:
    """Return what the page shows of the pixels; None where no codec has statistics (a study of an earlier version)."""
    found = known(report)
    if not found:
        return None
    still = [codec.codec for codec, pixels in found if pixels.rms == 0]
    return {
        "table": pixel_table(found),
        "split": split_table(report),
        "figures": pixel_figures(found),
        "remarks": [text for codec, pixels in found if (text := remarks(codec.codec, pixels))],
        "still": f"No pixel changes under {listing(still)}." if still else "",
        "missing": listing([codec.codec for codec in report.codecs if codec.pixels is None]),
        "window": WINDOW,
        "n_pixels": f"{found[0][1].n_pixels:,}".replace(",", " "),
    }


def pixel_rows(report: ReportInput) -> Iterable[Sequence[Any]]:
    """Give a row of `PIXEL_COLUMNS` for every codec with statistics."""
    for codec, pixels in known(report):
        worst = pixels.worst
        yield codec.codec, *(getattr(pixels, name) for name in _NAMES), worst.bias, worst.low, worst.high


def class_rows(report: ReportInput) -> Iterable[Sequence[Any]]:
    """Give a row of `CLASS_COLUMNS` for every codec and brightness class."""
    for codec, pixels in known(report):
        yield from ((codec.codec, c.low, c.high, c.n_pixels, c.bias, c.spread) for c in pixels.classes)


def spectrum_rows(report: ReportInput) -> Iterable[Sequence[Any]]:
    """Give a row of `SPECTRUM_COLUMNS` for every codec and frequency."""
    for codec, pixels in known(report):
        yield from ((codec.codec, *point) for point in zip(pixels.frequencies, pixels.spectrum, strict=True))
