"""Every symbol of the report with its meaning."""

from compdistort.measurands import Measurands
from compdistort.report.words import size_symbol, size_unit, unit_words

SYMBOLS = (
    ("DN", "Digital number: the grey level that the camera wrote."),
    ("e⁻", "Photo-electron."),
    ("K", "Conversion gain in DN/e⁻; its reciprocal in e⁻/DN is given beside it."),
    ("offset", "Grey level without light, DN."),
    ("read noise", "Noise without light in e⁻, without the 1/12 DN² that rounding to whole numbers adds."),
    ("σ of the pixel", "Standard deviation of one pixel over the replicates, DN."),
    ("σ of a residual", "Standard deviation of the sensor noise at the expected grey level, rounding included, DN."),
    ("added noise", "What an independent error adds to the variance of a pixel: 10 log₁₀(after / before), dB."),
    (
        "fine grain",
        "Root mean square of the second difference of the decoded image along rows and columns, over that of the raw "
        "image: 1 unchanged, below smoothed, above noise added.",
    ),
    (
        "offset, E1 without offset",
        "The mean residual of all pixels, a constant; E1 of the decoded image once it is taken out. The rest is lost.",
    ),
    ("replicate", "The raw image with a new draw of sensor noise: what a second exposure would have looked like."),
    ("χ raw, χ c", "A predicted quantity in the raw image and in its compressed version."),
    ("s", "Uncertainty of a quantity: its standard deviation over the replicates (the paper's σ raw)."),
    (
        "E1",
        "The paper's standard score ε = (χ raw − χ c) / s. Object means: averaged over objects.",
    ),
    (
        "E3",
        "Expected standard score: the mean over replicates of χ(replicate) − χ(compressed replicate), over s. "
        "The verdict rests on it; on E1 where no replicate could go through the codec, as where only a decoded file "
        "is at hand.",
    ),
    ("rms", "Root mean square of E1 over objects: unlike a mean, it cannot cancel."),
    (
        "margin",
        "Largest score that is tolerated, in units of s. A score of 1 makes the whole uncertainty 41 % larger, 0.458 "
        "makes it 10 % larger, 0.32 makes it 5 % larger.",
    ),
    ("tolerable", "Every E3 of totals and object means is shown to lie within the margin (two one-sided tests)."),
    ("intolerable", "At least one E3 is shown to lie beyond the margin (Holm's correction over all quantities)."),
    ("undecided", "Neither is shown, or too few objects are matched: more replicates may decide."),
    ("p tolerable", "Larger p value of the two one-sided tests that E3 lies within the margin; small means tolerable."),
    ("p intolerable", "p value that E3 lies beyond the margin, after Holm; small means intolerable."),
    (
        "b",
        "Double-noise shift: (mean over replicates − χ raw) / s. Replicates carry noise twice; beyond ±0.5 they are "
        "not raw-equivalent for that quantity.",
    ),
    ("matched", "Objects paired one to one with the nearest centre within the matching radius."),
    ("lost, new", "Raw objects without partner; objects after compression without raw partner."),
    ("split, merged", "Raw objects that two or more objects overlap; objects that overlap two or more raw ones."),
    ("noise alone", "The same rate or spread between replicates and the raw image: the null of a comparison."),
    ("ratio", "Size against 2 bytes a pixel of the raw file."),
    ("limited by resolution", "The quantity does not change between replicates, or by less than its own step."),
    (
        "event-driven",
        "A few replicates dominate s (kurtosis above 6), or they fall into two groups, as where an object splits or "
        "its largest diameter turns: s depends on rare events, and needs more replicates.",
    ),
    (
        "changed objects without spread",
        "Objects that a codec changes although no more than one replicate does: they have no s to divide by and are "
        "left out. Where they are many, the quantity decides nothing.",
    ),
    ("out-of-bag", "Error of the forest on annotated pixels that a tree was not trained on."),
    ("Dice", "2 × overlap / sum of two masks: 1 is perfect agreement."),
)
"""Symbols and words of the report, apart from the measured quantities."""


def glossary(measurands: Measurands) -> tuple[tuple[str, str], ...]:
    """Return every symbol with its meaning, the measured quantities last."""
    size = measurands.size
    delta = (
        f"Δ{size_symbol(measurands)}",
        f"{size} in the raw image minus {size.lower()} after compression, of one matched object, "
        f"{size_unit(measurands)}.",
    )
    totals = ((total.name, _sentence(total.meaning, unit_words(total.unit))) for total in measurands.totals)
    parameters = ((p.column, _sentence(p.meaning, unit_words(p.unit))) for p in measurands.parameters)
    return (*SYMBOLS, delta, *totals, *parameters)


def _sentence(words: str, unit: str) -> str:
    return words[:1].upper() + words[1:] + (f", {unit}." if unit else ".")
