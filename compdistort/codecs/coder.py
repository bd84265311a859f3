"""A library's coder as it is, without a link of depth: what it takes, its two calls, and a round trip that checks both.

Some coders fail without a word: they clip values, turn the axes of a stack, or ignore the setting. So everything that a
coder does not take is refused before it is encoded, every codestream is decoded at once, and what comes back must have
the shape and type of what went in and lie within the bound that the coder promises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CodecRangeError

Image = NDArray[Any]

REPORT = "this is a fault of the codec: report it with the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coder:
    """What a library's coder takes, and its two calls.

    Attributes
    ----------
    name : str
        For messages; one name, one behaviour.
    dtypes : tuple of str
        Types that it takes as they are, e.g. ``("uint8", "uint16")``.
    ndims : tuple of int
        ``(2,)`` for one plane, ``(2, 3)`` where stacks are coded as a whole.
    encode : callable
        Takes an array in C order and a level (0 where the coder has no knob), gives the codestream.
    decode : callable
        Takes codestream, shape and type, gives the array.
    bound : callable or None
        Largest possible ``|decoded - array|`` at a level, 0 = lossless; None where none is promised.
    largest : int or None
        Largest value that it takes, e.g. 4095; None = what the type holds.
    max_side : int or None
        Most rows, columns or planes.
    """

    name: str
    dtypes: tuple[str, ...]
    encode: Callable[[Image, float], bytes]
    decode: Callable[[bytes, tuple[int, ...], np.dtype[Any]], Image]
    ndims: tuple[int, ...] = (2,)
    bound: Callable[[float], float] | None = None
    largest: int | None = None
    max_side: int | None = None


def by_level(level: float) -> float:
    """Return the level, the bound of a coder whose level is the largest error."""
    return level


def lossless(_level: float) -> float:
    """Return 0, the bound of a coder that changes nothing."""
    return 0.0


def encoded(coder: Coder, array: Image, level: float) -> bytes:
    """Encode an array, after a look at whether the coder takes it.

    Parameters
    ----------
    coder : Coder
        The coder.
    array : ndarray of shape ([planes,] rows, columns)
        What is encoded; any memory layout.
    level : float
        The coder's knob.

    Returns
    -------
    bytes
        Codestream.

    Raises
    ------
    CodecRangeError
        If the coder does not take the array, or fails.
    """
    check_array(coder, array)
    try:
        return bytes(coder.encode(np.ascontiguousarray(array), level))
    except MemoryError:
        raise
    except Exception as error:
        raise CodecRangeError(
            f"coder '{coder.name}' failed on {array.dtype} of shape {array.shape} at level {level:g} "
            f"({type(error).__name__}: {error})",
            "use another level, or leave the codec out",
        ) from error


def decoded(coder: Coder, stream: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
    """Decode a codestream, and check shape and type of what comes back.

    Parameters
    ----------
    coder : Coder
        The coder.
    stream : bytes
        Codestream.
    shape : tuple of int
        Of the array that was encoded.
    dtype : numpy.dtype
        Its type.

    Returns
    -------
    ndarray of the shape and type

    Raises
    ------
    CodecRangeError
        If the codestream cannot be decoded, or gives another shape or type.
    """
    try:
        array = np.asarray(coder.decode(stream, shape, dtype))
    except Exception as error:  # whatever a library makes of damaged bytes, out of memory included
        raise CodecRangeError(
            f"coder '{coder.name}' cannot decode its codestream of {len(stream)} bytes "
            f"({type(error).__name__}: {error})",
            "the codestream is damaged: encode the image again",
        ) from error
    if array.shape != shape or array.dtype != dtype:
        raise CodecRangeError(
            f"coder '{coder.name}' decoded {array.dtype} of shape {array.shape} from {dtype} of shape {shape}", REPORT
        )
    return array


def round_trip(coder: Coder, array: Image, level: float) -> tuple[Image, int]:
    """Encode an array, decode it at once, and check that it lies within the coder's bound.

    Parameters
    ----------
    coder : Coder
        The coder.
    array : ndarray of shape ([planes,] rows, columns)
        What is encoded.
    level : float
        The coder's knob.

    Returns
    -------
    decoded : ndarray of the array's shape and type
        What came back.
    n_bytes : int
        Length of the codestream.

    Raises
    ------
    CodecRangeError
        If the coder does not take the array, fails, or does not keep its promise.

    Examples
    --------
    >>> store = Coder(
    ...     name="store",
    ...     dtypes=("uint8",),
    ...     encode=lambda array, level: array.tobytes(),
    ...     decode=lambda stream, shape, dtype: np.frombuffer(stream, dtype).reshape(shape),
    ...     bound=lossless,
    ... )
    >>> round_trip(store, np.array([[7, 9]], np.uint8), 0)
    (array([[7, 9]], dtype=uint8), 2)
    >>> round_trip(store, np.array([[7, 9]], np.uint16), 0)
    Traceback (most recent call last):
        ...
    compdistort.errors.CodecRangeError: coder 'store' takes uint8, not uint16; use a codec that takes it
    """
    stream = encoded(coder, array, level)
    back = decoded(coder, stream, array.shape, array.dtype)
    if coder.bound is not None:
        _check_bound(coder, array, back, level)
    return back, len(stream)


def check_array(coder: Coder, array: Image) -> None:
    """Refuse what the coder does not take.

    Raises
    ------
    CodecRangeError
        Another type, number of axes or size, no pixels, a value above the coder's largest, or one that is no number.
    """
    if array.dtype.name not in coder.dtypes or not array.dtype.isnative:
        raise CodecRangeError(
            f"coder '{coder.name}' takes {', '.join(coder.dtypes)}, not {array.dtype}", "use a codec that takes it"
        )
    if array.ndim not in coder.ndims or array.size == 0:
        raise CodecRangeError(
            f"coder '{coder.name}' takes arrays of {' or '.join(map(str, coder.ndims))} axes with pixels, not of shape "
            f"{array.shape}",
            "code stacks plane by plane",
        )
    if coder.max_side is not None and max(array.shape) > coder.max_side:
        raise CodecRangeError(
            f"coder '{coder.name}' takes sides up to {coder.max_side}, not shape {array.shape}", "crop the image"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CodecRangeError(f"coder '{coder.name}' takes finite values only", "replace NaN and infinity")
    if coder.largest is not None and array.max() > coder.largest:
        raise CodecRangeError(
            f"coder '{coder.name}' takes values up to {coder.largest}, not {array.max()}", "reduce the depth first"
        )


def _check_bound(coder: Coder, array: Image, back: Image, level: float) -> None:
    assert coder.bound is not None
    promised = coder.bound(level)
    if promised == 0:
        kept, words = back.tobytes() == array.tobytes(), "is called lossless but changed the array"
    else:
        worst = float(np.abs(back.astype(np.float64) - array).max())
        kept, words = worst <= promised, f"is off by {worst:g} where {promised:g} is promised"
    if not kept:
        raise CodecRangeError(f"coder '{coder.name}' at level {level:g} {words}", REPORT)
