"""From calibration frames to a sensor model: the photon transfer curve of every region."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CalibrationError
from compdistort.sensor.dark import DarkNoise, dark_noise
from compdistort.sensor.emva import DARK_FLOOR, QUANTISATION, EmvaQuantities, emva_quantities
from compdistort.sensor.fit import LineFit, fit_line
from compdistort.sensor.frames import CalibrationFrames
from compdistort.sensor.layout import Box, RegionLayout, lay_out
from compdistort.sensor.levels import LevelTable, dark_level, make_levels
from compdistort.sensor.model import SensorModel, SensorRegion
from compdistort.sensor.pixel_maps import PixelCalibration, pixel_maps

MAX_CLIPPED = 1e-4
"""Levels with a larger share of pixels at the top of the range are not fitted."""
FIT_RANGE = 0.7
"""Part of saturation that is fitted (EMVA 1288)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCalibration:
    """Everything measured in one region.

    Attributes
    ----------
    layout : RegionLayout
        Where.
    offset_dn, dark_variance_dn2 : float
        Mean (DN) and temporal variance (DN^2, rounding included) of the dark pairs.
    dark_count : int
        Pixel pairs behind it.
    levels : LevelTable
        Photon transfer curve.
    used : ndarray of shape (n,), bool
        Levels that were fitted.
    fit : LineFit
        Weighted line; its first point is the dark level, the others are the levels used.
    saturation_dn : float or None
        Grey level of the largest variance; None where it was not reached.
    emva : EmvaQuantities
        EMVA 1288.
    dark : DarkNoise
        Structure of the dark noise.
    warnings : tuple of str
        What needs the reader's attention.
    """

    layout: RegionLayout
    offset_dn: float
    dark_variance_dn2: float
    dark_count: int
    levels: LevelTable
    used: NDArray[np.bool_]
    fit: LineFit
    saturation_dn: float | None
    emva: EmvaQuantities
    dark: DarkNoise
    warnings: tuple[str, ...]

    def region(self) -> SensorRegion:
        """Return the region of the sensor model."""
        variance = self.fit.dark_variance_dn2
        read_variance = max(variance, DARK_FLOOR if self.emva.quantisation_limited else 0.0) - QUANTISATION
        gain = self.fit.gain_dn_per_e
        (a, b), (_, d) = self.fit.covariance.tolist()
        offset = self.dark_variance_dn2 / (2 * self.dark_count)
        return SensorRegion(
            name=self.layout.name,
            rows=self.layout.box[0],
            columns=self.layout.box[1],
            offset_dn=self.offset_dn,
            gain_e_per_dn=1 / gain,
            read_noise_e=max(read_variance, 0.0) ** 0.5 / gain,
            saturation_dn=self.saturation_dn,
            covariance=((a, b, 0.0), (b, d, 0.0), (0.0, 0.0, offset)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the measurement as JSON-safe data."""
        fit = self.fit
        return {
            "name": self.layout.name,
            "roi": [list(side) for side in self.layout.roi],
            "pixels": int(self.layout.rows.size * self.layout.columns.size),
            "offset_dn": self.offset_dn,
            "dark_noise_dn": self.dark_variance_dn2**0.5,
            "dark_noise_without_rounding_dn": max(self.dark_variance_dn2 - QUANTISATION, 0.0) ** 0.5,
            "gain_dn_per_e": fit.gain_dn_per_e,
            "gain_standard_error": fit.gain_standard_error,
            "gain_interval_95": [fit.gain_dn_per_e + s * 1.96 * fit.gain_standard_error for s in (-1, 1)],
            "gain_e_per_dn": 1 / fit.gain_dn_per_e,
            "read_noise_e": self.region().read_noise_e,
            "fit_dark_variance_dn2": fit.dark_variance_dn2,
            "saturation_dn": "not reached" if self.saturation_dn is None else self.saturation_dn,
            "chi2": fit.chi2,
            "degrees_of_freedom": fit.nu,
            "p_value": fit.p_value,
            "curvature_per_dn": fit.curvature,
            "curvature_standard_error": None if np.isnan(fit.curvature_error) else fit.curvature_error,
            "gain_at_zero_signal_dn_per_e": (
                None if np.isnan(fit.initial_gain_dn_per_e) else fit.initial_gain_dn_per_e
            ),
            "levels_from": "local means inside pairs" if self.levels.binned else "exposures",
            "levels": {
                "signal_dn": self.levels.signal.tolist(),
                "variance_dn2": self.levels.variance.tolist(),
                "count": self.levels.count.tolist(),
                "used": self.used.tolist(),
            },
            "residuals": fit.residual.tolist(),
            "emva1288": self.emva.to_dict(),
            "dark_structure": self.dark.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A sensor model and how it was measured.

    Attributes
    ----------
    model : SensorModel
        The result.
    regions : tuple of RegionCalibration
        In raster order.
    maps : PixelCalibration or None
        Per-pixel maps with their standard errors.
    warnings : tuple of str
        Of all regions.
    """

    model: SensorModel
    regions: tuple[RegionCalibration, ...]
    maps: PixelCalibration | None
    warnings: tuple[str, ...]


def fit_photon_transfer_curve(
    frames: CalibrationFrames,
    *,
    taps: tuple[int, int] = (1, 1),
    roi: Box | None = None,
    per_pixel: bool = False,
    exposures: Sequence[float] | None = None,
    source: dict[str, Any] | None = None,
) -> Calibration:
    """Calibrate a sensor from pairs of flat and dark frames.

    Parameters
    ----------
    frames : CalibrationFrames
        Checked frames.
    taps : tuple of int
        Rows and columns of equal parts that are calibrated one by one.
    roi : tuple, optional
        ``((y0, y1), (x0, x1))`` inside every tap.
    per_pixel : bool
        Make maps of gain, offset and read noise as well.
    exposures : sequence of float, optional
        Relative exposure of each flat pair, for the linearity error.
    source : dict, optional
        Where the frames come from, JSON-safe.

    Raises
    ------
    CalibrationError
        Frames that cannot calibrate: no light, saturated, too few for maps, variance that does not grow.

    References
    ----------
    .. [1] EMVA Standard 1288, Release 4.0 Linear (2021).
    .. [2] Janesick, Photon Transfer, SPIE Press (2007).
    """
    if exposures is not None and (len(exposures) != len(frames.flat) or min(exposures) <= 0):
        raise CalibrationError(
            f"{len(exposures)} exposures for {len(frames.flat)} flat pairs", "give one exposure above 0 a flat pair"
        )
    layouts = lay_out(frames, taps, roi)
    regions = tuple(_calibrate_region(frames, layout, exposures) for layout in layouts)
    warnings = [*_lattice(frames), *(text for region in regions for text in region.warnings)]
    parts = tuple(region.region() for region in regions)
    maps = pixel_maps(frames, layouts, parts) if per_pixel else None
    if maps is not None:
        warnings += maps.notices
    scalar = len(parts) == 1 and maps is None
    if scalar:
        parts = (parts[0].everywhere(),)
    model = SensorModel(
        regions=parts,
        maps=None if maps is None else maps.maps,
        frame_shape=None if scalar else frames.shape,
        bits=frames.bits,
        source={
            "method": "photon transfer",
            **(source or {}),
            "warnings": warnings,
            "regions": [region.to_dict() for region in regions],
        },
    )
    return Calibration(model=model, regions=regions, maps=maps, warnings=tuple(warnings))


def _calibrate_region(
    frames: CalibrationFrames, layout: RegionLayout, exposures: Sequence[float] | None
) -> RegionCalibration:
    offset, dark_variance, dark_count, dark_outliers = dark_level(frames.dark, layout)
    levels = make_levels(frames, layout)
    top = find_saturation(levels)
    used = levels.clipped <= MAX_CLIPPED
    if top is not None:
        used &= levels.signal <= FIT_RANGE * levels.signal[top]
    if not used.any():
        raise CalibrationError(f"{layout.name}: every level is saturated", "add flats with less light")
    try:
        fit = fit_line(
            np.concatenate(([0.0], levels.signal[used])),
            np.concatenate(([dark_variance], levels.variance[used])),
            np.concatenate(([dark_count], levels.count[used])),
        )
    except CalibrationError as error:
        raise CalibrationError(f"{layout.name}: {error.what}", error.remedy) from error
    emva = emva_quantities(
        frames, layout, levels, dark_variance=dark_variance, saturation_index=top, exposures=exposures
    )
    structure = dark_noise(frames.dark, layout)
    outliers = dark_outliers + levels.outliers
    warnings = (*layout.notices, *_fit_warnings(layout.name, fit, levels, used), *structure.warnings(layout.name))
    if outliers > 1e-4 * (levels.count.sum() + dark_count):
        warnings = (*warnings, f"{layout.name}: {outliers} pixel differences beyond 6 standard deviations left out")
    return RegionCalibration(
        layout=layout,
        offset_dn=offset,
        dark_variance_dn2=dark_variance,
        dark_count=dark_count,
        levels=levels,
        used=used,
        fit=fit,
        saturation_dn=None if top is None else float(offset + levels.signal[top]),
        emva=emva,
        dark=structure,
        warnings=warnings,
    )


def find_saturation(levels: LevelTable) -> int | None:
    """Return the level of the largest variance if the variance falls significantly behind it, else None.

    A fall counts from 5 standard errors and 10 %; levels at the top of the range count as fallen.
    """
    top = int(np.argmax(levels.variance))
    behind = levels.variance[top + 1 :]
    if behind.size == 0:
        return top if levels.clipped[top] > MAX_CLIPPED else None
    error = levels.variance[top] * np.sqrt(2 / levels.count[top] + 2 / levels.count[top + 1 :])
    fall = levels.variance[top] - behind
    fallen = (fall > np.maximum(5 * error, 0.1 * levels.variance[top])) | (levels.clipped[top + 1 :] > MAX_CLIPPED)
    return top if bool(fallen[-1]) else None


def _fit_warnings(name: str, fit: LineFit, levels: LevelTable, used: NDArray[np.bool_]) -> tuple[str, ...]:
    said = []
    bad = np.flatnonzero(fit.weight[1:] < 0.5)
    if bad.size:
        places = ", ".join(f"{value:.0f}" for value in levels.signal[used][bad][:5])
        said.append(f"{name}: {bad.size} levels lie far off the line (signal {places} DN) and count less")
    if fit.curved:
        signal = levels.signal[used].max()
        share = 100 * (fit.curvature * signal + fit.initial_gain_dn_per_e) / fit.initial_gain_dn_per_e - 100
        said.append(
            f"{name}: the curve bends, {share:+.1f} % at {signal:.0f} DN (slope {fit.initial_gain_dn_per_e:.4f} DN/e-"
            " at zero signal); the line that is kept is right for the noise over this range, not for counting electrons"
        )
    return tuple(said)


def _lattice(frames: CalibrationFrames) -> tuple[str, ...]:
    """Warn when all grey levels are multiples of a number: shifted or scaled converter words."""
    step = int(np.gcd.reduce(np.unique(frames.flat.a[0])))
    if step == 1:
        return ()
    return (
        f"all grey levels are multiples of {step}: the file holds shifted or scaled converter words, whose rounding"
        f" adds {step**2 / 12:.2f} DN^2; divide by {step} before calibrating and measuring",
    )
