"""Launch of `kernels/accumulate.cu`."""

from typing import Any

from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import blocks_for
from compdistort.backend.plain.accumulate import check_sums

_THREADS = 256


def accumulate(cuda: Cuda, images: Any, sum1: Any, sum2: Any) -> None:
    """Add sum x and sum x^2 over the first axis (see `compdistort.backend.plain.accumulate.accumulate`).

    Parameters
    ----------
    cuda : Cuda
        The device.
    images : array of shape (n, ...), uint16
        Replicates on the device, DN.
    sum1, sum2 : array of shape ``images.shape[1:]``, uint64
        Sums so far, changed in place.
    """
    check_sums(images, sum1, sum2)
    grid = (blocks_for(sum1.size, _THREADS),)
    cuda.launch("accumulate.accumulate", grid, (_THREADS,), images, sum1, sum2, len(images), sum1.size)
