"""What the report says in sentences: the headline, the problems that come first, and names for every quantity."""

import math
from collections.abc import Iterable
from typing import Any

from compdistort.report.formatting import fixed, listing, percent, plain, ratio
from compdistort.report.inputs import CodecImage, ReportInput
from compdistort.score.results import CodecScores, QuantityScore

TOTAL_WORDS = {
    "N": ("number of objects", ""),
    "A": ("total area", "px²"),
    "mean_area": ("mean area", "px²"),
}
"""Words and unit of each image total."""

PARAMETER_WORDS = {
    "Area": ("area", "px²"),
    "XM": ("centre of mass, column", "px"),
    "YM": ("centre of mass, row", "px"),
    "Perim.": ("perimeter", "px"),
    "Major": ("major axis of the fitted ellipse", "px"),
    "Minor": ("minor axis of the fitted ellipse", "px"),
    "Angle": ("angle of the major axis, axial (period 180°)", "°"),
    "Circ.": ("circularity, 4π area / perimeter²", ""),
    "Feret": ("largest caliper diameter", "px"),
    "FeretX": ("column of an end of the largest diameter", "px"),
    "FeretY": ("row of an end of the largest diameter", "px"),
    "FeretAngle": ("angle of the largest diameter, axial (period 180°)", "°"),
    "MinFeret": ("smallest caliper diameter", "px"),
    "AR": ("aspect ratio, major / minor axis", ""),
    "Round": ("roundness, 4 area / (π major axis²)", ""),
    "Solidity": ("area / area of the convex hull", ""),
    "FeretAR": ("largest / smallest caliper diameter", ""),
    "Compact": ("compactness, √(4 area / π) / major axis", ""),
    "Extent": ("area / area of the bounding box", ""),
}
"""Words and unit of each of the 19 object parameters, under ImageJ's column names."""

N_PROBLEMS = 3
_POOR = 0.8
_TOPICS = ("no ground truth", "estimated from")
"""What the report says in its own words; a warning about the same is left out."""
_ORDER = {"intolerable": 0, "undecided": 1, "tolerable": 2}


def principal(quantity: QuantityScore) -> bool:
    """Return whether a quantity is one of N, A and the 19 object means; mean area follows from the first two."""
    return quantity.name != "mean_area"


def quantity_words(name: str) -> str:
    """Return a quantity's name with what it means.

    Examples
    --------
    >>> quantity_words("Area")
    'Area (area, mean over objects)'
    """
    return f"{name} ({quantity_meaning(name)})"


def quantity_meaning(name: str) -> str:
    """Return what a quantity is, without its name."""
    return TOTAL_WORDS[name][0] if name in TOTAL_WORDS else f"{PARAMETER_WORDS[name][0]}, mean over objects"


def decisive(codec: CodecScores) -> QuantityScore | None:
    """Return the quantity with the worst decision and, among those, the largest expected score."""
    known = [q for q in codec.quantities if q.decides and math.isfinite(q.expected.value)]
    return min(known, key=lambda q: (_ORDER[q.decision], -abs(q.expected.value)), default=None)


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
        size = abs(q.expected.value) if q is not None else 0.0
        reason = codec.reasons[0] if codec.reasons else _reason(q, report.scores.margin)
        worst.append((_ORDER[codec.verdict], -size, f"codec {codec.codec} is {codec.verdict}: {reason}"))
    return [text for *_, text in sorted(worst)]


def _cancelling_problems(report: ReportInput) -> Iterable[str]:
    """Name the tolerable codecs under which single objects change by more than the margin: a mean can cancel."""
    margin = report.scores.margin
    for codec in report.scores.codecs:
        wide = [q for q in codec.quantities if q.name in PARAMETER_WORDS and q.decides and q.paper_rms > margin]
        if codec.verdict != "tolerable" or not wide:
            continue
        worst = max(wide, key=lambda q: q.paper_rms)
        yield (
            f"codec {codec.codec} keeps the means, but single objects change by more than the margin in {len(wide)} of "
            f"{len(PARAMETER_WORDS)} parameters: {worst.name} by {fixed(worst.paper_rms)} s (rms of E1 over objects)"
        )


def _reason(q: QuantityScore | None, margin: float) -> str:
    if q is None:
        return "no quantity has a score"
    return f"{quantity_words(q.name)} has an expected score of {fixed(q.expected.value)}, margin {plain(margin)}"


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
