"""The user's choice of features: a named set with its sigmas, or explicit (operator, sigma) pairs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from compdistort.errors import ConfigError, UnknownFeatureError

OPERATORS = ("GS", "LoG", "GGM", "DoG")
"""Gaussian, Laplacian of Gaussian, Gaussian gradient magnitude, difference of Gaussians; ilastik's column order."""

EIGENVALUES = ("HE1", "HE2", "HE3", "ST1", "ST2", "ST3")
"""Eigenvalues, largest first, of the Hessian of Gaussian and of the structure tensor; two of each in 2D. No set has
them of itself: they are named as pairs."""

FEATURE_SETS: dict[str, tuple[float, ...]] = {
    "weka": (1.0, 2.0, 4.0, 8.0, 16.0),
    "ilastik": (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0),
    "vigra": (0.3, 0.7, 1.0, 1.6, 3.5, 5.0, 10.0),
    "plain": (0.7, 1.0, 1.6, 3.5, 5.0, 10.0),
    "fast": (0.7, 1.0, 1.6, 3.5, 5.0, 10.0),
}
"""Default sigmas of each set."""

ILASTIK_FINEST_DERIVATIVE_PX = 0.7
"""Below this sigma the set `ilastik` holds GS alone, as ilastik's dialog does. So does `vigra`, which could do without:
both sets have the same columns of themselves, and finer ones as pairs."""

PLANAR_SETS = ("ilastik", "vigra", "plain")
"""Sets whose sigmas may be computed plane by plane."""

WEKA_MAX_SIGMA = 20.0
"""Above 8.5 px (0.4 times 21.25) ImageJ blurs a reduced image: another arithmetic, not offered here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """A feature set and its sigmas.

    Attributes
    ----------
    set : str
        ``weka``, ``ilastik``, ``vigra``, ``plain`` or ``fast`` (a key of `FEATURE_SETS`).
    sigmas : tuple of float
        Scales; () takes the set's default. In pixels, but Weka's are 2.5 times the standard deviation.
    pairs : tuple of (str, float), or None
        Explicit (operator, sigma in pixels) columns, in that order; then `sigmas` follows from them.
    planar : tuple of float
        Those of the sigmas that are computed plane by plane in a 3D image, without a filter along z; () in 2D.

    Raises
    ------
    UnknownFeatureError
        For a set or operator that does not exist.
    ConfigError
        For sigmas or pairs that the set cannot have.

    Examples
    --------
    >>> FeatureSpec(set="ilastik", pairs=(("LoG", 3.5), ("GS", 1.0))).sigmas
    (3.5, 1.0)
    >>> FeatureSpec(set="ilastik", sigmas=(1.0, 3.5), planar=(3.5,)).planar
    (3.5,)
    """

    set: str
    sigmas: tuple[float, ...] = ()
    pairs: tuple[tuple[str, float], ...] | None = None
    planar: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.set not in FEATURE_SETS:
            raise UnknownFeatureError(f"feature set '{self.set}' is unknown", _suggest(self.set, tuple(FEATURE_SETS)))
        if self.pairs is not None:
            pairs = tuple((str(operator), float(sigma)) for operator, sigma in self.pairs)
            _check_pairs(self.set, pairs)
            object.__setattr__(self, "pairs", pairs)
            self._set_sigmas(tuple(dict.fromkeys(sigma for _, sigma in pairs)))
        elif not self.sigmas:
            object.__setattr__(self, "sigmas", FEATURE_SETS[self.set])
        else:
            object.__setattr__(self, "sigmas", tuple(float(sigma) for sigma in self.sigmas))
        _check_sigmas(self.set, self.sigmas)
        object.__setattr__(self, "planar", tuple(float(sigma) for sigma in self.planar))
        _check_planar(self.set, self.sigmas, self.planar)

    def _set_sigmas(self, implied: tuple[float, ...]) -> None:
        if self.sigmas and tuple(self.sigmas) != implied:
            raise ConfigError(
                f"sigmas {list(self.sigmas)} and (operator, sigma) pairs given together do not agree",
                "give one of them",
            )
        object.__setattr__(self, "sigmas", implied)

    @property
    def columns(self) -> tuple[tuple[str, float], ...]:
        """The (operator, sigma) columns of a set of separable filters, operator outermost; () for `weka`."""
        if self.set == "weka":
            return ()
        if self.pairs is not None:
            return self.pairs
        finest = ILASTIK_FINEST_DERIVATIVE_PX if self.set in ("ilastik", "vigra") else 0.0
        return tuple((op, sigma) for op in OPERATORS for sigma in self.sigmas if op == "GS" or sigma >= finest)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-ready data; ``planar`` is there only where a sigma is planar."""
        pairs = None if self.pairs is None else [[operator, sigma] for operator, sigma in self.pairs]
        planar = {"planar": list(self.planar)} if self.planar else {}
        return {"set": self.set, "sigmas": list(self.sigmas), "pairs": pairs, **planar}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureSpec":
        """Return the spec that `to_dict` described."""
        pairs = data.get("pairs")
        return cls(
            set=data["set"],
            sigmas=tuple(data.get("sigmas") or ()),
            pairs=None if pairs is None else tuple((operator, sigma) for operator, sigma in pairs),
            planar=tuple(data.get("planar") or ()),
        )


