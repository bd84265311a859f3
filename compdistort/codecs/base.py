"""What a codec is: data that names every link of its chain, and a checked way through it.

A codec is a frozen dataclass: its repr is its constructor, its configuration is JSON and the table of a study file.
``prepare`` fixes what has to be searched (the knob of a wanted ratio) on the raw image; ``apply`` encodes, decodes,
checks the result and brings it back to the scale of the raw image. What a codec takes from the data of an image without
a search (the range of its grey levels) it takes anew from every image it is applied to.

Ratios count 2 bytes a pixel of the raw image against every byte that the way back to 16 bit needs.
"""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CodecRangeError, ConfigError

Image = NDArray[Any]

RAW_BYTES_PER_PIXEL = 2
_REPORT = "this is a fault of the codec: report it with the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecResult:
    """One image that went through a codec.

    Attributes
    ----------
    decoded : ndarray of the image's shape, uint16 or float32
        Decoded image on the raw scale, DN; float32 where the way back gives fractions.
    encoded_bytes : int
        Codestream and side information.
    ratio : float
        ``2 * pixels / encoded_bytes``.
    record : dict
        What was done, JSON: settings found in the data, links, ``reached`` where a ratio was wanted.
    """

    decoded: Image
    encoded_bytes: int
    ratio: float
    record: dict[str, Any]


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

    def prepare(self, raw: Image) -> Self:
        """Return the codec with its knob fixed on the raw image (itself where nothing is searched)."""
        ...

    def apply(self, image: Image) -> CodecResult:
        """Encode, decode and check an image, and bring it back to the raw scale."""
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
            If a key is unknown (the nearest one is named) or a value unusable.
        """
        settings = {key: value for key, value in config.items() if key != "id"}
        known = [field.name for field in _fields(cls)]
        for key in settings:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                hint = f"did you mean '{near[0]}'?" if near else "it has no settings"
                raise ConfigError(f"codec '{cls.codec_id}' has no setting '{key}'", hint)
        return cls(**settings)


def _fields(cls: type[Any]) -> tuple[Any, ...]:
    return fields(cls)


def check_image(codec_id: str, image: Image) -> None:
    """Refuse what is no raw image, before anything is encoded.

    Parameters
    ----------
    codec_id : str
        For the message.
    image : ndarray of shape ([planes,] rows, columns)
        Must be uint16 of shape (rows, columns) or (planes, rows, columns).

    Raises
    ------
    CodecRangeError
        Another type or shape, or no pixels.
    """
    if image.dtype != np.uint16:
        raise CodecRangeError(f"codec '{codec_id}' takes uint16 images, not {image.dtype}", "give the raw 16-bit image")
    if image.ndim not in (2, 3) or image.size == 0:
        raise CodecRangeError(
            f"codec '{codec_id}' takes images and stacks, not shape {image.shape}", "give (planes,) rows, columns"
        )


def make_result(
    codec_id: str, image: Image, decoded: Image, encoded_bytes: int, record: dict[str, Any], *, lossless: bool = False
) -> CodecResult:
    """Check a decoded image and return it as a result.

    Parameters
    ----------
    codec_id : str
        For the message.
    image : ndarray of shape ([planes,] rows, columns), uint16
        What was encoded.
    decoded : ndarray of shape ([planes,] rows, columns)
        What came back.
    encoded_bytes : int
        Bytes stored.
    record : dict
        What was done.
    lossless : bool
        Demand equality to the bit.

    Returns
    -------
    CodecResult

    Raises
    ------
    CodecRangeError
        If shape, type, range or (where promised) equality do not hold: some decoders fail silently.
    """
    if decoded.shape != image.shape or decoded.dtype not in (np.uint16, np.float32):
        raise CodecRangeError(
            f"codec '{codec_id}' decoded {decoded.dtype} of shape {decoded.shape} from shape {image.shape}", _REPORT
        )
    if decoded.dtype == np.float32 and not (decoded.min() >= 0 and decoded.max() <= 65535):
        raise CodecRangeError(
            f"codec '{codec_id}' decoded values {decoded.min():g} to {decoded.max():g}, outside 0 to 65535", _REPORT
        )
    if lossless and not np.array_equal(decoded, image):
        raise CodecRangeError(f"codec '{codec_id}' is called lossless but changed the image", _REPORT)
    ratio = RAW_BYTES_PER_PIXEL * image.size / encoded_bytes
    return CodecResult(decoded=decoded, encoded_bytes=encoded_bytes, ratio=ratio, record=record)


def planes_of(image: Image) -> Image:
    """Return the planes of an image or stack, shape (planes, rows, columns)."""
    return image if image.ndim == 3 else image[None]
