"""Nuclei of a simulated light-sheet volume: ellipsoids by law, what a plane sees of them, and their true voxels."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compdistort.errors import ConfigError
from compdistort.rng import uniform_words
from compdistort.synthetic.fields import Int64
from compdistort.synthetic.shapes import Float64, Int32

REACH = 4.0
"""Standard deviations of the axial point spread after which a nucleus is no longer seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiLaw:
    """How many nuclei there are, how large and how bright.

    Attributes
    ----------
    per_mm3 : float
        Nuclei in the densest tissue, 1/mm^3.
    radius_um, radius_spread : float
        Median radius in the plane, micrometres, and standard deviation of its logarithm.
    contrast, contrast_spread : float
        Median brightness over tissue, in units of the tissue's own, and standard deviation of its logarithm.
    touching : float
        Part of the nuclei that have a neighbour they touch.
    """

    per_mm3: float = 20_000.0
    radius_um: float = 5.0
    radius_spread: float = 0.16
    contrast: float = 1.2
    contrast_spread: float = 0.45
    touching: float = 0.12

    def __post_init__(self) -> None:
        if min(self.per_mm3, self.radius_um, self.contrast) <= 0 or min(self.radius_spread, self.contrast_spread) < 0:
            raise ConfigError(f"{self} are no nuclei", "density, radius and contrast above 0, spreads from 0")
        if not 0 <= self.touching <= 1:
            raise ConfigError(f"touching {self.touching} is no part of all nuclei", "use 0 to 1")


class Nuclei(NamedTuple):
    """Ellipsoids with one axis along the planes' normal, sorted by plane.

    Attributes
    ----------
    centres : ndarray of shape (n, 3), float64
        Plane, row and column, voxels.
    semi_um : ndarray of shape (n, 3), float64
        Half axes: axial, longer and shorter one in the plane, micrometres.
    turn : ndarray of shape (n,), float64
        Angle of the longer axis to the columns' direction, radians.
    contrast : ndarray of shape (n,), float64
        Brightness over tissue, in units of the tissue's own.
    """

    centres: Float64
    semi_um: Float64
    turn: Float64
    contrast: Float64

    def take(self, index: Int64) -> "Nuclei":
        """Return some of them, in the order of `index`."""
        return Nuclei(*(column[index] for column in self))


def draw_nuclei(
    law: NucleiLaw, shape: tuple[int, int, int], voxel_um: tuple[float, float, float], key: tuple[int, int]
) -> Nuclei:
    """Draw nuclei everywhere in a volume, tissue or not.

    Parameters
    ----------
    law : NucleiLaw
        Numbers, sizes, brightness.
    shape : tuple of int
        Planes, rows and columns.
    voxel_um : tuple of float
        Spacing along them, micrometres.
    key : tuple of two int
        From `scene_key`.

    Returns
    -------
    Nuclei
        A touching pair is one nucleus and a partner of its own size and brightness.
    """
    from scipy.special import ndtri  # noqa: PLC0415

    spacing = np.asarray(voxel_um)
    count = round(law.per_mm3 * float(np.prod(spacing * shape)) * 1e-9 * (1 - law.touching / 2))
    u = (uniform_words(key, 12, np.arange(2 * count)) + 0.5) / 2**32
    radius = law.radius_um * np.exp(law.radius_spread * np.clip(ndtri(u[:, 3]), -2.5, 2.5))
    oval = 1 + 0.3 * u[:, 4]
    semi = np.stack([radius * (1.15 + 0.5 * u[:, 5]), radius * np.sqrt(oval), radius / np.sqrt(oval)], axis=1)
    contrast = law.contrast * np.exp(law.contrast_spread * np.clip(ndtri(u[:, 6]), -2.5, 2.5))
    places = u[:, :3] * shape - 0.5
    # The second half are partners: in the plane of the first, as far away as their outlines need.
    angle = 2 * np.pi * u[count:, 8]
    apart = (radius[:count] + radius[count:]) * (0.85 + 0.1 * u[count:, 9])
    step = np.stack([0.3 * apart * (2 * u[count:, 10] - 1), apart * np.sin(angle), apart * np.cos(angle)], axis=1)
    places[count:] = places[:count] + step / spacing
    # A touching share t of all nuclei, in pairs, is t / 2 partners for every one of the 1 - t / 2 first ones.
    paired = u[count:, 11] < law.touching / (2 - law.touching)
    inside = ((places > -0.5) & (places < np.asarray(shape) - 0.5)).all(axis=1)
    kept = np.flatnonzero(inside & np.concatenate([np.ones(count, bool), paired]))
    every = Nuclei(places, semi, np.pi * u[:, 7], contrast)
    return every.take(kept[np.argsort(places[kept, 0], kind="stable")])


class _Patches(NamedTuple):
    """The pixels near the nuclei of a plane, all nuclei times all pixels of a box, flat."""

    number: Int64
    pixel: Int64
    offset_um: Float64
    rho2: Float64


