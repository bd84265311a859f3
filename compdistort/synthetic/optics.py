"""Image formation of positive phase contrast: dark objects, bright halos, shade-off, all from one formula."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseContrast:
    """A phase microscope on the pixel grid.

    Attributes
    ----------
    ring_px : float
        Standard deviation of the part of the light that still passes the phase ring, in pixels: width of the halo.
    transmittance : float
        Part of the direct light's intensity that the ring lets through.
    blur_px : float
        Standard deviation of the objective's point spread, in pixels.
    """

    ring_px: float = 6.0
    transmittance: float = 0.25
    blur_px: float = 1.7

    def image(self, phase: Float64) -> Float64:
        """Return the intensity of a phase object, relative to empty background.

        Parameters
        ----------
        phase : ndarray of shape (rows, columns), float64
            Phase delay in radians.

        Returns
        -------
        ndarray of shape (rows, columns), float64
            1 on empty background.

        References
        ----------
        .. [1] Zernike (1942), Phase contrast, a new method for the microscopic observation of transparent objects.
        .. [2] Yin, Kanade and Chen (2012), Understanding the phase contrast optics to restore artifact-free microscopy
           images for segmentation, Medical Image Analysis 16: direct light as a low-pass of the field.
        """
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415  SciPy is not loaded for the camera alone

        field = np.exp(1j * phase)
        direct = gaussian_filter(field, self.ring_px, mode="nearest")
        # The ring retards the direct light by a quarter wave and dims it; what the object scattered stays.
        ring = -1j * np.sqrt(self.transmittance)
        intensity = np.abs(field - direct + ring * direct) ** 2 / self.transmittance
        return np.asarray(gaussian_filter(intensity, self.blur_px, mode="nearest"), np.float64)
