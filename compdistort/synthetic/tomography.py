"""An optical projection tomography phantom of known truth: an organ with plaques, and its exact projections.

Everything is an ellipsoid, so line integrals are closed forms and owe nothing to a grid: a reconstruction is tested
against the truth, not against another discretisation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError
from compdistort.rng import MAX_SEED
from compdistort.synthetic.brush import ANATOMY, BACKGROUND, OBJECT
from compdistort.synthetic.ellipsoids import Ellipsoids, project
from compdistort.synthetic.phantom import PlaqueLaw, grow
from compdistort.synthetic.shapes import Float64, Int32

MODES = ("emission", "absorption")
MIN_SIZE = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class OptScan:
    """The scanner.

    Attributes
    ----------
    mode : {"emission", "absorption"}
        Fluorescence, the sum of the light along a ray; or transmitted light, by Beer and Lambert.
    n_angles : int
        Projections, evenly spread.
    arc_deg : float
        Angle that they cover, degrees; the last one lies one step before it.
    offset_px : float
        Columns by which the axis of rotation misses the middle of the detector, which is column ``columns // 2``.
    light_e : float
        Photo-electrons of the free beam (absorption), or of a path through density 1 as long as the detector is wide
        (emission).
    optical_depth : float
        Absorption along that same path.
    dark_e : float
        Photo-electrons without light.
    """

    mode: str = "emission"
    n_angles: int = 180
    arc_deg: float = 180.0
    offset_px: float = 0.0
    light_e: float = 8000.0
    optical_depth: float = 1.5
    dark_e: float = 20.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"scan mode '{self.mode}' does not exist", f"use one of {', '.join(MODES)}")
        if self.n_angles < 2 or not 0 < self.arc_deg <= 360:
            raise ConfigError(
                f"{self.n_angles} projections over {self.arc_deg} degrees are no scan",
                "use 2 or more over an arc above 0, up to 360",
            )
        if self.light_e <= 0 or self.optical_depth <= 0 or self.dark_e < 0:
            raise ConfigError(f"{self} sees nothing", "light and optical depth above 0, dark from 0")

    @property
    def angles_deg(self) -> Float64:
        """Directions of the projections, degrees, float64 of shape (n_angles,)."""
        return np.arange(self.n_angles, dtype=np.float64) * (self.arc_deg / self.n_angles)


@dataclass(frozen=True, slots=True, kw_only=True)
class TomographyScene:
    """A phantom and what each projection of it sends to the camera.

    Attributes
    ----------
    shape : tuple of int
        Planes, rows and columns of the volume; rows and columns are equal, and those of the detector are planes and
        columns.
    seed : int
        Seed that it was made with.
    scan : OptScan
        The scanner.
    organ : Ellipsoids
        The organ's outline, then what lies inside it.
    plaques : Ellipsoids
        Plaques, in the order of their labels 1..n.
    """

    shape: tuple[int, int, int]
    seed: int
    scan: OptScan
    organ: Ellipsoids = field(repr=False)
    plaques: Ellipsoids = field(repr=False)

    @property
    def n_objects(self) -> int:
        """Number of plaques."""
        return len(self.plaques.density)

    @property
    def centre_px(self) -> float:
        """Column of the detector at which the axis of rotation is seen."""
        return self.shape[2] // 2 + self.scan.offset_px

    @property
    def voxel_value(self) -> float:
        """What a corrected, reconstructed voxel of density 1 is worth.

        Corrected is ``(projection - dark) / (flat - dark)``, and minus the logarithm of it in absorption.
        """
        return (self.scan.optical_depth if self.scan.mode == "absorption" else 1.0) / self.shape[2]

    def line_integrals(self, k0: int = 0, k1: int | None = None) -> Float64:
        """Return the exact line integrals of the density for projections k0 to k1 - 1.

        Parameters
        ----------
        k0, k1 : int
            Range of projections; without `k1` to the last.

        Returns
        -------
        ndarray of shape (k1 - k0, planes, columns), float64
            Density times voxels, means over the detector's pixels, see `ellipsoids.project`.

        Raises
        ------
        ConfigError
            If the range is empty or leaves the scan.
        """
        return np.stack(list(self._integrals(k0, k1)))

    def expected_electrons(self, k0: int = 0, k1: int | None = None) -> Float64:
        """Return the mean photo-electrons of projections k0 to k1 - 1; parameters, shape and errors as above."""
        return np.stack(list(self.frames(k0, k1)))

    def frames(self, k0: int = 0, k1: int | None = None) -> Iterator[Float64]:
        """Yield the mean photo-electrons of projections, each float64 of shape (planes, columns)."""
        scan, shading = self.scan, self.shading()
        for integral in self._integrals(k0, k1):
            path = integral / self.shape[2]
            relative = path if scan.mode == "emission" else np.exp(-scan.optical_depth * path)
            yield scan.dark_e + scan.light_e * shading * relative

    def flat(self) -> Float64:
        """Return the mean photo-electrons of a flat frame: full light, no organ; shape (planes, columns)."""
        return self.scan.dark_e + self.scan.light_e * self.shading()

    def dark(self) -> Float64:
        """Return the mean photo-electrons of a dark frame; shape (planes, columns)."""
        return np.full((self.shape[0], self.shape[2]), self.scan.dark_e)

    def shading(self) -> Float64:
        """Return how evenly the detector sees light: a tilt and a dark rim, 0.8 to 1.05; shape (planes, columns)."""
        rows, columns = (np.linspace(-0.5, 0.5, n) for n in (self.shape[0], self.shape[2]))
        return np.asarray(1 + 0.04 * rows[:, None] - 0.05 * columns - 0.25 * (rows[:, None] ** 2 + columns**2))

    def density(self, z0: int = 0, z1: int | None = None, samples: int = 3) -> Float64:
        """Return the mean density in each voxel of planes z0 to z1 - 1.

        Parameters
        ----------
        z0, z1 : int
            Range of planes; without `z1` to the last.
        samples : int
            Points along each side of a voxel that the mean is taken over.

        Returns
        -------
        ndarray of shape (z1 - z0, rows, columns), float64

        Raises
        ------
        ConfigError
            If the range is empty or leaves the volume.
        """
        end = _end(z0, z1, self.shape[0], "planes")
        bodies = self.organ.join(self.plaques)
        steps = (np.arange(samples) + 0.5) / samples - 0.5
        out = np.zeros((end - z0, *self.shape[1:]))
        for index, value in enumerate(bodies.density):
            for offset in np.ndindex(samples, samples, samples):
                box, inside = bodies.inside(index, (z0, end), self.shape, steps[list(offset)])
                out[box] += value / samples**3 * inside
        return out

    def truth_labels(self, z0: int = 0, z1: int | None = None) -> Int32:
        """Return the labels of planes z0 to z1 - 1: 0 none, else the plaque that the voxel's centre lies in.

        Parameters, shape and errors as in `density`; int32. Ids are in raster order of the first voxels.
        """
        end = _end(z0, z1, self.shape[0], "planes")
        out = np.zeros((end - z0, *self.shape[1:]), np.int32)
        for index in range(self.n_objects):
            box, inside = self.plaques.inside(index, (z0, end), self.shape)
            out[box][inside] = index + 1
        return out

    def regions(self, z0: int = 0, z1: int | None = None) -> NDArray[np.uint8]:
        """Return what planes z0 to z1 - 1 hold: 1 empty space, 2 organ, 3 plaque.

        Parameters, shape and errors as in `density`; uint8. The numbers are the labels of `plane_annotations`.
        """
        end = _end(z0, z1, self.shape[0], "planes")
        out = np.full((end - z0, *self.shape[1:]), BACKGROUND, np.uint8)
        box, inside = self.organ.inside(0, (z0, end), self.shape)
        out[box][inside] = ANATOMY
        out[self.truth_labels(z0, end) > 0] = OBJECT
        return out

    def _integrals(self, k0: int, k1: int | None) -> Iterator[Float64]:
        end = _end(k0, k1, self.scan.n_angles, "projections")
        bodies, detector, middle = self.organ.join(self.plaques), (self.shape[0], self.shape[2]), self.shape[2] // 2
        arguments = ((bodies, angle, detector, self.centre_px, middle) for angle in self.scan.angles_deg[k0:end])
        return starmap(project, arguments)


def _end(first: int, end: int | None, count: int, name: str) -> int:
    stop = count if end is None else end
    if not 0 <= first < stop <= count:
        raise ConfigError(f"{name} {first} to {stop} are not in 0 to {count}", "use 0 <= first < end <= their number")
    return stop


def opt_phantom(
    size: int = 96,
    seed: int = 0,
    *,
    planes: int | None = None,
    scan: OptScan | None = None,
    law: PlaqueLaw | None = None,
) -> TomographyScene:
    """Make a phantom and its scan; projections are made when asked for.

    Parameters
    ----------
    size : int
        Rows and columns of the volume and columns of the detector, >= 48.
    seed : int
        64-bit; another seed grows another organ with other plaques.
    planes : int, optional
        Planes of the volume, which are the detector's rows, >= 48; `size` if absent.
    scan : OptScan, optional
        The scanner.
    law : PlaqueLaw, optional
        Numbers, sizes and brightness of the plaques.

    Returns
    -------
    TomographyScene

    Raises
    ------
    ConfigError
        For smaller sizes, an axis of rotation outside of the detector, or more plaques than fit into the organ.

    References
    ----------
    .. [1] Pomarico et al. (2022), Sci. Rep. 12, Fig. 4.

    Examples
    --------
    >>> made = opt_phantom(48, seed=1, scan=OptScan(n_angles=12))
    >>> made.expected_electrons(0, 2).shape, made.n_objects
    ((2, 48, 48), 24)
    """
    shape = (size if planes is None else planes, size, size)
    scan = scan or OptScan()
    if min(shape) < MIN_SIZE:
        raise ConfigError(f"a phantom of {shape} voxels is too small", f"use {MIN_SIZE} or more a side")
    if not 0 <= size // 2 + scan.offset_px <= size - 1:
        raise ConfigError(
            f"the axis of rotation, {scan.offset_px} columns off the middle, is outside of the detector",
            f"use less than half of the {size} columns",
        )
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed {seed} does not fit into 64 bits", "use a whole number from 0 to 2**64 - 1")
    organ, plaques = grow(law or PlaqueLaw(), shape, seed)
    bare = TomographyScene(shape=shape, seed=seed, scan=scan, organ=organ, plaques=plaques)
    return TomographyScene(shape=shape, seed=seed, scan=scan, organ=organ, plaques=plaques.take(_raster_order(bare)))


def _raster_order(scene: TomographyScene) -> NDArray[np.int64]:
    """Return the plaques in the order of their first voxels."""
    labels = scene.truth_labels()
    found, first = np.unique(labels, return_index=True)
    seen = found > 0
    return (found[seen][np.argsort(first[seen])] - 1).astype(np.int64)
