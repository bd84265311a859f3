"""Lossy coders of 8 or 12 bit, whichever is chosen, behind a depth link."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from compdistort.codecs.coder import Coder
from compdistort.codecs.library_codec import DepthCodec
from compdistort.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TwoDepthsCodec(DepthCodec):
    """A library's lossy coder of 8 or 12 bit; a subclass gives `coders`, and a field for the knob.

    Attributes
    ----------
    bits : int
        8 or 12.
    coders : mapping of int to Coder
        Coder of either depth.
    """

    coders: ClassVar[Mapping[int, Coder]]

    bits: int = 8

    def __post_init__(self) -> None:
        if type(self.bits) is not int or self.bits not in self.coders:
            raise ConfigError(f"codec '{self.codec_id}': bits = {self.bits!r} is not possible", "use 8 or 12")
        super().__post_init__()

    @property
    def coder(self) -> Coder:
        """The coder of 8 or 12 bit."""
        return self.coders[self.bits]

    def code_bits(self) -> int:
        """Return the bits of a code."""
        return self.bits

    def coder_words(self) -> str:
        """Return the coder in words, as in `describe`."""
        return f"{self.title} {self.bits} bit"
