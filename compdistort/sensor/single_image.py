"""An estimate of the sensor from a single image: better than nothing, and marked so.

One image without dark frames fixes only the line ``variance = K (y - zero level)``. How the zero level splits into
offset and read noise stays open, and does not change the variance of any grey level:

- without `offset_dn`: read noise 0, and the offset is the zero-variance level;
- with `offset_dn`: the line is forced through the given read noise (default 0) at that offset.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.errors import CalibrationError
from compdistort.grey_levels import GreyLevels
from compdistort.io.planes import as_reader, grey_levels, plane_of, read_some, sampled_planes
from compdistort.sensor.fit import LineFit, fit_line, fit_slope
from compdistort.sensor.flat_noise import BLOCK, residual, robust_variance, to_blocks, whiteness
from compdistort.sensor.model import SensorModel, SensorRegion

Float64 = NDArray[np.float64]

MAX_PLANES = 128
MIN_BLOCKS = 48
BLOCKS_PER_BIN = 32
PIXELS_PER_DEGREE = 10.0
"""Pixels that count as one independent value: the residual's neighbours are correlated (3.8) and a median absolute
deviation has 37 % efficiency."""
ROUNDING = 1 / 12
"""Variance that the converter adds, DN^2."""
TYPE_B = 0.05
"""Relative standard uncertainty of the gain added for texture that no single image can tell from noise."""
WHITE = 2.6
"""Ratio of second- to first-difference variance below which neighbours are correlated (3 for white noise)."""
_FRAMES = "take two flat and two dark frames and use `compdistort calibrate`"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """Usable blocks: mean (DN), structure (DN^2) of each, and six times their residuals, shape (n, BLOCK^2).

    These are whole numbers, and in a large volume half the memory of what they become.
    """

    mean: Float64
    structure: Float64
    sixfold: NDArray[np.int32]


def estimate_noise(
    image: NDArray[np.uint16] | PlaneReader,
    *,
    offset_dn: float | None = None,
    read_noise_e: float = 0.0,
    bits: int | None = None,
    name: str = "image",
    levels: GreyLevels | None = None,
) -> SensorModel:
    """Estimate a sensor model from one image or stack.

    Parameters
    ----------
    image : ndarray of shape (rows, columns) or (planes, rows, columns), uint16; or PlaneReader
        Raw image, DN. Of a large volume `sampled_planes` are looked at, and its grey levels are counted.
    offset_dn : float, optional
        Grey level without light, where it is known (e.g. the mean of a dark frame), DN.
    read_noise_e : float
        Read noise to assume with `offset_dn`, e-.
    bits : int, optional
        Bit depth; taken from the level at which the image clips where it does, else 16.
    name : str
        What to call the image in messages.
    levels : GreyLevels, optional
        The grey levels of the image, where they are counted already.

    Returns
    -------
    SensorModel
        Scalar, ``estimated=True``. The covariance is widened: texture at the scale of the pixel reads as noise.
        ``source`` holds the levels, the free line and the warnings.

    Raises
    ------
    CalibrationError
        Too small or too uniform an image, or noise that does not grow with the light.

    Notes
    -----
    Median absolute deviation of Immerkaer's residual over the flattest half of the blocks of every grey-level bin,
    then a weighted robust line. Flatness is judged by block averages, which the residual does not see, so that
    choosing flat blocks does not choose quiet noise.

    References
    ----------
    .. [1] Immerkaer (1996), CVIU 64:300.
    .. [2] Foi et al. (2008), IEEE TIP 17:1737.
    """
    if 0 in image.shape or len(image.shape) not in {2, 3}:
        raise CalibrationError(f"{name}: an array of shape {image.shape} is no image", "give one plane or a stack")
    planes = as_reader(image)
    saturation, bits = _saturation(grey_levels(planes, levels), bits, name)
    blocks = _collect(planes, saturation, name)
    table = _table(blocks, 0.5)
    try:
        line = fit_line(*table)
        gain, error, offset, read_variance = _split(line, table, offset_dn, read_noise_e)
    except CalibrationError as problem:
        raise CalibrationError(f"{name}: {problem.what}", _FRAMES) from problem
    if error > 0.3 * gain:
        raise CalibrationError(
            f"{name}: its flat areas fix the gain only to {100 * error / gain:.0f} %",
            f"give the grey level without light (--offset), or {_FRAMES}",
        )
    quarter = _gain_again(_table(blocks, 0.25), offset_dn, read_variance)
    spread = float(np.hypot(np.hypot(error, TYPE_B * gain), gain - quarter))
    white = whiteness(plane_of(planes, planes.shape[0] // 2))
    return _model(
        gain, spread, offset, read_variance, line, table, white=white, saturation=saturation, bits=bits, name=name
    )


def _model(
    gain: float,
    spread: float,
    offset: float,
    read_variance: float,
    line: LineFit,
    levels: tuple[Float64, Float64, NDArray[np.int64]],
    *,
    white: float,
    saturation: float | None,
    bits: int,
    name: str,
) -> SensorModel:
    zero_level = -line.dark_variance_dn2 / line.gain_dn_per_e
    region = SensorRegion(
        name="frame",
        offset_dn=offset,
        gain_e_per_dn=1 / gain,
        read_noise_e=float(np.sqrt(read_variance)) / gain,
        saturation_dn=saturation,
        covariance=((spread**2, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    )
    warnings = [f"{name}: sensor estimated from a single image; texture as fine as the pixels reads as noise"]
    if white < WHITE:
        warnings.append(
            f"{name}: noise of neighbouring pixels is correlated (whiteness {white:.2f}, 3 if raw): the image has been"
            " resampled or filtered, or is textured; its gain is not to be trusted"
        )
    source = {
        "method": "single image",
        "image": name,
        "free_line": {
            "gain_dn_per_e": line.gain_dn_per_e,
            "gain_standard_error": line.gain_standard_error,
            "zero_variance_level_dn": zero_level,
        },
        "whiteness": white,
        "levels": {"mean_dn": levels[0].tolist(), "variance_dn2": levels[1].tolist(), "count": levels[2].tolist()},
        "warnings": warnings,
    }
    return SensorModel(regions=(region,), bits=bits, estimated=True, source=source)


def _split(
    line: LineFit, levels: tuple[Float64, Float64, NDArray[np.int64]], offset_dn: float | None, read_noise_e: float
) -> tuple[float, float, float, float]:
    """Return gain, its standard error, offset and read variance by the rule in the module's docstring."""
    if offset_dn is None:
        return line.gain_dn_per_e, line.gain_standard_error, -line.dark_variance_dn2 / line.gain_dn_per_e, 0.0
    mean, variance, count = levels
    gain = line.gain_dn_per_e
    for _ in range(20):  # the read noise is given in electrons, so its variance in DN^2 moves with the gain
        read_variance = (gain * read_noise_e) ** 2
        gain, error = fit_slope(mean - offset_dn, variance, count, read_variance)
    return gain, error, float(offset_dn), read_variance


