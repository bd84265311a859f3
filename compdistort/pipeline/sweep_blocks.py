"""The long part of a sweep: replicates through one point after another, in committed blocks of their own.

A replicate is drawn anew for every point, which costs little beside its features. Where the decoded image is one that
is known (the replicate itself, or what another point made of the same replicate), its row is copied: the row depends on
the image alone, so the copy has the same bits.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from compdistort.codecs import Codec
from compdistort.errors import CodecRangeError
from compdistort.pipeline.blocks import array_names, block_key
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import COUNTS, Reference, compare
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_volume import streams
from compdistort.pipeline.rows import RAW, Row
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.sweep_raw import Placed, point_key, points_in, refused_key, restored
from compdistort.pipeline.workers import Workers
from compdistort.store import ArrayWrite, StudyStore
from compdistort.store.arrays import array_digest

_DIGEST_BYTES = 16


class PointRow(NamedTuple):
    """A replicate through a point: its row, or the place where the same row stands, and the decoded image's digest."""

    row: Row | None
    same: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class PointJob:
    """What is made of a replicate (a job of `compdistort.pipeline.workers`): its row through one codec.

    Attributes
    ----------
    codec : Codec
        Prepared.
    known : mapping
        By number of the replicate, the digests of decoded images whose rows are committed, with their points.
    """

    codec: Codec
    known: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def __call__(self, chain: Chain, reference: Reference, index: int, stop: StopFlag) -> PointRow:
        """Return the row of replicate `index`.

        Raises
        ------
        CodecRangeError
            If the codec cannot carry it.
        InterruptedStudyError
            If a stop was asked for.
        """
        stop.check()
        image = chain.for_codecs(chain.replicate(index))
        if streams(chain):
            return _streamed(chain, reference, chain.decode(self.codec, image))
        decoded = self.codec.restored(image)
        digest = array_digest(decoded)
        same = RAW if digest == array_digest(image) else self.known.get(index, {}).get(digest)
        if same is not None:
            return PointRow(None, same, digest)
        seen = chain.see(chain.backend.to_device(decoded))
        return PointRow(Row.of(compare(chain, reference, seen)), None, digest)


def _streamed(chain: Chain, reference: Reference, decoded: Any) -> PointRow:
    """Return the row of a volume on disk, which is never held as a whole and so has no digest."""
    if decoded is None:
        return PointRow(None, RAW, "")
    return PointRow(Row.of(compare(chain, reference, decoded)), None, "")


class Unit(NamedTuple):
    """A block of replicates of one point."""

    placed: Placed
    start: int
    length: int

    @property
    def key(self) -> str:
        """Its journal key."""
        return unit_key(self.placed.point, self.start)


def unit_key(point: str, start: int) -> str:
    """Return the journal key of the block of a point that starts at replicate `start`."""
    return f"{point_key(point)}/{start:06d}"


def digest_name(point: str) -> str:
    """Return where the digests of a point's decoded replicates are stored."""
    return f"codecs/{point}/replicates/decoded"


def missing_units(store: StudyStore, places: Sequence[Placed], n_replicates: int, block: int) -> list[Unit]:
    """Return the blocks that are not committed yet, of every point once; a point that refuses the image has none."""
    points = {each.point: each for each in reversed(places) if each.point and not store.has(refused_key(each.point))}
    return [
        Unit(each, start, min(block, n_replicates - start))
        for each in reversed(points.values())
        for start in range(0, n_replicates, block)
        if not store.has(unit_key(each.point, start))
    ]


def missing_raw(store: StudyStore, n_replicates: int, block: int) -> int:
    """Return how many replicates have no row of their own yet."""
    starts = range(0, n_replicates, block)
    return sum(min(block, n_replicates - start) for start in starts if not store.has(block_key(start)))


