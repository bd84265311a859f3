"""A decoded image with a constant added: what is left of a codec's effect once its mean pixel residual is taken out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.planes import PlaneReader
from compdistort.grey_levels import N_LEVELS


def lift(image: NDArray[Any], by_dn: float) -> NDArray[np.float32]:
    """Return an image with a constant added, inside the range of 16 bit.

    Parameters
    ----------
    image : ndarray of any shape, uint16 or float32
        DN.
    by_dn : float
        Constant, DN.

    Returns
    -------
    ndarray of the same shape, float32
        DN, from 0 to 65535.

    Examples
    --------
    >>> lift(np.array([0, 7, 65535], np.uint16), 0.5).tolist()
    [0.5, 7.5, 65535.0]
    """
    lifted: NDArray[np.float32] = np.clip(image.astype(np.float32) + np.float32(by_dn), 0, N_LEVELS - 1)
    return lifted


class LiftedPlanes:
    """A volume with a constant added (a `PlaneReader`), plane by plane as it is read.

    Parameters
    ----------
    planes : PlaneReader
        Volume, uint16 or float32, DN.
    by_dn : float
        Constant, DN.
    """

    def __init__(self, planes: PlaneReader, by_dn: float) -> None:
        self.shape, self.dtype = planes.shape, np.dtype(np.float32)
        self._planes, self._by_dn = planes, by_dn

    def read_planes(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return planes start..stop - 1, of shape (stop - start, rows, columns), float32."""
        return lift(self._planes.read_planes(start, stop), self._by_dn)
