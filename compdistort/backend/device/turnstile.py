"""How many threads work on one device at a time: a few together, or one alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """Lets `places` threads work at once, and one alone when it asks for that; the others wait.

    A thread that is inside goes straight through, so that a turn may be taken within a turn. Who wants to work alone
    waits outside, so two such threads never wait for each other, and nobody new goes in before it.

    Parameters
    ----------
    places : int
        Threads that may work at once.

    Attributes
    ----------
    at_work : int
        Threads inside.
    most : int
        Threads that were ever here at once, inside or waiting.
    """

    def __init__(self, places: int) -> None:
        self.places, self.at_work, self.most = places, 0, 0
        self._here, self._want_alone, self._alone = 0, 0, False
        self._changed = threading.Condition()
        self._local = threading.local()

    @property
    def inside(self) -> bool:
        """Whether this thread is in a turn."""
        return getattr(self._local, "inside", False)

    @contextmanager
    def turn(self, *, alone: bool = False) -> Iterator[None]:
        """Wait for a turn and hold it; within a turn of the same thread nothing is waited for, or changed."""
        if self.inside:
            yield
            return
        self._enter(alone)
        try:
            self._local.inside = True
            yield
        finally:
            self._local.inside = False
            self._leave()

    def _enter(self, alone: bool) -> None:
        with self._changed:
            self._here += 1
            self.most = max(self.most, self._here)
            self._want_alone += alone
            try:
                self._changed.wait_for(lambda: self._may_enter(alone))
                self.at_work += 1
                self._alone = alone
            except BaseException:  # an interrupt while it waited
                self._here -= 1
                raise
            finally:
                self._want_alone -= alone
                self._changed.notify_all()

    def _may_enter(self, alone: bool) -> bool:
        if alone:
            return self.at_work == 0
        return self.at_work < self.places and not self._alone and self._want_alone == 0

    def _leave(self) -> None:
        with self._changed:
            self.at_work -= 1
            self._here -= 1
            self._alone = False
            self._changed.notify_all()
