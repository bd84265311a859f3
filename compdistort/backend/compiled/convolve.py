"""Separable filters as fused row loops; the same bits as `backend.plain.convolve`, whose docstring gives the order.

Per scale and z plane: the z pass into three plane buffers, the y pass straight into padded rows, the x pass, and one
finish that writes the features. Gaussian, first and second derivative of a line share their loads.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compdistort.backend.base import Float32, SeparableBank, SeparableScale
from compdistort.backend.compiled.intrinsics import fma32
from compdistort.backend.compiled.taps import (
    BLOCK,
    address,
    line_even,
    line_three,
    padded_width,
    rows_even,
    rows_three,
)
from compdistort.backend.plain.convolve import border_index, probability_kernel

Int64 = NDArray[np.int64]

_GS, _LOG, _GGM, _DOG = range(4)
_SLOTS = {"GS": _GS, "LoG": _LOG, "GGM": _GGM, "DoG": _DOG}


def separable_stack(image: Float32, bank: SeparableBank) -> Float32:
    """Return the features of one image (see `backend.plain.convolve.separable_stack`)."""
    work = _Work.of(image)
    out = np.empty((len(bank.columns), *image.shape), np.float32)
    planes = out.reshape(len(bank.columns), *work.source.shape[:1], *image.shape[-2:])
    smoothed = np.zeros_like(work.source) if any(s.presmooth is not None for s in bank.scales) else work.source
    for index, scale in enumerate(bank.scales):
        base = work.source
        if scale.presmooth is not None:
            _run_gaussian(work, scale.presmooth, bank.border, smoothed)
            base = smoothed
        _run_filters(work, base, scale, bank.border, _destinations(bank, index), planes)
    return out


def smooth_probability(probability: Float32, sigma_px: float) -> Float32:
    """Smooth a probability (see `backend.plain.convolve.smooth_probability`)."""
    work = _Work.of(probability)
    smoothed = np.zeros_like(work.source)
    _run_gaussian(work, probability_kernel(sigma_px), "mirror", smoothed)
    rows, columns = probability.shape[-2:]
    return np.ascontiguousarray(smoothed[:, :rows, :columns]).reshape(probability.shape)


@dataclass(frozen=True, slots=True)
class _Work:
    """The image in padded rows, and scratch memory, owned here while the compiled loops use its addresses."""

    source: Float32
    planes: Float32
    shape: tuple[int, int, int]
    volume: bool

    @classmethod
    def of(cls, image: Float32) -> "_Work":
        """Copy a 2D or 3D image into rows of whole blocks and planes of an odd number of rows (cache sets)."""
        shape = (1, *image.shape) if image.ndim == 2 else image.shape
        nz, ny, nx = shape
        source = np.zeros((nz, ny | 1, padded_width(nx)), np.float32)
        source[:, :ny, :nx] = image
        volume = image.ndim == 3
        return cls(source, np.zeros((4 if volume else 0, *source.shape[1:]), np.float32), (nz, ny, nx), volume)

    def indices(self, radius: int, border: str) -> tuple[Int64, Int64, Int64]:
        """Return the border tables of the three axes."""
        z, y, x = (border_index(n, radius, border) for n in self.shape)
        return z, y, x

    def rows(self, radius: int) -> tuple[Float32, Float32, Int64]:
        """Return padded rows for the x pass, result rows, and room for the tables of row addresses."""
        width = self.source.shape[2]
        padded = np.zeros((5, radius + width + radius), np.float32)
        results = np.zeros((7, width), np.float32)
        table = np.zeros((6, 2 * radius + self.source.shape[1]), np.int64)
        return padded, results, table


def _run_gaussian(work: _Work, half: Float32, border: str, target: Float32) -> None:
    radius = half.size - 1
    _gaussian_volume(
        work.source, target, half, *work.indices(radius, border), work.planes, *work.rows(radius), work.shape,
        work.volume,
    )  # fmt: skip


def _run_filters(
    work: _Work, base: Float32, scale: SeparableScale, border: str, destinations: Int64, planes: Float32
) -> None:
    radius, narrow = scale.smooth.size - 1, scale.narrow.size - 1
    kernels = (scale.smooth, scale.first, scale.second, scale.narrow)
    _filter_volume(
        base, *kernels, *work.indices(radius, border), *work.indices(narrow, border), work.planes,
        *work.rows(max(radius, narrow)), work.shape, work.volume, destinations, planes,
    )  # fmt: skip


def _destinations(bank: SeparableBank, index: int) -> Int64:
    """Return the column of GS, LoG, GGM and DoG of one scale; -1 = not wanted."""
    columns = np.full(4, -1, np.int64)
    for row, (operator, at) in enumerate(bank.columns):
        if at == index:
            if columns[_SLOTS[operator]] >= 0:
                raise ValueError(f"column {operator} of scale {index} is in the bank twice")
            columns[_SLOTS[operator]] = row
    return columns


@njit(nogil=True, error_model="numpy")
def _fill_table(table, base, stride, index, first, count):
    """Write the addresses of the rows that `index` names; return the address of the table."""
    for k in range(count):
        table[k] = base + index[first + k] * stride
    return address(table)


@njit(nogil=True, error_model="numpy")
def _pad(row, radius, n, index):
    """Write the border pixels of a padded row whose pixel 0 is at `radius`; `index` has its own, smaller radius."""
    own = (index.size - n) // 2
    for k in range(1, own + 1):
        row[radius - k] = row[radius + index[own - k]]
        row[radius + n - 1 + k] = row[radius + index[own + n - 1 + k]]


@njit(nogil=True, error_model="numpy", cache=True)
def _gaussian_volume(source, target, g, iz, iy, ix, planes, padded, results, table, shape, volume):
    """Gaussian along every axis, into the padded rows of `target`."""
    nz, ny, nx = shape
    r = g.size - 1
    w = address(g)
    stride = source.shape[2] * 4
    step = source.shape[1] * stride
    blocks = (nx + BLOCK - 1) // BLOCK
    row = address(padded) + 4 * r
    for z in range(nz):
        plane = address(source) + z * step
        if volume:
            plane = address(planes)
            for y in range(ny):
                t = _fill_table(table[1], address(source) + y * stride, step, iz, z, 2 * r + 1) + 8 * r
                rows_even(t, r, w, 0, 0, plane + y * stride, 0, 0, blocks)
        t = _fill_table(table[0], plane, stride, iy, 0, ny + 2 * r) + 8 * r
        for y in range(ny):
            rows_even(t + 8 * y, r, w, 0, 0, row, 0, 0, blocks)
            _pad(padded[0], r, nx, ix)
            line_even(row, r, w, 0, 0, address(target) + z * step + y * stride, 0, 0, blocks)


@njit(nogil=True, error_model="numpy", cache=True)
def _filter_volume(
    source, g, d, c, h, iz, iy, ix, jz, jy, jx, planes, padded, results, table, shape, volume, destinations, out
):
    """GS, LoG, GGM and DoG of one scale; g, d, c, h: Gaussian, first and second derivative, narrow Gaussian."""
    nz, ny, nx = shape
    r, rh = g.size - 1, h.size - 1
    wg, wd, wc, wh = address(g), address(d), address(c), address(h)
    stride = source.shape[2] * 4
    step = source.shape[1] * stride
    blocks = (nx + BLOCK - 1) // BLOCK
    derivatives = destinations[1] >= 0 or destinations[2] >= 0
    difference = destinations[3] >= 0
    side = (padded.shape[1] - source.shape[2]) // 2
    line = padded.shape[1] * 4
    p0 = address(padded) + 4 * side
    p1, p2, p3, p4 = p0 + line, p0 + 2 * line, p0 + 3 * line, p0 + 4 * line
    width = results.shape[1] * 4
    gs = address(results)
    gx, cx, gy, u, gz, narrow = (
        gs + width,
        gs + 2 * width,
        gs + 3 * width,
        gs + 4 * width,
        gs + 5 * width,
        gs + 6 * width,
    )
    for z in range(nz):
        smooth = address(source) + z * step
        slope, curve, fine = smooth, smooth, smooth
        if volume:
            smooth = address(planes)
            slope, curve, fine = smooth + step, smooth + 2 * step, smooth + 3 * step
            for y in range(ny):
                at = y * stride
                t = _fill_table(table[4], address(source) + at, step, iz, z, 2 * r + 1) + 8 * r
                if derivatives:
                    rows_three(t, r, wg, wd, wc, smooth + at, slope + at, curve + at, blocks)
                else:
                    rows_even(t, r, wg, 0, 0, smooth + at, 0, 0, blocks)
                if difference:
                    t = _fill_table(table[5], address(source) + at, step, jz, z, 2 * rh + 1) + 8 * rh
                    rows_even(t, rh, wh, 0, 0, fine + at, 0, 0, blocks)
        ts = _fill_table(table[0], smooth, stride, iy, 0, ny + 2 * r) + 8 * r
        td = _fill_table(table[1], slope, stride, iy, 0, ny + 2 * r) + 8 * r
        tc = _fill_table(table[2], curve, stride, iy, 0, ny + 2 * r) + 8 * r
        tf = _fill_table(table[3], fine, stride, jy, 0, ny + 2 * rh) + 8 * rh
        for y in range(ny):
            if derivatives:
                rows_three(ts + 8 * y, r, wg, wd, wc, p0, p1, p2, blocks)
                _pad(padded[0], side, nx, ix)
                _pad(padded[1], side, nx, ix)
                if volume:
                    rows_even(td + 8 * y, r, wg, 0, 0, p3, 0, 0, blocks)
                    _pad(padded[3], side, nx, ix)
                    rows_even(tc + 8 * y, r, wg, 0, 0, u, 0, 0, blocks)
                    _add(padded[2, side:], results[4], nx)
                    line_even(p3, r, wg, 0, 0, gz, 0, 0, blocks)
                _pad(padded[2], side, nx, ix)
                line_three(p0, r, wg, wd, wc, gs, gx, cx, blocks)
                line_even(p1, r, wg, 0, 0, gy, 0, 0, blocks)
                line_even(p2, r, wg, 0, 0, u, 0, 0, blocks)
            else:
                rows_even(ts + 8 * y, r, wg, 0, 0, p0, 0, 0, blocks)
                _pad(padded[0], side, nx, ix)
                line_even(p0, r, wg, 0, 0, gs, 0, 0, blocks)
            if difference:
                rows_even(tf + 8 * y, rh, wh, 0, 0, p4, 0, 0, blocks)
                _pad(padded[4], side, nx, jx)
                line_even(p4, rh, wh, 0, 0, narrow, 0, 0, blocks)
            if destinations[0] >= 0:
                _copy(results[0], out[destinations[0], z, y])
            if destinations[1] >= 0:
                _sum(results[4], results[2], out[destinations[1], z, y])
            if destinations[2] >= 0:
                _magnitude(results[5], results[3], results[1], volume, out[destinations[2], z, y])
            if difference:
                _difference(results[0], results[6], out[destinations[3], z, y])


@njit(nogil=True, error_model="numpy")
def _add(total, part, n):
    for x in range(np.uintp(n)):
        total[x] += part[x]


@njit(nogil=True, error_model="numpy")
def _copy(a, out):
    for x in range(np.uintp(out.size)):
        out[x] = a[x]


@njit(nogil=True, error_model="numpy")
def _sum(a, b, out):
    for x in range(np.uintp(out.size)):
        out[x] = a[x] + b[x]


@njit(nogil=True, error_model="numpy")
def _difference(a, b, out):
    for x in range(np.uintp(out.size)):
        out[x] = a[x] - b[x]


@njit(nogil=True, error_model="numpy")
def _magnitude(gz, gy, gx, volume, out):
    if volume:
        for x in range(np.uintp(out.size)):
            out[x] = np.sqrt(fma32(gx[x], gx[x], fma32(gy[x], gy[x], gz[x] * gz[x])))
    else:
        for x in range(np.uintp(out.size)):
            out[x] = np.sqrt(fma32(gx[x], gx[x], gy[x] * gy[x]))