def _gain_again(
    levels: tuple[Float64, Float64, NDArray[np.int64]], offset_dn: float | None, read_variance: float
) -> float:
    """Return the gain from other levels, for its sensitivity to structure."""
    mean, variance, count = levels
    if offset_dn is None:
        return fit_line(mean, variance, count).gain_dn_per_e
    return fit_slope(mean - offset_dn, variance, count, read_variance)[0]


def _saturation(levels: GreyLevels, bits: int | None, name: str) -> tuple[float | None, int]:
    """Return the level at which the image clips (None if it does not) and the bit depth."""
    top = levels.maximum
    if bits is not None and top >= 1 << bits:
        raise CalibrationError(f"{name}: holds {top} DN, above the {bits} bits given", "correct --bits")
    at_top = levels.at_least(top)
    below = levels.at_least(top - max(4, top // 100)) - at_top
    exact = [n for n in range(9, 17) if top == (1 << n) - 1]
    # Two pixels at the last code of a converter are no chance; elsewhere clipping shows as a pile.
    clipped = (at_top >= 5 and at_top > below / 10) or (at_top >= 2 and bool(exact))
    if bits is None:
        bits = exact[0] if exact and clipped else 16
    if clipped and at_top > 0.5 * levels.size:
        raise CalibrationError(f"{name}: more than half of the pixels are at {top} DN", "give an unsaturated image")
    return (float(top) if clipped else None), bits


def _collect(planes: PlaneReader, saturation: float | None, name: str) -> _Blocks:
    """Cut every plane into blocks; blocks that touch a clipped end of the range are left out."""
    chosen = sampled_planes(planes.shape)
    chosen = chosen[:: -(-len(chosen) // MAX_PLANES)]
    if min(planes.shape[1:]) < BLOCK + 2:
        raise CalibrationError(f"{name}: {planes.shape[1:]} pixels are too few", _FRAMES)
    parts = [_cut(plane, saturation) for plane in read_some(planes, chosen)]
    blocks = _Blocks(
        mean=np.concatenate([part.mean for part in parts]),
        structure=np.concatenate([part.structure for part in parts]),
        sixfold=np.concatenate([part.sixfold for part in parts]),
    )
    if blocks.mean.size < MIN_BLOCKS:
        raise CalibrationError(
            f"{name}: only {blocks.mean.size} unclipped blocks of {BLOCK} x {BLOCK} pixels, {MIN_BLOCKS} needed",
            _FRAMES,
        )
    if 2 * np.count_nonzero(blocks.sixfold == 0) > blocks.sixfold.size:
        raise CalibrationError(f"{name}: most of its pixels have no noise at all", "give the raw image of a camera")
    return blocks


def _cut(plane: NDArray[np.uint16], saturation: float | None) -> _Blocks:
    """Return the usable blocks of one plane."""
    pixels = to_blocks(plane[1:-1, 1:-1]).reshape(-1, BLOCK * BLOCK)
    rest = to_blocks(residual(plane)).reshape(-1, BLOCK * BLOCK)
    keep = (pixels.min(axis=1) > 0) & (pixels.max(axis=1) < (saturation or np.inf))
    quads = pixels.reshape(-1, 4, BLOCK // 4, 4, BLOCK // 4).mean(axis=(2, 4)).reshape(-1, 16)
    return _Blocks(
        mean=pixels[keep].mean(axis=1),
        structure=quads[keep].var(axis=1),
        sixfold=np.rint(6 * rest[keep]).astype(np.int32),
    )


def _table(blocks: _Blocks, share: float) -> tuple[Float64, Float64, NDArray[np.int64]]:
    """Return mean, noise variance and effective count of grey-level bins, from the flattest blocks of each."""
    order = np.argsort(blocks.mean, kind="stable")
    n_bins = int(np.clip(order.size // BLOCKS_PER_BIN, 2, 40))
    rows: list[tuple[float, float, int]] = []
    for members in np.array_split(order, n_bins):
        flat = members[np.argsort(blocks.structure[members], kind="stable")[: max(4, round(share * members.size))]]
        values = blocks.sixfold[flat] / 6
        variance = float(robust_variance(values.ravel())) - ROUNDING
        rows.append((float(blocks.mean[flat].mean()), variance, int(values.size / PIXELS_PER_DEGREE)))
    table: NDArray[Any] = np.array(rows)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].astype(np.int64)
