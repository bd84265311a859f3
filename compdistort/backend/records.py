"""The plain data that every backend reads and gives: array types, tables, forests, rules; filter banks are in `banks`.

All arrays are made once on the host. `compdistort.backend.base` offers all names of this module.

Axes, C order: ``(replicate, feature or class, plane, row, column)``, absent axes dropped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.surface import SURFACE_COLUMNS

UInt8 = NDArray[np.uint8]
UInt16 = NDArray[np.uint16]
UInt32 = NDArray[np.uint32]
UInt64 = NDArray[np.uint64]
Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

PARAMETERS = (
    "Area", "XM", "YM", "Perim.", "Major", "Minor", "Angle", "Circ.", "Feret", "FeretX", "FeretY", "FeretAngle",
    "MinFeret", "AR", "Round", "Solidity", "FeretAR", "Compact", "Extent",
)  # fmt: skip
"""The 19 object parameters of Pomarico et al. (2022), under ImageJ's column names."""

MEASURE_COLUMNS = ("XStart", "YStart", *PARAMETERS, "X", "Y", "BX", "BY", "Width", "Height")
"""Columns of the array that the verb `measure` returns for a 2D label image."""

VOLUME_COLUMNS = (
    "XStart", "YStart", "ZStart", "Volume", "XM", "YM", "ZM", "BX", "BY", "BZ", "Width", "Height", "Depth",
    *SURFACE_COLUMNS,
)  # fmt: skip
"""Columns of the array that the verb `measure` returns for a 3D label image: first voxel in raster order, volume in
voxels, centre of mass, bounding box, and the surface's triangles by kind, from which `surface.surface_area` makes its
area; x right, y down, z through the planes, in voxels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelMaps:
    """Per-pixel sensor maps, cropped to the image.

    Attributes
    ----------
    gain, offset, read_variance : ndarray of shape (rows, columns), float32
        Conversion gain in DN/e-, offset in DN, read variance in DN^2 without the converter's 1/12 DN^2.
    """

    gain: Float32
    offset: Float32
    read_variance: Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseTables:
    """The noise law of a sensor as tables (``law`` names it); see `compdistort.replicate`.

    Attributes
    ----------
    law : str
        ``"poisson-gaussian"`` or ``"gaussian"``.
    level : ndarray of shape (n_regions, n_levels, 4), float32
        Per grey level {mean DN, sd DN, skewness / 6, row}. ``row`` is an int32 seen as float32: >= 0 selects an exact
        row, then the first two entries are the int32 {first value, offset into `cdf`}; -1 is the quantile path.
    cdf : ndarray of shape (n,), uint32
        Cumulative laws of the exact levels in units of 2^-32, one after another, each ending in 0xFFFFFFFF.
    guide : ndarray of shape (n_rows * 64,), uint16
        Safe start of the search in `cdf` for the top six bits of the word.
    quantile : ndarray of shape (496, 4), float32
        Cubics of the standard normal quantile, 31 octaves of 16 pieces.
    top : int
        Largest digital number; draws above are clipped to it.
    region : ndarray of shape (rows, columns), uint8, or None
        Which table of `level` a pixel uses; None = 0 everywhere.
    maps : PixelMaps or None
        Where given, records are computed per pixel by the skew-corrected quantile and `level` is not read.
    """

    law: str
    level: Float32
    cdf: UInt32
    guide: UInt16
    quantile: Float32
    top: int
    region: UInt8 | None = None
    maps: PixelMaps | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBins:
    """Monotone, piecewise-linear maps from features to small whole numbers (codes), one a feature.

    Attributes
    ----------
    top : int
        Largest code: 255 (codes are uint8) or 65535 (uint16); the smallest is 0.
    knot : ndarray of shape (n_features, n_knots), float32
        Strictly rising feature values, 2 to 4; two make an affine map. Features beyond them get code 0 or `top`.
    level : ndarray of shape (n_features, n_knots), float32
        Codes at the knots, strictly rising whole numbers from 0 to `top`.
    """

    top: int
    knot: Float32
    level: Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatForest:
    """A random forest as flat arrays, siblings adjacent, nodes of a tree contiguous from its root.

    Attributes
    ----------
    feature : ndarray of shape (n_nodes,), int16
        Feature tested; -1 in a leaf.
    threshold : ndarray of shape (n_nodes,), float32
        Go left if x <= threshold: the largest float32 not above scikit-learn's float64 threshold. 0 in a leaf.
    left : ndarray of shape (n_nodes,), int32
        Left child (the right one is its neighbour, + 1); in a leaf the row of `leaf_value`.
    root : ndarray of shape (n_trees,), int32
        Root of each tree.
    depth : ndarray of shape (n_trees,), int32
        Number of steps from the root to the deepest leaf.
    leaf_value : ndarray of shape (n_leaves, n_classes), float64
        Class probabilities, exactly scikit-learn's.
    n_features : int
        Features the forest expects.
    bins : FeatureBins or None
        Where given, the forest was grown on these codes. Its thresholds are feature values all the same (the largest
        float32 that gets no higher code), so that every engine may ignore the bins; one that uses them is faster.
    """

    feature: NDArray[np.int16]
    threshold: Float32
    left: Int32
    root: Int32
    depth: Int32
    leaf_value: Float64
    n_features: int
    bins: FeatureBins | None = None

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return int(self.root.size)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.leaf_value.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRule:
    """How a class probability becomes objects.

    Attributes
    ----------
    foreground : int
        Index of the class whose probability is thresholded.
    threshold : float
        Decision level of the probability.
    strict : bool
        ``P > threshold`` instead of ``P >= threshold``.
    smoothing_px : float
        Standard deviation of ilastik's Gaussian on the float32 probability (window 2, mirror border); 0 = none.
    connectivity : int
        8 or 4 in 2D; 6, 18 or 26 in 3D.
    include_holes : bool
        Fill every hole of the mask before labelling, so that an object is all that its outer outline encloses.
    min_size, max_size : int
        Objects outside this range of pixels or voxels are dropped; `max_size` 0 = no limit.
    exclude_border : bool
        Drop objects that touch the image border.
    """

    foreground: int
    threshold: float = 0.5
    strict: bool = False
    smoothing_px: float = 0.0
    connectivity: int = 8
    include_holes: bool = False
    min_size: int = 1
    max_size: int = 0
    exclude_border: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageObjects:
    """What one image became.

    Attributes
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Object ids 1..n in raster order of their first pixel; 0 = background.
    values : ndarray of shape (n_objects, len(MEASURE_COLUMNS)) or, in 3D, (n_objects, len(VOLUME_COLUMNS)), float64
        One row an object, in the order of the ids.
    """

    labels: Int32
    values: Float64


@dataclass(frozen=True, slots=True)
class Runs:
    """The label image of objects as runs: stretches of pixels in one row, in raster order.

    Attributes
    ----------
    shape : tuple of int
        ([planes,] rows, columns).
    row_start : ndarray of shape (planes * rows + 1,), int64
        Where the runs of each row begin in the other arrays.
    start, end : ndarray of shape (n_runs,), int32
        First column, and one more than the last.
    owner : ndarray of shape (n_runs,), int32
        Object of the run, 1..n_objects in raster order of the first pixel; 0 = dropped by a rule.
    n_objects : int
        Number of objects.
    """

    shape: tuple[int, ...]
    row_start: NDArray[np.int64]
    start: Int32
    end: Int32
    owner: Int32
    n_objects: int
