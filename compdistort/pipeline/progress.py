"""What a running study tells the outside, without knowing who listens."""

from typing import Protocol


def span_words(seconds: float) -> str:
    """Return a span of time in words.

    Examples
    --------
    >>> span_words(42.4), span_words(600), span_words(10800)
    ('42 s', '10.0 min', '3.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress(Protocol):
    """A listener; the command line shows a bar, plain lines or JSON lines, a library caller may show nothing."""

    def say(self, text: str) -> None:
        """Report one fact in one line."""
        ...

    def start(self, total: int, done: int) -> None:
        """Announce that `done` of `total` replicates exist."""
        ...

    def advance(self, done: int) -> None:
        """Announce that `done` replicates exist now."""
        ...

    def finish(self) -> None:
        """Announce that the loop has ended, well or not."""
        ...


class Silence:
    """A listener that shows nothing."""

    def say(self, text: str) -> None:
        """Ignore it."""

    def start(self, total: int, done: int) -> None:
        """Ignore it."""

    def advance(self, done: int) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""
