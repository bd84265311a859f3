"""What a codec does to pixels, whatever is measured in them: its residual in units of the sensor's noise.

The residual of a pixel is e = (decoded - raw) / sigma, with sigma^2 the variance of the noise at the pixel's expected
grey level, the 1/12 DN^2 of rounding included. Where the true mean is not known, the mean of the pixels around stands
for the expected level: the pixel's own value would divide by its own noise, and would put pixels into the brightness
class that their noise alone leads to.

An image is its planes, one after the other, and a plane is taken in bands of rows of a fixed height, so that sums have
one order: a volume that is read plane by plane gives the bits of the same volume in memory.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Float64, UInt16
from compdistort.errors import InputError
from compdistort.grey_levels import N_LEVELS, GreyLevels
from compdistort.score.pixel_results import ClassResidual, PixelStatistics, TrueResidual
from compdistort.score.pixel_sums import BAND, ClassSums, FieldSums, GrainSums, LevelSums, SpectrumSums

ROUNDING_DN2 = 1 / 12
"""Variance that rounding to whole grey levels adds to `SensorModel.variance_dn2`, DN^2."""
N_CLASSES = 20
WINDOW = 7
"""Side of the square of pixels whose mean is the expected level where the true one is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class BrightnessClasses:
    """Classes of expected grey levels that hold about as many pixels each.

    Attributes
    ----------
    bounds : ndarray of shape (n_classes + 1,), int64
        Class k holds the levels ``bounds[k]`` to ``bounds[k + 1] - 1``, DN.

    Examples
    --------
    >>> levels = GreyLevels.of_planes([np.arange(10, 20, dtype=np.uint16)])
    >>> BrightnessClasses.of(levels, 2).bounds
    array([10, 15, 20])
    """

    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, levels: GreyLevels, n_classes: int = N_CLASSES) -> "BrightnessClasses":
        """Return the classes of an image; fewer than `n_classes` where one level holds more than its share."""
        ranks = np.array([k * levels.size // n_classes for k in range(n_classes)], np.int64)
        return cls(np.append(np.unique(levels.at_ranks(ranks)), levels.maximum + 1))

    def table(self) -> NDArray[np.intp]:
        """Return the class of every grey level, of shape (65536,); levels outside belong to the outer classes."""
        found = np.searchsorted(self.bounds, np.arange(N_LEVELS), side="right") - 1
        return np.clip(found, 0, len(self.bounds) - 2)


class PixelTally:
    """The statistics of an image whose planes come one after another.

    Parameters
    ----------
    classes : BrightnessClasses
        Of the expected levels of the whole image.
    """

    def __init__(self, classes: BrightnessClasses) -> None:
        self._classes = classes
        self._residual, self._truth = FieldSums(), FieldSums()
        self._by_class = ClassSums(classes.table(), len(classes.bounds) - 1)
        self._levels, self._grain, self._spectrum = LevelSums(), GrainSums(), SpectrumSums()
        self._offset = 0.0

    def add(
        self,
        raw: UInt16,
        decoded: NDArray[Any],
        variance: Float64,
        level: UInt16,
        mean: Float64 | None = None,
    ) -> None:
        """Add a plane.

        Parameters
        ----------
        raw : ndarray of shape (rows, columns), uint16
            Raw plane, DN.
        decoded : ndarray of shape (rows, columns), uint16 or float32
            Decoded plane, DN.
        variance : ndarray of shape (rows, columns), float64
            Variance of the noise, the rounding included, DN^2; above 0.
        level : ndarray of shape (rows, columns), uint16
            Expected grey level, DN.
        mean : ndarray of shape (rows, columns), float64, optional
            True mean, DN; of all planes or of none.

        Raises
        ------
        InputError
            If the shapes differ, or a variance is not above 0.
        """
        _check_plane(raw, decoded, variance, level, mean)
        for first in range(0, len(raw), BAND):
            rows = slice(first, first + BAND + 2)  # two rows more: neighbours of the last ones
            self._add_band(*(None if one is None else one[rows] for one in (raw, decoded, variance, level, mean)))

    def _add_band(self, raw: Any, decoded: Any, variance: Any, level: Any, mean: Any) -> None:
        before, after, sigma = raw.astype(np.float64), decoded.astype(np.float64), np.sqrt(variance)
        residual = (after - before) / sigma
        own = residual[:BAND]
        self._offset += float(np.sum((after - before)[:BAND]))
        self._residual.add(residual)
        self._by_class.add(own, level[:BAND])
        self._levels.add(own, level[:BAND])
        self._grain.add(before, after, sigma)
        self._spectrum.add(own)
        if mean is not None:
            self._truth.add((after - mean) / sigma)

    def result(self) -> PixelStatistics:
        """Return the statistics of all planes so far.

        Raises
        ------
        InputError
            If there is no plane.
        """
        e, true = self._residual, self._truth
        if not e.n:
            raise InputError("pixel statistics of no pixel were asked for", "add a plane first")
        spectrum = self._spectrum.radial()
        return PixelStatistics(
            n_pixels=e.n,
            offset_dn=self._offset / e.n,
            bias=e.mean,
            spread=e.spread,
            rms=e.rms,
            largest=e.largest,
            added_db=10 * math.log10(1 + e.spread**2),
            lag_rows=e.lag_rows,
            lag_columns=e.lag_columns,
            grain=self._grain.ratio,
            brightness=self._levels.correlation,
            classes=tuple(
                ClassResidual(low=int(low), high=int(high) - 1, n_pixels=n, bias=bias, spread=spread)
                for low, high, (n, bias, spread) in zip(
                    self._classes.bounds[:-1], self._classes.bounds[1:], self._by_class.each(), strict=True
                )
                if n
            ),
            spectrum=spectrum,
            tile=self._spectrum.side if spectrum else 0,
            truth=(
                TrueResidual(bias=true.mean, noise=true.spread, lag_rows=true.lag_rows, lag_columns=true.lag_columns)
                if true.n
                else None
            ),
        )


def _check_plane(raw: Any, decoded: Any, variance: Any, level: Any, mean: Any) -> None:
    for name, one in (("decoded", decoded), ("variance", variance), ("level", level), ("mean", mean)):
        if one is not None and one.shape != raw.shape:
            raise InputError(
                f"the {name} plane has shape {one.shape}, the raw plane {raw.shape}", "give planes of one shape"
            )
    if not (variance > 0).all():
        raise InputError(
            f"the variance of {np.count_nonzero(~(variance > 0))} pixels is not above 0",
            "add the 1/12 DN^2 of rounding to the variance of the sensor",
        )


def local_level(plane: UInt16) -> UInt16:
    """Return the expected level of every pixel: the mean of the `WINDOW` x `WINDOW` pixels around, rounded.

    Parameters
    ----------
    plane : ndarray of shape (rows, columns), uint16
        Raw plane, DN; its edge pixels are repeated outside.

    Returns
    -------
    ndarray of shape (rows, columns), uint16
        DN; exact integer sums.

    Examples
    --------
    >>> local_level(np.array([[0, 0, 0], [0, 50, 0], [0, 0, 0]], np.uint16)).tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    rows, columns = plane.shape
    padded = np.pad(plane.astype(np.uint32), WINDOW // 2, mode="edge")
    along = padded[:, :columns].copy()
    for k in range(1, WINDOW):
        along += padded[:, k : k + columns]
    total = along[:rows].copy()
    for k in range(1, WINDOW):
        total += along[k : k + rows]
    mean: UInt16 = ((2 * total + WINDOW**2) // (2 * WINDOW**2)).astype(np.uint16)
    return mean


def grey_level(level: NDArray[Any]) -> UInt16:
    """Return expected levels as whole grey levels, uint16 of the same shape; DN."""
    whole: UInt16 = np.clip(np.rint(level), 0, N_LEVELS - 1).astype(np.uint16)
    return whole


def pixel_statistics(
    raw: UInt16,
    decoded: NDArray[Any],
    variance: Float64,
    *,
    level: NDArray[Any] | None = None,
    mean: Float64 | None = None,
) -> PixelStatistics:
    """Return what a codec does to the pixels of an image in memory.

    Parameters
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image, DN.
    decoded : ndarray of the same shape, uint16 or float32
        Decoded image, DN.
    variance : ndarray of the same shape, float64
        Variance of the noise, the rounding included, DN^2; above 0.
    level : ndarray of the same shape, optional
        Expected grey level, DN; `mean` where that is given, else `local_level` of every plane.
    mean : ndarray of the same shape, float64, optional
        True mean, DN.

    Returns
    -------
    PixelStatistics
        As `PixelTally` gives of the planes one after another.

    Raises
    ------
    InputError
        If the shapes differ, or a variance is not above 0.

    Examples
    --------
    >>> raw = np.full((8, 8), 100, np.uint16)
    >>> found = pixel_statistics(raw, raw + 3, np.full((8, 8), 4.0))
    >>> found.bias, found.spread, found.offset_dn
    (1.5, 0.0, 3.0)
    """
    volume = raw.reshape(-1, *raw.shape[-2:])
    others = [None if one is None else _planes_of(one, raw.shape) for one in (decoded, variance, mean)]
    expected = _expected(volume, level if level is not None else mean, raw.shape)
    tally = PixelTally(BrightnessClasses.of(GreyLevels.of_planes(expected)))
    for number, plane in enumerate(volume):
        after, noise, true = (None if one is None else one[number] for one in others)
        tally.add(plane, after, noise, expected[number], true)  # type: ignore[arg-type]
    return tally.result()


def _planes_of(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if image.shape != shape:
        raise InputError(f"an image of shape {image.shape} stands beside a raw image of shape {shape}", "crop alike")
    return image.reshape(-1, *shape[-2:])


def _expected(volume: UInt16, level: NDArray[Any] | None, shape: tuple[int, ...]) -> UInt16:
    if level is None:
        return np.stack([local_level(plane) for plane in volume])
    return grey_level(_planes_of(level, shape))


def classes_of(levels: Iterable[UInt16]) -> BrightnessClasses:
    """Return the brightness classes of an image from the expected levels of its planes, one after another."""
    return BrightnessClasses.of(GreyLevels.of_planes(levels))
