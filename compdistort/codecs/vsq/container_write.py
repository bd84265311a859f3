"""Writing .vsq files: chunk after chunk, each decoded at once; the front last, when sizes and digest are known."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from compdistort.codecs.vsq.change import Change
from compdistort.codecs.vsq.chunk import UInt16, encode_chunk, pixel_bytes
from compdistort.codecs.vsq.container_arrays import array_crc, pack_array
from compdistort.codecs.vsq.container_format import Part, front_bytes, pack_front
from compdistort.codecs.vsq.container_header import VsqHeader
from compdistort.codecs.vsq.tiles import chunk_key, chunk_number, tiles
from compdistort.errors import ConfigError, ImageFormatError
from compdistort.io.files import atomic_path


@dataclass(frozen=True, slots=True, kw_only=True)
class VsqOutcome:
    """What was written.

    Attributes
    ----------
    header : VsqHeader
        As it stands in the file.
    n_bytes : int
        Bytes of the file.
    change : Change
        What coding changed.
    """

    header: VsqHeader
    n_bytes: int
    change: Change


def container_overhead(header: VsqHeader, n_chunks: int) -> int:
    """Return the bytes of a file beside its chunks: what stands before them, and the arrays of the noise law.

    Parameters
    ----------
    header : VsqHeader
        The header.
    n_chunks : int
        Number of chunks.

    Returns
    -------
    int
    """
    arrays = [pack_array(array) for array in header.quantiser.law.arrays().values()]
    return front_bytes(header.to_json(), n_chunks + len(arrays)) + sum(map(len, arrays))


class VsqWriter:
    """Takes the planes of an image in their order.

    Parameters
    ----------
    file : binary file
        Written from its begin; can be wound back.
    header : VsqHeader
        Header; the digest of the raw pixels is filled in by `finish`, unless `seeds` are given.
    seeds : sequence of int, optional
        Seed of every chunk, of a file whose decoded image is coded again: it gets the same bits. The header's digest
        then stays, because it is that of the raw pixels.
    threads : int
        Chunks coded at a time; the bytes do not depend on it.

    Raises
    ------
    ConfigError
        If there is not one seed for every chunk.
    """

    def __init__(
        self, file: BinaryIO, header: VsqHeader, *, seeds: Sequence[int] | None = None, threads: int = 1
    ) -> None:
        self._file, self._header, self._seeds = file, header, seeds
        self._tiles = tiles(header.volume[1:], header.settings.tile)
        self._n_chunks = len(self._tiles) * header.volume[0]
        if seeds is not None and len(seeds) != self._n_chunks:
            raise ConfigError(
                f"{len(seeds)} seeds are given for {self._n_chunks} chunks", "give the file that was decoded"
            )
        self._parts: list[Part] = []
        self._digest, self._change, self._written = hashlib.blake2b(digest_size=16), Change(), 0
        self._outcome: VsqOutcome | None = None
        self._pool = ThreadPoolExecutor(threads)
        arrays = header.quantiser.law.arrays()
        self._at = front_bytes(header.to_json(), len(arrays) + self._n_chunks)
        file.seek(self._at)
        for array in arrays.values():
            self._append(pack_array(array), array_crc(array))

    def write_planes(self, planes: UInt16) -> None:
        """Code the next planes.

        Parameters
        ----------
        planes : ndarray of shape (n, rows, columns), uint16
            Raw pixels, DN.

        Raises
        ------
        ConfigError
            Another size or type, or more planes than the image has.
        CodecRangeError
            If what is decoded at once differs.
        """
        n_planes, *size = self._header.volume
        if planes.dtype != np.uint16 or list(planes.shape[1:]) != size or self._written + len(planes) > n_planes:
            raise ConfigError(
                f"planes of shape {planes.shape} and type {planes.dtype} do not fit an image of shape "
                f"{self._header.shape} of which {self._written} planes are written",
                "give its planes in their order, uint16",
            )
        jobs = [(plane, tile) for plane in range(len(planes)) for tile in range(len(self._tiles))]
        first = self._written * len(self._tiles)

        def code(job: tuple[int, int]) -> tuple[bytes, int, Change]:
            plane, tile = job
            return self._code(planes[plane][self._tiles[tile]], tile, first + plane * len(self._tiles) + tile)

        for stored, crc, change in self._pool.map(code, jobs):
            self._append(stored, crc)
            self._change.add(change)
        self._digest.update(pixel_bytes(planes))
        self._written += len(planes)

    def finish(self) -> VsqOutcome:
        """Write what stands before the chunks; refuse an image with planes missing. Once is enough.

        Returns
        -------
        VsqOutcome

        Raises
        ------
        ConfigError
            If planes are missing.
        """
        if self._outcome is not None:
            return self._outcome
        if self._written != self._header.volume[0]:
            raise ConfigError(
                f"{self._written} of {self._header.volume[0]} planes were given", "write all planes of the image"
            )
        header = self._header
        if self._seeds is None:
            header = replace(header, raw_blake2b=self._digest.hexdigest())
        self._file.seek(0)
        self._file.write(pack_front(header.to_json(), self._parts))
        self._outcome = VsqOutcome(header=header, n_bytes=self._at, change=self._change)
        return self._outcome

    def require_same_pixels(self, parts: Sequence[Part]) -> None:
        """Refuse an image that is not the one whose header and seeds were given; called when all planes are there.

        Parameters
        ----------
        parts : sequence of Part
            The chunks of the file that they are from.

        Raises
        ------
        ImageFormatError
            If any chunk decodes to other pixels: digest and calibration would be those of another image, and the
            errors of both would be correlated.
        """
        written = self._parts[-self._n_chunks :]
        other = sum(a.content_crc != b.content_crc for a, b in zip(written, parts, strict=True))
        if other:
            raise ImageFormatError(
                f"{other} of {len(parts)} chunks decode to other pixels than those of the file that the seeds are from",
                "give the image that was decoded from it, unchanged; code another image by its own sensor",
            )

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _code(self, pixels: UInt16, tile: int, number: int) -> tuple[bytes, int, Change]:
        header = self._header
        quantiser = header.quantiser.crop(*self._tiles[tile])
        seed = header.settings.seed
        key = (
            chunk_key(seed, number, pixels)
            if self._seeds is None
            else (self._seeds[number], chunk_number(seed, number))
        )
        stored, indices = encode_chunk(quantiser, pixels, key, header.settings.backend, header.settings.effort)
        back = quantiser.restore(indices, *key)
        change = Change.of(pixels, back, quantiser.law.variance_dn2(pixels))
        return stored, zlib.crc32(pixel_bytes(back)), change

    def _append(self, stored: bytes, content_crc: int) -> None:
        self._file.write(stored)
        self._parts.append(Part(self._at, len(stored), zlib.crc32(stored), content_crc))
        self._at += len(stored)


@contextmanager
def vsq_writer(
    path: Path | str, header: VsqHeader, *, seeds: Sequence[int] | None = None, threads: int = 1
) -> Iterator[VsqWriter]:
    """Write a .vsq file; it takes its name when the block ends without an error and all planes are there.

    Parameters
    ----------
    path : Path or str
        File; an older one is replaced.
    header, seeds, threads
        As for `VsqWriter`.

    Yields
    ------
    VsqWriter
        Its `finish` tells the outcome, in the block or after it.

    Raises
    ------
    ConfigError
        If planes are missing.
    ResourceError
        If the disk refuses; nothing is left behind.
    """
    with atomic_path(path) as partial, partial.open("w+b") as file:
        writer = VsqWriter(file, header, seeds=seeds, threads=threads)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()
