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
from numba import njit  # noqa: TID251 - a loop to be timed, none of the engine's

CALM = 1.1
"""A call is calm if the gauge before and after it took at most so many times its shortest time."""
CALM_CALLS = 5
"""Calm calls that are waited for."""
PATIENCE_SECONDS = 30.0
"""Longest wait for calm calls, for each contender whose calls are short enough to be calm."""
CALLS_A_WAIT = 7
"""Calls of a contender that such a wait has time for at least."""
SHORT_SECONDS = 1.0
"""A call is repeated until a round takes about so long, at most `MOST_CALLS` times: seldom are all disturbed."""
MOST_CALLS = 50
ANSWER_SECONDS = 900.0


@dataclass
class Contender:
    """Something under the clock.

    Attributes
    ----------
    name : str
        What the row is called.
    call : callable
        Takes the number of the call, from 0, and does the work of `units` pixels; its answer, where it is a float,
        is the time in seconds that another process measured.
    units : float
        Pixels or voxels of a call.
    note : str
        What a reader must know.
    """

    name: str
    call: Callable[[int], Any]
    units: float
    note: str = ""


@dataclass
class Times:
    """Seconds of every call, and in how many rounds they were made."""

    units: float
    calls_a_round: int = 1
    rounds: int = 0
    note: str = ""
    seconds: list[float] = field(default_factory=list)
    calm: list[bool] = field(default_factory=list)

    @property
    def n_calm(self):
        """Calls in calm moments of the machine."""
        return sum(self.calm)

    @property
    def calm_median(self):
        """Nanoseconds a pixel over the calm calls; None where they are fewer than `CALM_CALLS`."""
        if self.n_calm < CALM_CALLS:
            return None
        return statistics.median(s for s, calm in zip(self.seconds, self.calm, strict=True) if calm) / self.units * 1e9

    @property
    def median(self):
        """Nanoseconds a pixel."""
        return statistics.median(self.seconds) / self.units * 1e9

    @property
    def fastest(self):
        """Nanoseconds a pixel."""
        return min(self.seconds) / self.units * 1e9


class Gauge:
    """Whether a neighbour works on the same physical core: vector code in registers, which it slows down, is timed."""

    def __init__(self):
        self._block = np.arange(1, 513, dtype=np.uint64)
        _spin(self._block, 1)  # compiles
        self.best = min(self.seconds() for _ in range(20))

    def seconds(self):
        """Return the time of one loop, about a millisecond."""
        began = time.perf_counter()
        _spin(self._block, 4000)
        return time.perf_counter() - began

    def is_calm(self):
        """Return whether the loop is about as fast as ever."""
        passed = self.seconds()
        self.best = min(self.best, passed)
        return passed <= CALM * self.best


@njit(nogil=True)
def _spin(block, n):
    for _ in range(n):
        for i in range(block.size):
            x = block[i]
            x ^= x << np.uint64(13)
            x ^= x >> np.uint64(7)
            block[i] = x ^ (x << np.uint64(17))


def in_turns(contenders, rounds, *, repeat=True, gauge=None, patience=PATIENCE_SECONDS):
    """Run all contenders in turns and return their `Times` by name.

    One call of each comes first, without the clock: compilers, caches and pools are ready afterwards. With a gauge,
    contenders whose calls are short are called on, in turns and whenever it is calm, until `CALM_CALLS` calls of each
    were calm, or patience ends.

    Parameters
    ----------
    contenders : sequence of Contender
        Who takes part.
    rounds : int
        Rounds under the clock.
    repeat : bool
        Whether short calls are repeated within a round.
    gauge : Gauge, optional
        Tells calm moments.
    patience : float
        Seconds that are waited for them, times the contenders that wait.
    """
    found, counts = {}, {}

    def call(each):
        times = found[each.name]
        calm = gauge is not None and gauge.is_calm()
        times.seconds.append(_seconds(each, counts[each.name]))
        times.calm.append(calm and gauge.is_calm())
        counts[each.name] += 1

    for each in contenders:
        seconds = _seconds(each, 0)
        times = Times(each.units, note=each.note)
        if repeat and seconds < SHORT_SECONDS:
            times.calls_a_round = max(1, min(MOST_CALLS, int(SHORT_SECONDS / max(seconds, 1e-9))))
        found[each.name], counts[each.name] = times, 1
    for _ in range(rounds):
        for each in contenders:
            found[each.name].rounds += 1
            for _ in range(found[each.name].calls_a_round):
                call(each)
    if gauge is not None:
        waiting = [each for each in contenders if min(found[each.name].seconds) < patience / CALLS_A_WAIT]
        _wait_for_calm(waiting, found, call, gauge, time.monotonic() + patience * len(waiting))
    return found


def _wait_for_calm(waiting, found, call, gauge, until):
    """Call in turns, whenever it is calm, those who have too few calm calls."""
    while time.monotonic() < until:
        waiting = [each for each in waiting if found[each.name].n_calm < CALM_CALLS]
        if not waiting:
            return
        if gauge.is_calm():
            call(waiting[0])
            waiting = [*waiting[1:], waiting[0]]
        else:
            time.sleep(0.02)


def _seconds(contender, number):
    began = time.perf_counter()
    own = contender.call(number)
    passed = time.perf_counter() - began
    return own if isinstance(own, float) else passed


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
