"""A depth link fixed for one image: the table down to codes, the table back, and the way of planes through both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs.base import Image
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder
from compdistort.errors import CodecRangeError

_AT_ONCE = 2**16
"""Pixels looked up at a time: NumPy makes indices of 8 bytes of them, and these stay in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScale:
    """The two tables of a depth link for one image.

    Attributes
    ----------
    low, high : int
        Grey levels, DN, that become the lowest and the highest code.
    codes : ndarray of shape (65536,), uint8 or uint16
        Code of every grey level.
    levels : ndarray of shape (2**bits,), uint16 or float32
        Grey level, DN, that every code comes back as; uint16 where all are whole.
    step : float
        Width, DN, of the grey levels that share a code.
    side_bytes : int
        Bytes that the way back needs beside the codes.
    """

    low: int
    high: int
    codes: NDArray[Any]
    levels: NDArray[Any]
    step: float
    side_bytes: int

    def reduce(self, image: Image) -> Image:
        """Return the codes of an image."""
        return _look_up(self.codes, image)

    def restore(self, codes: Image) -> Image:
        """Return the image that codes come back as.

        Raises
        ------
        CodecRangeError
            If a code is none of the link's.
        """
        if np.iinfo(codes.dtype).max >= len(self.levels) and codes.max() >= len(self.levels):
            raise CodecRangeError(
                f"code {codes.max()} came back, but the highest is {len(self.levels) - 1}",
                "this is a fault of the codec: report it with the image",
            )
        return _look_up(self.levels, codes)

    def clipped(self, plane: Image) -> dict[str, int]:
        """Return how many pixels of a plane lie outside the range."""
        return {
            "clipped_low": int(np.count_nonzero(plane < self.low)),
            "clipped_high": int(np.count_nonzero(plane > self.high)),
        }

    def record(self, clipped: Mapping[str, int]) -> dict[str, Any]:
        """Return what was found in the image and done to it, as JSON; `clipped` is the sum over its planes."""
        return {
            "low_dn": self.low,
            "high_dn": self.high,
            "step_dn": self.step,
            "clipped_low": clipped["clipped_low"],
            "clipped_high": clipped["clipped_high"],
            "side_bytes": self.side_bytes,
        }

    def plane_coder(self, store: Callable[[Image], tuple[Image, int]], settings: Mapping[str, Any]) -> PlaneCoder:
        """Return the way of an image's planes: to codes, through a coder of codes, and back.

        Parameters
        ----------
        store : callable
            Takes the codes of a plane, of shape (rows, columns); returns them decoded, and the bytes stored.
        settings : mapping
            Head of the record.

        Returns
        -------
        PlaneCoder
        """

        def code(plane: Image, _number: int) -> CodedPlane:
            codes, size = store(self.reduce(plane))
            return CodedPlane(decoded=self.restore(codes), encoded_bytes=size, counts=self.clipped(plane))

        return PlaneCoder(
            dtype=self.levels.dtype,
            code=code,
            side_bytes=self.side_bytes,
            record=lambda clipped: {**settings, **self.record(clipped)},
        )


def _look_up(table: NDArray[Any], index: Image) -> Image:
    """Return ``table[index]``, of any shape; every index must be in the table."""
    found: NDArray[Any] = np.empty(index.shape, table.dtype)
    flat, places = found.reshape(-1), index.ravel()
    for start in range(0, places.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        np.take(table, places[part], out=flat[part], mode="clip")  # "raise" would copy `out`
    return found
