"""Search for the centre of rotation: from projections of opposite sides, or from what reconstructions look like."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, BeamPlan
from compdistort.errors import ConfigError, InputError
from compdistort.reconstruct.filters import filter_projections
from compdistort.reconstruct.geometry import ParallelBeam
from compdistort.reconstruct.layout import beam_layout
from compdistort.reconstruct.volume import check_projections

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

METHODS = ("auto", "mirror", "score")
OPPOSITE_DEG = 0.05
"""How far two angles may be from 180 degrees apart."""

FINER = 16
"""Steps a pixel of the correlation of opposite projections."""

STEPS_PX = (1.0, 0.25, 0.0625)
"""Steps of the search by score: each around the best centre of the one before."""

GRID = 256
"""Rows and columns, about, of the pixels that are reconstructed for a score."""

ROWS = 4
"""Rows of the detector that are looked at for a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreSearch:
    """A centre of rotation and how it was found.

    Attributes
    ----------
    centre_px : float
        The centre, pixels from the middle of the detector's first pixel: `ParallelBeam.centre_px`.
    method : str
        ``"mirror"`` or ``"score"``.
    tried : ndarray of shape (n,), float64
        With ``mirror``, the centre of each pair of opposite projections; else the centres that were tried, in order.
    scores : ndarray of shape (n,), float64
        With ``mirror``, the correlation of each pair, 1 at most; else the mean absolute value of the reconstructions,
        which is least at the centre.
    """

    centre_px: float
    method: str
    tried: Float64
    scores: Float64


