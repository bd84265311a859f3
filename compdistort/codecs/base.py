"""What a codec is: data that names every link of its chain, and a checked way through it.

A codec is a frozen dataclass: its repr is its constructor, its configuration is JSON and the table of a study file.
``prepare`` fixes what has to be searched (the knob of a wanted ratio) on the raw image; ``apply`` encodes, decodes,
checks the result and brings it back to the scale of the raw image. What a codec takes from the data of an image without
a search (the range of its grey levels) it takes anew from every image it is applied to.

A codec whose settings rest on the noise takes the sensor by ``with_sensor``, before ``prepare`` and whenever it is
restored; numbers that it needs for decoding are part of its configuration.

A codec that codes every plane by itself gives a `PlaneCoder`, so that volumes that do not fit into memory go through it
plane by plane (`compdistort.codecs.planewise`); one that codes several planes together refuses.

Ratios count 2 bytes a pixel of the raw image against every byte that the way back to 16 bit needs.
"""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.plane_coder import PlaneCoder
from compdistort.errors import CodecRangeError, ConfigError
from compdistort.grey_levels import GreyLevels
from compdistort.sensor.model import SensorModel

Image = NDArray[Any]
Levels = Callable[[], GreyLevels]
"""Counts the grey levels of the whole image; asked only by codecs that take something from them."""

RAW_BYTES_PER_PIXEL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecOutcome:
    """What a codec made of an image, without the image.

    Attributes
    ----------
    encoded_bytes : int
        Codestream and side information.
    ratio : float
        ``2 * pixels / encoded_bytes``.
    record : dict
        What was done, JSON: settings found in the data, links, ``reached`` where a ratio was wanted.
    """

    encoded_bytes: int
    ratio: float
    record: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecResult(CodecOutcome):
    """One image that went through a codec: what `CodecOutcome` says of it, and the image.

    Attributes
    ----------
    decoded : ndarray of the image's shape, uint16 or float32
        Decoded image on the raw scale, DN; float32 where the way back gives fractions.
    """

    decoded: Image


class Codec(Protocol):
    """What the rest of the program needs of a codec."""

    codec_id: ClassVar[str]

    def get_config(self) -> dict[str, Any]:
        """Return the codec as JSON data, ``id`` included."""
        ...

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data."""
        ...

    @property
    def raw_alone(self) -> bool:
        """Whether it exists for the raw image alone (a decoded file), so that no replicate can go through it."""
        ...

    def with_sensor(self, sensor: SensorModel) -> Self:
        """Return the codec with what it needs of the calibrated sensor (itself where it needs nothing)."""
        ...

    def prepare(self, raw: Image) -> Self:
        """Return the codec with its knob fixed on the raw image (itself where nothing is searched)."""
        ...

    def apply(self, image: Image) -> CodecResult:
        """Encode, decode and check an image, and bring it back to the raw scale."""
        ...

    def restored(self, image: Image) -> Image:
        """Return what `apply` decodes the image to; where a codestream is not needed for that, none is made."""
        ...

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return what `prepare` returns of the whole volume; ConfigError where planes are coded together."""
        ...

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of a volume's planes, which are not read; ConfigError where planes are coded together."""
        ...

    def describe(self) -> str:
        """Return the chain in words."""
        ...


class ConfigCodec:
    """Configuration of a codec that is a frozen dataclass."""

    codec_id: ClassVar[str] = ""

    def get_config(self) -> dict[str, Any]:
        """Return the codec as JSON data, ``id`` included; settings that are not set are left out."""
        values = {field.name: getattr(self, field.name) for field in _fields(type(self))}
        plain = {key: asdict(value) if is_dataclass(value) else value for key, value in values.items()}  # type: ignore[arg-type]
        return {"id": self.codec_id} | {key: value for key, value in plain.items() if value is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the codec from its JSON data.

        Raises
        ------
        ConfigError
            If a key is unknown (the nearest one is named), one is missing, or a value is unusable.
        """
        settings = {key: value for key, value in config.items() if key != "id"}
        known = [field.name for field in _fields(cls)]
        for key in settings:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                hint = f"did you mean '{near[0]}'?" if near else "it has no settings"
                raise ConfigError(f"codec '{cls.codec_id}' has no setting '{key}'", hint)
        for field in _fields(cls):
            if field.name not in settings and field.default is MISSING and field.default_factory is MISSING:
                raise ConfigError(f"codec '{cls.codec_id}' has no {field.name}", f"give {field.name}")
        return cls(**settings)

    @property
    def raw_alone(self) -> bool:
        """Whether it exists for the raw image alone: any image can go through it."""
        return False

    def with_sensor(self, sensor: SensorModel) -> Self:
        """Return the codec itself: it needs nothing of the sensor."""
        return self

    def restored(self: Codec, image: Image) -> Image:
        """Return what `apply` decodes the image to."""
        return self.apply(image).decoded

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Refuse a volume that is not in memory, unless the codec says how it codes every plane by itself.

        Raises
        ------
        ConfigError
            Always.
        """
        raise self._together(planes)

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Refuse a volume that is not in memory, unless the codec says how it codes every plane by itself.

        Raises
        ------
        ConfigError
            Always.
        """
        raise self._together(planes)

    def _together(self, planes: PlaneReader) -> ConfigError:
        return ConfigError(
            f"codec '{self.codec_id}' codes several planes together, and a volume of shape {planes.shape} that is read "
            "plane by plane cannot go through it",
            "raise compute.max_memory so that the volume is held as a whole, or leave the codec out",
        )


def _fields(cls: type[Any]) -> tuple[Any, ...]:
    return fields(cls)


def check_image(codec_id: str, image: Image | PlaneReader) -> None:
    """Refuse what is no raw image, before anything is read or encoded.

    Parameters
    ----------
    codec_id : str
        For the message.
    image : ndarray of shape ([planes,] rows, columns), or PlaneReader
        Must be uint16 of shape (rows, columns) or (planes, rows, columns).

    Raises
    ------
    CodecRangeError
        Another type or shape, or no pixels.
    """
    if image.dtype != np.uint16:
        raise CodecRangeError(f"codec '{codec_id}' takes uint16 images, not {image.dtype}", "give the raw 16-bit image")
    if len(image.shape) not in (2, 3) or math.prod(image.shape) == 0:
        raise CodecRangeError(
            f"codec '{codec_id}' takes images and stacks, not shape {image.shape}", "give (planes,) rows, columns"
        )
