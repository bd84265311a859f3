"""Back-projection of filtered projections: for every angle, every pixel adds what lies at its place on the detector."""

import numpy as np

from compdistort.backend.beam import PLACE_BITS, BeamPlan, Int64
from compdistort.backend.plain.exact import fma
from compdistort.backend.records import Float32

SIXTH, TWO_THIRDS = np.float32(1 / 6), np.float32(2 / 3)
"""Coefficients of the cubic B-spline."""

FRACTION_BITS = 24
"""Bits of the fraction of a place that weights are made of: a float32 holds them exactly."""


def backproject(projections: Float32, plan: BeamPlan) -> Float32:
    """Return the images of filtered projections.

    Parameters
    ----------
    projections : ndarray of shape (planes, n_angles, n_samples), float32
        Filtered projections, or their B-spline coefficients, as `plan` reads them.
    plan : BeamPlan
        Where every pixel reads.

    Returns
    -------
    ndarray of shape (planes, size, size), float32
        Sum over angles in their order, each tap by one fused multiply-add, then times the scale.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_projections(projections.shape, plan)
    row, column = np.ogrid[: plan.size, : plan.size]
    total = np.zeros((len(projections), plan.size, plan.size), np.float32)
    for k in range(plan.n_angles):
        place = plan.starts[k] + column * plan.columns[k] + row * plan.rows[k]
        inside = (place >= plan.first) & (place <= plan.last)
        index = np.where(inside, (place + plan.bias) >> PLACE_BITS, 0)
        for tap, weight in enumerate(tap_weights(place, plan.taps)):
            sample = np.where(inside, projections[:, k, index + tap], np.float32(0))
            total = fma(weight, sample, total)
    computed = (column >= plan.left[:, None]) & (column < plan.right[:, None])
    return np.where(computed, total * np.float32(plan.scale), np.float32(0))


def tap_weights(place: Int64, taps: int) -> list[Float32]:
    """Return the weights of the samples that places read.

    Parameters
    ----------
    place : ndarray of any shape, int64
        Places in 2^-32 samples.
    taps : int
        1, 2 or 4.

    Returns
    -------
    list of ndarray of the shape of `place`, float32
        One weight a tap.
    """
    if taps == 1:
        return [np.ones(place.shape, np.float32)]
    kept = (place >> (PLACE_BITS - FRACTION_BITS)) & ((1 << FRACTION_BITS) - 1)
    f = kept.astype(np.float32) * np.float32(2.0**-FRACTION_BITS)
    g = np.float32(1) - f
    if taps == 2:
        return [g, f]
    half, one = np.float32(0.5), np.float32(1)
    middle = [fma(x * x, half * x - one, np.asarray(TWO_THIRDS)) for x in (f, g)]
    return [(g * g) * (g * SIXTH), *middle, (f * f) * (f * SIXTH)]


def check_projections(shape: tuple[int, ...], plan: BeamPlan) -> None:
    """Raise ValueError unless projections have the shape that a plan reads."""
    if len(shape) != 3 or shape[1:] != (plan.n_angles, plan.n_samples):
        raise ValueError(
            f"projections must have the shape (planes, {plan.n_angles}, {plan.n_samples}) of their plan, not {shape}"
        )