def find_centre(
    projections: NDArray[Any],
    beam: ParallelBeam,
    backend: Backend[Any],
    *,
    method: str = "auto",
    bracket_px: float = 16.0,
) -> CentreSearch:
    """Return the centre of rotation.

    ``mirror`` correlates projections 180 degrees apart: one is the other turned round about the centre; the median of
    all pairs counts. ``score`` reconstructs some pixels of a few rows with many centres: a wrong one smears edges to
    arcs, whose positive and negative parts add to the mean absolute value. It looks at half a turn alone: over a whole
    one, arcs close to rings that blur the object, and the score does not tell.

    Parameters
    ----------
    projections : ndarray of shape (n_angles, rows, columns), any real dtype
        Line integrals.
    beam : ParallelBeam
        Geometry; its centre is where ``score`` starts.
    backend : Backend
        What projects back.
    method : str
        ``"mirror"``, ``"score"``, or ``"auto"``: the first where angles allow it.
    bracket_px : float
        How far from the start ``score`` looks, pixels.

    Returns
    -------
    CentreSearch

    Raises
    ------
    InputError
        If no projections are opposite (``mirror``), nothing varies, or the best centre is at an end of the bracket.
    ConfigError
        If the method is unknown, or the bracket too small.

    References
    ----------
    .. [1] Donath, Beckmann and Schreyer (2006), J. Opt. Soc. Am. A 23:1048, metric Q_IA.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}", f"it must be one of {', '.join(METHODS)}")
    check_projections(projections, beam)
    pairs = _opposite_pairs(beam)
    if method == "mirror" and not pairs:
        raise InputError("no two projections are 180 degrees apart", "use the method 'score'")
    if pairs and method != "score":
        return _by_mirror(projections, pairs)
    return _by_score(projections, beam, backend, bracket_px)


def _opposite_pairs(beam: ParallelBeam) -> list[tuple[int, int]]:
    """Return the pairs of projections from opposite sides."""
    angles = np.array(beam.angles_deg)
    apart = np.abs(np.subtract.outer(angles, angles)) % 360
    first, second = np.nonzero(np.abs(apart - 180) <= OPPOSITE_DEG)
    return [(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j]


def _by_mirror(projections: NDArray[Any], pairs: list[tuple[int, int]]) -> CentreSearch:
    found = [_mirror_centre(projections[i], projections[j]) for i, j in pairs]
    centres, scores = np.array(found).T
    return CentreSearch(centre_px=float(np.median(centres)), method="mirror", tried=centres, scores=scores)


def _mirror_centre(one: NDArray[Any], opposite: NDArray[Any]) -> tuple[float, float]:
    """Return the centre about which one projection is the other turned round, and their correlation there."""
    n = one.shape[1]
    # Slopes, not values: a level that is not 0 would end at the detector's edges, and hold the lines together there.
    lines = [np.gradient(side.astype(np.float64), axis=1) for side in (one, opposite[:, ::-1])]
    spread = float(np.prod([np.sqrt((side**2).sum()) for side in lines]))
    if not spread:
        raise InputError("opposite projections have the same value everywhere", "choose rows that see the object")
    turned, straight = (np.fft.rfft(side, 2 * n, axis=1) for side in lines)
    correlation = np.fft.irfft((turned * straight.conj()).sum(0), 2 * n * FINER) * FINER
    best = int(correlation.argmax())
    around = correlation[[best - 1, best, (best + 1) % correlation.size]]
    shift = (best + _vertex(around) + n * FINER) % (2 * n * FINER) - n * FINER
    return (n - 1 + shift / FINER) / 2, float(around[1] / spread)


def _vertex(values: Float64) -> float:
    """Return where a parabola through three values, one step apart, turns: steps from the middle one."""
    bend = values[0] - 2 * values[1] + values[2]
    return float((values[0] - values[2]) / (2 * bend)) if bend else 0.0


def _by_score(projections: NDArray[Any], beam: ParallelBeam, backend: Backend[Any], bracket_px: float) -> CentreSearch:
    if bracket_px < STEPS_PX[0]:
        raise ConfigError(f"bracket_px is {bracket_px:g}", f"it must be at least {STEPS_PX[0]:g}")
    angles = np.array(beam.angles_deg)
    half = (angles - angles.min()) % 360 < 180
    projections, beam = projections[half], beam.changed(angles_deg=angles[half])
    n = projections.shape[2]
    rows = np.unique(np.linspace(0, projections.shape[1] - 1, ROWS).round().astype(int))
    filtered = filter_projections(np.moveaxis(projections[:, rows], 0, 1), beam, beam_layout(beam, n))
    scores: dict[float, float] = {}
    best, reach = beam.centre(n), bracket_px
    for step in STEPS_PX:
        count = int(reach / step)
        for centre in best + step * np.arange(-count, count + 1):
            if 0 <= centre <= n - 1 and float(centre) not in scores:
                scores[float(centre)] = _score(filtered, beam.changed(centre_px=float(centre)), backend, n)
        best, reach = min(scores, key=scores.__getitem__), step
        if best in (min(scores), max(scores)):
            raise InputError(
                f"the best centre of rotation, {best:g}, lies at an end of those that were tried",
                "start nearer to it (centre_px), or widen the bracket",
            )
    around = np.array([scores[best - step], scores[best], scores[best + step]])
    centre = best + step * _vertex(around)
    return CentreSearch(
        centre_px=centre, method="score", tried=np.array(list(scores)), scores=np.array(list(scores.values()))
    )


def _score(filtered: Float32, beam: ParallelBeam, backend: Backend[Any], n_pixels: int) -> float:
    """Return the mean absolute value of the pixels of a coarse grid."""
    layout = beam_layout(beam, n_pixels)
    plan = _coarse(layout.plan, max(1, layout.plan.size // GRID))
    read = np.ascontiguousarray(filtered[..., layout.start : layout.start + plan.n_samples])
    images = backend.to_host(backend.backproject(backend.to_device(read), plan))
    return float(np.abs(images).sum(dtype=np.float64) / (len(images) * (plan.right - plan.left).sum()))


def _coarse(plan: BeamPlan, step: int) -> BeamPlan:
    """Return the plan of every pixel whose row and column are multiples of `step`."""
    left, right = (-(-edge[::step] // step) for edge in (plan.left, plan.right))
    return replace(plan, columns=plan.columns * step, rows=plan.rows * step, left=left, right=right)
