"""Who works on an image: the thread that asked for it, and every other one that is free just then.

A study keeps all threads busy with one replicate each, so that an image has one worker; a single large image has all
of them. Nobody decides between the two: a call takes the helpers that are free when it begins.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Team:
    """Threads that share the pieces of an image.

    Parameters
    ----------
    threads : int
        Most threads at work at once, those that call `share` included; at least 1.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._busy = 0
        self._inside = threading.local()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def share(self, pieces: Sequence[T], work: Callable[[Iterator[T]], None]) -> None:
        """Let `work` run on all pieces: by the caller and by free helpers, each with an iterator over what is left.

        Parameters
        ----------
        pieces : sequence
            Independent pieces of work.
        work : callable
            Takes an iterator over pieces; called once by each worker.

        Raises
        ------
        BaseException
            What a worker raised; the others stop after their piece.
        """
        left = _Shared(pieces)
        with self._counted():
            extra = self._take(len(pieces) - 1)
            helpers: list[Future[None]] = []
            try:
                helpers += [self._workers().submit(self._help, work, left) for _ in range(extra)]
                work(left)
            finally:
                left.stop()
                # A helper that has not begun finds nothing left. All end before the caller's arrays go away.
                failures = [each.exception() for each in helpers]
                self._give_back(extra)
        for failure in failures:
            if failure is not None:
                raise failure

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count this thread as busy, once however deep its calls are nested."""
        if getattr(self._inside, "counted", False):
            yield
            return
        self._inside.counted = True
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            self._inside.counted = False
            self._give_back(1)

    def _help(self, work: Callable[[Iterator[T]], None], left: "_Shared[T]") -> None:
        """Run in a helper, which is counted as busy already."""
        self._inside.counted = True
        try:
            work(left)
        finally:
            self._inside.counted = False

    def _take(self, wanted: int) -> int:
        """Make free helpers busy, as many as can be used; return how many these are."""
        with self._lock:
            extra = max(0, min(wanted, self.threads - self._busy))
            self._busy += extra
            return extra

    def _give_back(self, n: int) -> None:
        with self._lock:
            self._busy -= n

    def _workers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="compdistort")
            return self._pool


class _Shared(Iterator[T]):
    """An iterator that several threads take from."""

    def __init__(self, pieces: Sequence[T]) -> None:
        self._pieces = iter(pieces)
        self._lock = threading.Lock()
        self._stopped = False

    def __next__(self) -> T:
        with self._lock:
            if self._stopped:
                raise StopIteration
            return next(self._pieces)

    def stop(self) -> None:
        """Give out nothing more."""
        with self._lock:
            self._stopped = True
