"""Coders of float32 that may take a volume plane by plane, or all planes together as one array."""

from dataclasses import dataclass
from typing import Any

from compdistort.codecs.library_codec import FloatCodec
from compdistort.errors import ConfigError

AXES = ("planes", "volume")


def check_axes(codec_id: str, axes: Any) -> None:
    """Refuse a way through volumes that does not exist.

    Parameters
    ----------
    codec_id : str
        For the message.
    axes : str
        ``planes`` or ``volume``.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if axes not in AXES:
        raise ConfigError(f"codec '{codec_id}': axes = {axes!r} is unknown", f"use {' or '.join(AXES)}")


@dataclass(frozen=True, kw_only=True)
class VolumeCodec(FloatCodec):
    """A lossy coder of float32 that may use the third axis.

    Attributes
    ----------
    axes : str
        ``planes`` (default): every plane by itself. ``volume``: all planes as one array, which must fit into memory;
        a wanted ratio is then searched on the whole image.
    """

    axes: str = "planes"

    def __post_init__(self) -> None:
        check_axes(self.codec_id, self.axes)
        super().__post_init__()

    @property
    def together(self) -> bool:
        """Whether the planes of a volume are coded together, as one array."""
        return self.axes == "volume"

    def coder_words(self) -> str:
        """Return the coder in words, as in `describe`."""
        return f"{self.title}, all planes together" if self.together else self.title

    def link_settings(self) -> dict[str, Any]:
        """Return what the record says beside the knob."""
        return {"axes": self.axes}
