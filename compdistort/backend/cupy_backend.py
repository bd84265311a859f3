"""The CUDA engine: every verb of the protocol on one device, with the bits of the CPU engine.

Planes of features live on the device slab by slab: they are voted on at once and overwritten by the next slab's.

Every verb that takes memory is a turn (see `Cuda.in_turn`): a few threads work at once, and what runs out of memory is
done again alone. Verbs of many steps are one turn, so that a thread which waits holds nothing but its arguments.
"""

from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import (
    BeamPlan,
    FilterBank,
    FlatForest,
    Float32,
    Float64,
    ImageObjects,
    Int32,
    NoiseTables,
    PlaneReader,
    Runs,
    SegmentRule,
)
from compdistort.backend.device import accumulate, backproject, label, measure, slabs
from compdistort.backend.device import features as _features
from compdistort.backend.device import forest as _forest
from compdistort.backend.device import noise as _noise
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.features import DeviceBank
from compdistort.backend.device.streaming import pinned_bytes
from compdistort.backend.places import check_places
from compdistort.backend.plain.label import check_connectivity
from compdistort.backend.planes import require_slabs, require_volume

VOTERS = ("device", "cpu")
"""Where the forest may vote: on the device, or by the CPU engine from streamed feature planes."""

MAX_BATCH = 16
"""Replicates drawn by one launch at most."""

BATCH_SHARE = 0.05
"""Part of the free memory that they may take."""

_IMAGES = (np.uint8, np.uint16, np.float32)


