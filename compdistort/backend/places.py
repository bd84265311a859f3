"""Chosen pixels of an image, as every engine takes them."""

import numpy as np
from numpy.typing import NDArray


def check_places(places: NDArray[np.int64], n_pixels: int) -> None:
    """Refuse what is no list of strictly rising flat indices of an image.

    Parameters
    ----------
    places : ndarray of shape (n,), int64
        Indices.
    n_pixels : int
        Pixels of the image.

    Raises
    ------
    ValueError
        If they are not in order, or outside of the image.
    """
    inside = not places.size or (int(places[0]) >= 0 and int(places[-1]) < n_pixels)
    if places.ndim != 1 or not inside or not bool((places[1:] > places[:-1]).all()):
        raise ValueError(f"places must be flat indices below {n_pixels}, strictly rising")
