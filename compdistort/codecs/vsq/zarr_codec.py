"""VSQ as a codec of Zarr 3: ``compdistort.vsq``, from arrays to bytes.

Zarr does not tell a codec which chunk it handles, so every chunk takes its seed from its own pixels, and stores it with
two checksums. Chunks of several axes are coded as one image, their planes one below another. A chunk is independent of
all others: Zarr reads any of them alone.
"""

import asyncio
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.registry import register_codec

from compdistort.codecs.vsq.chunk import decode_chunk, encode_chunk, pixel_bytes
from compdistort.codecs.vsq.container_header import VsqSettings
from compdistort.codecs.vsq.dither import content_seed
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.errors import CodecRangeError, ConfigError, ImageFormatError

NAME = "compdistort.vsq"
_HEAD = struct.Struct("<II")  # crc32 of the stored bytes, crc32 of the pixels
_DAMAGED = "the chunk is damaged: get the array again"


@dataclass(frozen=True, eq=False)
class VsqZarrCodec(ArrayBytesCodec):
    """The codec; give it to Zarr as ``serializer``, without compressors behind it.

    Parameters
    ----------
    quantiser : Quantiser
        Noise law, step and limits; a law of per-pixel maps is refused, because a chunk does not know its place.
    backend : str
        Coder of the indices.
    effort : int
        Its effort, 1 to 9.

    Examples
    --------
    >>> import zarr
    >>> law = NoiseLaw(offset_dn=100, gain_dn_per_e=2.0, read_noise_dn=3.0)
    >>> codec = VsqZarrCodec(Quantiser(law, step=1.0), backend="jpegls")
    >>> array = zarr.create_array(
    ...     {}, shape=(4, 64, 64), chunks=(2, 64, 64), dtype="uint16", serializer=codec, compressors=None
    ... )
    >>> array[...] = 900
    >>> bool((abs(array[...].astype(int) - 900) < 30).all())
    True
    """

    is_fixed_size = False

    quantiser: Quantiser
    backend: str = "jxl"
    effort: int = 7

    def __post_init__(self) -> None:
        settings = VsqSettings(backend=self.backend, effort=self.effort)
        object.__setattr__(self, "backend", settings.backend)
        if self.quantiser.law.arrays():
            raise ConfigError(
                f"codec {NAME}: a chunk of a Zarr array does not know which pixels of a map are its own",
                "give one noise law for all pixels, or write a .vsq file",
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VsqZarrCodec) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build the codec from the metadata of an array.

        Raises
        ------
        ConfigError
            If an entry is missing, unknown or not usable.
        """
        given = dict(data.get("configuration") or {})
        try:
            law = NoiseLaw.from_config(given.pop("law"))
            return cls(Quantiser.from_config(given.pop("quantiser"), law), **given)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"codec {NAME}: its configuration is not usable ({error})", "update compdistort"
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as it stands in the metadata of an array."""
        configuration = {
            "law": self.quantiser.law.to_config(),
            "quantiser": self.quantiser.to_config(),
            "backend": self.backend,
            "effort": self.effort,
        }
        return {"name": NAME, "configuration": configuration}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that are not uint16 or have fewer than two axes."""
        del chunk_grid
        if dtype.to_native_dtype() != np.uint16 or len(shape) < 2:
            raise ConfigError(
                f"codec {NAME}: takes uint16 images, not {dtype.to_native_dtype()} of shape {shape}",
                "give the raw 16-bit image",
            )

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Refuse: it is not known before a chunk is coded."""
        raise ConfigError(f"codec {NAME}: chunks have no fixed size", "do not use it for the index of a shard")

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        pixels = np.ascontiguousarray(chunk_data.as_numpy_array(), np.uint16)
        return chunk_spec.prototype.buffer.from_bytes(await asyncio.to_thread(self._encode, pixels))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        pixels: Any = await asyncio.to_thread(self._decode, chunk_data.to_bytes(), chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(pixels)

    def _encode(self, pixels: NDArray[np.uint16]) -> bytes:
        image = pixels.reshape(-1, pixels.shape[-1])
        key = content_seed(image), 0
        stored, indices = encode_chunk(self.quantiser, image, key, self.backend, self.effort)
        return _HEAD.pack(zlib.crc32(stored), zlib.crc32(pixel_bytes(self.quantiser.restore(indices, *key)))) + stored

    def _decode(self, data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        if len(data) < _HEAD.size:
            raise ImageFormatError(f"codec {NAME}: a chunk has {len(data)} bytes", _DAMAGED)
        (stored_crc, pixels_crc), stored = _HEAD.unpack_from(data), data[_HEAD.size :]
        if zlib.crc32(stored) != stored_crc:
            raise ImageFormatError(f"codec {NAME}: the checksum of a chunk does not hold", _DAMAGED)
        size = (int(np.prod(shape[:-1])), shape[-1])
        try:
            indices, seed = decode_chunk(self.quantiser, stored, size, 0, self.backend)
            pixels = self.quantiser.restore(indices, seed, 0)
        except CodecRangeError as error:
            raise ImageFormatError(f"codec {NAME}: a chunk cannot be decoded ({error.what})", _DAMAGED) from error
        if zlib.crc32(pixel_bytes(pixels)) != pixels_crc:
            raise ImageFormatError(f"codec {NAME}: a chunk decodes to other pixels than when it was written", _DAMAGED)
        return pixels.reshape(shape)


register_codec(NAME, VsqZarrCodec)
