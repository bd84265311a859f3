"""How a running study is shown: a bar on a terminal, plain or JSON lines elsewhere, or nothing."""

import json
import sys
import time
from typing import Any

from compdistort.errors import ConfigError
from compdistort.pipeline.progress import Silence, span_words

KINDS = ("auto", "bar", "plain", "json", "none")
_PLAIN_SECONDS = 10.0


class Plain:
    """Lines on stderr, at most one every ten seconds; no control codes.

    Parameters
    ----------
    as_json : bool
        One JSON object a line.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._began = self._last = 0.0
        self._total = self._first = 0

    def _print(self, event: str, text: str, **facts: Any) -> None:
        print(
            json.dumps({"event": event, "text": text, **facts}) if self._as_json else text, file=sys.stderr, flush=True
        )

    def say(self, text: str) -> None:
        """Print one line."""
        self._print("message", text)

    def start(self, total: int, done: int) -> None:
        """Print where the loop starts."""
        self._began = self._last = time.monotonic()
        self._total, self._first = total, done
        self._print("start", f"replicates: {done} of {total} are there", total=total, done=done)

    def advance(self, done: int) -> None:
        """Print the state if the last line is old enough, with the time that is left at the speed so far."""
        now = time.monotonic()
        if now - self._last < _PLAIN_SECONDS and done < self._total:
            return
        self._last = now
        left = (now - self._began) / max(1, done - self._first) * (self._total - done)
        self._print(
            "progress",
            f"replicates: {done} of {self._total}, about {span_words(left)} left",
            total=self._total,
            done=done,
            seconds_left=round(left, 1),
        )

    def finish(self) -> None:
        """Print nothing: the last line has said it."""


class Bar:
    """A rich progress bar on stderr."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only where a bar is shown

        self._console = Console(stderr=True)
        self._bar: Any = None
        self._task: Any = None

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def start(self, total: int, done: int) -> None:
        """Show the bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = ("replicates", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "left", TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, speed_estimate_period=600)
        self._task = self._bar.add_task("replicates", total=total, completed=done)
        self._bar.start()

    def advance(self, done: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done)

    def finish(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()


def listener(kind: str) -> Any:
    """Return the progress listener of that kind; ``auto`` is a bar on a terminal and plain lines elsewhere.

    Raises
    ------
    ConfigError
        For an unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"--progress {kind} is unknown", f"use one of {', '.join(KINDS)}")
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "plain"
    if kind == "bar":
        return Bar()
    return Silence() if kind == "none" else Plain(as_json=kind == "json")
