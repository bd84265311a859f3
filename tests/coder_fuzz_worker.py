"""Damaged codestreams, each in a process of its own with limits of time and memory: python coder_fuzz_worker.py.

Every line of the input names a coder (its place in `coder_cases.CODERS`) and a case; a line of the output says how it
ended. The processes are forks of this one, which decodes nothing itself.
"""

import os
import resource
import signal
import sys
from functools import cache

import coder_cases as cases
import numpy as np

from compdistort.codecs.coder import decoded, encoded
from compdistort.errors import CodecRangeError

MEMORY = 3 << 30
CPU_SECONDS = 2
SECONDS = 60
SHAPES = {2: (24, 40), 3: (3, 24, 40)}


@cache
def sample(index):
    """An array that the coder takes, and its codestream."""
    coder, level = cases.CODERS[index]
    found = [array for array in cases.arrays(SHAPES[max(coder.ndims)]).values() if cases.takes(coder, array)]
    return found[-1], encoded(coder, found[-1], level)


def damaged(stream, case, seed):
    """A codestream that was cut, flipped in some bits, or both; every fourth case is one of each kind of its own."""
    rng = np.random.default_rng([seed, case])
    data = bytearray(stream)
    kind = case % 4
    if kind == 3:
        return bytes(rng.integers(0, 256, int(rng.integers(0, len(data) + 1)), np.uint8))
    if kind != 0:  # half of the flips in the header, which says how much is to come
        for _ in range(int(rng.integers(1, 9))):
            end = min(64, len(data)) if rng.random() < 0.5 else len(data)
            data[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    if kind != 1:
        del data[int(rng.integers(len(data))) :]
    return bytes(data)


def outcome(index, case):
    """How a case ends: as an array, refused by name, or in another way."""
    coder, _ = cases.CODERS[index]
    array, stream = sample(index)
    bad = damaged(stream, case, index)
    try:
        back = decoded(coder, bad, array.shape, array.dtype)
    except CodecRangeError as error:
        return "refused" if str(error).startswith(f"coder '{coder.name}' ") else f"nameless {error}"
    except BaseException as error:
        return f"escaped {type(error).__name__} {error}"
    back.sum()  # every byte of it can be read
    return "same" if bad == stream else "decoded"


def limit():
    """Let this process end where it eats memory, computes too long, or waits for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # nobody listens: the signal ends it, whatever a decoder holds
    signal.alarm(SECONDS)


def in_a_process(index, case):
    """How a case ends, the end of its process included."""
    sample(index)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # some libraries print
        os.dup2(nowhere, 2)
        limit()
        os.write(writing, outcome(index, case).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        words = answer.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return words if status == 0 else f"ended {signal.Signals(os.WTERMSIG(status)).name}"


def main():
    """Answer case after case."""
    for line in sys.stdin:
        words = in_a_process(*map(int, line.split()))
        print(" ".join(words.split()), flush=True)


if __name__ == "__main__":
    main()
