"""Brush strokes of three classes in a few planes of a simulated volume, as a person would paint them."""

from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import ConfigError
from compdistort.synthetic.shapes import Float64
from compdistort.synthetic.strokes import NEAR_PX, STROKE_STEPS, TRAIN_PART, Annotations, UInt8

BACKGROUND, ANATOMY, OBJECT = 1, 2, 3
"""Labels of `Paintable.regions` and of all strokes in volumes; the object is a nucleus or a plaque."""
LOOKED_AT = 8
"""Planes that are leafed through for every plane that is painted."""
_BRUSH = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_PLANE_ANNOTATION = 106


class Paintable(Protocol):
    """What strokes are drawn on."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""

    def regions(self, z0: int, z1: int) -> UInt8:
        """Return the class of each voxel of planes z0 to z1 - 1, 0 where none should be painted."""


class PlaneAnnotations(NamedTuple):
    """Strokes of a few planes.

    Attributes
    ----------
    planes : tuple of int
        Numbers of the painted planes, ascending.
    train, held_out : ndarray of shape (planes, rows, columns), uint8
        0 none, 1 background, 2 anatomy, 3 object; only the painted planes.
    """

    planes: tuple[int, ...]
    train: UInt8
    held_out: UInt8

    def volumes(self, count: int) -> Annotations:
        """Return both as whole volumes of `count` planes."""
        images = []
        for strokes in (self.train, self.held_out):
            volume = np.zeros((count, *strokes.shape[1:]), np.uint8)
            volume[list(self.planes)] = strokes
            images.append(volume)
        return Annotations(*images)


def plane_annotations(volume: Paintable, seed: int, *, planes: int = 6, strokes: int = 8) -> PlaneAnnotations:
    """Paint strokes into a few planes.

    The volume is divided into as many ranges of planes; in each, of a few planes looked at, the one with the most
    objects is painted. Strokes keep one pixel away from outlines; training and held-out strokes lie in different parts
    of each plane.

    Parameters
    ----------
    volume : Paintable
        A light-sheet or tomography scene.
    seed : int
        Seed of the hand.
    planes : int
        How many planes, at most those of the volume.
    strokes : int
        Training strokes of each class in each plane; half as many are held out.

    Returns
    -------
    PlaneAnnotations

    Raises
    ------
    ConfigError
        If there are not as many planes, or no stroke is asked for.
    """
    if not 1 <= planes <= volume.shape[0] or strokes < 2:
        raise ConfigError(
            f"{strokes} strokes in {planes} planes cannot be painted",
            f"use 2 strokes or more, and 1 to {volume.shape[0]} planes",
        )
    bounds = np.linspace(0, volume.shape[0], planes + 1).astype(int)
    chosen = tuple(_richest(volume, int(low), int(high)) for low, high in pairwise(bounds))
    painted = [
        _paint(volume.regions(z, z + 1)[0], np.random.default_rng([_PLANE_ANNOTATION, seed, z]), strokes)
        for z in chosen
    ]
    return PlaneAnnotations(chosen, np.stack([p.train for p in painted]), np.stack([p.held_out for p in painted]))


def _richest(volume: Paintable, low: int, high: int) -> int:
    """Return the plane of a range with the most object, then the most anatomy, of a few that are looked at."""
    looked_at = np.unique(np.linspace(low, high - 1, LOOKED_AT).astype(int))
    counts = [np.bincount(volume.regions(z, z + 1).ravel(), minlength=OBJECT + 1) for z in looked_at.tolist()]
    return int(looked_at[max(range(len(counts)), key=lambda i: (counts[i][OBJECT], counts[i][ANATOMY]))])


def _paint(regions: UInt8, rng: np.random.Generator, strokes: int) -> Annotations:
    """Return the strokes of one plane."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415  SciPy is not loaded for the camera alone

    border = round(TRAIN_PART * regions.shape[1])
    away = np.asarray(distance_transform_edt(regions != OBJECT), np.float64)
    images = []
    for columns, count in ((slice(0, border), strokes), (slice(border, None), strokes // 2)):
        image = np.zeros(regions.shape, np.uint8)
        for value in (BACKGROUND, ANATOMY, OBJECT):
            room = np.asarray(distance_transform_edt(regions == value), np.float64)
            allowed = np.zeros(regions.shape, bool)
            allowed[:, columns] = room[:, columns] > 1
            for number in range(count):
                # Every second stroke on anatomy begins beside an object: its blur must be learnt as anatomy.
                near = value == ANATOMY and number % 2 == 1
                _stroke(image, allowed, value, away if near else None, rng)
        images.append(image)
    return Annotations(*images)


def _stroke(
    image: UInt8, allowed: NDArray[np.bool_], value: int, away: Float64 | None, rng: np.random.Generator
) -> None:
    """Paint one walk through the allowed pixels, starting near an object where its distance is given."""
    starts = np.argwhere(allowed if away is None else allowed & (away <= NEAR_PX))
    if len(starts) == 0:
        return
    place = starts[rng.integers(len(starts))].astype(np.float64)
    last = np.array(allowed.shape) - 1
    turn = rng.uniform(0, 2 * np.pi)
    for _ in range(STROKE_STEPS):
        under = np.clip(np.rint(place).astype(int) + _BRUSH, 0, last)
        rows, columns = under[allowed[tuple(under.T)]].T
        image[rows, columns] = value
        turn += rng.normal(0, 0.4)
        step = place + np.array([np.sin(turn), np.cos(turn)])
        if allowed[tuple(np.clip(np.rint(step), 0, last).astype(int))]:
            place = step
        else:
            turn += np.pi / 2
