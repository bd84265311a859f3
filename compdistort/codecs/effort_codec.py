"""Lossless coders with a setting for how long they try: it changes the size and never the image."""

from dataclasses import dataclass
from typing import Any, ClassVar

from compdistort.codecs.array_codec import LosslessCodec
from compdistort.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EffortCodec(LosslessCodec):
    """A library's lossless coder with an effort; a subclass gives `coder`, `efforts`, and a default.

    Attributes
    ----------
    effort : int
        Low is fast, high is small.
    efforts : range
        What the library takes.
    """

    efforts: ClassVar[range]

    effort: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.effort) is not int or self.effort not in self.efforts:
            raise ConfigError(
                f"codec '{self.codec_id}': effort = {self.effort!r} is not possible",
                f"use a whole number, {self.efforts[0]} to {self.efforts[-1]}",
            )

    def settings(self) -> dict[str, Any]:
        """Return the head of the record."""
        return {**super().settings(), "effort": self.effort}
