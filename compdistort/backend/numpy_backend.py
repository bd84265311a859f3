"""The CPU engine: compiled Numba loops, or their plain NumPy / SciPy twins (`jit=False`), with the same bits."""

from importlib import import_module
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import (
    BeamPlan,
    FilterBank,
    FlatForest,
    Float32,
    Float64,
    HalfGridBank,
    ImageObjects,
    NoiseTables,
    PlaneReader,
    Runs,
    SegmentRule,
    WekaBank,
)
from compdistort.backend.places import check_places
from compdistort.backend.plain.runs import runs_of_labels
from compdistort.backend.planes import require_slabs, require_volume

if TYPE_CHECKING:
    from compdistort.backend.compiled.engine import Engine

Array = NDArray[Any]

IMAGES = (np.uint8, np.uint16, np.float32)
"""Pixel types of images."""

FAMILIES = ("accumulate", "backproject", "convolve", "forest", "half_grid", "label", "measure", "noise", "weka")
"""Modules of `compdistort.backend.plain` and `compdistort.backend.compiled`."""


def _require(array: Array, dtypes: tuple[type, ...], what: str) -> None:
    """Refuse an array of another library, dtype or layout: never convert silently."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{what} must be a NumPy array, not {type(array).__name__}")
    if array.dtype.type not in dtypes or not array.dtype.isnative:
        raise TypeError(f"{what} must be {' or '.join(t.__name__ for t in dtypes)}, not {array.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{what} must be C-contiguous")


def _require_image(image: Array) -> None:
    _require(image, IMAGES, "image")
    if not image.size:
        raise ValueError(f"image has no pixels: its shape is {image.shape}")


class NumpyBackend:
    """CPU backend.

    Parameters
    ----------
    jit : bool
        True: compiled loops (name ``numba``). False: the slow, obvious twins (name ``numpy``).
    threads : int, optional
        Threads on which compiled loops share an image, or several; default as many as this process may use cores.
    """

    def __init__(self, *, jit: bool = True, threads: int | None = None) -> None:
        self.name = "numba" if jit else "numpy"
        self._loops = _load_loops("compiled" if jit else "plain")
        self._engine = _open_engine(threads) if jit else None

    def to_device(self, array: Array) -> Array:
        """Return the array, C-contiguous."""
        return np.ascontiguousarray(array)

    def to_host(self, array: Array) -> Array:
        """Return the array itself."""
        return array

    def synchronize(self) -> None:
        """Return at once: nothing is queued."""

    def replicate(
        self,
        raw: Array,
        noise: NoiseTables,
        key: tuple[int, int],
        replicates: range,
        origin: tuple[int, int, int] = (0, 0, 0),
    ) -> Array:
        """Draw raw-equivalent replicates (see `Backend.replicate`)."""
        _require(raw, (np.uint16,), "raw")
        out: Array = self._loops["noise"].replicate(raw, noise, key, replicates, origin)
        return out

    def accumulate(self, images: Array, sum1: Array, sum2: Array) -> None:
        """Add exact per-pixel sums (see `Backend.accumulate`)."""
        _require(images, (np.uint16,), "images")
        _require(sum1, (np.uint64,), "sum1")
        _require(sum2, (np.uint64,), "sum2")
        self._loops["accumulate"].accumulate(images, sum1, sum2)

    def feature_stack(self, image: Array, bank: FilterBank) -> Array:
        """Return the features of one image (see `Backend.feature_stack`)."""
        _require_image(image)
        pixels = image.astype(np.float32)
        if isinstance(bank, WekaBank):
            out: Array = self._loops["weka"].weka_stack(pixels, bank)
        elif isinstance(bank, HalfGridBank):
            out = self._loops["half_grid"].half_grid_stack(pixels, bank)
        else:
            out = self._loops["convolve"].separable_stack(pixels, bank)
        return out

    def feature_rows(self, image: Array, bank: FilterBank, places: NDArray[np.int64]) -> Float32:
        """Return the features of some pixels (see `Backend.feature_rows`)."""
        _require_image(image)
        check_places(places, image.size)
        if self._engine is not None:
            return self._engine.feature_rows(image.astype(np.float32), bank, places)
        planes = self.feature_stack(image, bank).reshape(len(bank.names), -1)
        return np.ascontiguousarray(planes[:, places].T)

    def forest_proba(self, features: Array, forest: FlatForest) -> Array:
        """Return class probabilities (see `Backend.forest_proba`)."""
        _require(features, (np.float32,), "features")
        if features.shape[0] != forest.n_features:
            raise ValueError(f"features has {features.shape[0]} planes, the forest expects {forest.n_features}")
        flat = features.reshape(features.shape[0], -1)
        proba: Array = self._loops["forest"].forest_proba(flat, forest)
        return proba.reshape(forest.n_classes, *features.shape[1:])

    def threshold(self, probability: Array, rule: SegmentRule) -> Array:
        """Return the mask of one class probability (see `Backend.threshold`)."""
        _require(probability, (np.float64,), "probability")
        value: Array = probability
        if rule.smoothing_px > 0:
            value = self._loops["convolve"].smooth_probability(probability.astype(np.float32), rule.smoothing_px)
        return value > rule.threshold if rule.strict else value >= rule.threshold

    def label(self, mask: Array, rule: SegmentRule) -> Array:
        """Return the label image of a mask (see `Backend.label`)."""
        _require(mask, (np.bool_,), "mask")
        out: Array = self._loops["label"].label_mask(mask, rule)
        return out

    def measure(self, labels: Array) -> Float64:
        """Measure the objects of a label image (see `Backend.measure`)."""
        _require(labels, (np.int32,), "labels")
        if labels.ndim not in (2, 3):
            raise ValueError(f"labels must have 2 or 3 axes ([planes,] rows, columns), not {labels.ndim}")
        out: Float64 = self._loops["measure"].measure_objects(labels)
        return out

    def backproject(self, projections: Array, plan: BeamPlan) -> Array:
        """Return the images of filtered projections (see `Backend.backproject`)."""
        _require(projections, (np.float32,), "projections")
        if self._engine is not None:
            return self._engine.backproject(projections, plan)
        out: Array = self._loops["backproject"].backproject(projections, plan)
        return out

    def image_probability(self, image: Array, bank: FilterBank, forest: FlatForest, foreground: int) -> Array:
        """Return the probability of one class (see `Backend.image_probability`)."""
        _require_image(image)
        foreground = range(forest.n_classes)[foreground]
        if self._engine is not None:
            return self._engine.probability(image, bank, forest, foreground)
        every: Array = self.forest_proba(self.feature_stack(image, bank), forest)
        found: Array = every[foreground]
        return found

    def image_objects(self, image: Array, bank: FilterBank, forest: FlatForest, rule: SegmentRule) -> ImageObjects:
        """Run one image from features to object table (see `Backend.image_objects`)."""
        _require_image(image)
        if self._engine is not None:
            return self._engine.objects(image, bank, forest, rule)
        labels = self.label(self.threshold(self.image_probability(image, bank, forest, rule.foreground), rule), rule)
        return ImageObjects(labels=labels, values=self.measure(labels))

    def replicate_tables(
        self,
        raw: Array,
        noise: NoiseTables,
        key: tuple[int, int],
        bank: FilterBank,
        forest: FlatForest,
        rule: SegmentRule,
        replicates: range,
    ) -> list[Float64]:
        """From noise to object tables (see `Backend.replicate_tables`)."""
        _require(raw, (np.uint16,), "raw")

        if self._engine is not None:
            return self._engine.replicate_tables(raw, noise, key, bank, forest, rule, replicates)
        images = (self.replicate(raw, noise, key, range(index, index + 1))[0] for index in replicates)
        return [self.image_objects(image, bank, forest, rule).values for image in images]

    def volume_objects(
        self, planes: PlaneReader, bank: FilterBank, forest: FlatForest, rule: SegmentRule, slab: int
    ) -> tuple[Runs, Float64]:
        """Find and measure the objects of a volume slab by slab (see `Backend.volume_objects`)."""
        if self._engine is not None:
            return self._engine.volume_runs(planes, bank, forest, rule, slab)
        require_slabs(planes, rule, slab)
        found = self.image_objects(planes.read_planes(0, planes.shape[0]), bank, forest, rule)
        return runs_of_labels(found.labels), found.values

    def plane_probability(
        self, planes: PlaneReader, plane: int, bank: FilterBank, forest: FlatForest, foreground: int
    ) -> Float64:
        """Return the probability of one class in one plane (see `Backend.plane_probability`)."""
        require_volume(planes)
        plane, foreground = range(planes.shape[0])[plane], range(forest.n_classes)[foreground]
        if self._engine is not None:
            return self._engine.plane_probability(planes, plane, bank, forest, foreground)
        whole = self.image_probability(planes.read_planes(0, planes.shape[0]), bank, forest, foreground)
        found: Float64 = whole[plane]
        return found

    def working_bytes(
        self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, itemsize: int = 4, runs: int = 0
    ) -> int:
        """Return the memory of one image in work (see `Backend.working_bytes`)."""
        if self._engine is not None:
            return self._engine.working_bytes(shape, bank, forest, itemsize, runs)
        return prod(shape) * (2 * 4 * len(bank.names) + 8 * forest.n_classes)

    def slab_bytes(self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, slab: int, itemsize: int) -> int:
        """Return the memory of a volume slab by slab (see `Backend.slab_bytes`); the plain twins hold all of it."""
        if self._engine is not None:
            return self._engine.slab_bytes(shape, bank, forest, slab, itemsize)
        return prod(shape) * itemsize + self.working_bytes(shape, bank, forest)


def _load_loops(package: str) -> dict[str, ModuleType]:
    """Import every family of loops of ``plain`` or ``compiled``."""
    return {name: import_module(f"compdistort.backend.{package}.{name}") for name in FAMILIES}


def _open_engine(threads: int | None) -> "Engine":
    """Import the fused engine, which compiles."""
    from compdistort.backend.compiled.engine import Engine  # noqa: PLC0415

    return Engine(threads)
