"""The codec that changes nothing: the null of every study, whose scores must be exactly zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from compdistort.backend.planes import PlaneReader
from compdistort.codecs.base import Image, Levels, check_image
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder
from compdistort.codecs.planewise import PlanewiseCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(PlanewiseCodec):
    """Store the raw image as it is, 2 bytes a pixel.

    Examples
    --------
    >>> Identity()
    Identity()
    """

    codec_id: ClassVar[str] = "identity"

    def prepare_planes(self, planes: PlaneReader, levels: Levels) -> Self:
        """Return the codec itself: nothing is searched."""
        check_image(self.codec_id, planes)
        return self

    def plane_coder(self, planes: PlaneReader, levels: Levels) -> PlaneCoder:
        """Return the way of the planes: equal to the bit, ratio 1."""
        check_image(self.codec_id, planes)
        return PlaneCoder(dtype=np.dtype(np.uint16), code=_store, side_bytes=0, record=self._record, lossless=True)

    def describe(self) -> str:
        """Return the chain in words."""
        return "stored as it is, 16 bit"

    def _record(self, _counts: Mapping[str, int]) -> dict[str, Any]:
        return {"codec": self.codec_id}


def _store(plane: Image, _number: int) -> CodedPlane:
    stored = plane.tobytes()
    return CodedPlane(decoded=np.frombuffer(stored, np.uint16).reshape(plane.shape), encoded_bytes=len(stored))
