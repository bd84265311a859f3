"""One plane through a codec: how the planes of an image are coded one by one, and what is checked of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CodecRangeError

Image = NDArray[Any]

_REPORT = "this is a fault of the codec: report it with the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPlane:
    """One plane that went through a codec.

    Attributes
    ----------
    decoded : ndarray of shape (rows, columns), uint16 or float32
        Decoded plane on the raw scale, DN.
    encoded_bytes : int
        Codestream of the plane.
    counts : dict
        What the record of an image counts; the sums over its planes.
    """

    decoded: Image
    encoded_bytes: int
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneCoder:
    """A codec for the planes of one image: what it takes from the whole image is fixed, so any plane may come next.

    Attributes
    ----------
    dtype : numpy.dtype
        Type of all decoded planes: uint16 or float32.
    code : callable
        Takes a plane of shape (rows, columns), uint16, and its number in the image through the codec; `code_plane`
        checks what comes back.
    side_bytes : int
        Bytes that the way back needs beside the codestreams, once an image.
    record : callable
        Record of the image, from the sums of `CodedPlane.counts`.
    lossless : bool
        Promises equality to the bit.
    restore : callable or None
        Returns what `code` decodes a plane to, without a codestream: of codecs that code without loss what they have
        quantised. A study takes its replicates this way. None: only the codestream tells.
    """

    dtype: np.dtype[Any]
    code: Callable[[Image, int], CodedPlane]
    side_bytes: int
    record: Callable[[Mapping[str, int]], dict[str, Any]]
    lossless: bool = False
    restore: Callable[[Image, int], Image] | None = None


def code_plane(codec_id: str, coder: PlaneCoder, plane: Image, number: int) -> CodedPlane:
    """Take a plane through a codec, and check what comes back: some decoders fail silently.

    Parameters
    ----------
    codec_id : str
        For the message.
    coder : PlaneCoder
        Of the image that the plane belongs to.
    plane : ndarray of shape (rows, columns), uint16
        What is encoded, DN.
    number : int
        Its number in the image, 0 of an image of one plane.

    Returns
    -------
    CodedPlane

    Raises
    ------
    CodecRangeError
        If shape, type, range or (where promised) equality do not hold.
    """
    coded = coder.code(plane, number)
    _check(codec_id, coder, plane, coded.decoded)
    return coded


def restore_plane(codec_id: str, coder: PlaneCoder, plane: Image, number: int) -> Image:
    """Return what a plane is decoded to, without a codestream where the codec needs none; checked as by `code_plane`.

    Parameters
    ----------
    codec_id, coder, plane, number
        As of `code_plane`.

    Returns
    -------
    ndarray of shape (rows, columns), uint16 or float32
        DN.

    Raises
    ------
    CodecRangeError
        As of `code_plane`.
    """
    decoded = coder.code(plane, number).decoded if coder.restore is None else coder.restore(plane, number)
    _check(codec_id, coder, plane, decoded)
    return decoded


def _check(codec_id: str, coder: PlaneCoder, plane: Image, decoded: Image) -> None:
    """Refuse a decoded plane of another shape, type or range, and one that is not what was promised."""
    if decoded.shape != plane.shape or decoded.dtype != coder.dtype or coder.dtype not in (np.uint16, np.float32):
        raise CodecRangeError(
            f"codec '{codec_id}' decoded {decoded.dtype} of shape {decoded.shape} from shape {plane.shape}", _REPORT
        )
    if decoded.dtype == np.float32 and not (decoded.min() >= 0 and decoded.max() <= 65535):
        raise CodecRangeError(
            f"codec '{codec_id}' decoded values {decoded.min():g} to {decoded.max():g}, outside 0 to 65535", _REPORT
        )
    if coder.lossless and not np.array_equal(decoded, plane):
        raise CodecRangeError(f"codec '{codec_id}' is called lossless but changed the image", _REPORT)
