"""The link between 16 bit and the few bits of a coder, and the way back: every policy has a name.

The paper does not say how its images became 8 bit or came back; the way taken can move the numbers more than the 8 bits
do. So the range of grey levels, the rounding and the inverse are each named, with ImageJ's formula as the default:
``min(255, floor((v - min) * 256 / (max - min + 1) + 0.5))``.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.base import Levels
from compdistort.codecs.depth_scale import DepthScale
from compdistort.errors import ConfigError
from compdistort.grey_levels import N_LEVELS, GreyLevels

ROUNDINGS = ("imagej", "floor", "round")
INVERSES = ("exact", "naive255", "shift", "midpoint", "none")
_RANGES = "full, minmax, display(low,high), percentile(p) or bits(n)"
_FORMS = {
    "full": r"full",
    "minmax": r"minmax",
    "display": r"display\((\d+),(\d+)\)",
    "percentile": r"percentile\((\d+(?:\.\d+)?)\)",
    "bits": r"bits\((\d+)\)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthLink:
    """How 16 bit become fewer, and come back.

    Attributes
    ----------
    bits : int
        Bits of a code: 8, 12, or 16 for coders that take their codes as parts of the full scale.
    camera_bits : int
        Significant bits of the camera, `bits` (8 with 16) to 16: the top of the range ``full``, and the n of the shift.
    range : str
        ``full`` (0 to 2**camera_bits - 1), ``minmax`` (of the image or whole stack), ``display(low,high)`` in DN,
        ``percentile(p)`` (p % of the pixels saturated, half at each end) or ``bits(n)`` (0 to 2**n - 1).
        Default ``minmax``; ``full`` with the inverse ``shift``.
    rounding : str
        With L = 2**bits levels and d = high - low: ``imagej`` floor((v - low) L / (d + 1) + 0.5), ``floor`` the same
        without 0.5 (on a whole range of bits: ``v >> n``), ``round`` floor((v - low) (L - 1) / d + 0.5). Values outside
        the range are clipped. Default ``imagej``; ``floor`` with the inverse ``shift``. With 12 bits a range that
        fits is only moved to 0, never stretched; with 8 and 16 every range is stretched over all codes.
    inverse : str
        ``exact``: the forward scale backwards; ``naive255``: low + code d / (L - 1), right for ``round`` and a common
        mistake otherwise; ``shift``: ``code << n``; ``midpoint``: the mean of the grey levels that share the code;
        ``none``: the code itself, as ImageJ's 8-bit to 16-bit conversion does.
    """

    bits: int
    camera_bits: int
    range: str
    rounding: str
    inverse: str

    def __post_init__(self) -> None:
        least = 8 if self.bits == 16 else self.bits
        if not (isinstance(self.camera_bits, int) and least <= self.camera_bits <= 16):
            raise ConfigError(f"camera_bits = {self.camera_bits!r} is not possible", f"use {least} to 16")
        for key, value, known in (("rounding", self.rounding, ROUNDINGS), ("inverse", self.inverse, INVERSES)):
            if value not in known:
                raise ConfigError(f"{key} = {value!r} is unknown", f"use {', '.join(known)}")
        policy, numbers = parse_range(self.range)
        low, high = numbers if policy == "display" else (0, 1)
        if not low < high < N_LEVELS:
            raise ConfigError(
                f"range = {self.range!r} is empty or above 65535", "use display(low,high) with low < high"
            )
        if policy == "percentile" and not numbers[0] < 100:
            raise ConfigError(f"range = {self.range!r} saturates everything", "use less than 100 %")
        if policy == "bits" and not least <= numbers[0] <= 16:
            raise ConfigError(f"range = {self.range!r} is not possible", f"use bits({least}) to bits(16)")
        if self.inverse == "shift" and self.bits == 16:
            raise ConfigError("inverse = 'shift' does not go with codes of 16 bit", "use inverse = 'exact'")
        if self.inverse == "shift" and (policy not in ("full", "bits") or self.rounding != "floor"):
            raise ConfigError(
                f"inverse = 'shift' does not go with range = {self.range!r}, rounding = {self.rounding!r}",
                "use range = 'full' or 'bits(n)' and rounding = 'floor', or another inverse",
            )

    @classmethod
    def resolved(cls, bits: int, camera_bits: int, range_: str, rounding: str, inverse: str) -> "DepthLink":
        """Build a link in which empty settings have become their defaults."""
        shift = inverse == "shift"
        return cls(
            bits=bits,
            camera_bits=camera_bits,
            range=(range_ if isinstance(range_, str) else repr(range_)).replace(" ", "")
            or ("full" if shift else "minmax"),
            rounding=rounding or ("floor" if shift else "imagej"),
            inverse=inverse,
        )

    def scale(self, counted: Levels) -> DepthScale:
        """Return the tables for one image; ``minmax`` and ``percentile`` are taken from it, stack-wide.

        Parameters
        ----------
        counted : callable
            Returns the `GreyLevels` of the image; called for ``minmax`` and ``percentile`` alone.

        Returns
        -------
        DepthScale
        """
        low, high = self._limits(counted)
        codes = self._codes(low, high)
        levels = self._levels(low, high, codes)
        whole = bool((levels == np.rint(levels)).all())
        return DepthScale(
            low=low,
            high=high,
            codes=codes.astype(np.uint8 if self.bits == 8 else np.uint16),
            # Codes above that of the highest grey level come from lossy coders alone; words end at 65535 for them too.
            levels=np.minimum(levels, N_LEVELS - 1).astype(np.uint16 if whole else np.float32),
            step=self._step(low, high),
            side_bytes={"none": 0, "shift": 1}.get(self.inverse, 4),  # low and high as two 16-bit numbers
        )

    def describe_forward(self) -> str:
        """Return the way down in words."""
        words = {
            "imagej": "ImageJ's formula",
            "floor": "rounding down",
            "round": f"rounding on a scale of {2**self.bits - 1} steps",
        }
        policy, numbers = parse_range(self.range)
        over = {
            "full": f"over the {self.camera_bits} bits of the camera",
            "minmax": "from the lowest to the highest grey level of each image",
            "percentile": f"with {numbers[0] if numbers else 0:g} % of the pixels saturated",
            "display": "from {:g} to {:g} DN".format(*numbers) if policy == "display" else "",
            "bits": f"over the lowest {numbers[0] if numbers else 0:g} bits",
        }
        fits = " (moved, not stretched, where they fit)" if self.bits == 12 else ""
        return f"{self.bits} bit by {words[self.rounding]} {over[policy]}{fits}"

    def describe_back(self) -> str:
        """Return the way back in words."""
        return {
            "exact": "back by the exact inverse of that scale",
            "naive255": f"back by (max - min) / {2**self.bits - 1}, the common inverse",
            "shift": "back by shifting the bits up again",
            "midpoint": "back to the mean grey level of each step",
            "none": "left on the scale of the code",
        }[self.inverse]

    def _limits(self, counted: Levels) -> tuple[int, int]:
        policy, numbers = parse_range(self.range)
        if policy == "minmax":
            found = counted()
            return found.minimum, found.maximum
        if policy == "percentile":
            return _percentiles(counted(), numbers[0] / 200)
        if policy == "display":
            return int(numbers[0]), int(numbers[1])
        return 0, (1 << (int(numbers[0]) if policy == "bits" else self.camera_bits)) - 1

    def _stretches(self, low: int, high: int) -> bool:
        """8 bit follow ImageJ, which stretches a short range; 12 bit hold it as it is; 16 bit fill the scale."""
        return self.bits != 12 or high - low >= 1 << self.bits

    def _step(self, low: int, high: int) -> float:
        if not self._stretches(low, high):
            return 1.0
        span, levels = high - low, 1 << self.bits
        return span / (levels - 1) if self.rounding == "round" else (span + 1) / levels

    def _codes(self, low: int, high: int) -> NDArray[np.int64]:
        levels, span = 1 << self.bits, high - low
        above = np.maximum(np.arange(N_LEVELS, dtype=np.int64) - low, 0)
        if not self._stretches(low, high):
            return np.minimum(above, span)
        if self.rounding == "imagej":
            codes = (above * (levels / (span + 1)) + 0.5).astype(np.int64)  # double arithmetic, as in ImageJ
        elif self.rounding == "floor":
            codes = above * levels // (span + 1)
        else:
            codes = (2 * np.minimum(above, span) * (levels - 1) + span) // max(2 * span, 1)
        return np.minimum(codes, levels - 1)

    def _levels(self, low: int, high: int, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        levels, span = 1 << self.bits, high - low
        index = np.arange(levels, dtype=np.float64)
        if self.inverse == "none":
            return index
        if not self._stretches(low, high):
            return low + np.minimum(index, span)
        if self.inverse == "naive255" or (self.rounding == "round" and self.inverse != "midpoint"):
            return low + index * span / (levels - 1)
        exact = low + index * (span + 1) / levels
        if self.inverse != "midpoint":
            return exact
        inside = codes[low : high + 1]
        count = np.bincount(inside, minlength=levels)
        total = np.bincount(inside, np.arange(low, high + 1, dtype=np.float64), minlength=levels)
        return np.where(count > 0, total / np.maximum(count, 1), exact)


def parse_range(text: str) -> tuple[str, tuple[float, ...]]:
    """Split a range policy into its name and numbers.

    Raises
    ------
    ConfigError
        If it has no known form.

    Examples
    --------
    >>> parse_range("display(100,4000)")
    ('display', (100.0, 4000.0))
    """
    for name, form in _FORMS.items():
        if match := re.fullmatch(form, text):
            return name, tuple(float(number) for number in match.groups())
    raise ConfigError(f"range = {text!r} is unknown", f"use {_RANGES}")


def _percentiles(found: GreyLevels, tail: float) -> tuple[int, int]:
    """Return the grey levels at the ranks `tail` and 1 - `tail` (0 to 1)."""
    rank = math.floor(tail * (found.size - 1) + 0.5)
    return found.at_rank(rank), found.at_rank(found.size - 1 - rank)
