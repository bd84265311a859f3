"""What a user must know about the replicates of an image: saturation, coarse converters, distance to the exact law."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, NoiseTables, UInt16
from compdistort.backend.planes import PlaneReader
from compdistort.grey_levels import N_LEVELS, GreyLevels
from compdistort.io.planes import as_reader, grey_levels, read_some, sampled_planes
from compdistort.replicate.law import exact_cdf, quantile_cdf, skewness_sixth
from compdistort.sensor.model import SensorModel

SATURATION_SIGMA = 3.0
COARSE_DN = 0.5
ROUNDING_DN2 = 1 / 12
NOTABLE = 1e-3
"""Fraction of pixels from which saturation, coarseness or pixels without noise are mentioned."""
RANKED_VOXELS = 1 << 22
"""Pixels that are put in order, where the sensor has places, for a few of them to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturationReport:
    """Pixels whose noise is cut by saturation.

    Attributes
    ----------
    fraction : float
        Part of all pixels.
    mask : ndarray of the image's shape, bool
        Pixels within `SATURATION_SIGMA` standard deviations of saturation: their replicates spread too little.
    """

    fraction: float
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LawDistance:
    """Total-variation distance between the drawn law and the exact one, over sampled pixels.

    Attributes
    ----------
    mean, worst : float
        0 (equal) to 1.
    worst_electrons : float
        Mean electrons of the worst pixel.
    n_pixels : int
        Pixels sampled.
    """

    mean: float
    worst: float
    worst_electrons: float
    n_pixels: int

    def describe(self) -> str:
        """Return one sentence."""
        return (
            f"total-variation distance of the drawn noise law to the exact one: mean {self.mean:.4f}, "
            f"worst {self.worst:.4f} (at {self.worst_electrons:.1f} e-), over {self.n_pixels} pixels"
        )


def saturation_report(raw: UInt16, sensor: SensorModel) -> SaturationReport:
    """Return which pixels are saturated or so near it that replicates are cut; draws are clipped, never wrapped.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    sensor : SensorModel
        Of the same frame.

    Returns
    -------
    SaturationReport
    """
    mask = _near_saturation(raw, sensor, sensor.variance_dn2(raw))
    return SaturationReport(fraction=float(mask.mean()), mask=mask)


def _near_saturation(raw: UInt16, sensor: SensorModel, variance: Float64) -> NDArray[np.bool_]:
    full = np.array([sensor.max_dn if r.saturation_dn is None else r.saturation_dn for r in sensor.regions])
    index = sensor.region_map()
    limit: Any = full[0] if index is None else full[index]
    near: NDArray[np.bool_] = raw + SATURATION_SIGMA * np.sqrt(variance + ROUNDING_DN2) >= limit
    return near


def law_distance(
    raw: UInt16 | PlaneReader,
    sensor: SensorModel,
    law: str = "poisson-gaussian",
    samples: int = 257,
    levels: GreyLevels | None = None,
) -> LawDistance:
    """Return how far the normal-quantile draws of an image are from the exact Poisson-Gaussian law.

    This is what per-pixel maps draw at every level, and `law="gaussian"` with any sensor. Pixels are sampled at equal
    steps of their rank in electrons; those below their offset have no exact law and are left out. Of a large volume
    and a sensor with places, `sampled_planes` are ranked.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16, or PlaneReader
        Raw image, DN.
    sensor : SensorModel
        Of the same frame.
    law : {"poisson-gaussian", "gaussian"}
        Whether the skew term is drawn.
    samples : int
        Pixels to look at.
    levels : GreyLevels, optional
        The grey levels of the image, where they are counted already.

    Returns
    -------
    LawDistance
    """
    places: slice | NDArray[np.int64]
    if sensor.kind == "scalar":
        y, places = _ranked_levels(grey_levels(raw, levels), sensor, samples)
    else:
        y, places = _ranked_pixels(as_reader(raw), sensor, samples)
    if y.size == 0:
        return LawDistance(mean=0.0, worst=0.0, worst_electrons=0.0, n_pixels=0)
    gain, offset, read_variance = (np.broadcast_to(p, y.shape) if p.ndim == 0 else p[places] for p in _flat(sensor))
    electrons = (y - offset) / gain
    parts = zip(electrons, offset, gain, np.sqrt(read_variance) / gain, strict=True)
    distance = np.array([_distance(m, o, g, r, sensor.max_dn, law) for m, o, g, r in parts])
    worst = int(np.argmax(distance))
    return LawDistance(
        mean=float(distance.mean()),
        worst=float(distance[worst]),
        worst_electrons=float(electrons[worst]),
        n_pixels=y.size,
    )


def _flat(sensor: SensorModel) -> tuple[Float64, Float64, Float64]:
    """Return gain, offset and read variance: 0-d, or one a pixel of the frame in raster order."""
    gain, offset, read_variance = (np.asarray(p, np.float64) for p in sensor.parameters())
    return (gain, offset, read_variance) if gain.ndim == 0 else (gain.ravel(), offset.ravel(), read_variance.ravel())


