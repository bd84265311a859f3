"""A light-sheet volume of known truth: c-Fos-like nuclei in textured tissue, as an uneven sheet lights them.

Every plane is made by itself from counters and a short list of nuclei, so a volume of any size needs the memory of a
few planes, and a plane is the same in whatever range it is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError
from compdistort.rng import uniform_words
from compdistort.synthetic.brush import ANATOMY, BACKGROUND, OBJECT
from compdistort.synthetic.fields import SmoothField, scene_key
from compdistort.synthetic.nuclei import Nuclei, NucleiLaw, draw_nuclei, number_nuclei, plane_light, plane_owners
from compdistort.synthetic.shapes import Float64, Int32

MIN_VOLUME = (4, 32, 32)
MAX_VOXELS_A_SIDE = 1 << 16
_NUCLEI, _ACCEPT, _SURFACE, _DENSITY, _FINE, _COARSE, _STRIPES, _JITTER = range(1, 9)
_VESSELS = (9, 10)
_HALF = (0.6, 0.54, 0.47)
"""Half axes of the tissue as parts of the volume; above 0.5 the volume cuts it, as a crop does."""
_SURE = 0.9
"""Part of tissue from which a place is anatomy, and 1 minus it the part up to which it is background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSheet:
    """The microscope.

    Attributes
    ----------
    voxel_um : tuple of float
        Spacing of planes, rows and columns, micrometres.
    psf_um : tuple of float
        Standard deviation of the point spread along the planes' normal and within the plane, micrometres.
    tissue_e, dark_e : float
        Mean photo-electrons of unshaded tissue and of empty space.
    sheet_loss, depth_loss : float
        Part of the light lost from the first to the last row, along which the sheet travels, and plane.
    stripes, jitter : float
        Standard deviation of the shadows along the rows, and of the brightness from plane to plane, as fractions.
    """

    voxel_um: tuple[float, float, float] = (6.0, 1.62, 1.62)
    psf_um: tuple[float, float] = (3.6, 1.6)
    tissue_e: float = 1000.0
    dark_e: float = 60.0
    sheet_loss: float = 0.25
    depth_loss: float = 0.25
    stripes: float = 0.05
    jitter: float = 0.03

    def __post_init__(self) -> None:
        if len(self.voxel_um) != 3 or len(self.psf_um) != 2 or min(*self.voxel_um, *self.psf_um) <= 0:
            raise ConfigError(f"{self} has no voxels", "three spacings and two widths above 0, micrometres")
        if self.tissue_e <= 0 or min(self.dark_e, self.stripes, self.jitter) < 0:
            raise ConfigError(f"{self} sees no tissue", "tissue above 0 electrons; dark, stripes and jitter from 0")
        if not (0 <= self.sheet_loss < 1 and 0 <= self.depth_loss < 1):
            raise ConfigError(f"losses of {self} are no parts of the light", "use 0 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSheetScene:
    """What the camera looks at, plane by plane.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows and columns.
    seed : int
        Seed that it was made with.
    optics : LightSheet
        The microscope.
    nuclei : Nuclei
        All nuclei.
    ids : ndarray of shape (n,), int32
        Label of each, in raster order of their first voxels; 0 for one too small to own a voxel.
    """

    shape: tuple[int, int, int]
    seed: int
    optics: LightSheet
    nuclei: Nuclei = field(repr=False)
    ids: Int32 = field(repr=False)

    @property
    def voxel_um(self) -> tuple[float, float, float]:
        """Spacing of planes, rows and columns, micrometres."""
        return self.optics.voxel_um

    @property
    def n_objects(self) -> int:
        """Number of nuclei that own a voxel."""
        return int(self.ids.max(initial=0))

    def expected_electrons(self, z0: int = 0, z1: int | None = None) -> Float64:
        """Return the mean photo-electrons of one exposure of planes z0 to z1 - 1.

        Parameters
        ----------
        z0, z1 : int
            Range of planes; without `z1` to the last.

        Returns
        -------
        ndarray of shape (z1 - z0, rows, columns), float64

        Raises
        ------
        ConfigError
            If the range is empty or leaves the volume.
        """
        return np.stack(list(self.frames(z0, z1)))

    def truth_labels(self, z0: int = 0, z1: int | None = None) -> Int32:
        """Return the labels of planes z0 to z1 - 1: 0 none, else the nucleus that the voxel's centre lies in.

        Parameters, errors and shape as in `expected_electrons`; int32. Touching nuclei have labels side by side.
        """
        end = self._end(z0, z1)
        labels = np.zeros((end - z0, self.shape[1] * self.shape[2]), np.int32)
        for plane in range(z0, end):
            pixels, numbers = plane_owners(self.nuclei, plane, self.shape, self.voxel_um)
            labels[plane - z0, pixels] = self.ids[numbers]
        return labels.reshape(end - z0, *self.shape[1:])

    def regions(self, z0: int = 0, z1: int | None = None) -> NDArray[np.uint8]:
        """Return what planes z0 to z1 - 1 hold: 0 edge of the tissue, 1 empty space, 2 tissue, 3 nucleus.

        Parameters, errors and shape as in `expected_electrons`; uint8. The numbers are the labels of
        `plane_annotations`.
        """
        out = (self.truth_labels(z0, z1) > 0).astype(np.uint8) * np.uint8(OBJECT)
        for plane, part in zip(out, self._parts(z0, self._end(z0, z1)), strict=True):
            plane[(plane == 0) & (part >= _SURE)] = ANATOMY
            plane[(plane == 0) & (part <= 1 - _SURE)] = BACKGROUND
        return out

    def frames(self, z0: int = 0, z1: int | None = None) -> Iterator[Float64]:
        """Yield the mean photo-electrons of planes z0 to z1 - 1, each float64 of shape (rows, columns)."""
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415  SciPy is not loaded for the camera alone

        end = self._end(z0, z1)
        optics, sigma = self.optics, [self.optics.psf_um[1] / step for step in self.voxel_um[1:]]
        # Light is lost exponentially on its way, so that the stated part is gone at the last plane or row.
        row_loss, plane_loss = (np.log1p(-loss) for loss in (optics.sheet_loss, optics.depth_loss))
        along = np.exp(row_loss * np.arange(self.shape[1]) / (self.shape[1] - 1))[:, None]
        stripes = self._field(_STRIPES, (5.0, 1e9, 4.0)).planes((self.shape[0], 1, self.shape[2]), z0, end)
        u = (uniform_words(scene_key(self.seed, _JITTER), 1, np.arange(z0, end))[:, 0] + 0.5) / 2**32
        for plane, shadow, tissue in zip(range(z0, end), stripes, self._tissue(z0, end), strict=True):
            jitter = 1 + optics.jitter * np.sqrt(12.0) * (u[plane - z0] - 0.5)
            depth = np.exp(plane_loss * plane / (self.shape[0] - 1))
            light = depth * max(jitter, 0.0) * along * np.maximum(1 + optics.stripes * shadow, 0)
            seen = tissue + plane_light(self.nuclei, plane, self.shape, self.voxel_um, optics.psf_um[0])
            yield optics.dark_e + optics.tissue_e * np.asarray(gaussian_filter(light * seen, sigma, mode="nearest"))

    def _end(self, z0: int, z1: int | None) -> int:
        end = self.shape[0] if z1 is None else z1
        if not 0 <= z0 < end <= self.shape[0]:
            raise ConfigError(f"planes {z0} to {end} are not in 0 to {self.shape[0]}", "use 0 <= z0 < z1 <= planes")
        return end

    def _field(self, purpose: int, length_um: tuple[float, float, float]) -> SmoothField:
        z, y, x = (length / step for length, step in zip(length_um, self.voxel_um, strict=True))
        return SmoothField(key=scene_key(self.seed, purpose), length_vox=(z, y, x))

    def _even(self, purpose: int, length_um: float) -> SmoothField:
        return self._field(purpose, (length_um, length_um, length_um))

    def _surface(self) -> SmoothField:
        z, y, x = (max(count / 3, 4.0) for count in self.shape)
        return SmoothField(key=scene_key(self.seed, _SURFACE), length_vox=(z, y, x))

    def _parts(self, z0: int, z1: int) -> Iterator[Float64]:
        """Yield which part of each pixel is tissue."""
        rows, columns = np.ogrid[: self.shape[1], : self.shape[2]]
        for plane, surface in zip(range(z0, z1), self._surface().planes(self.shape, z0, z1), strict=True):
            yield _part(self.shape, (plane, rows, columns), surface)

    def _tissue(self, z0: int, z1: int) -> Iterator[Float64]:
        """Yield how bright tissue is, in units of its mean."""
        fields = (self._even(_FINE, 5.0), self._even(_COARSE, 28.0), *(self._even(each, 55.0) for each in _VESSELS))
        planes = zip(self._parts(z0, z1), *(each.planes(self.shape, z0, z1) for each in fields), strict=True)
        for part, fine, coarse, vessel_a, vessel_b in planes:
            # Two fields are both near zero along lines only: those are the vessels.
            blood = np.exp(-(vessel_a**2 + vessel_b**2) / (2 * 0.14**2))
            yield part * np.maximum(1 + 0.09 * fine + 0.09 * coarse, 0.1) * (1 - 0.6 * blood)

    def chance(self, places: Float64) -> Float64:
        """Return how likely a drawn nucleus is kept where it lies.

        Parameters
        ----------
        places : ndarray of shape (n, 3), float64
            Plane, row and column, voxels.

        Returns
        -------
        ndarray of shape (n,), float64
            0 outside of tissue and in vessels; in tissue it varies smoothly up to 1.
        """
        at = np.maximum(places, 0)  # a centre may lie up to half a voxel before the first
        part = _part(self.shape, (places[:, 0], places[:, 1], places[:, 2]), self._surface().at(at))
        a, b = (self._even(purpose, 55.0).at(at) for purpose in _VESSELS)
        density = np.clip(0.6 + 0.35 * self._even(_DENSITY, 120.0).at(at), 0.1, 1)
        return np.where((part > _SURE) & (np.hypot(a, b) > 0.28), density, 0.0)


def _part(shape: tuple[int, int, int], place: tuple[int | Float64, ...], surface: Float64) -> Float64:
    """Return which part of a place is tissue: a rounded block with a wavy surface, soft over about one pixel."""
    middle = [(count - 1) / 2 for count in shape]
    half = [share * count for share, count in zip(_HALF, shape, strict=True)]
    powers = [((at - m) / h) ** 4 for at, m, h in zip(place, middle, half, strict=True)]
    # The fourth root of the sum is a radius: 1 on the surface of the block. One pixel is 1 / half of it.
    radius = np.sqrt(np.sqrt(powers[0] + powers[1] + powers[2]))
    return np.asarray(1 / (1 + np.exp(np.clip((radius - 1 + 0.06 * surface) * min(half[1:]) / 0.5, -50, 50))))


def light_sheet(
    shape: tuple[int, int, int] = (64, 128, 128),
    seed: int = 0,
    *,
    optics: LightSheet | None = None,
    law: NucleiLaw | None = None,
) -> LightSheetScene:
    """Make a light-sheet scene; its planes are made when asked for.

    Parameters
    ----------
    shape : tuple of int
        Planes, rows and columns, at least 4 x 32 x 32.
    seed : int
        64-bit; another seed makes another tissue and other nuclei.
    optics : LightSheet, optional
        The microscope.
    law : NucleiLaw, optional
        Numbers, sizes and brightness of the nuclei.

    Returns
    -------
    LightSheetScene

    Raises
    ------
    ConfigError
        For a smaller shape or a seed that does not fit into 64 bits.

    References
    ----------
    .. [1] Pomarico et al. (2022), Sci. Rep. 12, Fig. 3.

    Examples
    --------
    >>> made = light_sheet((8, 48, 48), seed=1)
    >>> made.expected_electrons(2, 4).shape
    (2, 48, 48)
    """
    if len(shape) != 3 or any(not least <= n <= MAX_VOXELS_A_SIDE for n, least in zip(shape, MIN_VOLUME, strict=True)):
        raise ConfigError(f"volume {shape} cannot be made", f"use {MIN_VOLUME} to {MAX_VOXELS_A_SIDE} voxels a side")
    optics, law = optics or LightSheet(), law or NucleiLaw()
    drawn = draw_nuclei(law, shape, optics.voxel_um, scene_key(seed, _NUCLEI))
    bare = LightSheetScene(shape=shape, seed=seed, optics=optics, nuclei=drawn, ids=np.zeros(0, np.int32))
    words = uniform_words(scene_key(seed, _ACCEPT), 1, np.arange(len(drawn.centres)))[:, 0]
    nuclei = drawn.take(np.flatnonzero((words + 0.5) / 2**32 < bare.chance(drawn.centres)))
    ids = number_nuclei(nuclei, shape, optics.voxel_um)
    return LightSheetScene(shape=shape, seed=seed, optics=optics, nuclei=nuclei, ids=ids)
