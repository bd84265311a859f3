"""The long part of a study: every replicate, raw and through every codec, in committed blocks.

A replicate depends on its number alone, so threads, blocks, order and interruptions leave no trace in the results.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from compdistort.backend.base import PARAMETERS, Float32, Float64
from compdistort.pipeline.comparison import SUMMARY, Comparison, Reference, compare
from compdistort.pipeline.inputs import Chain
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.stopping import StopFlag
from compdistort.store import ArrayWrite, StudyStore

RAW = ""
"""Name of the row of a replicate that went through no codec."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image against the reference: parameters by raw object (NaN unmatched), and `SUMMARY`."""

    values: Float32
    summary: Float64


def replicate_rows(chain: Chain, reference: Reference, index: int, stop: StopFlag) -> dict[str, Row]:
    """Draw replicate `index` and return its row, and its row through every codec."""
    image = chain.backend.replicate(chain.raw, chain.noise, chain.key, range(index, index + 1))[0]
    rows = {RAW: _row(compare(chain, reference, image))}
    for name, codec in reference.codecs.items():
        stop.check()
        decoded = codec.apply(image).decoded
        same = decoded.dtype == image.dtype and np.array_equal(decoded, image)
        rows[name] = rows[RAW] if same else _row(compare(chain, reference, decoded))
    return rows


def _row(comparison: Comparison) -> Row:
    return Row(comparison.aligned.astype(np.float32), comparison.summary)


def array_names(codec: str) -> tuple[str, str]:
    """Return the store names of a codec's replicate values and summaries (`RAW`: of the replicates themselves)."""
    head = "replicates" if codec == RAW else f"codecs/{codec}/replicates"
    return f"{head}/values", f"{head}/summary"


def block_key(start: int) -> str:
    """Return the journal key of the block that starts at replicate `start`."""
    return f"replicates/{start:06d}"


def make_arrays(store: StudyStore, reference: Reference, n_replicates: int, block: int) -> None:
    """Make the arrays that the blocks fill."""
    for name in (RAW, *reference.codecs):
        values, summary = array_names(name)
        store.make_array(values, (n_replicates, len(reference.values), len(PARAMETERS)), "<f4", block)
        store.make_array(summary, (n_replicates, len(SUMMARY)), "<f8", block)


def run_blocks(
    chain: Chain,
    reference: Reference,
    store: StudyStore,
    *,
    n_replicates: int,
    block: int,
    threads: int,
    stop: StopFlag,
    progress: Progress,
) -> None:
    """Compute and commit every block that is not there yet.

    Raises
    ------
    InterruptedStudyError
        If a stop was asked for: the block in work is dropped, the others are committed.
    """
    make_arrays(store, reference, n_replicates, block)
    starts = [start for start in range(0, n_replicates, block) if not store.has(block_key(start))]
    lengths = {start: min(block, n_replicates - start) for start in range(0, n_replicates, block)}
    done = n_replicates - sum(lengths[start] for start in starts)
    progress.start(n_replicates, done)
    try:
        with ThreadPoolExecutor(threads) as pool:
            for start in starts:
                began = time.monotonic()
                rows: list[dict[str, Row]] = []
                work = range(start, start + lengths[start])
                for row in pool.map(lambda index: _guarded(chain, reference, index, stop), work):
                    rows.append(row)
                    progress.advance(done + len(rows))
                store.commit(block_key(start), _writes(rows, start, reference), {}, time.monotonic() - began)
                done += len(rows)
    finally:
        progress.finish()


def _guarded(chain: Chain, reference: Reference, index: int, stop: StopFlag) -> dict[str, Row]:
    stop.check()
    return replicate_rows(chain, reference, index, stop)


def _writes(rows: list[dict[str, Row]], start: int, reference: Reference) -> list[ArrayWrite]:
    writes = []
    for name in (RAW, *reference.codecs):
        values, summary = array_names(name)
        writes.append(ArrayWrite(values, np.stack([row[name].values for row in rows]), start))
        writes.append(ArrayWrite(summary, np.stack([row[name].summary for row in rows]), start))
    return writes
