"""The tables that go into detail: all scores, double-noise shift, sensor, shape of the scene."""

import math
import string

from compdistort.report.formatting import NOTHING, fixed, interval, number, p_value, percent, plain
from compdistort.report.geometry import BOUNDARY, Geometry
from compdistort.report.inputs import ReportInput
from compdistort.report.tables import Cell, Table, estimate_cell, head_cells, pairs, verdict_cell, words_cell
from compdistort.report.words import size_symbol, size_unit, unit_words
from compdistort.score.results import CodecScores, Estimate, QuantityScore

SHIFT_LIMIT = 0.5
"""Beyond this double-noise shift, replicates are not raw-equivalent for a quantity."""


def totals_table(report: ReportInput) -> Table:
    """Return every total, raw and after every codec, with its uncertainty and scores (the paper's Table 2).

    Parameters
    ----------
    report : ReportInput
        A study with at least one codec.
    """
    rows = []
    for index, total in enumerate(report.measurands.totals):
        of_codecs = [codec.quantities[index] for codec in report.scores.codecs]
        spread = report.scores.total_uncertainty.get(total.name)
        unit = unit_words(total.unit)
        rows.append(
            (
                words_cell(total.name.replace("_", " "), total.meaning + (f", {unit}" if unit else "")),
                Cell(text=_total(of_codecs[0].raw)),
                Cell(text=NOTHING) if spread is None else estimate_cell(spread),
                *(
                    Cell(text=_total(q.compressed), small=f"{fixed(q.paper.value)} / {fixed(q.expected.value)}")
                    for q in of_codecs
                ),
            )
        )
    return Table(
        caption="Totals of the raw image, their uncertainty, and what every codec makes of them",
        head=(*head_cells("Total", "raw", "s"), *(Cell(text=one.codec, small="E1 / E3") for one in report.codecs)),
        rows=tuple(rows),
        note=f"Under s its interval at {plain(100 * report.scores.level)} %; under every value its scores E1 and E3.",
        css_class="dense",
    )


def _total(value: float) -> str:
    """Return a total: whole numbers as they are, others with five digits."""
    return number(value, 1 if value.is_integer() and abs(value) < 1e9 else 5)


def shift_table(report: ReportInput) -> Table:
    """Return the double-noise shift of every quantity, the largest first."""

    def reach(item: tuple[str, Estimate]) -> float:
        return abs(item[1].value) if math.isfinite(item[1].value) else -1.0

    ordered = sorted(report.scores.shifts.items(), key=reach, reverse=True)
    rows = tuple(
        (
            words_cell(name.replace("_", " ")),
            Cell(text=fixed(shift.value)),
            Cell(text=interval(shift, 2)),
            words_cell("; ".join(["beyond ±0.5"] * (abs(shift.value) > SHIFT_LIMIT) + [*shift.flags])),
        )
        for name, shift in ordered
    )
    return Table(
        caption="Double-noise shift, largest first",
        head=(*head_cells("Quantity", "b", "interval"), words_cell("Remarks")),
        rows=rows,
        note=(
            f"b = (mean over replicates − raw) / s. Beyond ±{SHIFT_LIMIT} the replicates are not raw-equivalent for "
            "that quantity. The verdict rests on paired scores, which the shift does not enter."
        ),
        css_class="dense narrow",
    )


def score_table(scores: CodecScores, level: float) -> Table:
    """Return every score of one codec; remarks are letters that the note below explains."""
    remarks = dict.fromkeys(remark for q in scores.quantities for remark in _remarks(q))
    letters = dict(zip(remarks, _letters(len(remarks)), strict=True))
    explained = "".join(f" ({letter}) {remark}." for remark, letter in letters.items())
    return Table(
        caption=f"All scores of {scores.codec}",
        head=(
            *head_cells("Quantity", "raw", "compressed", "s", "E1", "spread", "rms", "E3"),
            Cell(text="p", small="tolerable"),
            Cell(text="p", small="intolerable"),
            words_cell("Decision"),
        ),
        rows=tuple(_score_cells(q, letters) for q in scores.quantities),
        note=(
            f"Intervals at {plain(100 * level)} %. First the totals, then means over matched objects. "
            f"A dash as decision: not part of the verdict.{explained}"
        ),
        css_class="dense",
    )


