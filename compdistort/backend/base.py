"""The backend protocol: what an engine can do.

A backend is an argument, never a global. It imports no station of the pipeline: all it needs arrives in the
frozen dataclasses of `compdistort.backend.records` and `compdistort.backend.banks`, which this module offers too.
Coarse verbs, each one family of loops or kernel launches over a whole image or batch; no array library leaks out.
"""

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.banks import (
    FilterBank,
    HalfGridBank,
    SeparableBank,
    SeparableScale,
    WekaBank,
    WekaScale,
)
from compdistort.backend.beam import BeamPlan
from compdistort.backend.planes import PlaneReader
from compdistort.backend.records import (
    MEASURE_COLUMNS,
    PARAMETERS,
    VOLUME_COLUMNS,
    FeatureBins,
    FlatForest,
    Float32,
    Float64,
    ImageObjects,
    Int32,
    NoiseTables,
    PixelMaps,
    Runs,
    SegmentRule,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)

__all__ = [
    "MEASURE_COLUMNS",
    "PARAMETERS",
    "VOLUME_COLUMNS",
    "Backend",
    "BeamPlan",
    "FeatureBins",
    "FilterBank",
    "FlatForest",
    "Float32",
    "Float64",
    "HalfGridBank",
    "ImageObjects",
    "Int32",
    "NoiseTables",
    "PixelMaps",
    "PlaneReader",
    "Runs",
    "SegmentRule",
    "SeparableBank",
    "SeparableScale",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "WekaBank",
    "WekaScale",
]

A = TypeVar("A")


class Backend(Protocol[A]):
    """What an engine can do. Every implementation has the same names and arguments; a test holds them to it.

    Images handed to a verb are arrays of the backend's own library (`to_device`); a wrong dtype or layout raises
    TypeError or ValueError from every backend alike. Results are the same bits on every backend, for any tile,
    thread count or order, except the planes that README's decision 3 names.
    """

    name: str

    def to_device(self, array: NDArray[np.generic]) -> A:
        """Return the array in the backend's library, C-contiguous."""
        ...

    def to_host(self, array: A) -> NDArray[np.generic]:
        """Return the array as NumPy."""
        ...

    def synchronize(self) -> None:
        """Wait until all queued work is done."""
        ...

    def replicate(
        self,
        raw: A,
        noise: NoiseTables,
        key: tuple[int, int],
        replicates: range,
        origin: tuple[int, int, int] = (0, 0, 0),
    ) -> A:
        """Draw raw-equivalent replicates: uint16 of shape (len(replicates), *raw.shape).

        `origin` is the (plane, row, column) of ``raw[0, 0, 0]`` in the whole volume: a crop draws the same noise.
        """
        ...

    def accumulate(self, images: A, sum1: A, sum2: A) -> None:
        """Add sum x and sum x^2 over the first axis of uint16 `images` to the uint64 `sum1` and `sum2`, exactly."""
        ...

    def feature_stack(self, image: A, bank: FilterBank) -> A:
        """Return the features of one image: float32 of shape (n_features, *image.shape)."""
        ...

    def feature_rows(self, image: A, bank: FilterBank, places: NDArray[np.int64]) -> Float32:
        """Return the features of some pixels of one image, on the host: shape (n_pixels, n_features).

        `places` are flat indices, strictly rising. The values are those of `feature_stack`.
        """
        ...

    def forest_proba(self, features: A, forest: FlatForest) -> A:
        """Return class probabilities, float64 of shape (n_classes, *image shape), exactly scikit-learn's."""
        ...

    def threshold(self, probability: A, rule: SegmentRule) -> A:
        """Return the bool mask of one class probability (float64, image shape)."""
        ...

    def label(self, mask: A, rule: SegmentRule) -> A:
        """Return the int32 label image of a bool mask: ids in raster order, after holes, size and border rules."""
        ...

    def measure(self, labels: A) -> Float64:
        """Measure the objects of a label image, on the host: shape (n_objects, n_columns).

        The columns are `MEASURE_COLUMNS` in 2D and `VOLUME_COLUMNS` in 3D.
        """
        ...

    def backproject(self, projections: A, plan: BeamPlan) -> A:
        """Return the images of filtered projections: float32 (planes, size, size) of (planes, n_angles, n_samples)."""
        ...

    def image_probability(self, image: A, bank: FilterBank, forest: FlatForest, foreground: int) -> A:
        """Return the probability of one class: float64 of the image's shape. Its features never exist all at once."""
        ...

    def image_objects(self, image: A, bank: FilterBank, forest: FlatForest, rule: SegmentRule) -> ImageObjects:
        """Run one image through features, forest, threshold, labels and measurement (fused where it pays)."""
        ...

    def replicate_tables(
        self,
        raw: A,
        noise: NoiseTables,
        key: tuple[int, int],
        bank: FilterBank,
        forest: FlatForest,
        rule: SegmentRule,
        replicates: range,
    ) -> list[Float64]:
        """From noise to object tables for a range of replicates: the fused verb, one table a replicate."""
        ...

    def volume_objects(
        self, planes: PlaneReader, bank: FilterBank, forest: FlatForest, rule: SegmentRule, slab: int
    ) -> tuple[Runs, Float64]:
        """Find and measure the objects of a volume that is read slab by slab, on the host.

        `slab` is the number of planes that are decided together; it leaves no trace. The runs are those of objects
        alone, the table is as of `measure`. ConfigError where `rule.smoothing_px` is above 0.
        """
        ...

    def plane_probability(
        self, planes: PlaneReader, plane: int, bank: FilterBank, forest: FlatForest, foreground: int
    ) -> Float64:
        """Return `image_probability` of one plane of a volume, on the host: float64 of shape (rows, columns).

        Only planes that its features depend on are read (with the plain twins all of them).
        """
        ...

    def working_bytes(
        self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, itemsize: int = 4, runs: int = 0
    ) -> int:
        """Return the host memory that one image of this shape takes in `image_objects`, beside image and labels.

        Parameters
        ----------
        shape : tuple of int
            ([planes,] rows, columns).
        bank : FilterBank
            Filters.
        forest : FlatForest
            The trees.
        itemsize : int
            Bytes of a pixel: 1 (uint8), 2 (uint16) or 4 (float32).
        runs : int
            How many runs of pixels its objects have, as far as known: what finds and measures them takes memory, too.

        Returns
        -------
        int
            Bytes.
        """
        ...

    def slab_bytes(self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, slab: int, itemsize: int) -> int:
        """Return the host memory of `volume_objects`, beside runs and table, for pixels of so many bytes each.

        Pixels of 4 bytes are floats and may be NaN: features that no tree tests are computed too. Holes take the bits
        of the mask once more.
        """
        ...
