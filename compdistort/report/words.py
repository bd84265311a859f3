"""What the report says in sentences: the headline, the problems that come first, and names for every quantity."""

import math
from collections.abc import Iterable
from typing import Any

from compdistort.measurands import AT, PLANAR, Measurands, volume_measurands
from compdistort.report.formatting import fixed, listing, number, percent, plain, ratio
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.score.columns import OBJECT_MEAN
from compdistort.score.decision import RAW_ALONE
from compdistort.score.results import CodecScores, QuantityScore

DERIVED = PLANAR.derived | volume_measurands().derived
"""Totals that follow from others."""
N_PROBLEMS = 3
_POOR = 0.8
_TOPICS = ("no ground truth", "estimated from")
"""What the report says in its own words; a warning about the same is left out."""
_ORDER = {"intolerable": 0, "undecided": 1, "tolerable": 2}


def principal(quantity: QuantityScore) -> bool:
    """Return whether a quantity is shown among the scores: not a total that follows from others, at any threshold."""
    return quantity.name.partition(AT)[0] not in DERIVED


def quantity_words(name: str, measurands: Measurands) -> str:
    """Return a quantity's name with what it means.

    Examples
    --------
    >>> from compdistort.measurands import PLANAR
    >>> quantity_words("Area", PLANAR)
    'Area (area, mean over objects)'
    """
    return f"{name} ({quantity_meaning(name, measurands)})"


def quantity_meaning(name: str, measurands: Measurands) -> str:
    """Return what a quantity is, without its name."""
    if name in measurands.total_names:
        return measurands.total(name).meaning
    return f"{measurands.parameter(name).meaning}, mean over objects"


def unit_words(unit: str) -> str:
    """Return a unit as the page prints it.

    Examples
    --------
    >>> unit_words("px^2"), unit_words("1"), unit_words("deg")
    ('px²', '', '°')
    """
    return {"1": "", "deg": "°"}.get(unit, unit.replace("^2", "²").replace("^3", "³"))


def size_symbol(measurands: Measurands) -> str:
    """Return the letter of an object's size, ``A`` or ``V``: the second total is the sum of it."""
    return measurands.total_names[1]


def size_unit(measurands: Measurands) -> str:
    """Return the unit of an object's size as the page prints it."""
    return unit_words(measurands.parameter(measurands.size).unit)


def delta_places(measurands: Measurands) -> int | None:
    """Return the places of a difference of sizes behind the point: two, unless a voxel is smaller than the unit."""
    return 2 if measurands.parameter(measurands.size).step >= 1 else None


def delta_words(measurands: Measurands, value: float) -> str:
    """Return a difference of sizes as the page prints it.

    Examples
    --------
    >>> from compdistort.measurands import PLANAR, volume_measurands
    >>> delta_words(PLANAR, 0.0042), delta_words(volume_measurands((0.5, 0.1, 0.1)), 0.0042)
    ('0.00', '0.00420')
    """
    places = delta_places(measurands)
    return number(value) if places is None else fixed(value, places)


def size_words(measurands: Measurands) -> tuple[str, str]:
    """Return the word for the size of an object, and the end of a name that tells its unit.

    Examples
    --------
    >>> from compdistort.measurands import PLANAR
    >>> size_words(PLANAR)
    ('area', '_px2')
    """
    unit = measurands.parameter(measurands.size).unit
    return measurands.size.lower(), "_" + unit.replace("^", "").replace("µ", "u")


def decisive(codec: CodecScores) -> QuantityScore | None:
    """Return the quantity with the worst decision and, among those, the largest deciding score."""
    known = [q for q in codec.quantities if q.decides and math.isfinite(q.deciding.value)]
    return min(known, key=lambda q: (_ORDER[q.decision], -abs(q.deciding.value)), default=None)


def raw_alone(codec: CodecScores) -> bool:
    """Return whether no replicate went through a codec, so that its verdict rests on E1."""
    return any(q.by == "E1" for q in codec.quantities)


def headline(report: ReportInput) -> tuple[str, ...]:
    """Return the answer in one or two sentences."""
    if not report.codecs:
        return ("This study holds no codec, so there is nothing to judge.",)
    if report.scores.n_objects == 0:
        return ("No object was found in the raw image, so no codec can be judged.",)
    by_verdict = {
        verdict: [codec for codec, scores in _pairs(report) if scores.verdict == verdict] for verdict in _ORDER
    }
    sentences = []
    useful = [codec for codec in by_verdict["tolerable"] if codec.ratio > 1]
    good = sorted(useful, key=lambda codec: codec.ratio, reverse=True)
    if good:
        best = good[0]
        sentences.append(f"Compression to {ratio(best.ratio)} with {best.codec} is tolerable.")
        if len(good) > 1:
            sentences.append(f"So {_is_are(good[1:])} {_named(good[1:])}.")
    else:
        sentences.append("No codec of this study that saves space is shown to be tolerable.")
    rest = [(verdict, by_verdict[verdict]) for verdict in ("intolerable", "undecided")]
    return (*sentences, *(f"{_named(chosen)} {_is_are(chosen)} {verdict}." for verdict, chosen in rest if chosen))


