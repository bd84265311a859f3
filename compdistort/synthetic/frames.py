"""Exposures of many frames, each with noise of its own number, so that any of them can be taken by itself."""

from collections.abc import Iterable, Iterator

import numpy as np

from compdistort.synthetic.camera import SimulatedCamera, UInt16
from compdistort.synthetic.shapes import Float64

_FRAME = 107


def expose_frames(
    frames: Iterable[Float64], camera: SimulatedCamera, seed: int, first: int = 0, exposure_index: int = 0
) -> Iterator[UInt16]:
    """Expose consecutive frames of a volume or of a scan, one after the other.

    Parameters
    ----------
    frames : iterable of ndarray of shape (rows, columns), float64
        Mean photo-electrons, as `LightSheetScene.frames` and `TomographyScene.frames` yield them.
    camera : SimulatedCamera
        What to look with; its fixed pattern is the same in all frames.
    seed : int
        Seed of a series of exposures.
    first : int
        Number of the first of these frames in the whole series.
    exposure_index : int
        Number of the exposure of the whole series; each has its own noise.

    Yields
    ------
    ndarray of shape (rows, columns), uint16
        DN.
    """
    for number, frame in enumerate(frames, start=first):
        yield camera.read(frame, np.random.default_rng([_FRAME, seed, exposure_index, number]))
