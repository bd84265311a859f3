"""Per-pixel maps of gain, offset and read noise from many frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CalibrationError
from compdistort.sensor.frames import CalibrationFrames, FramePairs
from compdistort.sensor.layout import RegionLayout
from compdistort.sensor.regions import SensorMaps, SensorRegion

Float64 = NDArray[np.float64]

MIN_FLATS, MIN_DARKS = 100, 50
"""Frames below which a pixel's gain (14 %) or read noise (10 %) is worse than the mean of all pixels."""
SAME_LEVEL = 0.03
"""Frames whose mean signals differ by less are of one level."""
QUANTISATION = 1 / 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelCalibration:
    """Per-pixel maps and how good they are.

    Attributes
    ----------
    maps : SensorMaps
        The maps.
    gain_error, read_noise_error : float
        Relative standard error of one pixel's gain and read noise.
    gain_spread : float
        Relative spread of the gain between pixels beyond its standard error, 0 where there is none.
    replaced : int
        Pixels whose own value was unusable and that took their region's.
    notices : tuple of str
        The same in words.
    """

    maps: SensorMaps
    gain_error: float
    read_noise_error: float
    gain_spread: float
    replaced: int
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what is known about the maps as JSON-safe data, without the maps."""
        return {
            "gain_relative_standard_error": self.gain_error,
            "read_noise_relative_standard_error": self.read_noise_error,
            "gain_relative_spread": self.gain_spread,
            "pixels_replaced": self.replaced,
        }


def pixel_maps(
    frames: CalibrationFrames, layouts: Sequence[RegionLayout], regions: Sequence[SensorRegion]
) -> PixelCalibration:
    """Fit every pixel on its own.

    Parameters
    ----------
    frames : CalibrationFrames
        At least 100 flat and 50 dark frames; frames of one level are found by their mean.
    layouts, regions : sequence
        Regions and their models, which give the weights and stand in for pixels without a usable value.

    Raises
    ------
    CalibrationError
        If there are too few frames.
    """
    n_flat, n_dark = 2 * len(frames.flat), 2 * len(frames.dark)
    if n_flat < MIN_FLATS or n_dark < MIN_DARKS:
        raise CalibrationError(
            f"--per-pixel needs at least {MIN_FLATS} flat and {MIN_DARKS} dark frames, {n_flat} and {n_dark} given: one"
            f" pixel's gain would be uncertain by {100 * (2 / max(1, n_flat - 1)) ** 0.5:.0f} %",
            "take more frames, or calibrate per tap (--taps) or for the whole frame",
        )
    offset, dark_variance = _moments([*frames.dark.a, *frames.dark.b])
    reciprocal = np.zeros(frames.shape)
    numerator = np.zeros(frames.shape)
    mean_gain = float(np.mean([region.gain_dn_per_e for region in regions]))
    for members in _levels(frames.flat):
        mean, variance = _moments(members)
        signal = mean - offset
        typical = float(np.median(dark_variance) + mean_gain * np.median(signal))
        weight = (len(members) - 1) / (2 * typical**2)
        numerator += weight * signal * (variance - dark_variance)
        reciprocal += weight * signal**2
    gain = numerator / reciprocal
    error = float(np.median(reciprocal[_lit(frames, layouts)] ** -0.5)) / mean_gain
    return _finish(frames, layouts, regions, (gain, offset, dark_variance), error)


def _finish(
    frames: CalibrationFrames,
    layouts: Sequence[RegionLayout],
    regions: Sequence[SensorRegion],
    values: tuple[Float64, Float64, Float64],
    error: float,
) -> PixelCalibration:
    gain, offset, dark_variance = values
    lit = _lit(frames, layouts)
    fallback = np.empty(frames.shape)
    for region in regions:
        fallback[slice(*region.rows), slice(*region.columns)] = region.gain_dn_per_e
    usable = lit & (gain > 0.2 * fallback) & (gain < 5 * fallback)
    replaced = int(np.count_nonzero(lit & ~usable))
    gain = np.where(usable, gain, fallback)
    read_variance = np.maximum(dark_variance - QUANTISATION, 0.0)
    maps = SensorMaps(gain_e_per_dn=1 / gain, offset_dn=offset, read_noise_e=np.sqrt(read_variance) / gain)
    ratio = (gain / fallback)[usable]
    spread = max(0.0, float(np.var(ratio)) - error**2) ** 0.5
    read_error = (1 / (2 * (2 * len(frames.dark) - 1))) ** 0.5
    notices = [
        f"per-pixel maps: standard error of one pixel {100 * error:.1f} % (gain) and {100 * read_error:.1f} % (read"
        f" noise); the gain differs between pixels by {100 * spread:.1f} % beyond that"
    ]
    if replaced:
        notices.append(f"per-pixel maps: {replaced} pixels had no usable gain and took that of their region")
    if spread < error:
        notices.append(
            "per-pixel maps: pixels differ by less than their standard error; a scalar or per-tap model is better"
        )
    return PixelCalibration(
        maps=maps,
        gain_error=error,
        read_noise_error=read_error,
        gain_spread=spread,
        replaced=replaced,
        notices=tuple(notices),
    )


def _lit(frames: CalibrationFrames, layouts: Sequence[RegionLayout]) -> NDArray[np.bool_]:
    out = np.zeros(frames.shape, bool)
    for layout in layouts:
        out[np.ix_(layout.rows, layout.columns)] = True
    return out


def _levels(flat: FramePairs) -> list[list[NDArray[np.uint16]]]:
    """Return frames grouped by their mean; groups of fewer than 10 frames are left out."""
    frames = [*flat.a, *flat.b]
    means = np.array([float(frame.mean()) for frame in frames])
    order = np.argsort(means)
    groups: list[list[NDArray[np.uint16]]] = []
    previous = -np.inf
    for index in order:
        if not groups or means[index] > previous * (1 + SAME_LEVEL):
            groups.append([])
            previous = means[index]
        groups[-1].append(frames[index])
    return [group for group in groups if len(group) >= 10]


def _moments(frames: Sequence[NDArray[np.uint16]]) -> tuple[Float64, Float64]:
    """Return mean and variance of every pixel; a drift of the whole frame is taken out of the variance."""
    count = len(frames)
    mean = np.zeros(frames[0].shape)
    for frame in frames:
        mean += frame / count
    centre = float(mean.mean())
    square = np.zeros(frames[0].shape)
    for frame in frames:
        square += (frame - mean - (float(frame.mean()) - centre)) ** 2
    return mean, square / (count - 1)
