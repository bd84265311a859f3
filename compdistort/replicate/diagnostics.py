"""What a user must know about the replicates of an image: saturation, coarse converters, distance to the exact law."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, NoiseTables, UInt16
from compdistort.replicate.law import exact_cdf, quantile_cdf, skewness_sixth
from compdistort.sensor.model import SensorModel

SATURATION_SIGMA = 3.0
COARSE_DN = 0.5
ROUNDING_DN2 = 1 / 12
NOTABLE = 1e-3
"""Fraction of pixels from which saturation, coarseness or pixels without noise are mentioned."""


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
    full = np.array([sensor.max_dn if r.saturation_dn is None else r.saturation_dn for r in sensor.regions])
    index = sensor.region_map()
    limit: Any = full[0] if index is None else full[index]
    sigma = np.sqrt(sensor.variance_dn2(raw) + ROUNDING_DN2)
    mask = raw + SATURATION_SIGMA * sigma >= limit
    return SaturationReport(fraction=float(mask.mean()), mask=mask)


def law_distance(raw: UInt16, sensor: SensorModel, law: str = "poisson-gaussian", samples: int = 257) -> LawDistance:
    """Return how far the normal-quantile draws of an image are from the exact Poisson-Gaussian law.

    This is what per-pixel maps draw at every level, and `law="gaussian"` with any sensor. Pixels are sampled at equal
    steps of their rank in electrons; those below their offset have no exact law and are left out.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    sensor : SensorModel
        Of the same frame.
    law : {"poisson-gaussian", "gaussian"}
        Whether the skew term is drawn.
    samples : int
        Pixels to look at.

    Returns
    -------
    LawDistance
    """
    gain, offset, read_variance = (np.broadcast_to(p, raw.shape).ravel() for p in sensor.parameters())
    electrons = (raw.ravel() - offset) / gain
    order = np.argsort(electrons, kind="stable")
    order = order[np.searchsorted(electrons[order], 0.0) :]
    if order.size == 0:
        return LawDistance(mean=0.0, worst=0.0, worst_electrons=0.0, n_pixels=0)
    chosen = np.unique(order[np.linspace(0, order.size - 1, min(samples, order.size)).astype(np.int64)])
    read_e = np.sqrt(read_variance[chosen]) / gain[chosen]
    parts = zip(electrons[chosen], offset[chosen], gain[chosen], read_e, strict=True)
    distance = np.array([_distance(m, o, g, r, sensor.max_dn, law) for m, o, g, r in parts])
    worst = int(np.argmax(distance))
    return LawDistance(
        mean=float(distance.mean()),
        worst=float(distance[worst]),
        worst_electrons=float(electrons[chosen][worst]),
        n_pixels=len(chosen),
    )


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


def noise_notices(raw: UInt16, sensor: SensorModel, tables: NoiseTables) -> tuple[str, ...]:
    """Return what the reader of a report must know about the replicates of an image, one sentence each.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    sensor : SensorModel
        Of the same frame.
    tables : NoiseTables
        What is drawn from.

    Returns
    -------
    tuple of str
        Saturation, noise below half a digital number, pixels without noise, distance of the law; empty if all is well.
    """
    variance = sensor.variance_dn2(raw)
    saturated = saturation_report(raw, sensor).fraction
    coarse = float((variance + ROUNDING_DN2 < COARSE_DN**2).mean())
    still = float((variance == 0).mean())
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
        notices.append(law_distance(raw, sensor, tables.law).describe())
    return tuple(notices)