def parse_spec(
    name: str, sigmas: Sequence[float] = (), pairs: Sequence[str] = (), planar: Sequence[float] = ()
) -> FeatureSpec:
    """Return the spec that the words of a command line describe.

    Parameters
    ----------
    name : str
        Feature set.
    sigmas : sequence of float
        Scales; empty for the default.
    pairs : sequence of str
        Words such as ``LoG:3.5``; empty for none.
    planar : sequence of float
        Those of the scales that are computed plane by plane; empty for none.

    Returns
    -------
    FeatureSpec

    Raises
    ------
    UnknownFeatureError, ConfigError
        As `FeatureSpec`, and for a word that is not ``OPERATOR:SIGMA``.

    Examples
    --------
    >>> parse_spec("plain", pairs=["GS:1", "LoG:3.5"]).pairs
    (('GS', 1.0), ('LoG', 3.5))
    """
    return FeatureSpec(
        set=name,
        sigmas=tuple(sigmas),
        pairs=tuple(_parse_pair(word) for word in pairs) if pairs else None,
        planar=tuple(planar),
    )


def _parse_pair(word: str) -> tuple[str, float]:
    operator, _, sigma = word.partition(":")
    try:
        return operator, float(sigma)
    except ValueError as error:
        raise ConfigError(f"feature '{word}' is not OPERATOR:SIGMA", "write for example LoG:3.5") from error


def _suggest(word: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.5)
    guess = next((f" (did you mean '{name}'?)" for name in known if near and name.lower() == near[0]), "")
    return f"use one of {', '.join(known)}{guess}"


def _check_pairs(name: str, pairs: tuple[tuple[str, float], ...]) -> None:
    if name == "weka":
        raise ConfigError(
            "feature set 'weka' takes no (operator, sigma) pairs", "use 'ilastik', 'vigra' or 'plain' with pairs"
        )
    if not pairs:
        raise ConfigError("the list of (operator, sigma) pairs is empty", "give at least one, for example GS:1.0")
    for operator, _ in pairs:
        if operator not in OPERATORS + EIGENVALUES:
            raise UnknownFeatureError(
                f"feature operator '{operator}' is unknown", _suggest(operator, OPERATORS + EIGENVALUES)
            )
        if operator in EIGENVALUES and name == "fast":
            raise ConfigError(
                f"feature set 'fast' has no eigenvalues ({operator})", "use 'plain', 'ilastik' or 'vigra'"
            )
    if len(set(pairs)) != len(pairs):
        twice = next(pair for pair in pairs if pairs.count(pair) > 1)
        raise ConfigError(f"feature {twice[0]}:{twice[1]} is listed twice", "list each (operator, sigma) once")


def _check_sigmas(name: str, sigmas: tuple[float, ...]) -> None:
    for sigma in sigmas:
        if not (math.isfinite(sigma) and sigma > 0):
            raise ConfigError(f"sigma {sigma} is not a positive number", "give standard deviations above 0, in pixels")
    if len(set(sigmas)) != len(sigmas):
        raise ConfigError(f"a sigma is listed twice in {list(sigmas)}", "list each sigma once")
    if name != "weka":
        return
    if any(fine * 2 != coarse for fine, coarse in pairwise(sigmas)):
        raise ConfigError(f"Weka's sigmas {list(sigmas)} do not double", "give for example 1 2 4 8 16")
    if sigmas[-1] > WEKA_MAX_SIGMA:
        raise ConfigError(
            f"Weka sigma {sigmas[-1]} is above {WEKA_MAX_SIGMA}, where ImageJ blurs a reduced image",
            f"use sigmas up to {WEKA_MAX_SIGMA}",
        )


def _check_planar(name: str, sigmas: tuple[float, ...], planar: tuple[float, ...]) -> None:
    if planar and name not in PLANAR_SETS:
        raise ConfigError(
            f"feature set '{name}' has no sigmas that are computed plane by plane", f"use {' or '.join(PLANAR_SETS)}"
        )
    for sigma in planar:
        if sigma not in sigmas:
            raise ConfigError(
                f"planar sigma {sigma} is none of the sigmas {list(sigmas)}", "name sigmas that the features have"
            )
    if len(set(planar)) != len(planar):
        raise ConfigError(f"a planar sigma is listed twice in {list(planar)}", "list each once")
