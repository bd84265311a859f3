"""What a simulated organ is made of: its outline, its anatomy, and plaques inside."""

from dataclasses import dataclass

import numpy as np

from compdistort.errors import ConfigError
from compdistort.rng import Stream
from compdistort.synthetic.ellipsoids import Ellipsoids
from compdistort.synthetic.shapes import Float64

_ORGAN = 11
ATTEMPTS = 2000
"""Places that are tried for one plaque."""
_GAP_VOX = 1.75
"""More than the diagonal of a voxel, so that no two plaques share a corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaqueLaw:
    """How many plaques there are, how large and how bright.

    Attributes
    ----------
    count : int
        Number of plaques.
    radius : float
        Median radius as a part of the organ's field, but at least `least_vox` voxels.
    spread : float
        Standard deviation of the radius' logarithm.
    least_vox : float
        Smallest radius, voxels.
    density : float
        Median density over the organ's own, which is 1.
    """

    count: int = 24
    radius: float = 0.028
    spread: float = 0.25
    least_vox: float = 1.7
    density: float = 1.8

    def __post_init__(self) -> None:
        if self.count < 1 or min(self.radius, self.density) <= 0 or self.spread < 0 or self.least_vox < 1:
            raise ConfigError(f"{self} are no plaques", "count and least_vox from 1, radius and density above 0")


def grow(law: PlaqueLaw, shape: tuple[int, int, int], seed: int) -> tuple[Ellipsoids, Ellipsoids]:
    """Grow an organ with plaques.

    Parameters
    ----------
    law : PlaqueLaw
        Of the plaques.
    shape : tuple of int
        Planes, rows and columns.
    seed : int
        Seed.

    Returns
    -------
    organ, plaques : Ellipsoids
        The organ's outline of density 1, then its anatomy, which adds or takes away; plaques on top of both.

    Raises
    ------
    ConfigError
        If the organ has no room for the plaques.
    """
    rng = np.random.default_rng([int(Stream.SCENE), _ORGAN, seed])
    size = np.array([shape[0], shape[1], shape[1]], np.float64)
    middle = np.array([(shape[0] - 1) / 2, shape[1] // 2, shape[2] // 2])
    outline = Ellipsoids(
        middle[None] + rng.uniform(-0.02, 0.02, (1, 3)) * size,
        rng.uniform((0.38, 0.33, 0.26), (0.41, 0.38, 0.32))[None] * size,
        _turns(1, 0.25, rng),
        np.ones(1),
    )
    return outline.join(_anatomy(outline, rng)), _plaques(law, outline, shape, rng)


def _turns(count: int, most: float, rng: np.random.Generator) -> Float64:
    """Return random rotations by up to `most` radians about each axis, shape (count, 3, 3)."""
    out = np.broadcast_to(np.eye(3), (count, 3, 3))
    for axis, angle in enumerate(rng.uniform(-most, most, (3, count))):
        i, j = (each for each in range(3) if each != axis)
        turn = np.broadcast_to(np.eye(3), (count, 3, 3)).copy()
        turn[:, i, i] = turn[:, j, j] = np.cos(angle)
        turn[:, i, j], turn[:, j, i] = -np.sin(angle), np.sin(angle)
        out = out @ turn
    return np.asarray(out)


def _at(outline: Ellipsoids, relative: Float64) -> Float64:
    """Return places given in units of the outline's half axes, shape (n, 3), in voxels."""
    return np.asarray(outline.centres[0] + (relative * outline.semi[0]) @ outline.axes[0].T)


def _ball(count: int, most: float, rng: np.random.Generator) -> Float64:
    """Return even places in a ball of radius `most`, shape (count, 3)."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return np.asarray(direction * (most * np.cbrt(rng.uniform(0, 1, (count, 1)))))


def _anatomy(outline: Ellipsoids, rng: np.random.Generator) -> Ellipsoids:
    """Return a paler cavity, a long duct and brighter lobes, all inside the outline."""
    count = 9
    relative = _ball(count, 0.55, rng)
    semi = rng.uniform(0.1, 0.26, (count, 3)) * outline.semi[0].min()
    relative[0], semi[0] = 0.1 * relative[0], outline.semi[0] * (0.5, 0.16, 0.3)
    relative[1], semi[1] = 0.3 * relative[1], outline.semi[0] * (0.55, 0.07, 0.07)
    density = rng.uniform(0.12, 0.4, count)
    density[:2] = -0.35, 0.45
    density[2::3] *= -0.8
    return Ellipsoids(_at(outline, relative), semi, _turns(count, 0.6, rng), density)


def _plaques(law: PlaqueLaw, outline: Ellipsoids, shape: tuple[int, int, int], rng: np.random.Generator) -> Ellipsoids:
    """Return plaques that touch neither each other nor the outline."""
    # The largest first, while there is room for them.
    radius = law.radius * shape[1] * np.exp(np.sort(law.spread * rng.standard_normal(law.count))[::-1])
    oval = rng.uniform(0.8, 1.25, (law.count, 3))
    semi = np.maximum(radius, law.least_vox)[:, None] * oval / np.cbrt(oval.prod(axis=1, keepdims=True))
    placed: list[Float64] = []
    for reach in semi.max(axis=1):
        room = 1 - (reach + _GAP_VOX) / outline.semi[0].min()
        for place in _at(outline, _ball(ATTEMPTS, max(room, 0.0), rng)):
            apart = [np.linalg.norm(place - other) for other in placed]
            if all(d > reach + r + _GAP_VOX for d, r in zip(apart, semi.max(axis=1), strict=False)):
                placed.append(place)
                break
        else:
            raise ConfigError(
                f"{law.count} plaques find no room in an organ of {shape} voxels", "use fewer or smaller plaques"
            )
    brightness = law.density * np.exp(rng.uniform(-0.35, 0.35, law.count))
    return Ellipsoids(np.array(placed), semi, _turns(law.count, np.pi, rng), brightness)
