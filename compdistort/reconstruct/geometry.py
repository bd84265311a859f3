"""How projections were taken and how they are put together: parallel beam, one axis of rotation along the rows."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from compdistort.errors import ConfigError

FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann", "none")
INTERPOLATIONS = ("nearest", "linear", "cubic")
SIZES = ("scikit-image", "matlab", "detector")
"""Named output sizes: what either program takes where none is given, or the width of the detector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelBeam:
    """Geometry and options of a filtered back-projection, in the conventions of scikit-image's `iradon`.

    A pixel is at x = column - axis and y = axis - row; at angle a it is seen at x cos a + y sin a from the centre.

    Attributes
    ----------
    angles_deg : tuple of float
        Angle of every projection, degrees; at least two.
    filter : str
        One of `FILTERS`.
    interpolation : str
        One of `INTERPOLATIONS`; ``cubic`` is a spline whose first and last two intervals are one (not-a-knot).
    frequency_scaling : float
        Frequencies above this part of the largest one are cut off, and the window is compressed to the rest, as
        MATLAB's `iradon` does; above 0, at most 1.
    output_size : int or str
        Rows and columns of an image, or one of `SIZES`: ``matlab`` is ``2 floor(n / (2 sqrt 2))`` of n detector pixels,
        ``scikit-image`` n with `circle` and else ``floor(n / sqrt 2)``, ``detector`` n.
    centre_px : float or None
        Where the axis of rotation is seen on the detector, pixels from the middle of the first; None = ``n // 2``.
    axis_px : float or None
        Row and column of the axis in the image; None = ``output_size // 2``.
    circle : bool
        The object lies within the circle that the detector sees at every angle; pixels outside are 0. The projections
        then count as 0 beyond the detector; without it, nothing beyond it is added.

    Examples
    --------
    >>> beam = ParallelBeam(angles_deg=(0, 60, 120), circle=False)
    >>> beam.size(1024), ParallelBeam.from_dict(beam.to_dict()) == beam
    (724, True)
    """

    angles_deg: tuple[float, ...]
    filter: str = "ramp"
    interpolation: str = "linear"
    frequency_scaling: float = 1.0
    output_size: int | str = "scikit-image"
    centre_px: float | None = None
    axis_px: float | None = None
    circle: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles_deg", tuple(map(float, self.angles_deg)))
        if len(self.angles_deg) < 2:
            raise ConfigError(f"{len(self.angles_deg)} projections cannot be reconstructed", "two are the fewest")
        if not all(map(math.isfinite, self.angles_deg)):
            raise ConfigError("an angle of the projections is not finite", "give every angle in degrees")
        for name, allowed in (("filter", FILTERS), ("interpolation", INTERPOLATIONS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}", f"it must be one of {', '.join(allowed)}")
        if not 0 < self.frequency_scaling <= 1:
            raise ConfigError(f"frequency_scaling is {self.frequency_scaling}", "it must be above 0 and at most 1")
        if self.output_size not in SIZES and not (type(self.output_size) is int and self.output_size > 0):
            raise ConfigError(
                f"output_size is {self.output_size!r}", f"it must be a number of pixels or one of {', '.join(SIZES)}"
            )

    @classmethod
    def matlab(cls, angles_deg: tuple[float, ...], n_pixels: int, **options: Any) -> Self:
        """Return the geometry of MATLAB's `iradon`: its output size, and the middle as it rounds it.

        Parameters
        ----------
        angles_deg : tuple of float
            Angle of every projection, degrees.
        n_pixels : int
            Pixels of a projection.
        **options
            `filter`, `interpolation`, `frequency_scaling` or `output_size`.

        Returns
        -------
        ParallelBeam
        """
        given: dict[str, Any] = {"output_size": "matlab", "circle": False} | options
        beam = cls(angles_deg=angles_deg, **given)
        return beam.changed(centre_px=float((n_pixels - 1) // 2), axis_px=float((beam.size(n_pixels) - 1) // 2))

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values."""
        return type(self)(**({each.name: getattr(self, each.name) for each in fields(self)} | values))

    def size(self, n_pixels: int) -> int:
        """Return the rows, and columns, of an image from projections of `n_pixels`."""
        if isinstance(self.output_size, int):
            return self.output_size
        if self.output_size == "matlab":
            return 2 * math.floor(n_pixels / (2 * math.sqrt(2)))
        if self.output_size == "detector" or self.circle:
            return n_pixels
        return math.isqrt(n_pixels**2 // 2)

    def centre(self, n_pixels: int) -> float:
        """Return where the axis is seen on a detector of `n_pixels`.

        Raises
        ------
        ConfigError
            If it lies outside the detector.
        """
        centre = float(n_pixels // 2) if self.centre_px is None else self.centre_px
        if not 0 <= centre <= n_pixels - 1:
            raise ConfigError(
                f"the centre of rotation, centre_px = {centre:g}, lies outside the detector of {n_pixels} pixels",
                f"it must lie between 0 and {n_pixels - 1}",
            )
        return centre

    def axis(self, size: int) -> float:
        """Return the row, and column, of the axis in an image of `size` rows.

        Raises
        ------
        ConfigError
            If it lies outside the image.
        """
        axis = float(size // 2) if self.axis_px is None else self.axis_px
        if not 0 <= axis <= size - 1:
            raise ConfigError(f"axis_px = {axis:g} lies outside an image of {size} rows and columns", "leave it out")
        return axis

    def to_dict(self) -> dict[str, Any]:
        """Return the geometry as JSON's types."""
        return asdict(self) | {"angles_deg": list(self.angles_deg)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the geometry that `to_dict` described."""
        return cls(**(dict(data) | {"angles_deg": tuple(data["angles_deg"])}))
