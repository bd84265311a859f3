"""A simulated camera: counts photo-electrons, adds read noise, rounds. An independent path from `replicate`.

It draws by NumPy's own Poisson and normal generators, so that replicates can be tested against exposures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError
from compdistort.sensor.model import SensorModel
from compdistort.synthetic.scenes import Scene
from compdistort.synthetic.shapes import Float64

UInt16 = NDArray[np.uint16]

_EXPOSURE, _FLAT, _DARK, _PATTERN = range(101, 105)
"""First words of the seeds, so that no two purposes share their random numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCamera:
    """A linear camera.

    Attributes
    ----------
    offset_dn : float
        Grey level without light, DN.
    gain_e_per_dn : float
        Conversion gain, e-/DN.
    read_noise_e : float
        Read noise, e-, without the converter's 1/12 DN^2.
    bits : int
        Bit depth, 9 to 16; digital numbers are clipped to it.
    prnu : float
        Standard deviation of the pixels' sensitivity (fixed pattern), as a fraction.
    pattern_seed : int
        Seed of that pattern: one number is one camera.
    """

    offset_dn: float = 240.0
    gain_e_per_dn: float = 0.5
    read_noise_e: float = 2.4
    bits: int = 16
    prnu: float = 0.004
    pattern_seed: int = 1

    def __post_init__(self) -> None:
        if self.gain_e_per_dn <= 0 or self.read_noise_e < 0 or self.prnu < 0 or not 9 <= self.bits <= 16:
            raise ConfigError(f"{self} is no camera", "gain above 0, noise and prnu from 0, 9 to 16 bits")

    def sensor(self) -> SensorModel:
        """Return the true sensor model."""
        return SensorModel.scalar(
            offset_dn=self.offset_dn,
            gain_e_per_dn=self.gain_e_per_dn,
            read_noise_e=self.read_noise_e,
            bits=self.bits,
            source={"method": "simulated camera", "camera": repr(self)},
        )

    def sensitivity(self, shape: tuple[int, ...]) -> Float64:
        """Return the fixed pattern of a frame: mean 1, float64 of the given shape."""
        rng = np.random.default_rng([_PATTERN, self.pattern_seed])
        return np.maximum(1 + self.prnu * rng.standard_normal(shape), 0.0)

    def read(self, electrons: Float64, rng: np.random.Generator) -> UInt16:
        """Expose once.

        Parameters
        ----------
        electrons : ndarray of any shape, float64
            Mean photo-electrons before the fixed pattern, >= 0.
        rng : Generator
            Source of shot noise and read noise.

        Returns
        -------
        ndarray of the shape of `electrons`, uint16
            DN.
        """
        counted = rng.poisson(electrons * self.sensitivity(electrons.shape))
        noisy = counted + self.read_noise_e * rng.standard_normal(electrons.shape)
        return np.clip(np.rint(self.offset_dn + noisy / self.gain_e_per_dn), 0, 2**self.bits - 1).astype(np.uint16)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatSeries:
    """Calibration frames; frame i of `a` pairs with frame i of `b`.

    Attributes
    ----------
    flat_a, flat_b : ndarray of shape (levels, rows, columns), uint16
        Even light, one pair a level, DN.
    dark_a, dark_b : ndarray of shape (n, rows, columns), uint16
        No light, DN.
    """

    flat_a: UInt16
    flat_b: UInt16
    dark_a: UInt16
    dark_b: UInt16


def expose(scene: Scene, camera: SimulatedCamera, seed: int, exposure_index: int = 0) -> UInt16:
    """Take a micrograph of a scene.

    Parameters
    ----------
    scene : Scene
        What to look at.
    camera : SimulatedCamera
        What to look with.
    seed : int
        Seed of a series of exposures.
    exposure_index : int
        Number of the exposure; each has its own noise.

    Returns
    -------
    ndarray of the shape of the scene, uint16
        DN.
    """
    return camera.read(scene.expected_electrons, np.random.default_rng([_EXPOSURE, seed, exposure_index]))


def flat_series(
    camera: SimulatedCamera, levels: tuple[float, ...], shape: tuple[int, int], seed: int, n_darks: int = 1
) -> FlatSeries:
    """Take calibration frames.

    Parameters
    ----------
    camera : SimulatedCamera
        Camera.
    levels : tuple of float
        Mean photo-electrons of each pair of flats.
    shape : tuple of int
        Rows and columns.
    seed : int
        Seed.
    n_darks : int
        Pairs of dark frames.

    Returns
    -------
    FlatSeries
    """
    light = np.broadcast_to(np.asarray(levels, np.float64)[:, None, None], (len(levels), *shape))
    flats = [_frames(camera, light, [_FLAT, seed, which]) for which in range(2)]
    darks = [_frames(camera, np.zeros((n_darks, *shape)), [_DARK, seed, which]) for which in range(2)]
    return FlatSeries(flat_a=flats[0], flat_b=flats[1], dark_a=darks[0], dark_b=darks[1])


def _frames(camera: SimulatedCamera, light: Float64, seed: list[int]) -> UInt16:
    rng = np.random.default_rng(seed)
    return np.stack([camera.read(frame, rng) for frame in light])
