"""Codecs of other programs: a decoded file and its size, or the command lines themselves, under one id."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import CodecResult, ConfigCodec, Image, Levels
from compdistort.codecs.external_command import ExternalCommand
from compdistort.codecs.external_file import ExternalFile
from compdistort.codecs.plane_coder import PlaneCoder


@dataclass(frozen=True, kw_only=True)
class External(ConfigCodec):
    """Whatever another program makes of an image.

    Attributes
    ----------
    source : ExternalFile or ExternalCommand
        Where the decoded image comes from; its settings are those of the codec.

    Examples
    --------
    >>> External.from_config({"decoded": "a.tif", "encoded_bytes": 4000}).raw_alone
    True
    """

    codec_id: ClassVar[str] = "external"
    forms: ClassVar[tuple[type[ConfigCodec], ...]] = (ExternalFile, ExternalCommand)
    """Whose settings it takes."""

    source: ExternalFile | ExternalCommand

    def get_config(self) -> dict[str, Any]:
        """Return the settings of the source as JSON data, ``id`` included."""
        return self.source.get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data: a file where ``decoded`` names one, else command lines.

        Raises
        ------
        ConfigError
            If a key is unknown (the nearest one is named) or a value unusable.
        """
        if "decoded" in config:
            return cls(source=ExternalFile.from_config(config))
        return cls(source=ExternalCommand.from_config(config))

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it runs."""
        lines = self.source.lines.values() if isinstance(self.source, ExternalCommand) else ()
        return tuple(line[0] for line in lines)

    @property
    def raw_alone(self) -> bool:
        """Whether it exists for the raw image alone: a file does."""
        return self.source.raw_alone

    def prepare(self, raw: Image) -> Self:
        """Return the codec prepared for a raw image; see the source."""
        return replace(self, source=self.source.prepare(raw))

    def apply(self, image: Image) -> CodecResult:
        """Return an image of shape ([planes,] rows, columns), uint16, through the codec; see the source."""
        return self.source.apply(image)

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec prepared for a raw volume on disk; programs take whole images alone."""
        return replace(self, source=self.source.prepare_planes(planes, levels))

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes of a raw volume on disk; programs take whole images alone."""
        return self.source.plane_coder(planes, levels)

    def describe(self) -> str:
        """Return the chain in words."""
        return self.source.describe()
