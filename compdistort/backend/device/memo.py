"""What stays on a device for all threads: made once of host data that never changes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

MEMO_SIZE = 16
"""Tables, filters and forests that stay on the device when nobody uses them."""

_Key = tuple[str, int]


class Memo:
    """Keeps the last `MEMO_SIZE` things, and whatever else is in use.

    Parameters
    ----------
    finish : callable
        Waits for the work of this thread's stream: what is kept is complete for every stream.
    finish_all : callable
        Waits for all work on the device: what is dropped is read by no kernel any more.
    """

    def __init__(self, finish: Callable[[], None], finish_all: Callable[[], None]) -> None:
        self._finish, self._finish_all = finish, finish_all
        self._kept: OrderedDict[_Key, tuple[Any, Any]] = OrderedDict()
        self._in_use: dict[int, set[_Key]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep what this thread is handed until it leaves its outermost such block."""
        thread = threading.get_ident()
        if thread in self._in_use:
            yield
            return
        self._in_use[thread] = set()
        try:
            yield
        finally:
            del self._in_use[thread]

    def get(self, kind: str, source: object, build: Callable[[], T]) -> T:
        """Return what `build` made of `source` the first time (see `Cuda.memo`); inside `using` only."""
        key = (kind, id(source))
        with self._lock:
            self._in_use[threading.get_ident()].add(key)
            if key not in self._kept:
                made = build()
                self._finish()
                self._kept[key] = (source, made)
                self._drop_unused()
            self._kept.move_to_end(key)
            built: T = self._kept[key][1]
            return built

    def _drop_unused(self) -> None:
        """Drop the oldest beyond `MEMO_SIZE`, but nothing that a thread was handed in a block it has not left yet.

        So every kernel that reads what is dropped is launched; once all are done, its memory may be given away.
        """
        in_use: set[_Key] = set().union(*list(self._in_use.values()))
        unused = [key for key in self._kept if key not in in_use]
        dropped = unused[: max(0, len(self._kept) - MEMO_SIZE)]
        if dropped:
            self._finish_all()
        for key in dropped:
            del self._kept[key]
