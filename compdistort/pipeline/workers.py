"""Who computes the replicates of a study: threads on one engine, or one process a device with threads in each.

Every block of replicates is cut into the same runs of numbers, one a device, and rows come back in the order of their
numbers: how many devices there are leaves no trace in the results. Only the parent writes to the store. A process is
spawned, never forked, since CUDA does not survive a fork; it ends when the parent ends, however that came about.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Protocol

from compdistort.backend import get_backend
from compdistort.errors import CompdistortError, InterruptedStudyError, ResourceError
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.rows import replicate_rows
from compdistort.pipeline.stopping import STOP_SIGNALS, StopFlag

Job = Callable[[Chain, Reference, int, StopFlag], Any]
"""What is made of the replicate of a number; it can be pickled, since it may go to another process."""

POLL_SECONDS = 0.1
GRACE_SECONDS = 30.0
"""How long a process may take to end after its last image before it is killed."""
TASKS_PER_PART = 4
"""Pieces in which a device's part of a block is handed over, so that progress can be shown."""


class Workers(Protocol):
    """Computes rows."""

    def rows(self, work: range, job: Job = replicate_rows) -> Iterator[Any]:
        """Yield what `job` makes of the replicates `work` (the row through every codec), in their order."""
        ...


@contextmanager
def open_workers(
    chain: Chain, reference: Reference, devices: Sequence[str], forest: str, threads: int, stop: StopFlag
) -> Iterator[Workers]:
    """Yield who computes the rows; on the way out everything that was started has ended.

    Parameters
    ----------
    chain : Chain
        The chain; with one device its engine computes.
    reference : Reference
        The raw image's objects and the codecs.
    devices : sequence of str
        Names that `get_backend` takes; several give one process each.
    forest : str
        Where the forest of such a process votes; see `get_backend`.
    threads : int
        Threads in all, shared evenly among the devices, at least one each.
    stop : StopFlag
        Ends the work between two images.

    Raises
    ------
    ResourceError
        If a process dies.
    InterruptedStudyError
        If a stop was asked for.
    """
    if len(devices) == 1:
        with ThreadPoolExecutor(threads) as pool:
            yield ThreadWorkers(chain, reference, pool, stop)
        return
    workers = ProcessWorkers(devices, stop)
    try:
        workers.build(chain, reference, forest, max(1, threads // len(devices)))
        yield workers
    finally:
        workers.close()


class ThreadWorkers:
    """Threads of this process on the engine of the chain."""

    def __init__(self, chain: Chain, reference: Reference, pool: ThreadPoolExecutor, stop: StopFlag) -> None:
        self._chain, self._reference, self._pool, self._stop = chain, reference, pool, stop

    def rows(self, work: range, job: Job = replicate_rows) -> Iterator[Any]:
        """Yield what `job` makes of the replicates `work`, in their order."""
        return self._pool.map(lambda index: job(self._chain, self._reference, index, self._stop), work)


class ProcessWorkers:
    """One process a device, each with a chain of its own."""

    def __init__(self, devices: Sequence[str], stop: StopFlag) -> None:
        context = get_context("spawn")
        self._devices, self._stop, self._stopped = tuple(devices), stop, context.Event()
        self._pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(self._stopped,)) for _ in devices
        ]
        self._processes: set[BaseProcess] = set()

    def build(self, chain: Chain, reference: Reference, forest: str, threads: int) -> None:
        """Let every process build the chain on its device."""
        parts, before = chain.host_parts(), set(active_children())
        tasks = [
            _Task(device, pool.submit(_build, parts, reference, (device, forest), threads))
            for device, pool in zip(self._devices, self._pools, strict=True)
        ]
        self._processes = set(active_children()) - before
        for task in tasks:
            self._result(task, tasks)

    def rows(self, work: range, job: Job = replicate_rows) -> Iterator[Any]:
        """Yield what `job` makes of the replicates `work`, in their order."""
        tasks = [
            _Task(device, pool.submit(_rows, piece, job))
            for device, pool, part in zip(self._devices, self._pools, cut(work, len(self._pools)), strict=True)
            for piece in cut(part, TASKS_PER_PART)
        ]
        for task in tasks:
            yield from self._result(task, tasks)

    def close(self) -> None:
        """End every process: after the image it works on, or by force when that takes too long."""
        self._stopped.set()
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + GRACE_SECONDS
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
            process.kill()
            process.join()
            # The pool's own thread may have reaped it a moment before us, and is about to note its exit code.
            while process.exitcode is None and time.monotonic() < until + GRACE_SECONDS:
                time.sleep(0.001)

    def _result(self, task: "_Task", tasks: Sequence["_Task"]) -> Any:
        """Return what a task gave; look after the stop flag and after the other tasks meanwhile."""
        while not wait([task.future], POLL_SECONDS).done:
            self._check()
            for other in tasks:
                if other.future.done():
                    other.result()
        self._check()
        try:
            return task.result()
        except InterruptedStudyError:
            self._check()
            raise

    def _check(self) -> None:
        if self._stop.requested:
            self._stopped.set()
            self._stop.check()


class _Task(NamedTuple):
    device: str
    future: Future[Any]

    def result(self) -> Any:
        try:
            return self.future.result()
        except BrokenProcessPool as error:
            raise ResourceError(
                f"the process that works on device '{self.device}' ended unexpectedly (killed, or short of memory)"
            ) from error


def cut(work: range, n: int) -> list[range]:
    """Return `work` as `n` runs of nearly equal length, in order; short work leaves some of them empty.

    Examples
    --------
    >>> cut(range(10, 17), 3)
    [range(10, 12), range(12, 14), range(14, 17)]
    """
    bounds = [len(work) * i // n for i in range(n + 1)]
    return [work[start:stop] for start, stop in pairwise(bounds)]


class _Station(NamedTuple):
    """What a worker process keeps between tasks."""

    chain: Chain
    reference: Reference
    pool: ThreadPoolExecutor


_stops: list[StopFlag] = []
_stations: list[_Station] = []


def _begin(stopped: Any) -> None:
    """Start a worker process: signals are the parent's affair, and it does not outlive the parent."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _stops.append(StopFlag(stopped))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _build(parts: dict[str, Any], reference: Reference, engine: tuple[str, str], threads: int) -> None:
    with _portable_errors():
        chain = Chain.rebuild(parts, get_backend(*engine, threads))
    _stations.append(_Station(chain, reference, ThreadPoolExecutor(threads)))


def _rows(work: range, job: Job) -> list[Any]:
    chain, reference, pool = _stations[0]
    with _portable_errors():
        return list(pool.map(lambda index: job(chain, reference, index, _stops[0]), work))


@contextmanager
def _portable_errors() -> Iterator[None]:
    """Hand on only exceptions that can be pickled: a foreign one arrives as a RuntimeError with its words."""
    try:
        yield
    except CompdistortError:
        raise
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
