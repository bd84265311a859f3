"""JPEG of 8 or 12 bit behind a named depth link, driven by a wanted ratio or a fixed quality."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import imagecodecs
import numpy as np

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, Image, Levels, check_image
from compdistort.codecs.depth_link import DepthLink
from compdistort.codecs.plane_coder import PlaneCoder
from compdistort.codecs.planewise import PlanewiseCodec
from compdistort.codecs.ratio_search import RatioSearch, search_ratio
from compdistort.errors import CodecRangeError, ConfigError

MAX_SIDE = 65500
"""Most rows or columns that libjpeg takes."""

_SEARCH_PLANES = 8
"""A stack is searched on at most this many planes, evenly spaced; the ratio reported is that of all planes."""


@dataclass(frozen=True, kw_only=True)
class Jpeg(PlanewiseCodec):
    """Baseline JPEG (grey, optimised Huffman tables), plane by plane.

    Attributes
    ----------
    bits : int
        8 or 12.
    ratio : float or None
        Wanted compression ratio; `prepare` finds the quality on the raw image.
    quality : int or None
        libjpeg's quality, 1 to 100; with `ratio`, the one that `prepare` found.
    range, rounding, inverse, camera_bits
        The depth link, see `compdistort.codecs.depth_link.DepthLink`.
    search : RatioSearch or None
        How the quality was found; set by `prepare`.

    Examples
    --------
    >>> Jpeg(quality=90).describe()[:31]
    "8 bit by ImageJ's formula from "
    """

    codec_id: ClassVar[str] = "jpeg"

    bits: int = 8
    ratio: float | None = None
    quality: int | None = None
    range: str = ""
    rounding: str = ""
    inverse: str = "exact"
    camera_bits: int = 16
    search: RatioSearch | None = None

    def __post_init__(self) -> None:
        if self.bits not in (8, 12):
            raise ConfigError(f"codec 'jpeg': bits = {self.bits!r} is not possible", "use 8 or 12")
        if self.ratio is None and self.quality is None:
            raise ConfigError("codec 'jpeg' has neither ratio nor quality", "write e.g. ratio = 10, or quality = 90")
        if self.ratio is not None:
            _check_ratio(self.ratio)
            object.__setattr__(self, "ratio", float(self.ratio))
        if self.quality is not None and not (type(self.quality) is int and 1 <= self.quality <= 100):
            raise ConfigError(
                f"codec 'jpeg': quality = {self.quality!r} is not possible", "use a whole number, 1 to 100"
            )
        link = DepthLink.resolved(self.bits, self.camera_bits, self.range, self.rounding, self.inverse)
        object.__setattr__(self, "range", link.range)
        object.__setattr__(self, "rounding", link.rounding)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data; see `ConfigCodec.from_config`."""
        search = config.get("search")
        return super().from_config(
            {**config, "search": RatioSearch(**search)} if isinstance(search, Mapping) else config
        )

    @property
    def link(self) -> DepthLink:
        """The depth link."""
        return DepthLink.resolved(self.bits, self.camera_bits, self.range, self.rounding, self.inverse)

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec with the quality that comes nearest to the wanted ratio on the raw image.

        Parameters
        ----------
        planes : PlaneReader
            Raw image of shape (planes, rows, columns), uint16, DN; a few planes are read.
        levels : callable
            Counts its grey levels.

        Returns
        -------
        Jpeg
            With `quality` and `search` set; itself where the quality is already fixed.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        """
        _check_sides(planes)
        if self.quality is not None or self.ratio is None:
            return self
        scale = self.link.scale(levels)
        n = planes.shape[0]
        sample = range(0, n, math.ceil(n / _SEARCH_PLANES))
        codes = [scale.reduce(planes.read_planes(z, z + 1)[0]) for z in sample]
        size = RAW_BYTES_PER_PIXEL * sum(each.size for each in codes)

        def ratio_at(quality: float) -> float:
            return size / (sum(len(self._encode(plane, int(quality))) for plane in codes) + scale.side_bytes)

        found = search_ratio(ratio_at, 1, 100, self.ratio, rising=False, integer=True)
        return replace(self, quality=int(found.knob), search=found)

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes: reduced, encoded, decoded and restored.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        ConfigError
            If no quality is fixed yet.
        """
        _check_sides(planes)
        if self.quality is None:
            raise ConfigError("codec 'jpeg' has no quality yet", "call prepare(raw) first")
        quality = self.quality

        def store(codes: Image) -> tuple[Image, int]:
            stream = self._encode(codes, quality)
            return _decode(stream, codes), len(stream)

        return self.link.scale(levels).plane_coder(store, self._record())

    def describe(self) -> str:
        """Return the chain in words."""
        goal = f"quality {self.quality}" if self.quality is not None else ""
        if self.ratio is not None:
            found = f", {self.search.ratio:.2f}:1 on the raw image" if self.search else ""
            goal += f"{' for ' if goal else ''}{self.ratio:g}:1{found}"
        return f"{self.link.describe_forward()}; JPEG {self.bits} bit, {goal}; {self.link.describe_back()}"

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = {"codec": self.codec_id, "quality": self.quality, "inverse": self.inverse}
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

    def _encode(self, plane: Image, quality: int) -> bytes:
        return bytes(imagecodecs.jpeg8_encode(plane, level=quality, bitspersample=self.bits, optimize=True))


def _decode(stream: bytes, codes: Image) -> Image:
    """Decode a plane; some decoders return another shape or type without a word."""
    plane = imagecodecs.jpeg8_decode(stream)
    if plane.shape != codes.shape or plane.dtype != codes.dtype:
        raise CodecRangeError(
            f"codec 'jpeg' decoded {plane.dtype} of shape {plane.shape} from {codes.dtype} of shape {codes.shape}",
            "this is a fault of the codec: report it with the image",
        )
    return np.asarray(plane)


def _check_sides(planes: PlaneReader) -> None:
    check_image(Jpeg.codec_id, planes)
    rows, columns = planes.shape[-2:]
    if max(rows, columns) > MAX_SIDE:
        raise CodecRangeError(
            f"codec 'jpeg' takes at most {MAX_SIDE} rows and columns, not {rows} x {columns}", "crop the image"
        )


def _check_ratio(ratio: Any) -> None:
    good = isinstance(ratio, int | float) and not isinstance(ratio, bool) and math.isfinite(ratio) and ratio > 1
    if not good:
        raise ConfigError(f"codec 'jpeg': ratio = {ratio!r} is not possible", "use a number above 1, e.g. 10")
