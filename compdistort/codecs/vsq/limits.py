"""What settings the quantiser takes."""

import math
from typing import TYPE_CHECKING, Any

from compdistort.errors import ConfigError

if TYPE_CHECKING:
    from compdistort.codecs.vsq.quantiser import Quantiser

MIN_STEP, MAX_STEP = 0.05, 16.0
"""Cells in standard deviations of the noise."""
MAX_PLAIN_STEP = 1.5
"""Largest step of plain rounding: beyond it the noise of the image does not hide the steps (bias 0.005 sigma at 2)."""
KNEE = 1.5
DITHERS = ("subtractive", "none", "replaced")
"""Subtractive dither; plain rounding; and plain rounding whose cells are filled again at random, for studies alone."""
MAX_DB = 20.0
MAX_LATTICE = 1 << 15


def largest_step(dither: str) -> float:
    """Return the largest step that goes with a dither, in standard deviations of the noise."""
    return MAX_PLAIN_STEP if dither == "none" else MAX_STEP


def check_settings(quantiser: "Quantiser") -> None:
    """Raise ConfigError, which names the setting and its value, unless all settings are usable."""
    q = quantiser
    steps = f"{MIN_STEP:g} to {largest_step(q.dither):g} with dither = '{q.dither}'"
    power = is_power_of_two(q.lattice)
    room = power and is_whole(q.bottom) and is_whole(q.top) and q.bottom >= 0 and q.top <= q.law.max_dn
    for name, good, wanted in (
        ("dither", q.dither in DITHERS, " or ".join(DITHERS)),
        ("step", is_real(q.step) and MIN_STEP <= q.step <= largest_step(q.dither), steps),
        ("knee", is_knee(q.knee), "0 to 10"),
        ("lattice", power, f"a power of two up to {MAX_LATTICE}"),
        ("top", room and q.bottom // q.lattice + 3 <= q.top // q.lattice, f"above bottom, up to {q.law.max_dn}"),
        ("max_db", q.max_db is None or (is_real(q.max_db) and 0 < q.max_db <= MAX_DB), f"above 0, up to {MAX_DB:g}"),
        ("max_db", q.max_db is None or q.law.maps is None, "left out where the noise law has maps"),
    ):
        if not good:
            raise ConfigError(f"quantiser: {name} = {getattr(q, name)!r} is not usable", f"it must be {wanted}")


def is_whole(value: Any) -> bool:
    """Whether a value is an int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Whether a value is a finite number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_power_of_two(value: Any) -> bool:
    """Whether a value is a power of two that a lattice may have."""
    return is_whole(value) and 0 < value <= MAX_LATTICE and value & (value - 1) == 0


def is_knee(value: Any) -> bool:
    """Whether a value may be a knee."""
    return is_real(value) and 0 <= value <= 10
