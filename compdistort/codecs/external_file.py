"""The raw image as another program gave it back: a decoded file, and how many bytes it took."""

import hashlib
import threading
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import RAW_BYTES_PER_PIXEL, CodecResult, ConfigCodec, Image, Levels, check_image
from compdistort.codecs.external_image import check_decoded, part_like, stored_bytes
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder
from compdistort.errors import CodecRangeError, ConfigError, ImageFormatError
from compdistort.io.images import read_image
from compdistort.io.names import short_name
from compdistort.io.pixels import parse_crop
from compdistort.io.volume import Volume, open_volume

_OTHERS = "give the tool itself, as encode = [...] and decode = [...], where other images are to go through it"


class _Part(NamedTuple):
    """What belongs to the raw image of a decoded file of so many pixels, and which part of the file it is."""

    image: Image
    words: str
    file_pixels: int


@dataclass(frozen=True, kw_only=True)
class ExternalFile(ConfigCodec):
    """The raw image through a codec elsewhere; no other image can go through it.

    Attributes
    ----------
    decoded : str
        Decoded image, in any format that `compdistort.io.images.read_image` takes: uint16 or float32, DN on the scale
        of the raw image.
    compressed : str or None
        Compressed file or folder, whose bytes count; this or `encoded_bytes`.
    encoded_bytes : int or None
        Bytes that the compressed image takes.
    page, crop : int, str or None
        Part of the recorded image that the raw image is; a study gives its own. Where the decoded file is larger than
        the raw image, the same part of it is taken, and the same share of the bytes.
    raw_digest : str or None
        BLAKE2b of the raw image that it was prepared for; set by `prepare`.

    Examples
    --------
    >>> ExternalFile(decoded="seen/a.tif", encoded_bytes=4000).describe()
    'decoded elsewhere: a.tif; 4000 bytes'
    """

    codec_id: ClassVar[str] = "external"

    decoded: str
    compressed: str | None = None
    encoded_bytes: int | None = None
    page: int | None = None
    crop: str | None = None
    raw_digest: str | None = None

    def __post_init__(self) -> None:
        for name in ("decoded", "compressed"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value):
                raise ConfigError(f"codec 'external': {name} = {value!r} names no file", "give a path")
        if (self.compressed is None) == (self.encoded_bytes is None):
            times = "never" if self.compressed is None else "twice"
            raise ConfigError(
                f"codec 'external': the size of {self.decoded} is given {times}",
                "give either compressed = FILE or encoded_bytes = NUMBER",
            )
        if self.encoded_bytes is not None and not (type(self.encoded_bytes) is int and self.encoded_bytes > 0):
            raise ConfigError(
                f"codec 'external': encoded_bytes = {self.encoded_bytes!r} is not possible",
                "use a whole number above 0",
            )
        if self.page is not None and not (type(self.page) is int and self.page >= 0):
            raise ConfigError(f"codec 'external': page = {self.page!r} is not possible", "count planes from 0")
        if self.crop is not None:
            parse_crop(str(self.crop))

    @property
    def raw_alone(self) -> bool:
        """Whether it exists for the raw image alone: it does."""
        return True

    def prepare(self, raw: Image) -> Self:
        """Return the codec bound to a raw image, its files read and checked once.

        Parameters
        ----------
        raw : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Raw image, DN.

        Returns
        -------
        ExternalFile

        Raises
        ------
        CodecRangeError, ImageFormatError, InputError
            If a file is missing or damaged, or does not hold the raw image's shape, type and range.
        """
        check_image(self.codec_id, raw)
        self._part(raw.shape)
        self._file_bytes()
        return replace(self, raw_digest=_digest(raw))

    def apply(self, image: Image) -> CodecResult:
        """Return the decoded file; `image` must be the raw image that the codec is prepared for.

        Parameters
        ----------
        image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Raw image, DN.

        Returns
        -------
        CodecResult

        Raises
        ------
        CodecRangeError
            If it is another image, or the file does not fit it.
        ConfigError
            If the codec is not prepared.
        """
        check_image(self.codec_id, image)
        if self.raw_digest is None:
            raise ConfigError(f"codec 'external': {self._name} belongs to no image yet", "call prepare(raw) first")
        if self.raw_digest != _digest(image):
            raise CodecRangeError(
                f"codec 'external': {self._name} was decoded from the raw image, and this is another", _OTHERS
            )
        part = self._part(image.shape)
        share = self._share(image.size, part.file_pixels)
        return CodecResult(
            decoded=part.image.reshape(image.shape),
            encoded_bytes=share,
            ratio=RAW_BYTES_PER_PIXEL * image.size / share,
            record=self._record(part.words, part.file_pixels),
        )

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec itself, after a look at its files: planes are told by their numbers, not by a digest."""
        self.plane_coder(planes, levels)
        return self

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes of the raw volume: each is read from the decoded file by its number.

        Raises
        ------
        CodecRangeError, ImageFormatError, InputError
            As `prepare`.
        """
        check_image(self.codec_id, planes)
        volume, words, file_pixels = self._volume(planes.shape)
        size = planes.shape[0] * planes.shape[1] * planes.shape[2]
        return PlaneCoder(
            dtype=volume.dtype,
            code=_Planes(self._name, volume).code,
            side_bytes=self._share(size, file_pixels),  # of all planes: the file does not tell what each of them takes
            record=lambda _counts: self._record(words, file_pixels),
        )

    def describe(self) -> str:
        """Return the chain in words."""
        size = f"{self.encoded_bytes} bytes" if self.compressed is None else f"size of {short_name(self.compressed)}"
        return f"decoded elsewhere: {self._name}; {size}"

    @property
    def _name(self) -> str:
        return short_name(self.decoded)

    def _file_bytes(self) -> int:
        if self.compressed is not None:
            return stored_bytes(Path(self.compressed))
        assert self.encoded_bytes is not None
        return self.encoded_bytes

    def _share(self, pixels: int, file_pixels: int) -> int:
        """Return the bytes that a part of the decoded file takes."""
        return max(1, round(self._file_bytes() * pixels / file_pixels))

    def _record(self, words: str, file_pixels: int) -> dict[str, Any]:
        return {
            "codec": self.codec_id,
            "decoded": self._name,
            "part": words,
            "file_pixels": file_pixels,
            "file_bytes": self._file_bytes(),
        }

    def _part(self, shape: tuple[int, ...]) -> _Part:
        """Read what the raw image is of the decoded file."""
        plane = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
        whole = read_image(Path(self.decoded), kind="any")
        found = part_like(whole, plane, self.page, None if self.crop is None else parse_crop(self.crop))
        if found is None:
            raise self._unlike(whole.shape, shape)
        return _Part(check_decoded(self._name, found[0]), found[1], whole.size)

    def _volume(self, shape: tuple[int, ...]) -> tuple[Volume, str, int]:
        """Open what the raw volume is of the decoded one; return its part in words, and the pixels of the file."""
        volume, words = open_volume(self.decoded, kind="any"), "whole"
        whole = volume.shape
        if whole != shape and self.crop is not None:
            volume.close()
            words = f"crop {self.crop}"
            volume = open_volume(self.decoded, kind="any", crop=parse_crop(self.crop))
        if volume.shape != shape or volume.dtype not in (np.dtype(np.uint16), np.dtype(np.float32)):
            volume.close()
            check_decoded(self._name, np.zeros((1, 1), volume.dtype))
            raise self._unlike(whole, shape)
        return volume, words, whole[0] * whole[1] * whole[2]

    def _unlike(self, whole: tuple[int, ...], shape: tuple[int, ...]) -> CodecRangeError:
        cut = [f"{key} {value}" for key, value in (("page", self.page), ("crop", self.crop)) if value is not None]
        also = f", and no such part ({', '.join(cut)})" if cut else ""
        return CodecRangeError(
            f"codec 'external': {self._name} has shape {whole}, not that of the raw image, {shape}{also}",
            "decode the raw image itself: the same planes, rows and columns",
        )


class _Planes:
    """The planes of a decoded volume by number, for any thread; the file is closed when nothing asks any more."""

    def __init__(self, name: str, volume: Volume) -> None:
        self._name, self._volume, self._lock = name, volume, threading.Lock()
        weakref.finalize(self, volume.close)

    def code(self, plane: Image, number: int) -> CodedPlane:
        """Return a plane of the file in the place of one of the raw volume."""
        with self._lock:
            if number >= self._volume.shape[0]:
                raise ImageFormatError(f"{self._name}: has no plane {number}", _OTHERS)
            decoded = self._volume.read_planes(number, number + 1)[0]
        return CodedPlane(decoded=check_decoded(self._name, decoded), encoded_bytes=0)


def _digest(image: Image) -> str:
    """Return the BLAKE2b of shape and pixels, 128 bit, in hexadecimal."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
