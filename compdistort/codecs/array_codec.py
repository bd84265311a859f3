"""A library's coder in a codec: behind a link, plane by plane, or all planes of a volume together as one array."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import imagecodecs

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, CodecResult, Image, Levels, check_image
from compdistort.codecs.coder import Coder, round_trip
from compdistort.codecs.plane_coder import PlaneCoder, code_plane
from compdistort.codecs.planewise import PlanewiseCodec
from compdistort.codecs.word_link import FloatLink, Link, WordLink
from compdistort.errors import CodecRangeError, ConfigError
from compdistort.io.planes import grey_levels


class ArrayCodec(PlanewiseCodec, ABC):
    """A codec that is a link, a library's coder, and the way back.

    A subclass gives `coder` and `link`, and `level` and `settings` where it has any; one that may code all planes
    together gives `together`.

    Attributes
    ----------
    title : str
        The coder's name in texts.
    library : str
        Name of the coder in imagecodecs, which says there whether it is available.
    """

    title: ClassVar[str] = ""
    library: ClassVar[str] = ""

    @classmethod
    def missing(cls) -> str:
        """Return what to install so that the codec works, or nothing."""
        return "" if getattr(imagecodecs, cls.library).available else f"an imagecodecs with {cls.library}"

    @property
    @abstractmethod
    def coder(self) -> Coder:
        """The library's coder."""

    @property
    @abstractmethod
    def link(self) -> Link:
        """What the coder is given of 16-bit words, and how they come back."""

    @property
    def together(self) -> bool:
        """Whether the planes of a volume are coded together, as one array."""
        return False

    def level(self) -> float:
        """Return the level that the coder is called with: 0 where it has no knob.

        Raises
        ------
        ConfigError
            If none is fixed yet.
        """
        return 0.0

    def settings(self) -> dict[str, Any]:
        """Return the head of the record."""
        return {"codec": self.codec_id}

    def apply(self, image: Image) -> CodecResult:
        """Encode, decode and check an image, and bring it back to the raw scale; see `PlanewiseCodec.apply`."""
        if not self.together:
            return super().apply(image)
        self.check_planes(image)
        coder = self.way(partial(grey_levels, image))
        coded = code_plane(self.codec_id, coder, image, 0)
        size = coded.encoded_bytes + coder.side_bytes
        return CodecResult(
            decoded=coded.decoded if coded.decoded.flags.writeable else coded.decoded.copy(),
            encoded_bytes=size,
            ratio=RAW_BYTES_PER_PIXEL * image.size / size,
            record=coder.record(coded.counts),
        )

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes: through the link, encoded, decoded, and back.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        ConfigError
            If the planes are coded together, or no level is fixed yet.
        """
        self.check_planes(planes)
        if self.together:
            raise self._together(planes)
        return self.way(levels)

    def way(self, levels: Levels) -> PlaneCoder:
        """Return the way of an image's arrays with the coder's fixed level."""
        level, coder = self.level(), self.coder

        def store(codes: Image) -> tuple[Image, int]:
            return round_trip(coder, codes, level)

        way = self.link.scale(levels).plane_coder(store, self.settings())
        whole = isinstance(self.link, WordLink | FloatLink) and coder.bound is not None and coder.bound(level) == 0
        return replace(way, lossless=whole)

    def check_planes(self, planes: Image | PlaneReader) -> None:
        """Refuse what cannot be carried, before anything is read.

        Raises
        ------
        CodecRangeError
            If the image has another type or shape than codecs take, or is larger than the coder takes.
        ConfigError
            If the coder is not available.
        """
        check_image(self.codec_id, planes)
        if needed := self.missing():
            raise ConfigError(f"codec '{self.codec_id}' is not available", f"install {needed}")
        limit = self.coder.max_side
        rows, columns = planes.shape[-2:]
        if limit is not None and max(rows, columns) > limit:
            raise CodecRangeError(
                f"codec '{self.codec_id}' takes at most {limit} rows and columns, not {rows} x {columns}",
                "crop the image",
            )


@dataclass(frozen=True, kw_only=True)
class LosslessCodec(ArrayCodec):
    """A library's lossless coder of 16-bit words; a subclass gives `coder`.

    Attributes
    ----------
    lattice : str
        ``keep`` or ``remove``, see `compdistort.codecs.word_link.WordLink`.
    """

    lattice: str = "keep"

    def __post_init__(self) -> None:
        WordLink(lattice=self.lattice)  # refuses what it does not know

    @property
    def link(self) -> Link:
        """Words as they are, or without their lattice."""
        return WordLink(lattice=self.lattice)

    def prepare(self, raw: Image) -> Self:
        """Return the codec itself: nothing is searched."""
        self.check_planes(raw)
        return self

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec itself: nothing is searched.

        Raises
        ------
        ConfigError
            If the planes are coded together.
        """
        self.check_planes(planes)
        if self.together:
            raise self._together(planes)
        return self

    def describe(self) -> str:
        """Return the chain in words."""
        return f"{self.link.describe_forward()}; {self.title}; {self.link.describe_back()}"
