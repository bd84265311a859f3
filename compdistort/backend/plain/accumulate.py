"""Exact per-pixel sums of replicates: whole numbers, so their order cannot matter."""

import numpy as np

from compdistort.backend.base import UInt16, UInt64


def accumulate(images: UInt16, sum1: UInt64, sum2: UInt64) -> None:
    """Add sum x and sum x^2 over the first axis, exactly (up to 4e9 replicates).

    Parameters
    ----------
    images : ndarray of shape (n, ...), uint16
        Replicates, DN.
    sum1, sum2 : ndarray of shape ``images.shape[1:]``, uint64
        Sums so far, DN and DN^2; changed in place.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    check_sums(images, sum1, sum2)
    for image in images:
        value = image.astype(np.uint64)
        sum1 += value
        sum2 += value * value


def check_sums(images: UInt16, sum1: UInt64, sum2: UInt64) -> None:
    """Raise ValueError unless the sums have the shape of one image and can be changed in place."""
    if not images.shape[1:] == sum1.shape == sum2.shape:
        raise ValueError(f"images {images.shape} do not fit sums of shape {sum1.shape} and {sum2.shape}")
    if not (sum1.flags.c_contiguous and sum2.flags.c_contiguous):
        raise ValueError("the sums must be C-contiguous, they are changed in place")
