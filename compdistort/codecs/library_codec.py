"""Lossy coders of libraries, driven by a wanted ratio or a fixed setting of their one knob.

The knob has the library's own name (quality, psnr, distance, near, ...). A wanted ratio is searched on the raw image,
and the setting found then holds for every image of the study; a stack is searched on some of its planes, and the ratio
that is reported is that of all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.array_codec import ArrayCodec
from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, Image, Levels
from compdistort.codecs.coder import encoded
from compdistort.codecs.depth_link import DepthLink
from compdistort.codecs.ratio_search import RatioSearch, refuse_both, search_ratio, with_search
from compdistort.codecs.word_link import FloatLink, Link, WordLink
from compdistort.errors import ConfigError
from compdistort.io.planes import grey_levels

_SEARCH_PLANES = 8
"""A stack is searched on at most this many planes, evenly spaced; the ratio reported is that of all planes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """The one setting of a coder that makes its codestreams larger or smaller.

    Attributes
    ----------
    name : str
        Field of the codec that holds it.
    low, high : float
        Its ends, of the search too.
    rising : bool
        Whether the ratio grows with it.
    example : float
        For messages.
    integer : bool
        It takes whole numbers only.
    log : bool
        It is searched on a logarithmic scale.
    """

    name: str
    low: float
    high: float
    rising: bool
    example: float
    integer: bool = False
    log: bool = False

    def check(self, codec_id: str, value: Any) -> float | int:
        """Return a setting as int or float.

        Raises
        ------
        ConfigError
            If the knob has no such setting.
        """
        kind = int if self.integer else int | float
        if isinstance(value, bool) or not isinstance(value, kind) or not self.low <= value <= self.high:
            raise ConfigError(
                f"codec '{codec_id}': {self.name} = {value!r} is not possible",
                f"use a {'whole ' if self.integer else ''}number, {self.low:g} to {self.high:g}",
            )
        return value if self.integer else float(value)


