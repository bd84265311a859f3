"""Scenes that codecs are compared on: dim fluorescence, bright phase contrast and a light-sheet stack, of known mean.

Their random numbers are drawn in a fixed order from fixed seeds, so that published ratios can be made again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from compdistort.errors import ConfigError
from compdistort.sensor.model import SensorModel

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
UInt16 = NDArray[np.uint16]

EXPOSURE_SEED = 9
MIN_SIZE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecScene:
    """A scene and the camera that looks at it.

    Attributes
    ----------
    name : str
        One of `CODEC_SCENES`.
    electrons : ndarray of shape ([planes,] rows, columns), float64
        Mean photo-electrons of one exposure.
    offset_dn, gain_dn_per_e, read_noise_dn : float
        The camera: DN, DN/e-, and DN without the 1/12 DN^2 of rounding.
    max_dn : int
        Grey level of saturated pixels.
    """

    name: str
    electrons: Float64
    offset_dn: float
    gain_dn_per_e: float
    read_noise_dn: float
    max_dn: int

    def expose(self, seed: int) -> UInt16:
        """Return one exposure, uint16 of the shape of `electrons`, DN."""
        rng = np.random.default_rng(seed)
        signal = self.offset_dn + self.gain_dn_per_e * rng.poisson(self.electrons)
        noisy = signal + rng.normal(0, self.read_noise_dn, self.electrons.shape)
        return np.clip(np.rint(noisy), 0, self.max_dn).astype(np.uint16)

    @property
    def raw(self) -> UInt16:
        """The exposure that codecs are compared on, uint16 of the shape of `electrons`, DN; drawn at every call."""
        return self.expose(EXPOSURE_SEED)

    @property
    def mean(self) -> Float64:
        """True mean of every pixel, DN."""
        return np.asarray(self.offset_dn + self.gain_dn_per_e * self.electrons, np.float64)

    @property
    def variance(self) -> Float64:
        """True noise variance of every pixel, DN^2, without the 1/12 DN^2 of rounding."""
        return np.asarray(self.read_noise_dn**2 + self.gain_dn_per_e**2 * self.electrons, np.float64)

    @property
    def sensor(self) -> SensorModel:
        """The camera as a sensor model."""
        return SensorModel.scalar(
            offset_dn=self.offset_dn,
            gain_e_per_dn=1 / self.gain_dn_per_e,
            read_noise_e=self.read_noise_dn / self.gain_dn_per_e,
            bits=self.max_dn.bit_length(),
            source={"method": "simulated camera", "scene": self.name},
        )


def codec_scene(name: str, shape: tuple[int, ...] | None = None) -> CodecScene:
    """Make a scene.

    ``fluor``: about 20 e- of background, cells up to 600 e-, a 16-bit camera. ``phase``: a field of about 5000 e- with
    cells of +-35 %, a 12-bit camera. ``stack``: planes of about 12 e- with nuclei of 200 e-, the 16-bit camera.

    Parameters
    ----------
    name : {"fluor", "phase", "stack"}
        Which.
    shape : tuple of int, optional
        (rows, columns), each >= 64; of the stack (planes, rows, columns). 1024 x 1024 and 24 x 384 x 384 by default.

    Returns
    -------
    CodecScene

    Raises
    ------
    ConfigError
        For an unknown name or another shape.

    Examples
    --------
    >>> made = codec_scene("phase", (64, 96))
    >>> made.raw.shape, made.max_dn
    ((64, 96), 4095)
    """
    if name not in _MADE_BY:
        raise ConfigError(f"codec scene '{name}' does not exist", f"use one of {', '.join(_MADE_BY)}")
    make, usual, camera = _MADE_BY[name]
    shape = usual if shape is None else shape
    if len(shape) != len(usual) or min(shape[-2:]) < MIN_SIZE or shape[0] < 1:
        raise ConfigError(
            f"scene '{name}' of shape {shape} is not possible", f"use one like {usual}, sides >= {MIN_SIZE}"
        )
    return CodecScene(name=name, electrons=make(shape), **camera)


def _fluor(shape: tuple[int, ...]) -> Float64:
    rng = np.random.default_rng(1)
    cells = _blobs(shape, shape[0] * shape[1] // 9000, (10, 22), rng)
    texture = gaussian_filter(rng.normal(size=shape), 2.0)
    texture = 1 + 0.35 * texture / texture.std()
    rows, columns = _places(shape)
    background = 18 + 10 * np.exp(-((rows - 0.5) ** 2 + (columns - 0.4) ** 2) / 0.2)
    return np.asarray(gaussian_filter(background + 420 * cells * np.clip(texture, 0.2, None), 1.2), np.float64)


def _phase(shape: tuple[int, ...]) -> Float64:
    rng = np.random.default_rng(2)
    cells = _blobs(shape, shape[0] * shape[1] // 5000, (12, 26), rng)
    halo = gaussian_filter(cells, 6) - gaussian_filter(cells, 2)
    texture = gaussian_filter(rng.normal(size=shape), 1.5)
    texture /= texture.std()
    electrons = 5000 * (1 - 0.25 * cells + 0.8 * halo + 0.05 * texture * cells)
    rows, columns = _places(shape)
    electrons *= 1 - 0.15 * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2) * 2
    return np.asarray(np.clip(gaussian_filter(electrons, 1.0), 50, 9500), np.float64)


def _stack(shape: tuple[int, ...]) -> Float64:
    rng = np.random.default_rng(3)
    volume = np.zeros(shape, np.float32)
    count = volume.size // 5000
    places = np.stack([rng.integers(0, side, count) for side in shape])
    volume[tuple(places)] = rng.uniform(0.4, 1.0, count) * 4000
    volume = gaussian_filter(volume, (1.2, 2.2, 2.2))
    background = 12 + 25 * gaussian_filter(rng.normal(size=shape), (4, 20, 20)).clip(0) / 0.01
    return np.asarray(np.clip(volume + background, 1, 20000), np.float64)


def _places(shape: tuple[int, ...]) -> tuple[Float64, Float64]:
    """Return row and column of every pixel as parts of the frame."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return rows / shape[0], columns / shape[1]


