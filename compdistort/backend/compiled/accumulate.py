"""Exact per-pixel sums of replicates as a compiled loop."""

import numpy as np

from compdistort.backend.base import UInt16, UInt64
from compdistort.backend.compiled.kept import kept_loop
from compdistort.backend.plain.accumulate import check_sums


def accumulate(images: UInt16, sum1: UInt64, sum2: UInt64) -> None:
    """Add sum x and sum x^2 over the first axis; see `compdistort.backend.plain.accumulate.accumulate`.

    Parameters
    ----------
    images : ndarray of shape (n, ...), uint16
        Replicates, DN.
    sum1, sum2 : ndarray of shape ``images.shape[1:]``, uint64
        Sums so far, DN and DN^2; changed in place.
    """
    check_sums(images, sum1, sum2)
    if images.size:
        _accumulate(images.reshape(len(images), -1), sum1.reshape(-1), sum2.reshape(-1))


@kept_loop
def _accumulate(images, sum1, sum2):
    for i in range(images.shape[0]):
        for p in range(images.shape[1]):
            value = np.uint64(images[i, p])
            sum1[p] += value
            sum2[p] += value * value
