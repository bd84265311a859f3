"""Launches of `kernels/weka.cu`: the Weka 2D planes of a slab of rows."""

from typing import Any

import numpy as np

from compdistort.backend.base import WekaBank
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import blocks_for

SCRATCH_PLANES = 3
"""Float32 values that the temporaries of a slab take a pixel: an upper bound for slabs of ``2 r + 6`` rows or more,
with r the largest radius. The truth is two blurs of the slab and ``2 r + 6`` rows of their surroundings in all."""

MAX_RADIUS = 64
"""Taps of the longest half kernel that fits the kernels' shared memory; longer ones are read from global memory."""

_HALO = 2
_LINE, _TILE, _TALL, _LOW = 256, 32, 64, 8
"""Threads along a line; columns of a tile; rows of a tile of `blur_y` and of `planes`."""

_Rows = tuple[int, int]
_Taps = tuple[Any, Any]


def weka_slab(cuda: Cuda, pixels: Any, bank: WekaBank, start: int, stop: int, out: Any, first: int) -> None:
    """Write the Weka planes of the rows ``start <= y < stop`` (see `backend.plain.weka.weka_stack`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    pixels : array of shape (rows, columns), float32
        The whole image, DN.
    bank : WekaBank
        Filters.
    start, stop : int
        The slab.
    out : array of shape (n_features, n, columns), float32
        Room for n rows a plane.
    first : int
        Place of row `start` along the second axis of `out`.
    """
    rows, columns = pixels.shape
    whole, slab = (0, rows), (start, stop)
    size = (stop - start) * columns
    if bank.with_sigma_zero:
        _planes(cuda, pixels, whole, slab, out, first, 0, 0, 0)
    else:
        grid = (blocks_for(size, _LINE),)
        cuda.launch("weka.original", grid, (_LINE,), pixels[start:stop], out, first, columns, size)
    around = _widened(slab, _HALO, rows)
    wider = _widened(around, max((scale.kernel.size for scale in bank.scales), default=1) - 1, rows)
    half = cuda.empty((wider[1] - wider[0], columns), np.float32)
    blur = cuda.empty((around[1] - around[0], columns), np.float32)
    plane = finest = 10 if bank.with_sigma_zero else 1
    for n_finer, taps in enumerate(_taps(cuda, bank)):
        _blur(cuda, pixels, taps, half, blur, around)
        _planes(cuda, blur, around, slab, out, first, plane, n_finer, finest)
        plane += 10 + n_finer


def _taps(cuda: Cuda, bank: WekaBank) -> list[_Taps]:
    """Return kernel and tail sums of every scale on the device."""

    def build() -> list[_Taps]:
        return [(cuda.upload(scale.kernel), cuda.upload(scale.tail)) for scale in bank.scales]

    return cuda.memo("weka taps", bank, build)


def _blur(cuda: Cuda, pixels: Any, taps: _Taps, half: Any, blur: Any, around: _Rows) -> None:
    """Blur the rows `around` of an image; `half` has room for all rows that they reach."""
    rows, columns = pixels.shape
    radius, first, n_rows = len(taps[0]), around[0], around[1] - around[0]
    low, high = _widened(around, radius - 1, rows)
    source, size = pixels[low:high], (high - low) * columns
    if radius > MAX_RADIUS:
        one = ((blocks_for(size, _LINE),), (_LINE,))
        cuda.launch("weka.blur_direct", *one, source, half, *taps, radius, columns, 1, 0, 0, size)
        size = n_rows * columns
        one = ((blocks_for(size, _LINE),), (_LINE,))
        cuda.launch("weka.blur_direct", *one, half, blur, *taps, radius, rows, columns, low, first, size)
        return
    grid = ((high - low) * blocks_for(columns, _LINE),)
    cuda.launch("weka.blur_x", grid, (_LINE,), source, half, *taps, radius, columns)
    grid = (blocks_for(n_rows, _TALL) * blocks_for(columns, _TILE),)
    place = (low, high - low, first, n_rows)
    cuda.launch("weka.blur_y", grid, (_TILE, _LOW), half, blur, *taps, radius, columns, rows, *place)


def _planes(
    cuda: Cuda, blur: Any, around: _Rows, slab: _Rows, out: Any, first: int, plane: int, n_finer: int, finest: int
) -> None:
    """Write a blur, its nine planes from ``plane + 1`` on, and its differences to the finer blurs."""
    _, room, columns = out.shape
    n_rows = slab[1] - slab[0]
    grid = (blocks_for(n_rows, _LOW) * blocks_for(columns, _TILE),)
    rows = (around[1] - around[0], slab[0] - around[0], n_rows)
    place = (room * columns, first, plane, n_finer, finest)
    cuda.launch("weka.planes", grid, (_TILE, _LOW), blur, out, columns, *rows, *place)


def _widened(rows: _Rows, margin: int, n: int) -> _Rows:
    """Return the range of rows with a margin on either side, as far as the image has them."""
    return max(0, rows[0] - margin), min(n, rows[1] + margin)
