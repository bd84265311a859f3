"""Volumes through a codec plane by plane: a few planes in memory, and the same results as of the whole at once."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import (
    RAW_BYTES_PER_PIXEL,
    Codec,
    CodecOutcome,
    CodecResult,
    ConfigCodec,
    Image,
    Levels,
    check_image,
)
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder, code_plane, restore_plane
from compdistort.codecs.ratio_search import of_whole_image
from compdistort.io.planes import as_reader, grey_levels, groups

Watch = Callable[[Image, Image], None]
"""Is shown planes, each with what a codec made of it."""


def each_plane(planes: PlaneReader, start: int = 0, stop: int | None = None) -> Iterator[Image]:
    """Give the planes of a volume in their order, a few of them read at a time.

    Parameters
    ----------
    planes : PlaneReader
        The volume.
    start, stop : int, optional
        First plane, and one past the last; all by default.

    Yields
    ------
    ndarray of shape (rows, columns)
        A plane.
    """
    end = planes.shape[0] if stop is None else stop
    for first, last in groups(start, end):
        yield from planes.read_planes(first, last)


class DecodedPlanes:
    """A volume that went through a codec (a `PlaneReader`): planes are coded and decoded when they are asked for.

    Parameters
    ----------
    codec : Codec
        The codec, prepared.
    planes : PlaneReader
        Volume of shape (planes, rows, columns), uint16, DN.
    levels : callable
        Counts the volume's grey levels; called at most once, here, and only by a codec whose range is taken from them.

    Attributes
    ----------
    shape : tuple of three int
        Planes, rows, columns.
    dtype : numpy.dtype
        uint16 or float32, as `Codec.apply` of the whole volume gives; no plane is read for it.

    Raises
    ------
    ConfigError
        If the codec codes several planes together, or is not prepared.
    CodecRangeError
        If the volume cannot be carried.
    """

    def __init__(self, codec: Codec, planes: PlaneReader, levels: Levels) -> None:
        self._codec_id, self._planes = codec.codec_id, planes
        self._coder = codec.plane_coder(planes, levels)
        self.shape, self.dtype = planes.shape, self._coder.dtype

    def read_planes(self, start: int, stop: int) -> Image:
        """Return decoded planes.

        Parameters
        ----------
        start, stop : int
            First plane, and one past the last.

        Returns
        -------
        ndarray of shape (stop - start, rows, columns), uint16 or float32
            Decoded planes on the raw scale, DN, in C order.

        Raises
        ------
        CodecRangeError
            If what comes back is not of the right shape, type or range.
        """
        return _restored(self._codec_id, self._coder, self._planes, start, stop)


def compress_planes(codec: Codec, planes: PlaneReader, levels: Levels, watch: Watch | None = None) -> CodecOutcome:
    """Take a volume through a codec in one pass, and keep no plane.

    Parameters
    ----------
    codec : Codec
        The codec, prepared.
    planes : PlaneReader
        Volume of shape (planes, rows, columns), uint16, DN.
    levels : callable
        Counts the volume's grey levels; called at most once, by a codec whose range is taken from them.
    watch : callable, optional
        Is shown every plane, of shape (rows, columns), with the decoded one, in their order.

    Returns
    -------
    CodecOutcome
        As `Codec.apply` of the whole volume gives.

    Raises
    ------
    ConfigError, CodecRangeError
        As `DecodedPlanes` and its `read_planes`.
    """
    tally = _Tally(codec.plane_coder(planes, levels))
    for number, plane in enumerate(each_plane(planes)):
        coded = tally.add(code_plane(codec.codec_id, tally.coder, plane, number))
        if watch is not None:
            watch(plane, coded.decoded)
    return tally.outcome()


def changes(codec: Codec, planes: PlaneReader, levels: Levels) -> bool:
    """Return whether a codec changes a volume: any voxel, or the type of all.

    Parameters
    ----------
    codec : Codec
        The codec, prepared.
    planes : PlaneReader
        Volume of shape (planes, rows, columns), uint16, DN; read up to the first change.
    levels : callable
        Counts the volume's grey levels; called at most once, by a codec whose range is taken from them.

    Returns
    -------
    bool

    Raises
    ------
    ConfigError, CodecRangeError
        As `DecodedPlanes` and its `read_planes`.
    """
    coder = codec.plane_coder(planes, levels)
    if coder.dtype != planes.dtype:
        return True
    return any(
        not np.array_equal(restore_plane(codec.codec_id, coder, plane, number), plane)
        for number, plane in enumerate(each_plane(planes))
    )


class PlanewiseCodec(ConfigCodec):
    """A codec that codes every plane by itself: an image in memory takes the same way as one plane after another."""

    def prepare(self, raw: Image) -> Self:
        """Return the codec with its knob fixed on the raw image (itself where nothing is searched).

        Parameters
        ----------
        raw : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Raw image, DN.

        Returns
        -------
        PlanewiseCodec

        Raises
        ------
        CodecRangeError
            If the image cannot be carried.
        """
        check_image(self.codec_id, raw)
        return self.prepare_planes(as_reader(raw), partial(grey_levels, raw))

    def apply(self, image: Image) -> CodecResult:
        """Encode, decode and check an image, and bring it back to the raw scale.

        Parameters
        ----------
        image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Image, DN.

        Returns
        -------
        CodecResult
            Its record tells the settings, what was found in the image, and whether a wanted ratio was reached.

        Raises
        ------
        CodecRangeError
            If the image cannot be carried, or did not come back as it should.
        ConfigError
            If the codec is not prepared.
        """
        check_image(self.codec_id, image)
        planes = as_reader(image)
        tally = _Tally(self.plane_coder(planes, partial(grey_levels, image)))
        decoded: NDArray[Any] = np.empty(planes.shape, tally.coder.dtype)
        for number, plane in enumerate(each_plane(planes)):
            decoded[number] = tally.add(code_plane(self.codec_id, tally.coder, plane, number)).decoded
        outcome = tally.outcome()
        return CodecResult(
            decoded=decoded.reshape(image.shape),
            encoded_bytes=outcome.encoded_bytes,
            ratio=outcome.ratio,
            record=outcome.record,
        )

    def restored(self, image: Image) -> Image:
        """Return what `apply` decodes the image to; where a codestream is not needed for that, none is made."""
        if type(self).apply is not PlanewiseCodec.apply:  # a codec with a way of its own
            return self.apply(image).decoded
        check_image(self.codec_id, image)
        planes = as_reader(image)
        coder = self.plane_coder(planes, partial(grey_levels, image))
        return _restored(self.codec_id, coder, planes, 0, planes.shape[0]).reshape(image.shape)


def _restored(codec_id: str, coder: PlaneCoder, planes: PlaneReader, start: int, stop: int) -> Image:
    """Return planes as they are decoded, of shape (stop - start, rows, columns)."""
    decoded: NDArray[Any] = np.empty((stop - start, *planes.shape[1:]), coder.dtype)
    for number, plane in enumerate(each_plane(planes, start, stop), start):
        decoded[number - start] = restore_plane(codec_id, coder, plane, number)
    return decoded


class _Tally:
    """What the planes of an image add up to."""

    def __init__(self, coder: PlaneCoder) -> None:
        self.coder, self._pixels, self._bytes = coder, 0, coder.side_bytes
        self._counts: Counter[str] = Counter()

    def add(self, coded: CodedPlane) -> CodedPlane:
        """Count a plane, and return it."""
        self._pixels += coded.decoded.size
        self._bytes += coded.encoded_bytes
        self._counts.update(coded.counts)
        return coded

    def outcome(self) -> CodecOutcome:
        """Return size, ratio and record of all planes so far."""
        ratio, record = RAW_BYTES_PER_PIXEL * self._pixels / self._bytes, self.coder.record(self._counts)
        if "target_ratio" in record:
            told = record.get("reached", True), record.get("limit", "")
            record = record | of_whole_image(ratio, record["target_ratio"], *told)
        return CodecOutcome(encoded_bytes=self._bytes, ratio=ratio, record=record)
