"""The .vsq container: images in memory to the bytes of a file and back.

`compdistort.codecs.vsq.container_format` says how the bytes lie; `container_write` makes files of any size, and
`container_read` reads them.
"""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.base import check_image
from compdistort.codecs.vsq.chunk import UInt16
from compdistort.codecs.vsq.container_header import VsqHeader, VsqSettings
from compdistort.codecs.vsq.container_read import VsqFile, open_vsq
from compdistort.codecs.vsq.container_write import VsqOutcome, VsqWriter, container_overhead, vsq_writer
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.io.pixels import DEFAULT_MAX_BYTES
from compdistort.io.planes import as_reader, groups
from compdistort.io.voxels import VoxelUm

__all__ = [
    "VsqFile",
    "VsqHeader",
    "VsqOutcome",
    "VsqSettings",
    "VsqWriter",
    "container_overhead",
    "decode_array",
    "encode_array",
    "open_vsq",
    "recode_array",
    "vsq_writer",
]


def encode_array(
    image: UInt16,
    quantiser: Quantiser,
    settings: VsqSettings | None = None,
    *,
    voxel_um: VoxelUm | None = None,
    threads: int = 1,
) -> bytes:
    """Return an image as the bytes of a .vsq file.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    quantiser : Quantiser
        Noise law, step and limits.
    settings : VsqSettings, optional
        Chunks, seed and coder; by default content seeds, and JPEG XL of effort 7 on chunks of 1024 pixels.
    voxel_um : tuple of three float, optional
        Distance of planes, rows and columns in micrometres, kept in the header.
    threads : int
        Chunks coded at a time; the bytes do not depend on it.

    Returns
    -------
    bytes

    Raises
    ------
    CodecRangeError
        If the image is no uint16 image, or has values that the quantiser does not carry.

    Examples
    --------
    >>> from compdistort.codecs.vsq.noise import NoiseLaw
    >>> law = NoiseLaw(offset_dn=100, gain_dn_per_e=2.0, read_noise_dn=3.0)
    >>> image = np.full((3, 40, 50), 900, np.uint16)
    >>> decoded, header = decode_array(encode_array(image, Quantiser(law, step=2.0)))
    >>> decoded.shape, header.shape, int(abs(decoded.astype(int) - 900).max()) < 60
    ((3, 40, 50), (3, 40, 50), True)
    """
    check_image("vsq", image)
    header = VsqHeader(shape=image.shape, quantiser=quantiser, settings=settings or VsqSettings(), voxel_um=voxel_um)
    return _encode(image, header, None, threads)


def decode_array(
    data: bytes, *, dtype: Any = np.uint16, threads: int = 1, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[NDArray[Any], VsqHeader]:
    """Return the image that the bytes of a .vsq file hold, and their header.

    Parameters
    ----------
    data : bytes
        The whole file.
    dtype, threads, max_bytes
        As for `VsqFile`.

    Returns
    -------
    image : ndarray of the header's shape, `dtype`
        Decoded image, DN.
    header : VsqHeader
        What the file says of itself.

    Raises
    ------
    ImageFormatError
        As `VsqFile`; damage.
    """
    with _opened(data, dtype=dtype, threads=threads, max_bytes=max_bytes) as opened:
        return opened.read_planes(0, opened.shape[0]).reshape(opened.header.shape), opened.header


def recode_array(image: UInt16, data: bytes, *, threads: int = 1) -> bytes:
    """Code a decoded image again with the header and the seeds of the file that it was decoded from.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint16
        Decoded image, DN.
    data : bytes
        The file that it comes from.
    threads : int
        Chunks coded at a time.

    Returns
    -------
    bytes
        The same file, bit for bit, where the image is what was decoded; no noise is added twice.

    Raises
    ------
    ImageFormatError
        If `data` is damaged, or decodes to another image.
    ConfigError
        If the image has another shape.
    """
    with _opened(data) as opened:
        return _encode(image, opened.header, opened, threads)


@contextmanager
def _opened(data: bytes, **options: Any) -> Iterator[VsqFile]:
    with closing(VsqFile("a .vsq image in memory", io.BytesIO(data), len(data), **options)) as opened:
        yield opened


def _encode(image: UInt16, header: VsqHeader, like: VsqFile | None, threads: int) -> bytes:
    file = io.BytesIO()
    planes, seeds = as_reader(image), None if like is None else like.seeds()
    with closing(VsqWriter(file, header, seeds=seeds, threads=threads)) as writer:
        for start, stop in groups(0, planes.shape[0]):
            writer.write_planes(planes.read_planes(start, stop))
        writer.finish()
        if like is not None:
            writer.require_same_pixels(like.parts)
    return file.getvalue()
