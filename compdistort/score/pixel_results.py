"""What a codec does to pixels, as plain frozen data; the terms are those of `compdistort.score.pixels`."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResidual:
    """The residual of one brightness class.

    Attributes
    ----------
    low, high : int
        Lowest and highest expected grey level, DN.
    n_pixels : int
        Pixels.
    bias, spread : float
        Mean and standard deviation of their residual, units of sigma.
    """

    low: int
    high: int
    n_pixels: int
    bias: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueResidual:
    """(decoded - true mean) / sigma where the true mean is known: a raw image has noise 1 and no correlation.

    Attributes
    ----------
    bias, noise : float
        Mean and standard deviation; noise below 1 is smoothed.
    lag_rows, lag_columns : float
        Correlation of neighbours in a column and in a row.
    """

    bias: float
    noise: float
    lag_rows: float
    lag_columns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelStatistics:
    """What a codec does to the pixels of an image; undefined numbers are NaN.

    Attributes
    ----------
    n_pixels : int
        Pixels.
    offset_dn : float
        Mean of decoded - raw, DN.
    bias, spread, rms, largest : float
        Mean, standard deviation, root mean square and largest magnitude of the residual, units of sigma.
    added_db : float
        10 log10(1 + spread^2): what an error that does not depend on the noise adds to the variance of a pixel. For a
        codec that takes noise away it says only how large the residual is.
    lag_rows, lag_columns : float
        Correlation of the residual with that of the next row and of the next column.
    grain : float
        Fine grain that is left: rms of Immerkaer's second difference [1]_ of the decoded over that of the raw image,
        each in units of sigma. Below 1 smoothed, above 1 noise added.
    brightness : float
        Correlation of the residual with the expected level.
    classes : tuple of ClassResidual
        Brightness classes of about as many pixels each, dark to bright.
    spectrum : tuple of float
        Power of the residual over sigma^2 at 1, 2, ... cycles a tile of `tile` pixels, mean over directions; that of a
        white residual is spread^2 everywhere.
    tile : int
        Side of the tiles, pixels; 0 where the image is too small.
    truth : TrueResidual or None
        Where the true mean is known.

    References
    ----------
    .. [1] Immerkaer (1996), Comput. Vis. Image Underst. 64, 300.
    """

    n_pixels: int
    offset_dn: float
    bias: float
    spread: float
    rms: float
    largest: float
    added_db: float
    lag_rows: float
    lag_columns: float
    grain: float
    brightness: float
    classes: tuple[ClassResidual, ...]
    spectrum: tuple[float, ...]
    tile: int
    truth: TrueResidual | None = None

    @property
    def worst(self) -> ClassResidual:
        """The brightness class with the largest |bias|, the darkest of equal ones."""
        return max(self.classes, key=lambda one: abs(one.bias))

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Frequencies of `spectrum`, cycles a pixel."""
        return tuple(k / self.tile for k in range(1, len(self.spectrum) + 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as JSON-safe data; undefined numbers are None."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PixelStatistics":
        """Return the statistics that `to_dict` wrote."""
        known: dict[str, Any] = {
            key: math.nan if value is None and key != "truth" else value for key, value in data.items()
        }
        known["classes"] = tuple(ClassResidual(**one) for one in data["classes"])
        known["spectrum"] = tuple(data["spectrum"])
        if data["truth"] is not None:
            known["truth"] = TrueResidual(**{k: math.nan if v is None else v for k, v in data["truth"].items()})
        return cls(**known)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
