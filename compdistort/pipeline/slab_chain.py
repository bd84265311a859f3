"""The chain of a study of a volume that memory does not hold: every image is read, drawn and decoded slab by slab.

An image is a `PlaneReader` here: of the volume on disk, of a replicate of it, of either through a codec. Noise depends
on place and number alone and codecs that are allowed here code each plane by itself, so nothing is stored: a plane that
is wanted twice is made twice. Objects are kept as runs. All results are those of `Chain`, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np

from compdistort.backend.base import Backend, Float64, Int32, NoiseTables, Runs, UInt16
from compdistort.backend.compiled.overlap import overlap_pairs
from compdistort.backend.compiled.runs import plane_labels, projected_labels
from compdistort.backend.planes import PlaneReader
from compdistort.codecs import Codec
from compdistort.codecs.planewise import DecodedPlanes, Watch, changes, compress_planes, each_plane
from compdistort.grey_levels import GreyLevels
from compdistort.pipeline.chain import Chain, Compressed, Image
from compdistort.pipeline.lifted import LiftedPlanes
from compdistort.pipeline.objects import Index, Truth
from compdistort.pipeline.raw_volume import largest_plane
from compdistort.pipeline.views import View
from compdistort.segment import plane_probability
from compdistort.store import ArrayWrite, StudyStore

RUNS = "reference/runs"
_PARTS = ("row_start", "start", "end", "owner")
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunObjects:
    """Objects as runs of voxels (see `compdistort.pipeline.objects.Objects`).

    Attributes
    ----------
    runs : Runs
        The label volume.
    values : ndarray of shape (n_objects, n_columns), float64
        Their table.
    """

    runs: Runs
    values: Float64

    @classmethod
    def read(cls, store: StudyStore, values: Float64, shape: Sequence[int]) -> Self:
        """Return the objects of a volume of `shape` that `writes` stored."""
        parts = {name: store.read(f"{RUNS}/{name}") for name in _PARTS}
        return cls(runs=Runs(shape=tuple(shape), n_objects=len(values), **parts), values=values)

    @property
    def n_runs(self) -> int:
        """Return their number."""
        return int(self.runs.owner.size)

    def overlaps(self, other: "RunObjects") -> tuple[Index, Index]:
        """Return the distinct (own id, id in `other`) that share a voxel."""
        return overlap_pairs(self.runs, other.runs)

    def choose_view(self) -> View:
        """Return which plane shows most of the objects: the first of them, or the middle one where there are none."""
        runs, rows = self.runs, self.runs.shape[1]
        first = runs.row_start[::rows]
        counts = [np.unique(runs.owner[a:b][runs.owner[a:b] > 0]).size for a, b in pairwise(first)]
        return View(int(np.argmax(counts)) if any(counts) else len(counts) // 2)

    def shown(self, view: View) -> Int32:
        """Return the labels that a view shows."""
        return plane_labels(self.runs, view.plane or 0)

    def projection(self) -> Int32:
        """Return the largest label over all planes."""
        return projected_labels(self.runs)

    def against(self, truth: PlaneReader) -> Truth:
        """Return how the voxels compare with those of true objects, a label volume that is read plane by plane."""
        found = true = both = 0
        ids = np.zeros(0, np.int64)
        for plane, labels in enumerate(each_plane(truth)):
            own, there = plane_labels(self.runs, plane) > 0, labels > 0
            found, true = found + int(own.sum()), true + int(there.sum())
            both += int((own & there).sum())
            ids = np.union1d(ids, labels[there].astype(np.int64))
        return Truth(found=found, true=true, both=both, n_true=ids.size)

    def writes(self, store: StudyStore) -> Sequence[ArrayWrite]:
        """Return the writes of the runs."""
        return [store.write_whole(f"{RUNS}/{name}", getattr(self.runs, name)) for name in _PARTS]


class ReplicatePlanes:
    """A replicate of a volume (a `PlaneReader`), drawn where it is read.

    Parameters
    ----------
    raw : PlaneReader
        Raw volume, uint16, DN.
    noise : NoiseTables
        Law of every grey level.
    key : tuple of two int
        Philox key.
    number : int
        The replicate.
    backend : Backend
        Draws.
    """

    def __init__(
        self, raw: PlaneReader, noise: NoiseTables, key: tuple[int, int], number: int, backend: Backend[Any]
    ) -> None:
        self.shape, self.dtype = raw.shape, raw.dtype
        self._raw, self._noise, self._key, self._backend = raw, noise, key, backend
        self._numbers = range(number, number + 1)

    def read_planes(self, start: int, stop: int) -> UInt16:
        """Draw planes start..stop - 1, of shape (stop - start, rows, columns)."""
        planes = self._backend.to_device(self._raw.read_planes(start, stop))
        drawn = self._backend.replicate(planes, self._noise, self._key, self._numbers, (start, 0, 0))[0]
        return self._backend.to_host(drawn).astype(np.uint16, copy=False)


class Levelled:
    """An image (a `PlaneReader`) whose grey levels are counted once, where a codec asks for them.

    Parameters
    ----------
    planes : PlaneReader
        The image, uint16.
    """

    def __init__(self, planes: PlaneReader) -> None:
        self.shape, self.dtype, self.read_planes = planes.shape, planes.dtype, planes.read_planes

    @cached_property
    def counts(self) -> GreyLevels:
        """The grey levels of all voxels."""
        return GreyLevels.of_planes(each_plane(self))

    def levels(self) -> GreyLevels:
        """Return `counts`."""
        return self.counts


@dataclass(frozen=True, slots=True, kw_only=True)
class SlabChain(Chain):
    """The chain of a volume on disk (see `Chain`, whose methods these are).

    Attributes
    ----------
    raw : DiskVolume
        Raw volume, uint16, DN.
    on_device : Levelled
        The same, with its grey levels.
    """

    @classmethod
    def rebuild(cls, parts: dict[str, Any], backend: Backend[Any]) -> Self:
        """Return the chain of `host_parts` on an engine."""
        return cls(**parts, backend=backend, on_device=Levelled(parts["raw"]))

    def require_same_raw(self) -> None:
        """Refuse a volume that is no longer the one that was opened: nothing made of it may be committed."""
        self.raw.require_unchanged()

    def prepare(self, codec: Codec) -> Codec:
        """Return a codec with its knobs fixed on the raw volume."""
        return codec.with_sensor(self.sensor).prepare_planes(self.on_device, self.on_device.levels)

    def levels(self) -> GreyLevels:
        """Return the grey levels of the raw volume, counted once."""
        levels: GreyLevels = self.on_device.counts
        return levels

    def replicate(self, index: int) -> Levelled:
        """Return a replicate, as `find` takes it."""
        return Levelled(ReplicatePlanes(self.raw, self.noise, self.key, index, self.backend))

    def for_codecs(self, replicate: Levelled) -> Levelled:
        """Return the same."""
        return replicate

    def decode(self, codec: Codec, image: Levelled) -> DecodedPlanes | None:
        """Return an image through a codec; None where that changes nothing."""
        return DecodedPlanes(codec, image, image.levels) if changes(codec, image, image.levels) else None

    def compress(self, codec: Codec, view: View, watch: Watch | None = None) -> Compressed:
        """Return the raw volume through a codec whose knobs are fixed; `watch` is shown every plane of it."""
        result = compress_planes(codec, self.on_device, self.on_device.levels, watch)
        image = DecodedPlanes(codec, self.on_device, self.on_device.levels)
        return Compressed(result=result, decoded=image, image=image, shown=_plane(image, view))

    def lifted(self, decoded: PlaneReader, by_dn: float) -> LiftedPlanes:
        """Return a decoded volume with a constant added."""
        return LiftedPlanes(decoded, by_dn)

    def find(self, image: PlaneReader) -> RunObjects:
        """Return the objects of an image."""
        runs, values = self.backend.volume_objects(image, self.bank, self.classifier.forest, self.rule, self.slab)
        return RunObjects(runs=runs, values=values)

    def find_raw(self) -> tuple[RunObjects, View, Float64]:
        """Return the objects of the raw volume, the view that shows most of them, and the probability it shows."""
        found = self.find(self.raw)
        view = found.choose_view()
        return found, view, plane_probability(self.raw, view.plane or 0, self.classifier, self.backend)

    def shown(self, view: View) -> UInt16:
        """Return what a view shows of the raw volume."""
        return _plane(self.raw, view)

    def projection(self) -> UInt16:
        """Return the maximum of the raw volume over its planes."""
        return largest_plane(self.raw)

    def part(self, spans: Spans) -> UInt16:
        """Return a part of the raw volume."""
        return _part(self.raw, spans)

    def decoded_part(self, codec: Codec, spans: Spans) -> Image:
        """Return the same part of the whole raw volume through a codec."""
        return _part(DecodedPlanes(codec, self.on_device, self.on_device.levels), spans)


def _plane(volume: PlaneReader, view: View) -> Image:
    plane = view.plane or 0
    shown: Image = volume.read_planes(plane, plane + 1)[0]
    return shown


def _part(volume: PlaneReader, spans: Spans) -> Image:
    (first, last), rows, columns = spans
    return np.stack([plane[slice(*rows), slice(*columns)] for plane in each_plane(volume, first, last)])
