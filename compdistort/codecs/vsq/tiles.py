"""How a plane is cut into chunks, and which dither each of them gets."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from compdistort.codecs.vsq.dither import content_seed

CONTENT = "content"
"""Seed policy: every chunk takes its seed from its own raw pixels."""
DEFAULT_TILE = 1024
MIN_TILE, MAX_TILE = 16, 4096
"""Edges of a chunk, pixels: smaller ones cost ratio, larger ones memory."""


def tiles(shape: Sequence[int], tile: int) -> list[tuple[slice, slice]]:
    """Return the chunks of a plane in raster order.

    Parameters
    ----------
    shape : sequence of two int
        Rows and columns of the plane.
    tile : int
        Edge of a chunk; those at the lower and right border may be smaller.

    Returns
    -------
    list of (slice, slice)
        Rows and columns of each.

    Examples
    --------
    >>> tiles((20, 40), 32)
    [(slice(0, 20, None), slice(0, 32, None)), (slice(0, 20, None), slice(32, 40, None))]
    """
    rows, columns = shape
    return [
        (slice(top, min(top + tile, rows)), slice(left, min(left + tile, columns)))
        for top in range(0, rows, tile)
        for left in range(0, columns, tile)
    ]


def chunk_key(seed: int | str, number: int, pixels: NDArray[Any]) -> tuple[int, int]:
    """Return the key of a chunk's dither: no two chunks of a volume share one.

    Parameters
    ----------
    seed : int or "content"
        The volume's seed, or `CONTENT`.
    number : int
        Number of the chunk: number of the plane times chunks a plane, plus number in the plane.
    pixels : ndarray of shape (rows, columns), uint16
        Raw pixels of the chunk, DN.

    Returns
    -------
    tuple of two int
        Seed and chunk number; with content seeds the number is 0, so that equal chunks are equal wherever they lie.
    """
    return (content_seed(pixels), 0) if seed == CONTENT else (int(seed), number)


def chunk_number(seed: int | str, number: int) -> int:
    """Return the second half of a chunk's key, which is not stored; see `chunk_key`."""
    return 0 if seed == CONTENT else number
