"""Raw projections to line integrals: dark level off, divided by the flat field, and the logarithm for absorption."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError, InputError

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineIntegrals:
    """Corrected projections, and what had to be clipped.

    Attributes
    ----------
    values : ndarray of shape (n_angles, rows, columns), float32
        Attenuation, dimensionless (with the logarithm); else transmission, or DN above the dark level without a flat.
    least : float
        Least transmission that the logarithm was taken of: smaller ones were raised to it.
    clipped : int
        Values that were raised.
    """

    values: NDArray[np.float32]
    least: float
    clipped: int


def attenuation(
    projections: NDArray[Any],
    *,
    dark: NDArray[Any] | None = None,
    flat: NDArray[Any] | None = None,
    logarithm: bool = True,
    least_transmission: float = 1e-4,
) -> LineIntegrals:
    """Return the line integrals of raw projections: ``-log((raw - dark) / (flat - dark))``.

    Each projection is worked on by itself in float64.

    Parameters
    ----------
    projections : ndarray of shape (n_angles, rows, columns), any real dtype
        Raw projections, DN.
    dark, flat : ndarray of shape (rows, columns) or (n, rows, columns), optional
        Frames without light, and without an object, DN; several are averaged. No dark frame is a level of 0.
    logarithm : bool
        Absorption: take minus the logarithm of the transmission, which needs a flat field. False: emitted light.
    least_transmission : float
        Transmissions below it, noise of opaque places, are raised to it; above 0.

    Returns
    -------
    LineIntegrals

    Raises
    ------
    InputError
        If shapes do not fit, values are not finite, or the flat field is nowhere above the dark level of a pixel.
    ConfigError
        If the logarithm is asked for without a flat field, or `least_transmission` is not in 0 .. 1.
    """
    if projections.ndim != 3:
        raise InputError(
            f"projections have the shape {projections.shape}",
            "the axes must be (angle, detector row, detector column), and two projections are the fewest",
        )
    if logarithm and flat is None:
        raise ConfigError("the logarithm needs a flat field", "give one, or say that the object emits light")
    if not 0 < least_transmission < 1:
        raise ConfigError(f"least_transmission is {least_transmission}", "it must lie between 0 and 1")
    level = _mean_frame(dark, "dark", projections.shape[1:])
    light = None if flat is None else _light(_mean_frame(flat, "flat", projections.shape[1:]), level)
    values, clipped = np.empty(projections.shape, np.float32), 0
    for number, above in enumerate(_above_dark(projections, level)):
        corrected = above if light is None else above / light
        if logarithm:
            clipped += int((corrected < least_transmission).sum())
            corrected = -np.log(np.maximum(corrected, least_transmission))
        values[number] = corrected
    return LineIntegrals(values=values, least=least_transmission if logarithm else 0.0, clipped=clipped)


def _mean_frame(frames: NDArray[Any] | None, what: str, shape: tuple[int, ...]) -> Float64:
    """Return the mean of frames in the shape of one projection; zeros where there are none."""
    if frames is None:
        return np.zeros(shape)
    if frames.shape[-2:] != shape or frames.ndim not in (2, 3) or not len(frames):
        raise InputError(f"{what} frames have the shape {frames.shape}", f"a projection has {shape}")
    mean: Float64 = frames.reshape(-1, *shape).mean(0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise InputError(f"{what} frames hold values that are not finite", "leave the damaged frames out")
    return mean


def _light(flat: Float64, level: Float64) -> Float64:
    """Return the light of the flat field; a pixel that saw none has no transmission."""
    light: Float64 = flat - level
    if (light <= 0).any():
        row, column = np.argwhere(light <= 0)[0]
        raise InputError(
            f"the flat field is not above the dark level at {(light <= 0).sum()} pixels, the first in row {row}, "
            f"column {column}",
            "replace these pixels in all frames, or crop them away",
        )
    return light


def _above_dark(projections: NDArray[Any], level: Float64) -> Iterator[Float64]:
    """Give each projection above the dark level."""
    for number, projection in enumerate(projections):
        if not np.isfinite(projection).all():
            raise InputError(f"projection {number} holds values that are not finite", "take it again, or leave it out")
        yield projection - level