@dataclass(frozen=True, kw_only=True)
class LibraryCodec(ArrayCodec):
    """A library's lossy coder with one knob; a subclass gives `coder`, `link`, and a field for the knob.

    Attributes
    ----------
    ratio : float or None
        Wanted compression ratio; `prepare` finds the knob's setting on the raw image.
    search : RatioSearch or None
        How it was found; set by `prepare`.
    knob : Knob
        The coder's knob.
    """

    knob: ClassVar[Knob]

    ratio: float | None = None
    search: RatioSearch | None = None

    def __post_init__(self) -> None:
        knob, value = self.knob, self._setting
        if self.ratio is None and value is None:
            raise ConfigError(
                f"codec '{self.codec_id}' has neither ratio nor {knob.name}",
                f"write e.g. ratio = 10, or {knob.name} = {knob.example:g}",
            )
        refuse_both(self.codec_id, knob.name, self.ratio, value, self.search)
        if self.ratio is not None:
            object.__setattr__(self, "ratio", _checked_ratio(self.codec_id, self.ratio))
        if value is not None:
            object.__setattr__(self, knob.name, knob.check(self.codec_id, value))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data; see `ConfigCodec.from_config`."""
        return super().from_config(with_search(cls.codec_id, config))

    @property
    def _setting(self) -> Any:
        return getattr(self, self.knob.name)

    def level(self) -> float:
        """Return the knob's setting.

        Raises
        ------
        ConfigError
            If none is fixed yet.
        """
        if self._setting is None:
            raise ConfigError(f"codec '{self.codec_id}' has no {self.knob.name} yet", "call prepare(raw) first")
        return float(self._setting)

    def prepare(self, raw: Image) -> Self:
        """Return the codec with the setting that comes nearest to the wanted ratio; see `PlanewiseCodec.prepare`."""
        if not self.together:
            return super().prepare(raw)
        self.check_planes(raw)
        return self if self._fixed else self._found([raw], partial(grey_levels, raw))

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec with the setting that comes nearest to the wanted ratio on the raw image.

        Parameters
        ----------
        planes : PlaneReader
            Raw image of shape (planes, rows, columns), uint16, DN; a few planes are read.
        levels : callable
            Counts its grey levels.

        Returns
        -------
        LibraryCodec
            With knob and `search` set; itself where the knob is already fixed.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        ConfigError
            If the planes are coded together.
        """
        self.check_planes(planes)
        if self.together:
            raise self._together(planes)
        if self._fixed:
            return self
        n = planes.shape[0]
        sample = range(0, n, math.ceil(n / _SEARCH_PLANES))
        return self._found([planes.read_planes(z, z + 1)[0] for z in sample], levels)

    @property
    def _fixed(self) -> bool:
        return self._setting is not None or self.ratio is None

    def _found(self, arrays: list[Image], levels: Levels) -> Self:
        """Return the codec with the knob found on arrays of the image."""
        assert self.ratio is not None
        knob, coder, scale = self.knob, self.coder, self.link.scale(levels)
        codes = [scale.reduce(each) for each in arrays]
        size = RAW_BYTES_PER_PIXEL * sum(each.size for each in codes)

        def ratio_at(level: float) -> float:
            return size / (sum(len(encoded(coder, each, level)) for each in codes) + scale.side_bytes)

        found = search_ratio(
            ratio_at, knob.low, knob.high, self.ratio, rising=knob.rising, integer=knob.integer, log=knob.log
        )
        fixed: dict[str, Any] = {knob.name: int(found.knob) if knob.integer else found.knob, "search": found}
        return replace(self, **fixed)

    def describe(self) -> str:
        """Return the chain in words."""
        goal = f"{self.knob.name} {self._setting:g}" if self._setting is not None else ""
        if self.ratio is not None:
            found = f", {self.search.ratio:.2f}:1 on the raw image" if self.search else ""
            goal += f"{' for ' if goal else ''}{self.ratio:g}:1{found}"
        return f"{self.link.describe_forward()}; {self.coder_words()}, {goal}; {self.link.describe_back()}"

    def coder_words(self) -> str:
        """Return the coder in words, as in `describe`."""
        return self.title

    def link_settings(self) -> dict[str, Any]:
        """Return what the record says of the link."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return the head of the record: knob, link, and how the knob was found."""
        record = {"codec": self.codec_id, self.knob.name: self._setting, **self.link_settings()}
        if self.search is None:
            return record
        found = self.search
        return record | {
            "target_ratio": found.target,
            "raw_ratio": found.ratio,
            "reached": found.reached,
            "limit": found.limit,
            "encodes": found.encodes,
        }


@dataclass(frozen=True, kw_only=True)
class DepthCodec(LibraryCodec):
    """A lossy coder of 8, 12 or 16 bits behind a depth link; 16-bit codes fill the whole scale.

    Attributes
    ----------
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.
    """

    range: str = ""
    rounding: str = ""
    inverse: str = "exact"
    camera_bits: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        link = self.link
        object.__setattr__(self, "range", link.range)
        object.__setattr__(self, "rounding", link.rounding)

    def code_bits(self) -> int:
        """Return the bits of a code."""
        return 16

    @property
    def link(self) -> DepthLink:
        """The depth link."""
        return DepthLink.resolved(self.code_bits(), self.camera_bits, self.range, self.rounding, self.inverse)

    def link_settings(self) -> dict[str, Any]:
        """Return what the record says of the link."""
        return {"inverse": self.inverse}


@dataclass(frozen=True, kw_only=True)
class WordCodec(LibraryCodec):
    """A lossy coder that takes 16-bit words as they are.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.
    """

    lattice: str = "keep"

    def __post_init__(self) -> None:
        super().__post_init__()
        WordLink(lattice=self.lattice)  # refuses what it does not know

    @property
    def link(self) -> Link:
        """Words as they are, or without their lattice."""
        return WordLink(lattice=self.lattice)


@dataclass(frozen=True, kw_only=True)
class FloatCodec(LibraryCodec):
    """A lossy coder of float32."""

    @property
    def link(self) -> Link:
        """Words as float32."""
        return FloatLink()


def _checked_ratio(codec_id: str, ratio: Any) -> float:
    good = isinstance(ratio, int | float) and not isinstance(ratio, bool) and math.isfinite(ratio) and ratio > 1
    if not good:
        raise ConfigError(f"codec '{codec_id}': ratio = {ratio!r} is not possible", "use a number above 1, e.g. 10")
    return float(ratio)