def _blobs(shape: tuple[int, ...], count: int, radii: tuple[float, float], rng: np.random.Generator) -> Float32:
    """Return soft-edged ellipses at random places, float32 of `shape`, 0 to 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    out = np.zeros(shape, np.float32)
    for _ in range(count):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        a, b, turn = rng.uniform(*radii), rng.uniform(*radii), rng.uniform(0, np.pi)
        reach = int(3 * max(a, b))
        part = (
            slice(max(0, int(y) - reach), min(shape[0], int(y) + reach)),
            slice(max(0, int(x) - reach), min(shape[1], int(x) + reach)),
        )
        dy, dx = rows[part] - y, columns[part] - x
        u = (dx * np.cos(turn) + dy * np.sin(turn)) / a
        v = (-dx * np.sin(turn) + dy * np.cos(turn)) / b
        distance = np.sqrt(u * u + v * v)
        out[part] = np.maximum(out[part], 1 / (1 + np.exp((distance - 1) * 8)))
    return out


_SCMOS = {"offset_dn": 100.0, "gain_dn_per_e": 2.17, "read_noise_dn": 3.4, "max_dn": 65535}
_CMOS_12 = {"offset_dn": 8.0, "gain_dn_per_e": 0.39, "read_noise_dn": 0.95, "max_dn": 4095}
_MADE_BY: dict[str, tuple[Callable[[tuple[int, ...]], Float64], tuple[int, ...], dict[str, Any]]] = {
    "fluor": (_fluor, (1024, 1024), _SCMOS),
    "phase": (_phase, (1024, 1024), _CMOS_12),
    "stack": (_stack, (24, 384, 384), _SCMOS),
}
CODEC_SCENES = tuple(_MADE_BY)
