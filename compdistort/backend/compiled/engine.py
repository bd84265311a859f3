"""The fused CPU engine: an image's mask bits from `FusedVotes`, its objects from their runs."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
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
    Runs,
    SegmentRule,
    UInt16,
    UInt64,
)
from compdistort.backend.compiled.backproject import backproject
from compdistort.backend.compiled.bits import mask_bytes, pack_mask
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.convolve import smooth_probability
from compdistort.backend.compiled.fused import FusedVotes
from compdistort.backend.compiled.runs import object_bytes, objects_from_bits, runs_from_bits
from compdistort.backend.compiled.source import Drawn, Pixels, Source
from compdistort.backend.compiled.stack import rows_at
from compdistort.backend.compiled.team import Team
from compdistort.backend.plain.label import check_connectivity
from compdistort.backend.planes import AT_ONCE, PlaneReader, Slabs, require_slabs
from compdistort.backend.reach import planes_around
from compdistort.backend.shape import Int64

PLANS = 8
"""Plans (filters, forest and shape) that are kept."""

LARGE_BYTES = 1 << 26
"""From this size on replicates are drawn one after another, and each is shared by all threads: less memory."""


class Engine:
    """Images to objects, on the threads of one team.

    Parameters
    ----------
    threads : int, optional
        Threads; default as many as this process may use cores.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._team = Team(threads or usable_cores())
        self._plans: OrderedDict[tuple[int, int, tuple[int, ...], int | None], tuple[object, object, FusedVotes]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def probability(self, image: NDArray[Any], bank: FilterBank, forest: FlatForest, foreground: int) -> Float64:
        """Return the probability of one class (see `Backend.image_probability`)."""
        return self._probability(Pixels(image), bank, forest, foreground)

    def objects(self, image: NDArray[Any], bank: FilterBank, forest: FlatForest, rule: SegmentRule) -> ImageObjects:
        """Return labels and table of an image (see `Backend.image_objects`)."""
        labels, values = self._found(Pixels(image), bank, forest, rule, want_labels=True)
        assert labels is not None
        return ImageObjects(labels=labels, values=values)

    def feature_rows(self, image: Float32, bank: FilterBank, places: Int64) -> Float32:
        """Return the features of some pixels (see `Backend.feature_rows`); tiles without any are not computed."""
        return rows_at(image, FeatureBlocks(bank, image.shape), places, self._team)

    def replicate_tables(
        self,
        raw: UInt16,
        noise: NoiseTables,
        key: tuple[int, int],
        bank: FilterBank,
        forest: FlatForest,
        rule: SegmentRule,
        replicates: Sequence[int],
    ) -> list[Float64]:
        """Return the object tables of replicates (see `Backend.replicate_tables`), each drawn where it is read.

        Several at once, or one after another where images are large.
        """

        def table(number: int) -> Float64:
            return self._found(Drawn(raw, noise, key, number), bank, forest, rule, want_labels=False)[1]

        if raw.nbytes >= LARGE_BYTES:
            return [table(number) for number in replicates]
        made: dict[int, Float64] = {}
        self._team.share(replicates, lambda left: made.update((number, table(number)) for number in left))
        return [made[number] for number in replicates]

    def backproject(self, projections: Float32, plan: BeamPlan) -> Float32:
        """Return the images of filtered projections (see `Backend.backproject`)."""
        return backproject(projections, plan, self._team)

    def volume_runs(
        self, volume: PlaneReader, bank: FilterBank, forest: FlatForest, rule: SegmentRule, slab: int
    ) -> tuple[Runs, Float64]:
        """Return objects as runs, and their table, of a volume that is read slab by slab.

        Parameters
        ----------
        volume : PlaneReader
            Where planes come from; each is asked for once, in order.
        bank : FilterBank
            Filters; the set `fast` needs all planes at once.
        forest : FlatForest
            The trees.
        rule : SegmentRule
            As in `objects`, without smoothing of the probability.
        slab : int
            Planes that are decided together; leaves no trace in the result.

        Returns
        -------
        runs : Runs
            The label volume.
        table : ndarray of shape (n_objects, len(VOLUME_COLUMNS)), float64
            As of `objects`.

        Raises
        ------
        ConfigError
            If the probability is to be smoothed, or the connectivity is none of volumes.
        TypeError, ValueError
            As `require_slabs`.
        """
        require_slabs(volume, rule, slab)
        check_connectivity(len(volume.shape), rule.connectivity)
        plan = self._plan(bank, forest, volume.shape, slab)
        bits = plan.mask_bits(Slabs(volume, plan.planes_held()), rule, self._team)
        return runs_from_bits(bits, tuple(volume.shape), rule)

    def plane_probability(
        self, volume: PlaneReader, plane: int, bank: FilterBank, forest: FlatForest, foreground: int
    ) -> Float64:
        """Return the probability of one class in one plane (see `Backend.plane_probability`)."""
        first, last = planes_around(plane, plane + 1, volume.shape[0], bank)
        part = volume.read_planes(first, last)
        plan = self._plan(bank, forest, part.shape, 1)
        return plan.plane_probability(Pixels(part), plane - first, foreground, self._team)

    def slab_bytes(self, shape: Sequence[int], bank: FilterBank, forest: FlatForest, slab: int, itemsize: int) -> int:
        """Return the memory of `volume_runs` (see `Backend.slab_bytes`): planes held, mask bits, the threads' own."""
        plan = self._plan(bank, forest, shape, slab)
        floats = itemsize == np.dtype(np.float32).itemsize
        held = plan.planes_held(every=floats) + 2 * AT_ONCE
        own = self._team.threads * plan.scratch_bytes(every=floats)
        return held * shape[1] * shape[2] * itemsize + mask_bytes(shape) + own

    def working_bytes(
        self, shape: tuple[int, ...], bank: FilterBank, forest: FlatForest, itemsize: int, runs: int
    ) -> int:
        """Return the memory of one image in work (see `Backend.working_bytes`): mask, features and votes, objects.

        Objects are found after the votes, but what they took stays with the process up to `KEPT_BYTES`.
        """
        votes = self._plan(bank, forest, shape).scratch_bytes(itemsize)
        objects = object_bytes(shape, runs)
        return mask_bytes(shape) + max(objects, votes + min(objects, KEPT_BYTES))

    def _found(
        self, image: Source, bank: FilterBank, forest: FlatForest, rule: SegmentRule, *, want_labels: bool
    ) -> tuple[Int32 | None, Float64]:
        bits = self._bits(image, bank, forest, rule)
        return objects_from_bits(bits, image.shape, rule, want_labels=want_labels)

    def _probability(self, image: Source, bank: FilterBank, forest: FlatForest, foreground: int) -> Float64:
        return self._plan(bank, forest, image.shape).probability(image, foreground, self._team)

    def _bits(self, image: Source, bank: FilterBank, forest: FlatForest, rule: SegmentRule) -> UInt64:
        if rule.smoothing_px <= 0:
            return self._plan(bank, forest, image.shape).mask_bits(image, rule, self._team)
        foreground = range(forest.n_classes)[rule.foreground]
        probability = self._probability(image, bank, forest, foreground)
        value = smooth_probability(probability.astype(np.float32), rule.smoothing_px)
        return pack_mask(value > rule.threshold if rule.strict else value >= rule.threshold)

    def _plan(self, bank: FilterBank, forest: FlatForest, shape: Sequence[int], slab: int | None = None) -> FusedVotes:
        """Return the plan of filters, forest and shape; both records are kept with it, so that an id stays theirs."""
        key = (id(bank), id(forest), tuple(shape), slab)
        with self._lock:
            if key not in self._plans:
                self._plans[key] = (bank, forest, FusedVotes(bank, forest, shape, self._team.threads, slab))
                if len(self._plans) > PLANS:
                    self._plans.popitem(last=False)
            self._plans.move_to_end(key)
            return self._plans[key][2]


KEPT_BYTES = 1 << 25
"""Memory of earlier objects that the process may still hold: the C library gives back at once what is larger."""


def usable_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
