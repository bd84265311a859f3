"""The long part of a study: every replicate, raw and through every codec, in committed blocks.

A replicate depends on its number alone, so threads, devices, blocks, order and interruptions leave no trace in the
results.
"""

import time
from collections.abc import Sequence

import numpy as np

from compdistort.measurands import Measurands
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import COUNTS, Reference
from compdistort.pipeline.compiling import compile_seconds
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.rows import RAW, Row
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.workers import open_workers
from compdistort.store import ArrayWrite, StudyStore


def array_names(codec: str) -> tuple[str, str]:
    """Return the store names of a codec's replicate values and summaries (`RAW`: of the replicates themselves)."""
    head = "replicates" if codec == RAW else f"codecs/{codec}/replicates"
    return f"{head}/values", f"{head}/summary"


def block_key(start: int) -> str:
    """Return the journal key of the block that starts at replicate `start`."""
    return f"replicates/{start:06d}"


def make_arrays(store: StudyStore, reference: Reference, measurands: Measurands, n_replicates: int, block: int) -> None:
    """Make the arrays that the blocks fill."""
    n_summary = len(measurands.totals) + len(COUNTS)
    for name in (RAW, *reference.replicated):
        values, summary = array_names(name)
        store.make_array(values, (n_replicates, len(reference.values), len(measurands.parameters)), "<f4", block)
        store.make_array(summary, (n_replicates, n_summary), "<f8", block)


def run_blocks(
    chain: Chain,
    reference: Reference,
    store: StudyStore,
    *,
    n_replicates: int,
    block: int,
    devices: Sequence[str],
    forest: str,
    threads: int,
    stop: StopFlag,
    progress: Progress,
) -> None:
    """Compute and commit every block that is not there yet.

    Parameters
    ----------
    chain : Chain
        What every image goes through.
    reference : Reference
        The raw image's objects, and the codecs.
    store : StudyStore
        Where the blocks go: per codec, values of shape (n_replicates, n_objects, n_parameters), float32, and
        summaries (totals, then `COUNTS`) of shape (n_replicates, n_totals + len(COUNTS)), float64.
    n_replicates : int
        How many replicates the study has.
    block : int
        Replicates a block, committed together.
    devices : sequence of str
        Engines by name (see `compdistort.backend.get_backend`); more than one, and each gets a process.
    forest : str
        Where the forest votes on a process's device, ``"device"`` or ``"cpu"``.
    threads : int
        Threads in all, shared evenly among the devices, at least one each.
    stop : StopFlag
        Ends the work between two images.
    progress : Progress
        Told of every replicate.

    Raises
    ------
    InterruptedStudyError
        If a stop was asked for: the block in work is dropped, the others are committed.
    ResourceError
        If a device or its process fails: as above.
    ImageFormatError
        If a volume on disk is damaged or changed meanwhile: as above.
    """
    make_arrays(store, reference, chain.measurands, n_replicates, block)
    starts = [start for start in range(0, n_replicates, block) if not store.has(block_key(start))]
    lengths = {start: min(block, n_replicates - start) for start in range(0, n_replicates, block)}
    done = n_replicates - sum(lengths[start] for start in starts)
    progress.start(n_replicates, done)
    if not starts:
        progress.finish()
        return
    before = compile_seconds(chain)
    try:
        with open_workers(chain, reference, devices, forest, threads, stop) as workers:
            for start in starts:
                began = time.monotonic()
                rows: list[dict[str, Row]] = []
                for row in workers.rows(range(start, start + lengths[start])):
                    rows.append(row)
                    progress.advance(done + len(rows))
                chain.require_same_raw()
                store.commit(block_key(start), _writes(rows, start, reference), {}, time.monotonic() - began)
                done += len(rows)
    finally:
        progress.finish()
    compiled = compile_seconds(chain) - before
    if compiled > 0:
        progress.say(f"meanwhile the forest was compiled in {compiled:.1f} s; later studies with it find it compiled")


def _writes(rows: list[dict[str, Row]], start: int, reference: Reference) -> list[ArrayWrite]:
    writes = []
    for name in (RAW, *reference.replicated):
        values, summary = array_names(name)
        writes.append(ArrayWrite(values, np.stack([row[name].values for row in rows]), start))
        writes.append(ArrayWrite(summary, np.stack([row[name].summary for row in rows]), start))
    return writes