def _pairs(report: ReportInput) -> Iterable[tuple[CodecImage, CodecScores]]:
    return zip(report.codecs, report.scores.codecs, strict=True)


def _is_are(codecs: list[CodecImage]) -> str:
    return "is" if len(codecs) == 1 else "are"


def _named(codecs: list[CodecImage]) -> str:
    return listing([f"{codec.codec} ({ratio(codec.ratio)})" for codec in codecs])


def problems(report: ReportInput) -> tuple[str, ...]:
    """Return all that a reader must know before trusting a number, worst first, each thing once."""
    own = [*_classifier_problems(report.classifier), *_sensor_problems(report.sensor)]
    said = [topic for topic in _TOPICS if any(topic in text for text in own)]
    found = [
        *report.scores.warnings,
        *_verdict_problems(report),
        *(f"codec {codec.codec}: {RAW_ALONE}" for codec in report.scores.codecs if raw_alone(codec)),
        *_cancelling_problems(report),
        *_reach_problems(report),
        *own,
        *(text for text in report.warnings if not any(topic in text for topic in said)),
    ]
    if report.scores.n_objects == 0 and not any("object" in text for text in report.scores.warnings):
        found.insert(0, "no object was found in the raw image: check threshold, annotations and size limits")
    return tuple(dict.fromkeys(text[:1].upper() + text[1:] for text in found if text))


def _verdict_problems(report: ReportInput) -> Iterable[str]:
    """Name what decides against each codec, the worst codec first."""
    worst = []
    for codec in report.scores.codecs:
        q = decisive(codec)
        if codec.verdict == "tolerable" or report.scores.n_objects == 0:
            continue
        size = abs(q.deciding.value) if q is not None else 0.0
        reason = codec.reasons[0] if codec.reasons else _reason(q, report)
        worst.append((_ORDER[codec.verdict], -size, f"codec {codec.codec} is {codec.verdict}: {reason}"))
    return [text for *_, text in sorted(worst)]


def _cancelling_problems(report: ReportInput) -> Iterable[str]:
    """Name the tolerable codecs under which single objects change by more than the margin: a mean can cancel."""
    margin = report.scores.margin
    for codec in report.scores.codecs:
        wide = [q for q in codec.quantities if q.kind == OBJECT_MEAN and q.decides and q.paper_rms > margin]
        if codec.verdict != "tolerable" or not wide:
            continue
        worst = max(wide, key=lambda q: q.paper_rms)
        yield (
            f"codec {codec.codec} keeps the means, but single objects change by more than the margin in {len(wide)} of "
            f"{len(report.measurands.parameters)} parameters: {worst.name} by {fixed(worst.paper_rms)} s (rms of E1 "
            "over objects)"
        )


def _reason(q: QuantityScore | None, report: ReportInput) -> str:
    if q is None:
        return "no quantity has a score"
    named = quantity_words(q.name, report.measurands)
    return f"{named} has a score {q.by} of {fixed(q.deciding.value)}, margin {plain(report.scores.margin)}"


def _reach_problems(report: ReportInput) -> Iterable[str]:
    for codec in report.codecs:
        if not codec.reached and codec.target_ratio is not None:
            yield f"codec {codec.codec} reached {ratio(codec.ratio)} instead of {ratio(codec.target_ratio)}"


def from_threshold(classifier: dict[str, Any]) -> bool:
    """Return whether the classifier repeats a threshold instead of a person's annotations."""
    return "threshold" in str(classifier.get("label_source", "")).lower()


def _classifier_problems(classifier: dict[str, Any]) -> Iterable[str]:
    if from_threshold(classifier):
        yield "the annotations come from a threshold: there is no ground truth, and no statement about accuracy"
    for key, value in flat(classifier):
        name = key.lower()
        good = any(word in name for word in ("dice", "accuracy")) and "n_" not in name
        if good and isinstance(value, float) and value < _POOR:
            yield f"the pixel classifier is weak: {field_words(key)} is {percent(value)}"


def _sensor_problems(sensor: dict[str, Any]) -> Iterable[str]:
    if sensor.get("estimated"):
        yield "the sensor's noise is estimated from the raw image itself, not calibrated: every uncertainty rests on it"


def flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested dicts with dotted names, in order.

    Examples
    --------
    >>> flat({"a": {"b": 1}, "c": 2})
    [('a.b', 1), ('c', 2)]
    """
    out: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            out += flat(value, f"{prefix}{key}.")
        else:
            out.append((f"{prefix}{key}", value))
    return out


def field_words(key: str) -> str:
    """Return a dotted name as words.

    Examples
    --------
    >>> field_words("held_out.dice")
    'held out, dice'
    """
    words = key.replace("_", " ").replace(".", ", ")
    return words.replace("oob", "out-of-bag").replace("e per dn", "(e⁻/DN)").replace(" dn", " (DN)")


def value_words(value: Any) -> str:
    """Return any value of a description as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, dict):
        return "; ".join(f"{field_words(k)} {value_words(v)}" for k, v in flat(value)) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(value_words(v) for v in value) or "–"
    return str(value)
