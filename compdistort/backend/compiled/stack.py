"""All features of a whole image at once, or of some of its pixels: what twins, training and export take."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float32
from compdistort.backend.compiled.blocks import FeatureBlocks, Tile
from compdistort.backend.compiled.source import Pixels
from compdistort.backend.compiled.team import Team
from compdistort.backend.shape import Int64


def whole_stack(image: NDArray[Any], blocks: FeatureBlocks) -> Float32:
    """Return the wanted features of a whole image.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
        Pixels in DN.
    blocks : FeatureBlocks
        Made for this shape.

    Returns
    -------
    ndarray of shape (n_wanted, *image.shape), float32
    """
    n = len(blocks.wanted)
    out = np.empty((n, *image.shape), np.float32)
    planes = out.reshape(n, -1, *image.shape[-2:])
    prepared = blocks.prepare(Pixels(image))
    for tile in blocks.tiles:
        for block in blocks.run(prepared, tile):
            rows, columns = slice(block.y, block.y + block.rows), slice(block.x, block.x + block.columns)
            planes[:, block.z, rows, columns] = block.planes
    blocks.done(prepared)
    return out


def rows_at(image: NDArray[Any], blocks: FeatureBlocks, places: Int64, team: Team) -> Float32:
    """Return the wanted features of some pixels.

    Parameters
    ----------
    image : ndarray of shape ([planes,] rows, columns), uint8, uint16 or float32
        Pixels in DN.
    blocks : FeatureBlocks
        Made for this shape.
    places : ndarray of shape (n_pixels,), int64
        Flat indices, strictly rising.
    team : Team
        Who may work.

    Returns
    -------
    ndarray of shape (n_pixels, n_wanted), float32
    """
    out = np.empty((places.size, len(blocks.wanted)), np.float32)
    _, rows, columns = (1, *image.shape)[-3:]
    z, y, x = places // (rows * columns), places // columns % rows, places % columns

    def work(tiles: Iterator[Tile]) -> None:
        for tile in tiles:
            (z0, z1), (y0, y1), (x0, x1) = tile.spans
            inside = np.flatnonzero((z >= z0) & (z < z1) & (y >= y0) & (y < y1) & (x >= x0) & (x < x1))
            lines = z[inside] * rows + y[inside]  # rising, as places are
            for block in blocks.run(prepared, tile) if inside.size else ():
                line = block.z * rows + block.y
                first, last = np.searchsorted(lines, (line, line + block.rows))
                own = inside[first:last]
                out[own] = block.planes[:, y[own] - block.y, x[own] - block.x].T

    prepared = blocks.prepare(Pixels(image), team.share)
    team.share(blocks.tiles, work)
    blocks.done(prepared)
    return out
