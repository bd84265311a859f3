"""Solid ellipsoids and their exact shadows: parallel-beam projections in closed form."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compdistort.synthetic.fields import Int64
from compdistort.synthetic.shapes import Float64

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


class Ellipsoids(NamedTuple):
    """Ellipsoids of even density in voxel coordinates; where they overlap, densities add up.

    Attributes
    ----------
    centres : ndarray of shape (n, 3), float64
        Plane, row and column, voxels.
    semi : ndarray of shape (n, 3), float64
        Half axes, voxels.
    axes : ndarray of shape (n, 3, 3), float64
        Directions of the half axes in their columns, orthonormal, along (plane, row, column).
    density : ndarray of shape (n,), float64
        Added inside.
    """

    centres: Float64
    semi: Float64
    axes: Float64
    density: Float64

    @property
    def forms(self) -> Float64:
        """Matrices A of the insides ``(p - c)' A (p - c) <= 1``, shape (n, 3, 3)."""
        return np.asarray(np.einsum("nik,nk,njk->nij", self.axes, self.semi**-2.0, self.axes))

    @property
    def volumes(self) -> Float64:
        """Volumes in voxels, shape (n,)."""
        return np.asarray(4 / 3 * np.pi * np.prod(self.semi, axis=1))

    @property
    def reach(self) -> Float64:
        """Half sizes of their bounding boxes along (plane, row, column), voxels, shape (n, 3)."""
        return np.asarray(np.sqrt(np.einsum("nik,nk,nik->ni", self.axes, self.semi**2, self.axes)))

    def take(self, index: Int64) -> "Ellipsoids":
        """Return some of them, in the order of `index`."""
        return Ellipsoids(*(column[index] for column in self))

    def join(self, other: "Ellipsoids") -> "Ellipsoids":
        """Return these and others."""
        return Ellipsoids(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))

    def inside(
        self, index: int, planes: tuple[int, int], shape: tuple[int, int, int], offset: ArrayLike = (0.0, 0.0, 0.0)
    ) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """Return which voxels of a box around one ellipsoid lie in it.

        Parameters
        ----------
        index : int
            Which one.
        planes : tuple of int
            Range of planes that is looked at.
        shape : tuple of int
            Planes, rows and columns of the whole volume.
        offset : array_like of shape (3,), float64
            Where in each voxel is looked, from its centre, voxels.

        Returns
        -------
        box : tuple of slice
            Place of the box in the planes looked at.
        inside : ndarray of the shape of the box, bool
        """
        places, box = [], []
        ends = (planes, (0, shape[1]), (0, shape[2]))
        for axis, (first, end) in enumerate(ends):
            middle, reach = self.centres[index, axis], self.reach[index, axis] + 1  # an offset is less than a voxel
            low, high = (int(np.clip(at, first, end)) for at in (np.floor(middle - reach), np.ceil(middle + reach) + 1))
            places.append(np.arange(low, high) - middle + np.asarray(offset)[axis])
            box.append(slice(low - first, high - first))
        z, y, x = places[0][:, None, None], places[1][:, None], places[2]
        a = self.forms[index]
        squares = a[0, 0] * z**2 + a[1, 1] * y**2 + a[2, 2] * x**2
        return tuple(box), squares + 2 * (a[0, 1] * z * y + a[0, 2] * z * x + a[1, 2] * y * x) <= 1


class _Shadow(NamedTuple):
    """Chords ``peak * sqrt(1 - q' B q)`` of one ellipsoid, q = (t, z) from the middle of its shadow."""

    t: float
    z: float
    b_tt: float
    b_tz: float
    b_zz: float
    peak: float


