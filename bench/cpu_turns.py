"""Contenders in turns: every round runs each of them once, so that a busy moment of the machine hits all alike."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SETTLED, SETTLING_CALLS = 0.005, 8
"""An undisturbed time has settled when so many more calls together lower it by at most this share."""
SETTLING_SECONDS = 3.0
"""Short calls are repeated for about so long in a further round."""
PATIENCE_SECONDS = 30.0
"""Longest time for further calls, for each contender."""
SHORT_SECONDS = 1.0
"""A call is repeated until a round takes about so long, at most `MOST_CALLS` times: seldom are all disturbed."""
MOST_CALLS = 50
ANSWER_SECONDS = 900.0


@dataclass(frozen=True)
class Pieces:
    """What a call answers that knows the seconds of its pieces, float64 of shape (n_pieces,)."""

    seconds: np.ndarray


@dataclass
class Contender:
    """Something under the clock.

    Attributes
    ----------
    name : str
        What the row is called.
    call : callable
        Takes the number of the call, from 0, and does the work of `units` pixels. Its answer may be a float, the
        seconds that another process measured, or its `Pieces`; anything else means nothing.
    units : float
        Pixels or voxels of a call.
    note : str
        What a reader must know.
    """

    name: str
    call: Callable[[int], Any]
    units: float
    note: str = ""
    settles: bool = True
    """Whether further rounds are made for it."""


@dataclass
class Times:
    """Seconds of every call, the fastest of every piece, and in how many rounds the calls were made."""

    units: float
    calls_a_round: int = 1
    rounds: int = 0
    note: str = ""
    seconds: list[float] = field(default_factory=list)
    pieces: Any = None
    sums: list[float] = field(default_factory=list)
    """Seconds of the fastest pieces together, after each call."""

    def add(self, pieces):
        """Add a call by the seconds of its pieces, which must be as many each time."""
        if self.pieces is not None and len(pieces) != len(self.pieces):
            raise ValueError(f"a call has {len(pieces)} pieces, the calls before had {len(self.pieces)}")
        self.seconds.append(float(pieces.sum()))
        self.pieces = pieces if self.pieces is None else np.minimum(pieces, self.pieces)
        self.sums.append(float(self.pieces.sum()))

    @property
    def settled(self):
        """Whether the last calls made no piece much faster."""
        n = SETTLING_CALLS
        return len(self.sums) > n and self.sums[-1] >= (1 - SETTLED) * self.sums[-1 - n]

    @property
    def median(self):
        """Nanoseconds a pixel."""
        return statistics.median(self.seconds) / self.units * 1e9

    @property
    def fastest(self):
        """Nanoseconds a pixel."""
        return min(self.seconds) / self.units * 1e9

    @property
    def undisturbed(self):
        """Nanoseconds a pixel, the fastest of every piece together; of a call without pieces that of the fastest."""
        return float(self.pieces.sum()) / self.units * 1e9


def in_turns(contenders, rounds, *, repeat=True, settle=False, patience=PATIENCE_SECONDS):
    """Run all contenders in turns and return their `Times` by name.

    One call of each comes first, without the clock: compilers, caches and pools are ready afterwards.

    Parameters
    ----------
    contenders : sequence of Contender
        Who takes part.
    rounds : int
        Rounds under the clock.
    repeat : bool
        Whether short calls are repeated within a round.
    settle : bool
        Whether rounds go on until the undisturbed times of those that settle have settled, or patience ends.
    patience : float
        Seconds of further rounds, for each of them.
    """
    found, counts = {}, {}
    for each in contenders:
        seconds = _pieces(each, 0).sum()
        times = Times(each.units, note=each.note)
        if repeat and seconds < SHORT_SECONDS:
            times.calls_a_round = max(1, min(MOST_CALLS, int(SHORT_SECONDS / max(seconds, 1e-9))))
        found[each.name], counts[each.name] = times, 1

    def a_round(some, seconds):
        for each in some:
            times = found[each.name]
            times.rounds += 1
            most = max(times.calls_a_round, int(seconds / min(times.seconds))) if seconds else times.calls_a_round
            for _ in range(min(MOST_CALLS, most)):
                times.add(_pieces(each, counts[each.name]))
                counts[each.name] += 1

    for _ in range(rounds):
        a_round(contenders, 0)
    waiting = [each for each in contenders if each.settles and settle]
    until = time.monotonic() + patience * len(waiting)
    while time.monotonic() < until:
        waiting = [each for each in waiting if not found[each.name].settled]
        if not waiting:
            break
        a_round(waiting, SETTLING_SECONDS)
    return found


def _pieces(contender, number):
    """Make a call and return the seconds of its pieces; a call that tells none is one piece."""
    began = time.perf_counter()
    own = contender.call(number)
    passed = time.perf_counter() - began
    return own.seconds if isinstance(own, Pieces) else np.array([own if isinstance(own, float) else passed])


class WorkerError(RuntimeError):
    """Another process cannot do its part; the text says why."""


class Worker:
    """Another process, perhaps of another Python, that does one piece of work each time it is asked.

    It reads one line of JSON for every piece and answers with one, ``{"seconds": ...}`` or ``{"error": ...}``; its
    first line says that it is ready.

    Parameters
    ----------
    command : sequence of str
        Python and its arguments.
    environment : dict
        Variables beside those of this process.
    """

    def __init__(self, command, environment=None):
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | (environment or {}),
        )  # fmt: skip
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        try:
            self.ready = self._answer()
        except WorkerError:
            self.close()
            raise

    def ask(self, **question):
        """Let it work and return its answer."""
        self.tell(**question)
        return self.listen()

    def tell(self, **question):
        """Let it begin."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def listen(self):
        """Wait for its answer."""
        return self._answer()

    def close(self):
        """End it."""
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _drain(self):
        for line in self._process.stderr:
            self._errors.append(line.rstrip())

    def _answer(self):
        watch = threading.Timer(ANSWER_SECONDS, self._process.kill)
        watch.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            self._process.wait()
            self._reader.join(5)
            last = next((text for text in reversed(self._errors) if text.strip()), "it ended without a word")
            raise WorkerError(last)
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer


def own_worker(*arguments, environment=None):
    """Return a worker of this very Python that runs ``bench/cpu_worker.py``."""
    script = Path(__file__).with_name("cpu_worker.py")
    return Worker([sys.executable, str(script), *map(str, arguments)], environment)
