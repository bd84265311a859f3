"""How a command is stopped from outside: by Ctrl-C, SIGTERM or SIGUSR1 (a batch system's warning)."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from compdistort.errors import InterruptedStudyError

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))


class StopFlag:
    """Whether the command was asked to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

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
        if self._event.is_set():
            raise InterruptedStudyError(f"stopped by {self.reason}")

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let signals ask for a stop while the block runs, which has to `check` (main thread only)."""

        def handler(number: int, _frame: FrameType | None) -> None:
            self.set(signal.Signals(number).name)

        with _handled_by(handler):
            yield

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let signals end the block at once by KeyboardInterrupt (main thread only).

        They ask for a stop too: where a foreign callback swallows the exception, the next `check` ends the command.
        """

        def handler(number: int, _frame: FrameType | None) -> None:
            self.set(signal.Signals(number).name)
            raise KeyboardInterrupt

        with _handled_by(handler):
            yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
