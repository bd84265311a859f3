"""Scenes of known truth: what a phase-contrast microscope would send to the camera, in expected electrons."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError
from compdistort.rng import Stream
from compdistort.synthetic.optics import PhaseContrast
from compdistort.synthetic.shapes import Float64, Int32, confluent, spheres, texture

KINDS = ("spheres", "confluent")
MIN_SIZE = 64
BACKGROUND_E = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the camera looks at.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    seed : int
        Seed that it was made with.
    expected_electrons : ndarray of shape (size, size), float64
        Mean photo-electrons of one exposure.
    illumination_electrons : ndarray of shape (size, size), float64
        The same without any object.
    truth_labels : ndarray of shape (size, size), int32
        0 background, 1..n objects.
    """

    kind: str
    seed: int
    expected_electrons: Float64
    illumination_electrons: Float64
    truth_labels: Int32

    @property
    def truth_mask(self) -> NDArray[np.bool_]:
        """Pixels that belong to an object."""
        return self.truth_labels > 0

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        return int(self.truth_labels.max())


def scene(kind: str, size: int = 288, seed: int = 0) -> Scene:
    """Make a scene.

    ``spheres``: small, sparse rounded cells, as in Fig. 2a-e of the paper. ``confluent``: a dense layer of large
    adherent cells, as in Fig. 2f-h.

    Parameters
    ----------
    kind : {"spheres", "confluent"}
        What lies in it.
    size : int
        Rows and columns, >= 64.
    seed : int
        Another seed places other objects.

    Returns
    -------
    Scene

    Raises
    ------
    ConfigError
        For an unknown kind or a smaller size.

    References
    ----------
    .. [1] Pomarico et al. (2022), Sci. Rep. 12, Fig. 2.

    Examples
    --------
    >>> made = scene("spheres", size=96, seed=1)
    >>> made.expected_electrons.shape, made.n_objects
    ((96, 96), 7)
    """
    if kind not in KINDS:
        raise ConfigError(f"scene '{kind}' does not exist", f"use one of {', '.join(KINDS)}")
    if size < MIN_SIZE:
        raise ConfigError(f"scene size {size} is too small", f"use {MIN_SIZE} pixels or more")
    rng = np.random.default_rng([int(Stream.SCENE), KINDS.index(kind), seed])
    labels, phase = spheres(size, rng) if kind == "spheres" else confluent(size, rng)
    light = _illumination(size, rng)
    relative = PhaseContrast().image(phase + _dirt(size, rng))
    return Scene(
        kind=kind, seed=seed, expected_electrons=light * relative, illumination_electrons=light, truth_labels=labels
    )


def _illumination(size: int, rng: np.random.Generator) -> Float64:
    """Return an uneven lamp: a tilt and a broad hump, within about 10 %."""
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    tilt, turn = rng.uniform(0.03, 0.06), rng.uniform(0, 2 * np.pi)
    hump = -0.18 * ((rows - rng.uniform(-0.1, 0.1)) ** 2 + (columns - rng.uniform(-0.1, 0.1)) ** 2)
    light = 1 + tilt * (rows * np.sin(turn) + columns * np.cos(turn)) + hump
    return np.asarray(BACKGROUND_E * light, np.float64)


def _dirt(size: int, rng: np.random.Generator) -> Float64:
    """Return the phase of medium and dust: faint blotches and a few specks out of focus, radians."""
    rows, columns = np.mgrid[:size, :size]
    phase = 0.008 * texture(size, 2.5, rng) + 0.012 * texture(size, 12.0, rng)
    for _ in range(round(size**2 / 6000)):
        y, x = rng.uniform(0, size, 2)
        width = rng.uniform(0.8, 1.6)
        phase += rng.uniform(0.08, 0.25) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    return phase
