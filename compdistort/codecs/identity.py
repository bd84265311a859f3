"""The codec that changes nothing: the null of every study, whose scores must be exactly zero."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from compdistort.codecs.base import CodecResult, ConfigCodec, Image, check_image, make_result


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(ConfigCodec):
    """Store the raw image as it is, 2 bytes a pixel.

    Examples
    --------
    >>> Identity()
    Identity()
    """

    codec_id: ClassVar[str] = "identity"

    def prepare(self, raw: Image) -> Self:
        """Return the codec itself: nothing is searched."""
        check_image(self.codec_id, raw)
        return self

    def apply(self, image: Image) -> CodecResult:
        """Return the image unchanged.

        Parameters
        ----------
        image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16
            Image, DN.

        Returns
        -------
        CodecResult
            Equal to the bit, ratio 1.
        """
        check_image(self.codec_id, image)
        stored = image.tobytes()
        decoded = np.frombuffer(bytearray(stored), np.uint16).reshape(image.shape)
        return make_result(self.codec_id, image, decoded, len(stored), {"codec": self.codec_id}, lossless=True)

    def describe(self) -> str:
        """Return the chain in words."""
        return "stored as it is, 16 bit"
