"""Separable filters of a whole image, gathered from blocks; the same bits as `backend.plain.convolve`."""

import numpy as np

from compdistort.backend.base import Float32, SeparableBank, SeparableScale
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.stack import whole_stack
from compdistort.backend.plain.convolve import probability_kernel


def separable_stack(image: Float32, bank: SeparableBank) -> Float32:
    """Return the features of one image (see `backend.plain.convolve.separable_stack`)."""
    return whole_stack(image, FeatureBlocks(bank, image.shape))


def smooth_probability(probability: Float32, sigma_px: float) -> Float32:
    """Smooth a probability (see `backend.plain.convolve.smooth_probability`)."""
    half = probability_kernel(sigma_px)
    none = np.zeros(1, np.float32)
    scale = SeparableScale(sigma_px=sigma_px, presmooth=None, smooth=half, first=none, second=none, narrow=none)
    bank = SeparableBank(names=("smooth",), columns=(("GS", 0),), scales=(scale,), border="mirror")
    return separable_stack(probability, bank)[0]
