"""What the report tells of the steps between what was recorded and what the classifier sees."""

from typing import Any

from compdistort.report.formatting import NOTHING
from compdistort.report.inputs import RecordedView, ReportInput
from compdistort.report.tables import Table, words_cell
from compdistort.report.words import value_words


def shape_words(shape: tuple[int, ...]) -> str:
    """Return a shape as it is read, on one line.

    Examples
    --------
    >>> shape_words((120, 96, 96)).split()
    ['120', '×', '96', '×', '96']
    """
    return "\u00a0×\u00a0".join(map(str, shape))


def steps_table(recorded: RecordedView) -> Table:
    """Return every step in words, what it found on the raw image, and the shape of what it makes."""
    rows = tuple(
        (
            words_cell(f"{number} {one.name}"),
            words_cell(one.words[:1].upper() + one.words[1:]),
            words_cell(value_words(one.found) if one.found else NOTHING),
            words_cell(shape_words(one.shape)),
        )
        for number, one in enumerate(recorded.steps, start=1)
    )
    return Table(
        caption="Steps between what was recorded and what the classifier sees",
        head=tuple(words_cell(text) for text in ("Step", "does", "found on the raw image", "shape after it")),
        rows=rows,
        note=f"Recorded: {shape_words(recorded.shape)}.",
        css_class="dense",
    )


def methods_words(recorded: RecordedView) -> str:
    """Return the steps as sentences of the methods paragraph."""
    listed = "; ".join(f"({number}) {one.words}" for number, one in enumerate(recorded.steps, start=1))
    return f"Every image then went through the same steps before it was classified: {listed}."


def steps_dict(recorded: RecordedView) -> dict[str, Any]:
    """Return what was recorded and the steps as data for the twin."""
    return {
        "shape": recorded.shape,
        "frame_shown": recorded.frame,
        "steps": [
            {"id": one.name, "words": one.words, "found": one.found, "shape": one.shape} for one in recorded.steps
        ],
    }


def page_parts(report: ReportInput) -> dict[str, Any] | None:
    """Return what the page shows of the steps; None where there are none."""
    recorded = report.recorded
    if recorded is None:
        return None
    frame = "the recorded image" if recorded.frame is None else f"frame {recorded.frame} of what was recorded"
    return {"table": steps_table(recorded), "frame": frame, "shape": shape_words(recorded.shape)}