def _ranks(n: int, samples: int) -> NDArray[np.int64]:
    return np.linspace(0, n - 1, min(samples, n)).astype(np.int64)


def _ranked_levels(levels: GreyLevels, sensor: SensorModel, samples: int) -> tuple[NDArray[np.int64], slice]:
    """Return the grey levels of pixels at equal steps of their rank; their places do not matter."""
    gain, offset, _ = sensor.parameters()
    lit = int(np.searchsorted((np.arange(N_LEVELS) - offset) / gain, 0.0))
    dark = levels.below(lit)
    return levels.at_ranks(dark + _ranks(levels.size - dark, samples)), slice(None)


def _ranked_pixels(
    planes: PlaneReader, sensor: SensorModel, samples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the grey levels and the places in the frame of pixels at equal steps of their rank in electrons."""
    gain, offset, _ = _flat(sensor)
    chosen = sampled_planes(planes.shape, RANKED_VOXELS)
    y = np.stack([plane.ravel() for plane in read_some(planes, chosen)])
    electrons = ((y - offset) / gain).ravel()
    order = np.argsort(electrons, kind="stable")
    order = order[np.searchsorted(electrons[order], 0.0) :]
    picked = order[_ranks(order.size, samples)]
    return y.ravel()[picked].astype(np.int64), picked % offset.size


def _distance(mu: float, offset: float, gain: float, read_noise_e: float, top: int, law: str) -> float:
    """Return the total-variation distance at one pixel."""
    first, exact = exact_cdf(mu, offset, gain, read_noise_e, top)
    variance = mu + read_noise_e**2
    skew = float(skewness_sixth(mu, variance)) if law == "poisson-gaussian" else 0.0
    sd = gain * np.sqrt(variance / (1 + 2 * skew**2))
    values = np.arange(first - 1, first + exact.size)
    drawn = quantile_cdf(values, offset + gain * mu, sd, skew)
    drawn[0] = drawn[0] if first > 0 else 0.0
    drawn[-1] = drawn[-1] if values[-1] < top else 1.0
    inside: Float64 = np.abs(np.diff(exact, prepend=0.0) - np.diff(drawn))
    return float(0.5 * (inside.sum() + drawn[0] + 1 - drawn[-1]))


def noise_notices(
    raw: UInt16 | PlaneReader, sensor: SensorModel, tables: NoiseTables, levels: GreyLevels | None = None
) -> tuple[str, ...]:
    """Return what the reader of a report must know about the replicates of an image, one sentence each.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16, or PlaneReader
        Raw image, DN; of a large volume and a sensor with places, `sampled_planes` are looked at.
    sensor : SensorModel
        Of the same frame.
    tables : NoiseTables
        What is drawn from.
    levels : GreyLevels, optional
        The grey levels of the image, where they are counted already.

    Returns
    -------
    tuple of str
        Saturation, noise below half a digital number, pixels without noise, distance of the law; empty if all is well.
    """
    if sensor.kind == "scalar":
        levels = grey_levels(raw, levels)
    saturated, coarse, still = _shares(raw, sensor, levels)
    notices = []
    if saturated > 0:
        notices.append(
            f"{saturated:.2%} of the pixels are within {SATURATION_SIGMA:g} sigma of saturation: their replicates are "
            "clipped and spread too little"
        )
    if coarse >= NOTABLE:
        notices.append(f"{coarse:.1%} of the pixels have noise below {COARSE_DN} DN: the converter hides part of it")
    if still >= NOTABLE:
        notices.append(f"{still:.1%} of the pixels lie so far below the offset that the model gives them no noise")
    if tables.maps is not None or tables.law == "gaussian":
        notices.append(law_distance(raw, sensor, tables.law, levels=levels).describe())
    return tuple(notices)


def _shares(raw: UInt16 | PlaneReader, sensor: SensorModel, levels: GreyLevels | None) -> tuple[float, float, float]:
    """Return which parts of the pixels are near saturation, have noise that is hidden, and have none."""
    total, found = 0, np.zeros(3, np.int64)
    for pixels, weight in _weighted(raw, sensor, levels):
        variance = sensor.variance_dn2(pixels)
        hidden = variance + ROUNDING_DN2 < COARSE_DN**2
        masks = (_near_saturation(pixels, sensor, variance), hidden, variance == 0)
        found += [int((mask * weight).sum()) for mask in masks]
        total += int(np.broadcast_to(weight, pixels.shape).sum())
    saturated, coarse, still = (float(n) / total for n in found)
    return saturated, coarse, still


def _weighted(
    raw: UInt16 | PlaneReader, sensor: SensorModel, levels: GreyLevels | None
) -> Iterator[tuple[UInt16, NDArray[np.int64]]]:
    """Give pixels and how many of the image each stands for: every grey level, or sampled planes."""
    if sensor.kind == "scalar":
        yield np.arange(N_LEVELS).astype(np.uint16), grey_levels(raw, levels).counts
        return
    planes = as_reader(raw)
    for plane in read_some(planes, sampled_planes(planes.shape)):
        yield plane, np.ones((), np.int64)
