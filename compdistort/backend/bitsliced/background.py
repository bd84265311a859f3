"""One thread that works through what can wait. It ends with the program, and no process is forked in its midst."""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable

from compdistort.backend.bitsliced import machine


class Background:
    """A queue and, while it holds something, one daemon thread.

    At the program's end `stopping` says yes and the thread is waited for: LLVM is not left in the middle of its work.
    In a forked child the queue is empty; what was asked for is asked again by whoever needs it there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._stop = False
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=machine.turn.acquire,
                after_in_parent=machine.turn.release,
                after_in_child=self._forked,
            )

    def stopping(self) -> bool:
        """Say whether work shall end early."""
        return self._stop

    def put(self, task: Callable[[], None]) -> None:
        """Have something done soon."""
        with self._lock:
            self._tasks.append(task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="compdistort-compile", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Return when nothing is left to do."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """End early, and wait until then."""
        self._stop = True
        self.wait()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._tasks or self._stop:
                    self._thread = None
                    return
                task = self._tasks.popleft()
            task()

    def _forked(self) -> None:
        machine.turn.release()
        self._lock = threading.Lock()
        self._tasks.clear()
        self._thread = None
