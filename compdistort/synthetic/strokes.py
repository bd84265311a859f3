"""Sparse annotations as a person would brush them, drawn from the truth of a scene."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compdistort.synthetic.scenes import Scene
from compdistort.synthetic.shapes import Float64

UInt8 = NDArray[np.uint8]

BACKGROUND, CELL = 1, 2
TRAIN_PART = 0.62
"""Part of the columns that training strokes lie in; the others hold the held-out strokes."""
BRUSH_PX = 1.5
STROKE_STEPS = 18
NEAR_PX = 5.0
"""Every second background stroke starts this near to an object: halos must be learnt as background."""
_ANNOTATION = 105


class Annotations(NamedTuple):
    """Label images of shape (size, size), uint8: 0 none, 1 background, 2 cell."""

    train: UInt8
    held_out: UInt8


def annotations(scene: Scene, seed: int, strokes: int = 60) -> Annotations:
    """Draw brush strokes on a scene, as many on cells as on background.

    Strokes keep one pixel away from outlines, as a careful person would. Training and held-out strokes lie in different
    parts of the image.

    Parameters
    ----------
    scene : Scene
        With its truth.
    seed : int
        Seed of the hand.
    strokes : int
        Training strokes; half as many are held out.

    Returns
    -------
    Annotations
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415

    rng = np.random.default_rng([_ANNOTATION, seed])
    mask = scene.truth_mask
    inside = np.asarray(distance_transform_edt(mask), np.float64)
    outside = np.asarray(distance_transform_edt(~mask), np.float64)
    border = round(TRAIN_PART * mask.shape[1])
    images = []
    for columns, count in ((slice(0, border), strokes), (slice(border, None), strokes // 2)):
        part = np.zeros(mask.shape, bool)
        part[:, columns] = True
        image = np.zeros(mask.shape, np.uint8)
        for number in range(count):
            value, room = (CELL, inside) if number % 2 else (BACKGROUND, outside)
            near = value == BACKGROUND and number % 4 == 0
            image[_stroke(room, part, near, rng)] = value
        images.append(image)
    return Annotations(*images)


def _stroke(room: Float64, part: NDArray[np.bool_], near: bool, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the pixels of one stroke: a walk through the pixels more than one pixel from the outline."""
    allowed = part & (room > 1)
    starts = np.argwhere(allowed & (room <= NEAR_PX) if near else allowed)
    rows, columns = np.indices(room.shape)
    out = np.zeros(room.shape, bool)
    if len(starts) == 0:
        return out
    place = starts[rng.integers(len(starts))].astype(np.float64)
    turn = rng.uniform(0, 2 * np.pi)
    for _ in range(STROKE_STEPS):
        out |= (rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= BRUSH_PX**2
        turn += rng.normal(0, 0.4)
        step = place + np.array([np.sin(turn), np.cos(turn)])
        at = tuple(np.clip(np.rint(step), 0, np.array(room.shape) - 1).astype(int))
        if allowed[at]:
            place = step
        else:
            turn += np.pi / 2
    return out & allowed
