"""Times of single stages and of whole replicates, taken in turns: a busy moment of the machine hits every pipeline.

A stage is timed as a verb of its own, on one thread. The whole replicate is what a study pays for an image: noise to
objects, fused as the engine does it; it may take less than the sum of its stages, which pass whole planes on.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.bitsliced.descent import unpacked_bits
from compdistort.backend.bitsliced.voter import Voter, voter_for
from compdistort.backend.compiled.blocks import UNIT
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.stopping import StopFlag

R = TypeVar("R")
E = TypeVar("E", bound=Exception)

STAGES = ("noise", "features", "forest", "objects", "replicate")
"""What is timed; ``objects`` is components and object table, ``replicate`` the whole, fused."""

COMPILED = "numba"
"""Name of the engine whose forests are compiled to networks."""

SHORT_SECONDS = 0.03
"""A call is repeated within a turn until it took about so long, at most `MOST_CALLS` times."""
MOST_CALLS = 10


@dataclass(slots=True, kw_only=True)
class Times:
    """Seconds of every stage in every turn.

    Attributes
    ----------
    pixels : int
        Of the image.
    warm_up_seconds : float
        First turn with all that is compiled or loaded in it; not among the others.
    seconds : dict of str to list of float
        By stage, one a turn.
    stack_bytes : int
        Size of the feature stack that the stage ``features`` made.
    """

    pixels: int
    warm_up_seconds: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    stack_bytes: int = 0

    def turns_ns(self, stage: str) -> tuple[float, ...]:
        """Return every turn, nanoseconds a pixel."""
        return tuple(seconds / self.pixels * 1e9 for seconds in self.seconds[stage])

    def median_ns(self, stage: str) -> float:
        """Return the median over the turns, nanoseconds a pixel."""
        return statistics.median(self.turns_ns(stage))

    def fastest_ns(self, stage: str) -> float:
        """Return the minimum over the turns, nanoseconds a pixel."""
        return min(self.turns_ns(stage))


def time_in_turns(chains: list[Chain], rounds: int, stop: StopFlag) -> list[Times | MemoryError]:
    """Time every chain once a round, all with the same replicate.

    A chain that runs out of memory in the warm-up turn takes no part in the others.

    Parameters
    ----------
    chains : list of Chain
        Pipelines on their engines.
    rounds : int
        Turns under the clock.
    stop : StopFlag
        Ends the work between two turns.

    Returns
    -------
    list of Times or MemoryError
        One a chain, or what ended its warm-up.
    """
    found = [_warm_up(chain, stop) for chain in chains]
    for number in range(1, rounds + 1):
        for chain, times in zip(chains, found, strict=True):
            if isinstance(times, Times):
                stop.check()
                _turn(chain, number, times, keep=True)
    return found


def forget_frames(error: E) -> E:
    """Return an error without the frames that it passed through, which hold what was too much for the memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _warm_up(chain: Chain, stop: StopFlag) -> Times | MemoryError:
    stop.check()
    times = Times(pixels=chain.raw.size)
    began = time.perf_counter()
    try:
        _turn(chain, 0, times, keep=False)
    except MemoryError as error:
        return forget_frames(error)
    times.warm_up_seconds = time.perf_counter() - began
    return times


def _turn(chain: Chain, number: int, times: Times, *, keep: bool) -> None:
    """Take one image through all stages; what one stage gives the next one takes, so that nothing is kept."""
    backend, forest = chain.backend, chain.classifier.forest

    def clock(stage: str, call: Callable[[], R]) -> R:
        seconds, result = _timed(call, backend.synchronize, repeat=keep)
        if keep:
            times.seconds[stage].append(seconds)
        return result

    def draw() -> Any:
        return backend.replicate(chain.on_device, chain.noise, chain.key, range(number, number + 1))[0]

    image = clock("noise", draw)
    planes = clock("features", lambda: backend.feature_stack(image, chain.bank))
    times.stack_bytes = int(planes.nbytes)
    mask = clock("forest", _voting(chain, planes))
    if backend.name == COMPILED:
        mask = unpacked_bits(mask)[: chain.raw.size].reshape(chain.raw.shape).astype(np.bool_)
    del planes
    clock("objects", lambda: backend.measure(backend.label(mask, chain.rule)))
    clock("replicate", lambda: backend.image_objects(draw(), chain.bank, forest, chain.rule))


def _timed(call: Callable[[], R], synchronize: Callable[[], None], *, repeat: bool) -> tuple[float, R]:
    """Return the mean seconds of a call, repeated where it is short, and its last result."""
    total, calls = 0.0, 0
    while True:
        synchronize()
        began = time.perf_counter()
        result = call()
        synchronize()
        total += time.perf_counter() - began
        calls += 1
        if not repeat or total >= SHORT_SECONDS or calls == MOST_CALLS:
            return total / calls, result


def compile_forest(chain: Chain) -> Voter | None:
    """Compile the forest for the engine that votes by networks, or fetch it if it is; None for other engines."""
    if chain.backend.name != COMPILED:
        return None
    return voter_for(chain.classifier.forest, wait=True, foreground=chain.rule.foreground)


def _voting(chain: Chain, planes: Any) -> Callable[[], Any]:
    """Return the call by which the forest votes; the compiled engine's is that of its fused loop.

    Only a few forests stay compiled at a time, so that each is fetched anew before it is timed.
    """
    backend, forest, rule = chain.backend, chain.classifier.forest, chain.rule
    voter = compile_forest(chain)
    if voter is None:
        return lambda: backend.threshold(backend.forest_proba(planes, forest)[rule.foreground], rule)
    pixels = chain.raw.size
    tested = np.zeros((len(voter.used), -(-pixels // UNIT) * UNIT), np.float32)
    for row, feature in zip(tested, voter.used, strict=True):  # one by one: a third stack would not fit everywhere
        row[:pixels] = planes[feature].ravel()

    def vote() -> NDArray[np.uint64]:
        bits = np.empty(tested.shape[1] // 64, np.uint64)
        voter.mask_bits(tested, rule, bits, np.zeros(len(tested), np.int64))
        return bits

    return vote
