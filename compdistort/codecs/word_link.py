"""Links of coders that need no fewer bits: 16-bit words as they are, or as float32; nothing is cut on the way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from compdistort.codecs.base import Image, Levels
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder
from compdistort.errors import ConfigError

LATTICES = ("keep", "remove")

Store = Callable[[Image], tuple[Image, int]]
"""Takes the codes of a plane; returns them decoded, and the bytes stored."""


class Scale(Protocol):
    """A link fixed for one image."""

    @property
    def side_bytes(self) -> int:
        """Bytes that the way back needs beside the codes."""
        ...

    def reduce(self, image: Image) -> Image:
        """Return the codes of an image."""
        ...

    def restore(self, codes: Image) -> Image:
        """Return the image that codes come back as."""
        ...

    def plane_coder(self, store: Store, settings: Mapping[str, Any]) -> PlaneCoder:
        """Return the way of an image's planes: to codes, through a coder of codes, and back."""
        ...


class Link(Protocol):
    """What a coder is given of 16-bit words, and how they come back."""

    def scale(self, counted: Levels) -> Scale:
        """Return the link fixed for one image."""
        ...

    def describe_forward(self) -> str:
        """Return the way down in words."""
        ...

    def describe_back(self) -> str:
        """Return the way back in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WordLink:
    """16-bit words as they are.

    Attributes
    ----------
    lattice : str
        ``keep`` (default); ``remove`` shifts the words of each image down by the bits that are zero in all of them, as
        in images of 12 bits that fill the upper bits of 16, and up again: coders that predict grey levels gain by it.
    """

    lattice: str = "keep"

    def __post_init__(self) -> None:
        if self.lattice not in LATTICES:
            raise ConfigError(f"lattice = {self.lattice!r} is unknown", f"use {' or '.join(LATTICES)}")

    def scale(self, counted: Levels) -> "WordScale":
        """Return the shift for one image; its grey levels are asked for only where the lattice is removed."""
        if self.lattice == "keep":
            return WordScale(shift=0, side_bytes=0)
        used = int(np.bitwise_or.reduce(np.flatnonzero(counted().counts)))
        return WordScale(shift=max((used & -used).bit_length() - 1, 0), side_bytes=1)

    def describe_forward(self) -> str:
        """Return the way down in words."""
        return (
            "16-bit words as they are" if self.lattice == "keep" else "16-bit words without low bits that are 0 in all"
        )

    def describe_back(self) -> str:
        """Return the way back in words."""
        return "taken as they come back" if self.lattice == "keep" else "shifted up again"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordScale:
    """Words of one image, shifted down by the bits that are 0 in all of them.

    Attributes
    ----------
    shift : int
        Those bits, 0 to 15.
    side_bytes : int
        Bytes that the way back needs beside the codes.
    """

    shift: int
    side_bytes: int

    def reduce(self, image: Image) -> Image:
        """Return the words without their lattice, uint16."""
        return image >> np.uint16(self.shift)

    def restore(self, codes: Image) -> Image:
        """Return the words on the raw scale, uint16; a code beyond the scale becomes the highest."""
        return np.minimum(codes, np.uint16(65535 >> self.shift)) << np.uint16(self.shift)

    def plane_coder(self, store: Store, settings: Mapping[str, Any]) -> PlaneCoder:
        """Return the way of an image's planes; see `DepthScale.plane_coder`."""

        def code(plane: Image, _number: int) -> CodedPlane:
            codes, size = store(self.reduce(plane))
            return CodedPlane(decoded=self.restore(codes), encoded_bytes=size)

        def record(_counts: Mapping[str, int]) -> dict[str, Any]:
            return {**settings, "step_dn": 1 << self.shift, "side_bytes": self.side_bytes}

        return PlaneCoder(dtype=np.dtype(np.uint16), code=code, side_bytes=self.side_bytes, record=record)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatLink:
    """16-bit words as float32, which holds them all; what comes back beyond 0 to 65535 DN is clipped and counted."""

    def scale(self, _counted: Levels) -> "FloatScale":
        """Return the link of any image: it takes nothing from it."""
        return FloatScale()

    def describe_forward(self) -> str:
        """Return the way down in words."""
        return "words as float32"

    def describe_back(self) -> str:
        """Return the way back in words."""
        return "left as float32, clipped to 0 to 65535 DN"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatScale:
    """Words as float32.

    Attributes
    ----------
    side_bytes : int
        Bytes that the way back needs beside the codes: none.
    """

    side_bytes: int = 0

    def reduce(self, image: Image) -> Image:
        """Return the words as float32."""
        return image.astype(np.float32)

    def restore(self, codes: Image) -> Image:
        """Return the values on the raw scale, float32."""
        return np.clip(codes, 0, 65535)

    def plane_coder(self, store: Store, settings: Mapping[str, Any]) -> PlaneCoder:
        """Return the way of an image's planes; see `DepthScale.plane_coder`."""

        def code(plane: Image, _number: int) -> CodedPlane:
            values, size = store(self.reduce(plane))
            beyond = int(np.count_nonzero((values < 0) | (values > 65535)))
            return CodedPlane(decoded=self.restore(values), encoded_bytes=size, counts={"decoded_outside": beyond})

        def record(counts: Mapping[str, int]) -> dict[str, Any]:
            return {**settings, "decoded_outside": counts["decoded_outside"], "side_bytes": self.side_bytes}

        return PlaneCoder(dtype=np.dtype(np.float32), code=code, side_bytes=self.side_bytes, record=record)
