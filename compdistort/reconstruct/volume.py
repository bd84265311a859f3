"""Projections to volume: filtered back-projection of every row of the detector."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compdistort.backend.base import Backend
from compdistort.errors import InputError
from compdistort.reconstruct.filters import LINES, filter_projections, transform_points
from compdistort.reconstruct.geometry import ParallelBeam
from compdistort.reconstruct.layout import Layout, beam_layout

PLANES = 16
"""Rows of the detector that are filtered and projected back at a time."""

FIXED_BYTES = 1 << 21
"""What tiles and tables take."""


def reconstruct(projections: NDArray[Any], beam: ParallelBeam, backend: Backend[Any]) -> NDArray[np.float32]:
    """Return the volume that projections were taken of.

    Every plane comes from one row of the detector alone: parts of a detector give the same bits as the whole.

    Parameters
    ----------
    projections : ndarray of shape (n_angles, rows, columns), any real dtype
        Line integrals: attenuation (`compdistort.reconstruct.attenuation`) or emitted light. The axis of rotation is
        along the rows.
    beam : ParallelBeam
        Geometry, filter, interpolation and output size.
    backend : Backend
        What projects back; the filter is computed on the host for every one of them.

    Returns
    -------
    ndarray of shape (rows, size, size), float32
        Planes, rows and columns, per pixel of the detector in the unit of the projections.

    Raises
    ------
    InputError
        If there are no three axes, another number of angles, no pixels, or values that are not finite.
    ConfigError
        If the centre of rotation lies outside the detector.

    Examples
    --------
    >>> from compdistort.backend import get_backend
    >>> beam = ParallelBeam(angles_deg=range(180))
    >>> bright = np.zeros((180, 1, 33))
    >>> bright[:, :, 14:19] = 1
    >>> volume = reconstruct(bright, beam, get_backend("numpy"))
    >>> volume.shape, bool(volume[0, 16, 16] > 5 * volume[0, 16, 24])
    ((1, 33, 33), True)
    """
    check_projections(projections, beam)
    layout = beam_layout(beam, projections.shape[2])
    plan = layout.plan
    volume = np.empty((projections.shape[1], plan.size, plan.size), np.float32)
    for start in range(0, len(volume), PLANES):
        part = slice(start, start + PLANES)
        # Nothing of one part is kept while the next is filtered.
        images = backend.backproject(backend.to_device(_filtered(projections[:, part], beam, layout)), plan)
        volume[part] = backend.to_host(images)
        del images
    return volume


def _filtered(projections: NDArray[Any], beam: ParallelBeam, layout: Layout) -> NDArray[np.float32]:
    """Return what the plan reads of filtered projections: (planes, angles, samples)."""
    filtered = filter_projections(np.moveaxis(projections, 0, 1), beam, layout)
    return np.ascontiguousarray(filtered[..., layout.start : layout.start + layout.plan.n_samples])


def reconstruction_bytes(beam: ParallelBeam, n_pixels: int, dtype: DTypeLike = np.float32) -> int:
    """Return the host memory that `reconstruct` takes beside its projections and its volume.

    Parameters
    ----------
    beam : ParallelBeam
        Geometry.
    n_pixels : int
        Pixels of a projection.
    dtype : dtype
        Of the projections.

    Returns
    -------
    int
        Bytes, at most; it does not grow with the rows of the detector.
    """
    layout = beam_layout(beam, n_pixels)
    samples = PLANES * len(beam.angles_deg)
    given, filtered = n_pixels * np.dtype(dtype).itemsize, 4 * (layout.length + 3)
    read = 4 * layout.plan.n_samples
    # The filter holds what it was given and what it made, then what is read of it; the loop a copy turned round.
    back = samples * 2 * read + PLANES * 4 * layout.plan.size**2
    in_transform = 5 * 8 * LINES * transform_points(layout.length)
    return max(samples * (filtered + max(given, read)) + in_transform, back) + FIXED_BYTES


def check_projections(projections: NDArray[Any], beam: ParallelBeam) -> None:
    """Raise InputError unless projections have three axes and one projection an angle, and are finite numbers."""
    if projections.ndim != 3:
        raise InputError(
            f"projections have the shape {projections.shape}", "the axes must be (angle, detector row, detector column)"
        )
    if projections.dtype.kind not in "uif":
        raise InputError(f"projections are {projections.dtype}", "give integers or floats")
    if len(projections) != len(beam.angles_deg):
        raise InputError(
            f"there are {len(projections)} projections and {len(beam.angles_deg)} angles",
            "give one angle a projection; the axes must be (angle, detector row, detector column)",
        )
    if not projections.size:
        raise InputError(f"projections have no pixels: their shape is {projections.shape}")
    for number, projection in enumerate(projections):
        if not np.isfinite(projection).all():
            raise InputError(f"projection {number} holds values that are not finite", "check dark and flat frames")
