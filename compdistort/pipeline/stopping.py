"""How a command is stopped from outside: by Ctrl-C, SIGTERM or SIGUSR1 (a batch system's warning)."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from compdistort.errors import InterruptedStudyError

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))
_AGAIN = getattr(signal, "SIGALRM", None)
_AGAIN_SECONDS = 0.05


class Event(Protocol):
    """What is set once and seen by all: an event of `threading`, or of `multiprocessing`."""

    def is_set(self) -> bool:
        """Return whether it was set."""
        ...

    def set(self) -> None:
        """Set it."""
        ...


class StopFlag:
    """Whether the command was asked to stop.

    Parameters
    ----------
    event : Event, optional
        Where the wish is kept; one of `multiprocessing` is seen by worker processes too.
    """

    def __init__(self, event: Event | None = None) -> None:
        self._event: Event = event or threading.Event()
        self.reason = ""

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def set(self, reason: str) -> None:
        """Ask for a stop."""
        self.reason = reason
        self._event.set()

    def check(self) -> None:
        """Raise if a stop was asked for.

        Raises
        ------
        InterruptedStudyError
            With the reason.
        """
        if self.requested:
            raise InterruptedStudyError(f"stopped by {self.reason}")

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let signals ask for a stop while the block runs, which has to `check` (main thread only)."""

        def handler(number: int, _frame: FrameType | None) -> None:
            if number != _AGAIN:
                self.set(signal.Signals(number).name)

        with _handled_by(handler):
            yield

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let signals end the block at once by KeyboardInterrupt (main thread only); they ask for a stop too."""

        def handler(number: int, frame: FrameType | None) -> None:
            if number != _AGAIN:
                self.set(signal.Signals(number).name)
            if _AGAIN is not None and _inside_compiler(frame):
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
                return
            raise KeyboardInterrupt

        with _handled_by(handler):
            yield


def _inside_compiler(frame: FrameType | None) -> bool:
    """Say whether LLVM has called back into Python, which would swallow an exception and spoil what it compiles."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("llvmlite."):
            return True
        frame = frame.f_back
    return False


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (*STOP_SIGNALS, *(() if _AGAIN is None else (_AGAIN,)))
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        if _AGAIN is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, old in before.items():
            signal.signal(number, old)