def project(bodies: Ellipsoids, angle_deg: float, shape: tuple[int, int], axis_px: float, middle: float) -> Float64:
    """Return the line integrals of all ellipsoids along one direction, averaged over the detector's pixels.

    A voxel at (row, column) is seen at the detector's column ``axis_px + (column - middle) cos(angle) - (row - middle)
    sin(angle)``, as in MATLAB and scikit-image, its plane at the row of the same number. The mean across a pixel's
    width is exact; across its height it is a Gauss-Legendre sum of 4 exact rows.

    Parameters
    ----------
    bodies : Ellipsoids
        What is looked through.
    angle_deg : float
        Direction, degrees.
    shape : tuple of int
        Rows (planes of the volume) and columns of the detector.
    axis_px : float
        Column of the detector that the axis of rotation is seen at.
    middle : float
        Row and column of that axis in the volume.

    Returns
    -------
    ndarray of shape (rows, columns), float64
        Density times voxels.

    References
    ----------
    .. [1] Kak and Slaney (1988), Principles of Computerized Tomographic Imaging, section 3.1: projections of ellipses.
    """
    out = np.zeros(shape)
    for shadow in _shadows(bodies, np.deg2rad(angle_deg), axis_px, middle):
        determinant = shadow.b_tt * shadow.b_zz - shadow.b_tz**2
        reach_t, reach_z = (float(np.sqrt(b / determinant)) for b in (shadow.b_zz, shadow.b_tt))
        rows, columns = _box(shadow.z, reach_z, shape[0]), _box(shadow.t, reach_t, shape[1])
        if rows.stop > rows.start and columns.stop > columns.start:
            out[rows, columns] += _mean_chords(shadow, rows, columns)
    return out


def _box(middle: float, reach: float, count: int) -> slice:
    """Return the pixels that a shadow may touch."""
    low, high = int(np.floor(middle - reach)), int(np.ceil(middle + reach)) + 1
    return slice(min(max(low, 0), count), min(max(high, 0), count))


def _shadows(bodies: Ellipsoids, angle: float, axis_px: float, middle: float) -> Iterator[_Shadow]:
    across = np.array([0.0, -np.sin(angle), np.cos(angle)])
    ray = np.array([0.0, np.cos(angle), np.sin(angle)])
    for centre, form, density in zip(bodies.centres, bodies.forms, bodies.density, strict=True):
        # Along the ray s the inside is alpha s^2 + 2 beta s + gamma <= 1; its chord is 2 sqrt(beta^2 - alpha (gamma -
        # 1)) / alpha, which leaves the Schur complement of alpha for the shadow.
        alpha = ray @ form @ ray
        beta_t, beta_z = across @ form @ ray, form[0] @ ray
        yield _Shadow(
            t=float(axis_px + across[1:] @ (centre[1:] - middle)),
            z=float(centre[0]),
            b_tt=float(across @ form @ across - beta_t**2 / alpha),
            b_tz=float(across @ form[0] - beta_t * beta_z / alpha),
            b_zz=float(form[0, 0] - beta_z**2 / alpha),
            peak=float(2 * density / np.sqrt(alpha)),
        )


def _mean_chords(shadow: _Shadow, rows: slice, columns: slice) -> Float64:
    """Return the mean chord of every pixel of a box, times the density."""
    z = (np.arange(rows.start, rows.stop)[:, None] + _NODES / 2).ravel() - shadow.z
    edges = np.arange(columns.start, columns.stop + 1) - 0.5 - shadow.t
    half2 = (1 - z**2 * (shadow.b_zz - shadow.b_tz**2 / shadow.b_tt)) / shadow.b_tt
    half = np.sqrt(np.maximum(half2, 0))[:, None]
    u = np.clip(edges + (shadow.b_tz / shadow.b_tt * z)[:, None], -half, half)
    # The integral of sqrt(half^2 - u^2); a row that misses the shadow has half = 0 and adds nothing.
    ratio = np.divide(u, half, out=np.zeros_like(u), where=half > 0)
    integral = (u * np.sqrt(np.maximum(half**2 - u**2, 0)) + half**2 * np.arcsin(ratio)) / 2
    means = np.diff(integral, axis=1) * np.sqrt(shadow.b_tt) * shadow.peak
    return np.asarray(np.einsum("rkc,k->rc", means.reshape(-1, _NODES.size, means.shape[1]), _WEIGHTS / 2))