def _remarks(q: QuantityScore) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*q.flags, *q.uncertainty.flags, *q.paper.flags, *q.expected.flags]))


def _letters(count: int) -> list[str]:
    """Return a, b, ... z, aa, ab, ..."""
    alphabet = string.ascii_lowercase
    return [*alphabet, *(a + b for a in alphabet for b in alphabet)][:count]


def _score_cells(q: QuantityScore, letters: dict[str, str]) -> tuple[Cell, ...]:
    mark = ", ".join(letters[remark] for remark in _remarks(q))
    return (
        Cell(text=q.name.replace("_", " "), mark=mark, number=False),
        Cell(text=number(q.raw, 4)),
        Cell(text=number(q.compressed, 4)),
        estimate_cell(q.uncertainty),
        estimate_cell(q.paper, 2),
        Cell(text=fixed(q.paper_spread)),
        Cell(text=fixed(q.paper_rms)),
        estimate_cell(q.expected, 2),
        Cell(text=p_value(q.p_tolerable)),
        Cell(text=p_value(q.p_intolerable)),
        verdict_cell(q.decision) if q.decides else words_cell(NOTHING),
    )


def sensor_table(report: ReportInput) -> Table:
    """Return the sensor model, one row a region, both ways of writing the gain."""
    rows = []
    for region in report.sensor.get("regions", []):
        gain = region["gain_e_per_dn"]
        error = region.get("gain_dn_per_e_standard_error")
        full = region.get("saturation_dn")
        rows.append(
            (
                words_cell(str(region.get("name", "frame")), "estimated" if report.sensor.get("estimated") else ""),
                Cell(text=number(1 / gain, 4), small="" if error is None else f"± {number(1.96 * error, 2)} (95 %)"),
                Cell(text=number(gain, 4)),
                Cell(text=number(region["offset_dn"], 4)),
                Cell(text=number(region["read_noise_e"]), small=f"{number(region['read_noise_e'] / gain)} DN"),
                Cell(text="not known" if full is None else number(full, 5)),
            )
        )
    return Table(
        caption="Sensor model",
        head=head_cells("Region", "gain K, DN/e⁻", "gain, e⁻/DN", "offset, DN", "read noise, e⁻", "saturation, DN"),
        rows=tuple(rows),
        note="Read noise is without the 1/12 DN² of rounding to whole numbers.",
    )


def geometry_table(report: ReportInput, shape: Geometry) -> Table:
    """Return the shape of the scene and how much of the size spread each outline pixel carries."""
    measurands, symbol = report.measurands, size_symbol(report.measurands)
    size, border = measurands.size.lower(), measurands.parameter(BOUNDARY[measurands.size]).meaning
    facts = [
        ("objects", str(shape.n_objects)),
        ("part of the image covered by objects", percent(shape.cover)),
        (f"median {size} of an object, {size_unit(measurands)}", number(shape.median_size)),
        ("outline pixels of an object, mean", number(shape.boundary_pixels)),
        ("part of the object pixels that lie on an outline", percent(shape.boundary_share)),
        (f"{border} / {size}, 1/{unit_words(measurands.parameters[0].length)}", number(shape.boundary_per_size)),
    ]
    if report.recorded is None:
        facts.append(("contrast of objects, in units of pixel noise", number(shape.contrast)))
    for codec, scores in pairs(report):
        spread = scores.delta_size.spread.value
        facts.append((f"s.d. of Δ{symbol} over median {size}, {codec.codec}", percent(spread / shape.median_size)))
    return Table(
        caption="Shape of the scene",
        head=head_cells("", "value"),
        rows=tuple((words_cell(name), Cell(text=value)) for name, value in facts),
        note="" if report.volume is None else "Pixels are those of the plane that is shown.",
        css_class="narrow dense",
    )
