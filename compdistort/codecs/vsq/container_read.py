"""Reading .vsq files plane by plane or chunk by chunk.

Nothing that a file claims is believed before it is checked; what a chunk decodes to is compared with the checksum that
its encoder wrote, so that a machine with another arithmetic is found out.
"""

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.vsq.chunk import decode_chunk, pixel_bytes, stored_seed
from compdistort.codecs.vsq.container_arrays import unpack_array
from compdistort.codecs.vsq.container_format import DAMAGED, Part, read_front
from compdistort.codecs.vsq.container_header import parse_header
from compdistort.codecs.vsq.tiles import chunk_number, tiles
from compdistort.errors import CodecRangeError, ImageFormatError
from compdistort.io.files import resource_errors
from compdistort.io.pixels import DEFAULT_MAX_BYTES, check_size
from compdistort.io.planes import groups


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where a chunk lies in the image, and in the file."""

    number: int
    plane: int
    rows: slice
    columns: slice
    part: Part

    @property
    def words(self) -> str:
        return (
            f"chunk {self.number} (plane {self.plane}, rows {self.rows.start}:{self.rows.stop}, "
            f"columns {self.columns.start}:{self.columns.stop})"
        )


class VsqFile:
    """An open .vsq image (a `PlaneReader`): any planes or chunk of it can be had; one thread at a time asks.

    Parameters
    ----------
    where : str
        Name of the file, for messages.
    file : binary file
        Open for reading.
    size : int
        Its bytes.
    dtype : numpy.dtype or what makes one
        uint16, or float32 without the last rounding.
    keep_going : bool
        Give 0 for the pixels of a damaged chunk, and keep its name in `damaged`; else refuse.
    threads : int
        Chunks decoded at a time.
    max_bytes : int
        Largest array that is made, in bytes.

    Attributes
    ----------
    header : VsqHeader
        What the file says of itself.
    shape : tuple of three int
        Planes, rows, columns.
    dtype : numpy.dtype
        Type of the decoded pixels.
    damaged : list of str
        Chunks that could not be decoded so far, and why.
    parts : tuple of Part
        Where each chunk lies in the file, and the checksums of its bytes and pixels.

    Raises
    ------
    ImageFormatError
        Another format, an unknown version or coder, damage before the chunks, values that no encoder writes.
    ImageTooLargeError
        A plane above `max_bytes`.
    """

    def __init__(
        self,
        where: str,
        file: BinaryIO,
        size: int,
        *,
        dtype: Any = np.uint16,
        keep_going: bool = False,
        threads: int = 1,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        front = read_front(where, file, size)
        parsed = parse_header(where, front.header)
        self._where, self._file, self._max_bytes = where, file, max_bytes
        self.dtype = np.dtype(dtype)
        self._check_room(parsed.shape[-2:], self.dtype)
        self._check_room((len(parsed.arrays) or 1, *parsed.shape[-2:]), np.dtype(np.float64 if parsed.arrays else "u1"))
        if len(front.parts) != len(parsed.arrays) + parsed.n_chunks:
            raise ImageFormatError(
                f"{where}: holds {len(front.parts) - len(parsed.arrays)} chunks, its shape needs {parsed.n_chunks}",
                DAMAGED,
            )
        n = len(parsed.arrays)
        arrays = {
            name: unpack_array(where, name, part, self._bytes(part), parsed.shape[-2:])
            for name, part in zip(parsed.arrays, front.parts[:n], strict=True)
        }
        self.header = parsed.complete(arrays)
        self.shape = self.header.volume
        self._tiles = tiles(self.shape[1:], self.header.settings.tile)
        self.parts = front.parts[n:]
        self._keep_going, self.damaged = keep_going, list[str]()
        self._pool = ThreadPoolExecutor(threads)

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return len(self.parts)

    def close(self) -> None:
        """End the threads; the file stays open."""
        self._pool.shutdown(cancel_futures=True)

    def read_planes(self, start: int, stop: int) -> NDArray[Any]:
        """Decode planes.

        Parameters
        ----------
        start, stop : int
            First plane, and one past the last.

        Returns
        -------
        ndarray of shape (stop - start, rows, columns), `dtype`
            DN.

        Raises
        ------
        ImageFormatError
            Planes that do not exist; a damaged chunk, by its place, unless the file is opened to keep going.
        ImageTooLargeError
            More bytes than are allowed.
        """
        if not 0 <= start < stop <= self.shape[0]:
            raise ImageFormatError(f"{self._where}: has no planes {start}:{stop}", f"choose some of 0:{self.shape[0]}")
        shape = (stop - start, *self.shape[1:])
        self._check_room(shape, self.dtype)
        planes = np.zeros(shape, self.dtype)
        a_plane = len(self._tiles)
        chunks = [self._chunk(number) for number in range(start * a_plane, stop * a_plane)]
        for chunk, pixels in zip(chunks, self._pool.map(self._try, chunks, map(self._stored, chunks)), strict=True):
            if not isinstance(pixels, ImageFormatError):
                planes[chunk.plane - start, chunk.rows, chunk.columns] = pixels
            elif self._keep_going:
                self.damaged.append(pixels.what)
            else:
                raise pixels
        return planes

    def read_chunk(self, number: int) -> NDArray[Any]:
        """Decode one chunk.

        Parameters
        ----------
        number : int
            Its number: chunks of a plane in raster order, plane after plane.

        Returns
        -------
        ndarray of shape (rows, columns), `dtype`
            DN.

        Raises
        ------
        ImageFormatError
            If there is none, or it is damaged.
        """
        if not 0 <= number < self.n_chunks:
            raise ImageFormatError(f"{self._where}: has no chunk {number}", f"choose one from 0 to {self.n_chunks - 1}")
        chunk = self._chunk(number)
        return self._decode(chunk, self._stored(chunk))

    def check(self) -> list[str]:
        """Decode every chunk; return what is damaged, an entry a chunk.

        Returns
        -------
        list of str
            Empty where the file is whole.
        """
        found: list[str] = []
        for first, last in groups(0, self.n_chunks):
            chunks = [self._chunk(number) for number in range(first, last)]
            tried = self._pool.map(self._try, chunks, map(self._stored, chunks))
            found += [error.what for error in tried if isinstance(error, ImageFormatError)]
        return found

    def seeds(self) -> list[int]:
        """Return the seed of every chunk: who codes the decoded image again with them gets the same bits.

        Raises
        ------
        ImageFormatError
            If a chunk is damaged.
        """
        found = []
        for chunk in map(self._chunk, range(self.n_chunks)):
            stored = self._stored(chunk)
            with self._naming(chunk):
                _check_crc(chunk, stored)
                found.append(stored_seed(stored))
        return found

    def _chunk(self, number: int) -> _Chunk:
        plane, tile = divmod(number, len(self._tiles))
        return _Chunk(number, plane, *self._tiles[tile], self.parts[number])

    def _stored(self, chunk: _Chunk) -> bytes:
        return self._bytes(chunk.part)

    def _bytes(self, part: Part) -> bytes:
        with resource_errors(self._where):
            self._file.seek(part.offset)
            return self._file.read(part.length)

    def _try(self, chunk: _Chunk, stored: bytes) -> NDArray[Any] | ImageFormatError:
        try:
            return self._decode(chunk, stored)
        except ImageFormatError as error:
            return error

    def _decode(self, chunk: _Chunk, stored: bytes) -> NDArray[Any]:
        with self._naming(chunk):
            _check_crc(chunk, stored)
            rows, columns, settings = chunk.rows, chunk.columns, self.header.settings
            shape = int(rows.stop - rows.start), int(columns.stop - columns.start)
            quantiser = self.header.quantiser.crop(rows, columns)
            number = chunk_number(settings.seed, chunk.number)
            indices, seed = decode_chunk(quantiser, stored, shape, number, settings.backend)
            pixels = quantiser.restore(indices, seed, number)
            if zlib.crc32(pixel_bytes(pixels)) != chunk.part.content_crc:
                raise CodecRangeError("decodes to other pixels than when it was written", "report it with the file")
        return pixels if self.dtype == np.uint16 else quantiser.restore(indices, seed, number, np.float32)

    @contextmanager
    def _naming(self, chunk: _Chunk) -> Iterator[None]:
        """Say which chunk of which file is damaged."""
        try:
            yield
        except CodecRangeError as error:
            raise ImageFormatError(f"{self._where}: {chunk.words} is damaged: {error.what}", DAMAGED) from error

    def _check_room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        check_size(Path(self._where), shape, dtype, None, self._max_bytes)


def _check_crc(chunk: _Chunk, stored: bytes) -> None:
    if len(stored) != chunk.part.length or zlib.crc32(stored) != chunk.part.stored_crc:
        raise CodecRangeError("its checksum does not hold")


@contextmanager
def open_vsq(path: Path | str, **options: Any) -> Iterator[VsqFile]:
    """Open a .vsq file for reading planes or chunks.

    Parameters
    ----------
    path : Path or str
        The file.
    **options
        `dtype`, `keep_going`, `threads` and `max_bytes` of `VsqFile`.

    Yields
    ------
    VsqFile

    Raises
    ------
    ImageFormatError
        As `VsqFile`; a file that does not exist.
    ResourceError
        If it may not be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageFormatError(f"{path}: does not exist, or is no plain file", "correct the path")
    with resource_errors(path):
        file = path.open("rb")
    with file, closing(VsqFile(str(path), file, os.fstat(file.fileno()).st_size, **options)) as opened:
        yield opened