def plane_light(
    nuclei: Nuclei, plane: int, shape: tuple[int, int, int], voxel_um: tuple[float, float, float], axial_um: float
) -> Float64:
    """Return the light of nuclei in one plane, blurred along the planes' normal only.

    Along the normal the Gaussian point spread is applied in closed form: the blur of a chord is a difference of two
    error functions. Pixels are sampled at their centres; the blur within the plane is left to the caller.

    Parameters
    ----------
    nuclei : Nuclei
        All of them.
    plane : int
        Which plane.
    shape : tuple of int
        Planes, rows and columns.
    voxel_um : tuple of float
        Spacing along them, micrometres.
    axial_um : float
        Standard deviation of the point spread along the normal, micrometres.

    Returns
    -------
    ndarray of shape (rows, columns), float64
        In units of the tissue's own brightness.
    """
    from scipy.special import erf  # noqa: PLC0415

    near = _patches(nuclei, plane, shape, voxel_um, REACH * axial_um)
    half = nuclei.semi_um[near.number, 0] * np.sqrt(np.maximum(1 - near.rho2, 0))
    scale = np.sqrt(2) * axial_um
    seen = (erf((near.offset_um + half) / scale) - erf((near.offset_um - half) / scale)) / 2
    weights = nuclei.contrast[near.number] * seen
    return np.bincount(near.pixel, weights, minlength=shape[1] * shape[2]).astype(np.float64).reshape(shape[1:])


def plane_owners(
    nuclei: Nuclei, plane: int, shape: tuple[int, int, int], voxel_um: tuple[float, float, float]
) -> tuple[Int64, Int64]:
    """Return the pixels of one plane whose centre lies in a nucleus, ascending, and the number of the nucleus.

    Where nuclei overlap, a pixel belongs to the one that it lies deeper in.

    Parameters
    ----------
    nuclei, plane, shape, voxel_um
        As in `plane_light`.

    Returns
    -------
    pixels, numbers : ndarray of shape (n,), int64
        Flat index in the plane; index into `nuclei`.
    """
    near = _patches(nuclei, plane, shape, voxel_um, 0.0)
    depth = near.rho2 + (near.offset_um / nuclei.semi_um[near.number, 0]) ** 2
    inside = np.flatnonzero(depth <= 1)
    order = inside[np.lexsort((near.number[inside], depth[inside], near.pixel[inside]))]
    pixels, first = np.unique(near.pixel[order], return_index=True)
    return pixels, near.number[order[first]]


def _patches(
    nuclei: Nuclei, plane: int, shape: tuple[int, int, int], voxel_um: tuple[float, float, float], more_um: float
) -> _Patches:
    """Return the pixels around all nuclei that come within `more_um` of a plane."""
    widest = nuclei.semi_um.max(axis=0, initial=0.0)
    reach = (widest[0] + more_um) / voxel_um[0]
    low, high = np.searchsorted(nuclei.centres[:, 0], (plane - reach, plane + reach))
    offset = (plane - nuclei.centres[low:high, 0]) * voxel_um[0]
    near = low + np.flatnonzero(np.abs(offset) <= nuclei.semi_um[low:high, 0] + more_um)
    ky, kx = (int(widest[1] / step) + 1 for step in voxel_um[1:])
    middle = np.rint(nuclei.centres[near, 1:]).astype(np.int64)
    y = middle[:, 0, None, None] + np.arange(-ky, ky + 1)[:, None]
    x = middle[:, 1, None, None] + np.arange(-kx, kx + 1)
    dy = (y - nuclei.centres[near, 1, None, None]) * voxel_um[1]
    dx = (x - nuclei.centres[near, 2, None, None]) * voxel_um[2]
    c, s = np.cos(nuclei.turn[near, None, None]), np.sin(nuclei.turn[near, None, None])
    major, minor = nuclei.semi_um[near, 1, None, None], nuclei.semi_um[near, 2, None, None]
    rho2 = ((dx * c + dy * s) / major) ** 2 + ((dy * c - dx * s) / minor) ** 2
    kept = (rho2 <= 1) & (y >= 0) & (y < shape[1]) & (x >= 0) & (x < shape[2])
    number = np.broadcast_to(near[:, None, None], rho2.shape)[kept]
    away = (plane - nuclei.centres[number, 0]) * voxel_um[0]
    return _Patches(number, (y * shape[2] + x)[kept], away, rho2[kept])


def number_nuclei(nuclei: Nuclei, shape: tuple[int, int, int], voxel_um: tuple[float, float, float]) -> Int32:
    """Return the label of every nucleus: ids in raster order of their first voxels, 0 for one that owns none.

    Parameters
    ----------
    nuclei, shape, voxel_um
        As in `plane_light`.

    Returns
    -------
    ndarray of shape (n,), int32
    """
    ids = np.zeros(len(nuclei.centres), np.int32)
    last = 0
    for plane in range(shape[0]):
        _, numbers = plane_owners(nuclei, plane, shape, voxel_um)
        found, first = np.unique(numbers, return_index=True)
        fresh = ids[found] == 0
        new = found[fresh][np.argsort(first[fresh])]
        ids[new] = np.arange(last + 1, last + 1 + new.size)
        last += new.size
    return ids