def make_point_arrays(store: StudyStore, reference: Reference, chain: Chain, point: str, n: int, block: int) -> None:
    """Make the arrays that the blocks of a point fill, as a study's, and one for the digests."""
    values, summary = array_names(point)
    store.make_array(values, (n, len(reference.values), len(chain.measurands.parameters)), "<f4", block)
    store.make_array(summary, (n, len(chain.measurands.totals) + len(COUNTS)), "<f8", block)
    store.make_array(digest_name(point), (n, _DIGEST_BYTES), "|u1", block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler:
    """Computes blocks of points into a store.

    Attributes
    ----------
    chain : Chain
        What every image goes through.
    reference : Reference
        The raw image's objects.
    store : StudyStore
        Where the blocks go; the rows of the replicates themselves are committed.
    workers : Workers
        Compute.
    progress : Progress
        Told of every replicate; started by the caller.
    """

    chain: Chain
    reference: Reference
    store: StudyStore
    workers: Workers
    progress: Progress

    def run(self, units: Sequence[Unit], done: int) -> int:
        """Compute and commit blocks.

        Parameters
        ----------
        units : sequence of Unit
            The blocks; a point that turns out to refuse a replicate is left at once, and the reason committed.
        done : int
            Images that the listener was told of already.

        Returns
        -------
        int
            Images that went through the chain: rows that were copied do not count.

        Raises
        ------
        InterruptedStudyError, ResourceError, ImageFormatError
            As `compdistort.pipeline.blocks.run_blocks`.
        """
        images = 0
        for unit in units:
            refused = refused_key(unit.placed.point)
            if not self.store.has(refused):
                try:
                    images += self._fill(unit, done)
                except CodecRangeError as error:
                    self.store.commit(refused, [], {"reason": f"of a replicate: {error}"})
                    self.progress.say(f"{unit.placed.asked.words}: refused, {error}")
            done += unit.length
            self.progress.advance(done)
        return images

    def _fill(self, unit: Unit, done: int) -> int:
        """Compute and commit one block; return the images that went through the chain."""
        began = time.monotonic()
        job = PointJob(restored(self.chain, unit.placed), _known(self.store, unit))
        rows: list[PointRow] = []
        for row in self.workers.rows(range(unit.start, unit.start + unit.length), job):
            rows.append(row)
            self.progress.advance(done + len(rows))
        self.chain.require_same_raw()
        images = sum(row.row is not None for row in rows)
        self.store.commit(unit.key, [*_writes(self.store, unit, rows)], {"images": images}, time.monotonic() - began)
        return images


def _known(store: StudyStore, unit: Unit) -> dict[int, dict[str, str]]:
    """Return what other points made of the replicates of a block, as far as it is committed."""
    known: dict[int, dict[str, str]] = {index: {} for index in range(unit.start, unit.start + unit.length)}
    for point in points_in(store):
        if point != unit.placed.point and store.has(unit_key(point, unit.start)):
            digests = store.read(digest_name(point))
            for index, found in known.items():
                if digests[index].any():  # a volume on disk has none
                    found.setdefault(digests[index].tobytes().hex(), point)
    return known


def _writes(store: StudyStore, unit: Unit, rows: Sequence[PointRow]) -> Iterator[ArrayWrite]:
    """Give the writes of a block; rows that stand elsewhere are copied from there."""
    point = unit.placed.point
    sources = sorted({row.same for row in rows if row.same is not None})
    for number, name in enumerate(array_names(point)):
        there = {source: store.read(array_names(source)[number]) for source in sources}
        data = [
            (row.row.values, row.row.summary)[number] if row.row is not None else there[row.same or RAW][index]
            for index, row in enumerate(rows, unit.start)
        ]
        yield ArrayWrite(name, np.stack(data), unit.start)
    digests = [np.frombuffer(bytes.fromhex(row.digest) or bytes(_DIGEST_BYTES), np.uint8) for row in rows]
    yield ArrayWrite(digest_name(point), np.stack(digests), unit.start)
