"""Annotations made from the raw image itself by two grey levels.

They are no ground truth: whoever uses them learns how a classifier trained to repeat a threshold reacts to
compression. The report says so.
"""

import numpy as np
from scipy import ndimage

from compdistort.backend.base import Float64, UInt8, UInt16
from compdistort.config import ThresholdAnnotation
from compdistort.errors import AnnotationError

BACKGROUND = 1
FOREGROUND = 2


def annotate_by_threshold(raw: UInt16, settings: ThresholdAnnotation, seed: int) -> UInt8:
    """Return sparse annotations of pixels that are clearly dark or clearly bright.

    Parameters
    ----------
    raw : ndarray of shape (rows, columns), uint16
        Raw image, DN.
    settings : ThresholdAnnotation
        Levels in DN, of the image or of its height above the local background, and how many pixels to draw.
    seed : int
        Seed of that draw.

    Returns
    -------
    ndarray of shape (rows, columns), uint8
        0 none, 1 background, 2 foreground.

    Raises
    ------
    AnnotationError
        If either class has no candidate.
    """
    draw = np.random.Generator(np.random.Philox(seed))
    level = _level_image(raw, settings)
    out = np.zeros(raw.shape, np.uint8)
    below, above = settings.background_below_dn, settings.foreground_above_dn
    candidates = ((BACKGROUND, level < below, f"below {below:g}"), (FOREGROUND, level > above, f"above {above:g}"))
    for value, chosen, words in candidates:
        where = np.flatnonzero(chosen)
        if where.size == 0:
            raise AnnotationError(
                f"threshold_annotation: no pixel is {words} DN (levels {level.min():.0f} to {level.max():.0f} DN)",
                "choose levels inside that range",
            )
        out.flat[draw.permutation(where)[: settings.pixels_per_class]] = value
    return out


def _level_image(raw: UInt16, settings: ThresholdAnnotation) -> Float64:
    image = raw.astype(np.float64)
    level: Float64 = ndimage.gaussian_filter(image, settings.smooth_px) if settings.smooth_px else image
    if settings.local_background_px:
        level = level - ndimage.gaussian_filter(image, settings.local_background_px)
    return -level if settings.dark_objects else level
