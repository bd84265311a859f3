"""Whether an image can come from a sensor: shape, range, and the noise of its flat areas."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.errors import CalibrationError
from compdistort.grey_levels import GreyLevels
from compdistort.io.planes import as_reader, grey_levels, plane_of, read_some, sampled_planes
from compdistort.sensor.flat_noise import block_noise

MIN_BLOCKS = 20
TOO_QUIET, TOO_NOISY = 0.4, 10.0
"""Bounds of the ratio noise variance / model variance; outside, the model is refused."""


class _Model(Protocol):
    @property
    def frame_shape(self) -> tuple[int, int] | None: ...
    @property
    def max_dn(self) -> int: ...
    @property
    def saturation_dn(self) -> float: ...
    def parameters(self) -> tuple[Any, Any, Any]: ...
    def variance_dn2(self, y: NDArray[Any]) -> NDArray[np.float64]: ...


def check_image(
    model: _Model, image: NDArray[Any] | PlaneReader, name: str, levels: GreyLevels | None = None
) -> tuple[str, ...]:
    """Refuse an image that the sensor cannot have taken; return warnings. See `SensorModel.check_image`."""
    shape, planes = model.frame_shape, as_reader(image)
    if shape is not None and image.shape[-2:] != shape:
        raise CalibrationError(
            f"{name}: {image.shape[-2:]} pixels, but the sensor model is for {shape}",
            "crop the sensor model as the image was cropped, or calibrate per frame (without --taps and --per-pixel)",
        )
    levels = grey_levels(planes, levels)
    _check_range(model, planes, levels, name)
    middle = plane_of(planes, planes.shape[0] // 2)
    return (*_saturated(model, levels, name), *_check_noise(model, middle, name))


def _check_range(model: _Model, planes: PlaneReader, levels: GreyLevels, name: str) -> None:
    top, bottom = levels.maximum, levels.minimum
    if top > model.max_dn:
        raise CalibrationError(
            f"{name}: grey levels {bottom} to {top} lie outside the sensor's 0 to {model.max_dn} DN",
            "give the bit depth that the camera was saved with (--bits when calibrating)",
        )
    share = _share_below_offset(model, planes, levels)
    if share > 0.5:
        raise CalibrationError(
            f"{name}: its median grey level lies below the sensor's offset, as do {100 * share:.0f} % of its pixels",
            "this calibration belongs to another camera or another setting: calibrate the one that took the image",
        )


def _share_below_offset(model: _Model, planes: PlaneReader, levels: GreyLevels) -> float:
    """Return which part of the pixels is darker than no light; where the offset has places, of the sampled planes."""
    _, offset, _ = model.parameters()
    if not isinstance(offset, np.ndarray):
        return levels.below(float(offset)) / levels.size
    chosen = sampled_planes(planes.shape)
    below = sum(int(np.count_nonzero(plane < offset)) for plane in read_some(planes, chosen))
    return below / (len(chosen) * offset.size)


def _saturated(model: _Model, levels: GreyLevels, name: str) -> tuple[str, ...]:
    share = levels.at_least(min(model.saturation_dn, model.max_dn)) / levels.size
    if share > 0.5:
        raise CalibrationError(
            f"{name}: {100 * share:.1f} % of the pixels are saturated (>= {model.saturation_dn:.0f} DN)",
            "take the image again with less exposure",
        )
    if share > 0:
        return (f"{name}: {100 * share:.3g} % of the pixels are saturated; their noise is cut off",)
    return ()


def _check_noise(model: _Model, plane: NDArray[Any], name: str) -> tuple[str, ...]:
    """Compare the noise of flat blocks with the model; texture only adds to it, processing only takes away."""
    noise = block_noise(plane)
    if noise.variance.size < MIN_BLOCKS:
        return (f"{name}: too few flat areas to compare its noise with the sensor model",)
    expected = noise.block_mean(model.variance_dn2(plane)) + 1 / 12
    ratio = noise.variance / expected
    middle, low = float(np.median(ratio)), float(np.quantile(ratio, 0.1))
    if middle < TOO_QUIET:
        raise CalibrationError(
            f"{name}: noise variance is {middle:.2g} times what the sensor model says",
            "the image is not raw (denoised, binned, interpolated, 8-bit scaled) or the calibration is of another gain",
        )
    if low > TOO_NOISY:
        raise CalibrationError(
            f"{name}: even its flattest areas have {low:.2g} times the noise variance of the sensor model",
            "the calibration is of another gain, or the offset is wrong: calibrate the camera setting of the image",
        )
    if middle < 0.7 or low > 2:
        return (f"{name}: the noise variance of its flat areas is {low:.2g} to {middle:.2g} times the sensor model's",)
    return ()
