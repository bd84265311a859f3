"""The quantities of EMVA Standard 1288 (Release 4.0, Linear) that need no photometer."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.sensor.fit import fit_emva
from compdistort.sensor.frames import CalibrationFrames, FramePairs
from compdistort.sensor.layout import RegionLayout
from compdistort.sensor.levels import LevelTable, cut

Float64 = NDArray[np.float64]

QUANTISATION = 1 / 12
"""Variance that the converter adds, DN^2."""
DARK_FLOOR = 0.24
"""Dark variance in DN^2 below which quantisation outweighs the noise (EMVA 1288)."""
_BLOCK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EmvaQuantities:
    """EMVA 1288 quantities of one region, in electrons where photons would need a photometer.

    Attributes
    ----------
    gain_dn_per_e : float
        K by EMVA's own fit (unweighted, through zero, to 70 % of saturation), DN/e-.
    dark_noise_dn, dark_noise_e : float
        Temporal dark noise sigma_y.dark in DN with the converter's 1/12 DN^2, sigma_d in e- without.
    quantisation_limited : bool
        Whether the dark variance is below 0.24 DN^2; the dark noise is then an upper limit.
    sensitivity_threshold_e : float
        mu_e.min, e-.
    saturation_e : float
        mu_e.sat, e-; the highest level seen where saturation was not reached.
    saturation_reached : bool
        Whether the variance has a maximum inside the levels.
    dynamic_range, snr_max : float
        DR and SNR_max, dimensionless; lower limits where saturation was not reached.
    dsnu_e : float
        Dark signal non-uniformity, e-.
    prnu_percent : float
        Photo response non-uniformity of the whole region, %, which holds the unevenness of the light.
    prnu_pixel_percent : float
        The same within blocks of 8 x 8 pixels after a plane is taken out, %.
    linearity_error_min_percent, linearity_error_max_percent : float or None
        Extreme relative deviations from a line against exposure, %; None without exposures.
    """

    gain_dn_per_e: float
    dark_noise_dn: float
    dark_noise_e: float
    quantisation_limited: bool
    sensitivity_threshold_e: float
    saturation_e: float
    saturation_reached: bool
    dynamic_range: float
    snr_max: float
    dsnu_e: float
    prnu_percent: float
    prnu_pixel_percent: float
    linearity_error_min_percent: float | None
    linearity_error_max_percent: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the quantities as JSON-safe data."""
        return asdict(self)


def emva_quantities(
    frames: CalibrationFrames,
    region: RegionLayout,
    levels: LevelTable,
    *,
    dark_variance: float,
    saturation_index: int | None,
    exposures: Sequence[float] | None = None,
) -> EmvaQuantities:
    """Return the quantities of one region.

    Parameters
    ----------
    frames, region, levels
        What was measured and where.
    dark_variance : float
        Temporal variance of the dark, DN^2.
    saturation_index : int or None
        Level of the largest variance; None where saturation was not reached.
    exposures : sequence of float, optional
        Relative exposure of every flat pair, for the linearity.
    """
    top = len(levels.signal) - 1 if saturation_index is None else saturation_index
    full = float(levels.signal[top])
    chosen = levels.signal <= (0.7 * full if saturation_index is not None else full)
    gain = fit_emva(levels.signal[chosen], levels.variance[chosen], dark_variance)
    limited = dark_variance < DARK_FLOOR
    dark = max(dark_variance, DARK_FLOOR) ** 0.5
    threshold = dark / gain + 0.5
    capacity = full / gain
    dsnu_all, dsnu_pixel = spatial_variance(frames.dark, range(len(frames.dark)), region)
    half = int(np.argmin(np.abs(levels.signal - 0.5 * full))) if saturation_index is not None else top
    pair = int(levels.pair[half])
    prnu_all, prnu_pixel = spatial_variance(frames.flat, range(pair, pair + 1), region)
    light = float(np.average(levels.signal[levels.pair == pair], weights=levels.count[levels.pair == pair]))
    errors = linearity_error(levels, exposures, full)
    return EmvaQuantities(
        gain_dn_per_e=gain,
        dark_noise_dn=dark,
        dark_noise_e=(dark**2 - QUANTISATION) ** 0.5 / gain,
        quantisation_limited=limited,
        sensitivity_threshold_e=threshold,
        saturation_e=capacity,
        saturation_reached=saturation_index is not None,
        dynamic_range=capacity / threshold,
        snr_max=capacity**0.5,
        dsnu_e=max(dsnu_all, 0.0) ** 0.5 / gain,
        prnu_percent=100 * max(prnu_all - dsnu_all, 0.0) ** 0.5 / light,
        prnu_pixel_percent=100 * max(prnu_pixel - dsnu_pixel, 0.0) ** 0.5 / light,
        linearity_error_min_percent=errors[0],
        linearity_error_max_percent=errors[1],
    )


def spatial_variance(pairs: FramePairs, which: range, region: RegionLayout) -> tuple[float, float]:
    """Return the variance of the fixed pattern in DN^2: over the region, and within 8 x 8 blocks without their plane.

    The covariance of two frames holds no temporal noise, so none has to be subtracted.
    """
    a, b = (np.mean([cut(stack[i], region) for i in which], axis=0) for stack in (pairs.a, pairs.b))
    whole = float(np.mean((a - a.mean()) * (b - b.mean())) * a.size / (a.size - 1))
    rest_a, rest_b = _without_planes(a), _without_planes(b)
    return whole, float(np.sum(rest_a * rest_b) / (rest_a.size * (1 - 3 / _BLOCK**2)))


def _without_planes(image: Float64) -> Float64:
    """Return blocks of 8 x 8 pixels with their least-squares plane taken out."""
    rows, columns = (n // _BLOCK for n in image.shape)
    blocks = image[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    flat = blocks.transpose(0, 2, 1, 3).reshape(rows * columns, _BLOCK**2)
    ramp = np.arange(_BLOCK) - (_BLOCK - 1) / 2
    y, x = np.meshgrid(ramp, ramp, indexing="ij")
    basis = np.stack([np.ones(_BLOCK**2), y.ravel(), x.ravel()])
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    out: Float64 = flat - (flat @ basis.T) @ basis
    return out


def linearity_error(
    levels: LevelTable, exposures: Sequence[float] | None, full: float
) -> tuple[float | None, float | None]:
    """Return the extreme deviations in % from a 1/y^2-weighted line against exposure, 5 to 95 % of saturation."""
    if exposures is None or levels.binned:
        return None, None
    x = np.asarray(exposures, np.float64)[levels.pair]
    chosen = (levels.signal >= 0.05 * full) & (levels.signal <= 0.95 * full)
    if np.unique(x[chosen]).size < 3:
        return None, None
    x, y = x[chosen], levels.signal[chosen]
    design = np.vander(x, 2) / y[:, None]
    slope, intercept = np.linalg.lstsq(design, np.ones_like(y), rcond=None)[0]
    line = slope * x + intercept
    deviation = 100 * (y - line) / line
    return float(deviation.min()), float(deviation.max())
