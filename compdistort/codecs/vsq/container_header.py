"""The header of a .vsq file: all that its pixels need to come back, and where they come from."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import compdistort
from compdistort.codecs.vsq.index_coder import BACKENDS
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.codecs.vsq.tiles import CONTENT, DEFAULT_TILE, MAX_TILE, MIN_TILE
from compdistort.errors import CompdistortError, ConfigError, ImageFormatError
from compdistort.io.voxels import VoxelUm
from compdistort.rng import MAX_SEED

FORMAT = "compdistort-vsq"
AXES = {2: "yx", 3: "zyx"}
STORED_DITHERS = ("subtractive", "none")
MAX_ARRAYS = 8
MAX_EDGE = 2**31 - 1
_NO_DIGEST = "0" * 32
_REMEDY = "it was not written by this program, or is damaged: get the file again"


@dataclass(frozen=True, slots=True, kw_only=True)
class VsqSettings:
    """How planes are cut, dithered and coded.

    Attributes
    ----------
    tile : int
        Edge of a chunk in pixels, 16 to 4096.
    seed : int or "content"
        ``"content"``: every chunk takes the 64-bit BLAKE2b of its raw pixels, and stores it; or one seed of 64 bits,
        with the number of the chunk as the other half of the key.
    backend : str
        Coder of the indices, one of `compdistort.codecs.vsq.index_coder.BACKENDS`.
    effort : int
        Effort of that coder, 1 to 9.
    """

    tile: int = DEFAULT_TILE
    seed: int | str = CONTENT
    backend: str = "jxl"
    effort: int = 7

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend '{self.backend}' is unknown", f"use one of {', '.join(BACKENDS)}")
        if self.backend == "archive":  # one name in files
            object.__setattr__(self, "backend", "dither-aware")
        _require_whole("tile", self.tile, MIN_TILE, MAX_TILE)
        _require_whole("effort", self.effort, 1, 9)
        if self.seed != CONTENT:
            _require_whole("seed", self.seed, 0, MAX_SEED)


def _require_whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} = {value!r} is not usable", f"use a whole number from {low} to {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VsqHeader:
    """What a .vsq file says of itself.

    Attributes
    ----------
    shape : tuple of int
        ([planes,] rows, columns); pixels are uint16.
    quantiser : Quantiser
        Noise law, step, lattice and limits: how indices become pixels.
    settings : VsqSettings
        Chunks, seed and coder.
    voxel_um : tuple of three float, or None
        Distance of planes, rows and columns in micrometres.
    raw_blake2b : str
        128-bit BLAKE2b of the raw pixels (little-endian, in C order), 32 hexadecimal digits.
    calibration : dict
        Where the noise law comes from, JSON-safe: name and hash of the sensor file, its source, its date.
    software : str
        What wrote the file.
    """

    shape: tuple[int, ...]
    quantiser: Quantiser
    settings: VsqSettings
    voxel_um: VoxelUm | None = None
    raw_blake2b: str = _NO_DIGEST
    calibration: dict[str, Any] = field(default_factory=dict)
    software: str = f"compdistort {compdistort.__version__}"

    def __post_init__(self) -> None:
        if self.quantiser.dither not in STORED_DITHERS:
            raise ConfigError(
                f"dither '{self.quantiser.dither}' is for studies, not for files", f"use {' or '.join(STORED_DITHERS)}"
            )

    @property
    def volume(self) -> tuple[int, int, int]:
        """Planes, rows, columns."""
        return (self.shape[0] if len(self.shape) == 3 else 1, self.shape[-2], self.shape[-1])

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return the header as JSON-safe data."""
        law = self.quantiser.law
        return {
            "format": FORMAT,
            "shape": list(self.shape),
            "axes": AXES[len(self.shape)],
            "dtype": "uint16",
            "voxel_um": None if self.voxel_um is None else list(self.voxel_um),
            "law": law.to_config(),
            "arrays": [{"name": name, "shape": list(array.shape)} for name, array in law.arrays().items()],
            "quantiser": self.quantiser.to_config(),
            "seed": self.settings.seed,
            "tile": self.settings.tile,
            "backend": self.settings.backend,
            "effort": self.settings.effort,
            "added_db": {"nominal": self.quantiser.nominal_db, "guaranteed": self.quantiser.guaranteed_db},
            "raw_blake2b": self.raw_blake2b,
            "calibration": self.calibration,
            "software": self.software,
        }

    def to_json(self) -> bytes:
        """Return the header as it stands in the file; its length does not depend on the digest of the raw pixels."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode("ascii")


@dataclass(frozen=True, slots=True)
class ParsedHeader:
    """A header whose sizes and settings are checked; the noise law still lacks its arrays.

    Attributes
    ----------
    where : str
        Name of the file, for messages.
    data : dict
        The header as it stands in the file.
    shape : tuple of int
        ([planes,] rows, columns).
    settings : VsqSettings
        Chunks, seed and coder.
    arrays : tuple of str
        Names of the arrays of the noise law, float64 of the size of a plane: the first parts of the file.
    """

    where: str
    data: dict[str, Any]
    shape: tuple[int, ...]
    settings: VsqSettings
    arrays: tuple[str, ...]

    @property
    def n_chunks(self) -> int:
        """Chunks of the image."""
        rows, columns = (-(-n // self.settings.tile) for n in self.shape[-2:])
        return math.prod(self.shape[:-2]) * rows * columns

    def complete(self, arrays: Mapping[str, NDArray[np.float64]]) -> VsqHeader:
        """Return the header with its noise law.

        Parameters
        ----------
        arrays : mapping of str to ndarray of shape (rows, columns), float64
            The arrays of the law.

        Raises
        ------
        ImageFormatError
            If law or quantiser have values that no encoder writes.
        """
        try:
            law = NoiseLaw.from_config(self.data["law"], arrays)
            quantiser = Quantiser.from_config(self.data["quantiser"], law)
            return VsqHeader(
                shape=self.shape,
                quantiser=quantiser,
                settings=self.settings,
                voxel_um=_voxel(self.data["voxel_um"]),
                raw_blake2b=_digest(self.data["raw_blake2b"]),
                calibration=_origin(self.data["calibration"]),
                software=str(self.data["software"]),
            )
        except _UNUSABLE as error:
            raise _unusable(self.where, error) from error


_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def _unusable(where: str, error: Exception) -> ImageFormatError:
    reason = error.what if isinstance(error, CompdistortError) else f"{type(error).__name__}: {error}"
    return ImageFormatError(f"{where}: its header is not usable ({' '.join(reason.split())[:200]})", _REMEDY)


def parse_header(where: str, data: Mapping[str, Any]) -> ParsedHeader:
    """Check what a header says of sizes and settings, before any memory is asked for.

    Parameters
    ----------
    where : str
        Name of the file, for messages.
    data : mapping
        The JSON header.

    Returns
    -------
    ParsedHeader

    Raises
    ------
    ImageFormatError
        Missing or unusable entries, an unknown coder, sizes that are no sizes.
    """
    if data.get("format") != FORMAT or data.get("dtype") != "uint16":
        raise ImageFormatError(
            f"{where}: holds {data.get('dtype')!r} pixels of format {data.get('format')!r}", "update compdistort"
        )
    try:
        shape = _sizes(data["shape"])
        if data["axes"] != AXES.get(len(shape)):
            raise ValueError(f"axes {data['axes']!r} of shape {list(shape)}")
        settings = VsqSettings(
            tile=data["tile"], seed=data["seed"], backend=str(data["backend"]), effort=data["effort"]
        )
        arrays = _array_names(data["arrays"], shape)
    except _UNUSABLE as error:
        raise _unusable(where, error) from error
    return ParsedHeader(where, dict(data), shape, settings, arrays)


def _array_names(entries: Sequence[Any], shape: tuple[int, ...]) -> tuple[str, ...]:
    names = tuple(str(entry["name"]) for entry in entries)
    if len(names) > MAX_ARRAYS or len(set(names)) != len(names):
        raise ValueError(f"{len(names)} arrays")
    for entry in entries:
        if _sizes(entry["shape"]) != shape[-2:]:
            raise ValueError(f"array {entry['name']!r} of shape {entry['shape']}")
    return names


def _sizes(value: Any) -> tuple[int, ...]:
    good = isinstance(value, list) and len(value) in (2, 3)
    if not good or not all(type(n) is int and 0 < n <= MAX_EDGE for n in value):
        raise ValueError(f"shape {value!r}")
    return tuple(value)


def _digest(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 32 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"digest {value!r}")
    return value


def _origin(value: Any) -> dict[str, Any]:
    json.dumps(value, allow_nan=False)  # what `decode --info --json` prints, and a recoded file holds
    return dict(value)


def _voxel(value: Any) -> VoxelUm | None:
    if value is None:
        return None
    first, second, third = (float(size) for size in value)
    if not all(0 < size < math.inf for size in (first, second, third)):
        raise ValueError(f"voxel_um {value!r}")
    return first, second, third