class CupyBackend:
    """CUDA backend.

    Parameters
    ----------
    cuda : Cuda
        The device; see `compdistort.backend.cuda_device.open_device`.
    voter : str
        One of `VOTERS`. Masks, and so tables, are the same.
    """

    def __init__(self, cuda: Cuda, *, voter: str = "device") -> None:
        self.name = "cupy"
        self.cuda = cuda
        self.voter = voter

    def to_device(self, array: NDArray[Any]) -> Any:
        """Return a C-contiguous copy on the device, complete for every stream."""
        return self.cuda.in_turn(lambda: self._complete(array))

    def to_host(self, array: Any) -> NDArray[Any]:
        """Return a copy as NumPy."""
        self._require(array, (array.dtype.type,), "array")
        with self.cuda.here():
            return self.cuda.download(array)

    def synchronize(self) -> None:
        """Wait until this thread's work is done."""
        with self.cuda.here() as stream:
            stream.synchronize()

    def replicate(
        self,
        raw: Any,
        noise: NoiseTables,
        key: tuple[int, int],
        replicates: range,
        origin: tuple[int, int, int] = (0, 0, 0),
    ) -> Any:
        """Draw raw-equivalent replicates (see `Backend.replicate`)."""
        self._require(raw, (np.uint16,), "raw")
        return self.cuda.in_turn(lambda: _noise.replicate(self.cuda, raw, noise, key, replicates, origin))

    def accumulate(self, images: Any, sum1: Any, sum2: Any) -> None:
        """Add exact per-pixel sums (see `Backend.accumulate`)."""
        self._require(images, (np.uint16,), "images")
        self._require(sum1, (np.uint64,), "sum1")
        self._require(sum2, (np.uint64,), "sum2")
        with self.cuda.here():
            accumulate.accumulate(self.cuda, images, sum1, sum2)

    def feature_stack(self, image: Any, bank: FilterBank) -> Any:
        """Return the features of one image (see `Backend.feature_stack`)."""
        self._require(image, _IMAGES, "image")
        made = _features.refuse_unmade(bank)
        return self.cuda.in_turn(lambda: _features.feature_stack(self.cuda, image, made))

    def feature_rows(self, image: Any, bank: FilterBank, places: NDArray[np.int64]) -> Float32:
        """Return the features of some pixels (see `Backend.feature_rows`)."""
        self._require(image, _IMAGES, "image")
        check_places(places, int(image.size))
        planes = self.to_host(self.feature_stack(image, bank)).reshape(len(bank.names), -1)
        return np.ascontiguousarray(planes[:, places].T, dtype=np.float32)

    def forest_proba(self, features: Any, forest: FlatForest) -> Any:
        """Return class probabilities (see `Backend.forest_proba`)."""
        self._require(features, (np.float32,), "features")
        if features.shape[0] != forest.n_features:
            raise ValueError(f"features has {features.shape[0]} planes, the forest expects {forest.n_features}")
        return self.cuda.in_turn(lambda: _forest.forest_proba(self.cuda, features, forest, self.voter))

    def threshold(self, probability: Any, rule: SegmentRule) -> Any:
        """Return the mask of one class probability (see `Backend.threshold`)."""
        self._require(probability, (np.float64,), "probability")
        return self.cuda.in_turn(lambda: label.threshold(self.cuda, probability, rule))

    def label(self, mask: Any, rule: SegmentRule) -> Any:
        """Return the label image of a mask (see `Backend.label`)."""
        self._require(mask, (np.bool_,), "mask")
        return self.cuda.in_turn(lambda: label.label_mask(self.cuda, mask, rule))

    def measure(self, labels: Any) -> Float64:
        """Measure the objects of a label image (see `Backend.measure`)."""
        self._require(labels, (np.int32,), "labels")
        if labels.ndim not in (2, 3):
            raise ValueError(f"labels must have 2 or 3 axes ([planes,] rows, columns), not {labels.ndim}")
        return self.cuda.in_turn(lambda: measure.measure_objects(self.cuda, labels))

    def backproject(self, projections: Any, plan: BeamPlan) -> Any:
        """Return the images of filtered projections (see `Backend.backproject`)."""
        self._require(projections, (np.float32,), "projections")
        return self.cuda.in_turn(lambda: backproject.backproject(self.cuda, projections, plan))

    def image_probability(self, image: Any, bank: FilterBank, forest: FlatForest, foreground: int) -> Any:
        """Return the probability of one class (see `Backend.image_probability`)."""
        self._require(image, _IMAGES, "image")
        made = _features.refuse_unmade(bank)
        return self.cuda.in_turn(
            lambda: _forest.image_probability(self.cuda, image, made, forest, foreground, self.voter)
        )

    def image_objects(self, image: Any, bank: FilterBank, forest: FlatForest, rule: SegmentRule) -> ImageObjects:
        """Run one image from features to object table (see `Backend.image_objects`)."""
        self._require(image, _IMAGES, "image")
        made = _features.refuse_unmade(bank)
        return self.cuda.in_turn(lambda: self._objects(image, made, forest, rule))

    def replicate_tables(
        self,
        raw: Any,
        noise: NoiseTables,
        key: tuple[int, int],
        bank: FilterBank,
        forest: FlatForest,
        rule: SegmentRule,
        replicates: range,
    ) -> list[Float64]:
        """From noise to object tables (see `Backend.replicate_tables`): only the tables leave the device."""
        self._require(raw, (np.uint16,), "raw")
        made = _features.refuse_unmade(bank)
        batch = self._batch(raw)

        def work(part: range) -> list[Float64]:
            images = self.replicate(raw, noise, key, part)
            return [self.measure(self._labels(image, made, forest, rule)) for image in images]

        parts = (replicates[start : start + batch] for start in range(0, len(replicates), batch))
        return [table for part in parts for table in self.cuda.in_turn(partial(work, part))]

    def volume_objects(
        self, planes: PlaneReader, bank: FilterBank, forest: FlatForest, rule: SegmentRule, slab: int
    ) -> tuple[Runs, Float64]:
        """Find and measure the objects of a volume slab by slab (see `Backend.volume_objects`)."""
        require_slabs(planes, rule, slab)
        check_connectivity(len(planes.shape), rule.connectivity)
        made = _features.refuse_unmade(bank)
        return slabs.volume_objects(self.cuda, planes, made, forest, rule, self.voter, slab)

    def plane_probability(
        self, planes: PlaneReader, plane: int, bank: FilterBank, forest: FlatForest, foreground: int
    ) -> Float64:
        """Return the probability of one class in one plane (see `Backend.plane_probability`)."""
        require_volume(planes)
        made = _features.refuse_unmade(bank)
        plane = range(planes.shape[0])[plane]
        return slabs.plane_probability(self.cuda, planes, plane, made, forest, foreground, self.voter)

    def working_bytes(
        self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, itemsize: int = 4, runs: int = 0
    ) -> int:
        """Return the host memory of one image in work: pinned pieces of features where the CPU votes."""
        return pinned_bytes(forest.n_features, prod(shape)) if self.voter == "cpu" else 0

    def slab_bytes(self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, slab: int, itemsize: int) -> int:
        """Return the host memory of a volume slab by slab (see `Backend.slab_bytes`)."""
        return slabs.slab_bytes(shape, _features.refuse_unmade(bank), forest, slab, itemsize, self.voter)

    def _complete(self, array: NDArray[Any]) -> Any:
        """Upload an array and wait until it is there."""
        out = self.cuda.upload(array)
        self.synchronize()
        return out

    def _batch(self, raw: Any) -> int:
        """Return how many replicates one launch draws: they share the reads of the image and of its records."""
        with self.cuda.here():
            room = int(BATCH_SHARE * self.cuda.free_bytes()) // max(1, int(raw.nbytes))
        return min(max(1, room), MAX_BATCH)

    def _objects(self, image: Any, bank: DeviceBank, forest: FlatForest, rule: SegmentRule) -> ImageObjects:
        labels = self._labels(image, bank, forest, rule)
        values = self.measure(labels)
        on_host: Int32 = self.to_host(labels).astype(np.int32, copy=False)
        return ImageObjects(labels=on_host, values=values)

    def _labels(self, image: Any, bank: DeviceBank, forest: FlatForest, rule: SegmentRule) -> Any:
        """Return the label image on the device: features and votes slab by slab, then threshold and components."""
        mask = _forest.image_mask(self.cuda, image, bank, forest, rule, self.voter)
        return label.label_mask(self.cuda, mask, rule)

    def _require(self, array: Any, dtypes: tuple[type, ...], what: str) -> None:
        """Refuse an array of another library, dtype or layout: never convert silently."""
        if not isinstance(array, self.cuda.cp.ndarray):
            raise TypeError(f"{what} must be a CuPy array, not {type(array).__name__}")
        if array.dtype.type not in dtypes:
            raise TypeError(f"{what} must be {' or '.join(t.__name__ for t in dtypes)}, not {array.dtype}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{what} must be C-contiguous")
        if array.device.id != self.cuda.device:
            raise ValueError(f"{what} lies on device {array.device.id}, this engine works on {self.cuda.device}")
