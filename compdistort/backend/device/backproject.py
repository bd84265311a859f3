"""Launch of `kernels/backproject.cu`."""

from typing import Any

import numpy as np

from compdistort.backend.beam import BeamPlan
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import blocks_for
from compdistort.backend.plain.backproject import check_projections

BLOCK = (32, 8)
"""Threads along columns and rows."""

PLANES = 4
"""Planes of a thread."""


def backproject(cuda: Cuda, projections: Any, plan: BeamPlan) -> Any:
    """Return the images of filtered projections (see `compdistort.backend.plain.backproject.backproject`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    projections : array of shape (planes, n_angles, n_samples), float32
        Filtered projections on the device.
    plan : BeamPlan
        Where every pixel reads; uploaded once.

    Returns
    -------
    array of shape (planes, size, size), float32
    """
    check_projections(projections.shape, plan)
    planes, n_angles, n_samples = projections.shape
    images = cuda.empty((planes, plan.size, plan.size), np.float32)
    parts = (plan.starts, plan.columns, plan.rows, plan.left, plan.right)
    steps = cuda.memo("beam", plan, lambda: [cuda.upload(part) for part in parts])
    grid = (
        blocks_for(plan.size, BLOCK[0]),
        blocks_for(plan.size, BLOCK[1], 65535),
        blocks_for(planes, PLANES, 65535),
    )
    limits = (planes, n_angles, n_samples, plan.size, plan.first, plan.last, plan.taps, plan.scale)
    cuda.launch("backproject.images", grid, BLOCK, projections, *steps, *limits, images)
    return images
