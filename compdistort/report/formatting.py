"""Numbers as a reader wants them: few digits, a true minus, a dash where there is nothing."""

import math
from collections.abc import Sequence

from compdistort.score.results import Estimate

NOTHING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits.

    Parameters
    ----------
    value : float or None
        None and NaN give a dash.
    digits : int
        Significant digits; those before the decimal point are always kept.

    Examples
    --------
    >>> number(-0.12345), number(12345.6), number(float("nan")), number(2e-7)
    ('−0.123', '12 346', '–', '2 × 10⁻⁷')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e9:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace(",", " ").replace("-", "−")


def fixed(value: float | None, places: int = 2) -> str:
    """Return a number with a fixed number of decimals, so that a column lines up.

    Examples
    --------
    >>> fixed(-1.234), fixed(0.0001), fixed(-0.0001)
    ('−1.23', '0.00', '0.00')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 1000:
        return number(value)
    text = f"{value:.{places}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def interval(estimate: Estimate, places: int | None = None) -> str:
    """Return ``low to high`` of an estimate; empty where it has none."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return ""
    show = (lambda x: fixed(x, places)) if places is not None else number
    return f"{show(estimate.low)} to {show(estimate.high)}"


def percent(fraction: float | None, digits: int = 3) -> str:
    """Return a fraction in percent.

    Examples
    --------
    >>> percent(0.12345), percent(1.0)
    ('12.3 %', '100 %')
    """
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    return f"{number(100 * fraction, digits)} %"


def plain(value: float) -> str:
    """Return a setting as it was chosen, without padding zeros.

    Examples
    --------
    >>> plain(1.0), plain(0.458)
    ('1', '0.458')
    """
    return f"{value:g}".replace("-", "−")


def p_value(value: float) -> str:
    """Return a p value; tiny ones as a bound."""
    if not math.isfinite(value):
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def ratio(value: float) -> str:
    """Return a compression ratio.

    Examples
    --------
    >>> ratio(10.04)
    '10.0:1'
    """
    return f"{number(value)}:1" if math.isfinite(value) else NOTHING


def size(n_bytes: float) -> str:
    """Return a file size in decimal units.

    Examples
    --------
    >>> size(2_400_000), size(17)
    ('2.40 MB', '17 B')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{number(n_bytes / scale)} {unit}"
    return f"{n_bytes:.0f} B"


def relative_half_width(estimate: Estimate) -> float:
    """Return half the width of the interval over the value; NaN where either is missing."""
    if not (estimate.value > 0 and math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return math.nan
    return (estimate.high - estimate.low) / (2 * estimate.value)


def short(name: str, length: int = 22) -> str:
    """Return a name that fits into a figure; what is left out shows as an ellipsis."""
    return name if len(name) <= length else name[: length - 1] + "…"


def listing(words: Sequence[str]) -> str:
    """Return words joined as in a sentence.

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> plural(1, "object"), plural(0, "object")
    ('1 object', '0 objects')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")
