"""Part of a measurement in a process of its own: ``python cpu_worker.py WORK CASE.pickle``, asked by lines of JSON.

WORK is ``ours`` (replicates by the CPU engine, for another instruction set), ``numpy`` (the chain of NumPy, SciPy and
scikit-learn, one of several at a time) or ``memory`` (one replicate of a given side: seconds and peak memory). The
case is a file that ``bench/cpu.py`` has just written.
"""

import ctypes
import json
import pickle
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

from cpu_engine import Ours, digest  # noqa: E402 - found by the line above
from cpu_laps import in_pieces  # noqa: E402
from cpu_peers import NumpyChain  # noqa: E402
from cpu_scenes import enlarged  # noqa: E402


def replicates(case):
    """Answer each question with the seconds of the pieces of one replicate."""
    ours = Ours(threads=1)
    compile_seconds = ours.compile(case["grown"].flat, case["scene"].rule)
    work = ours.replicate(case["scene"], case["grown"])
    timed = in_pieces(work)
    yield {"compile_seconds": compile_seconds, "digest": digest(work(0)), **ours.target()}
    while (question := (yield)) is not None:
        yield {"pieces": timed(question["number"]).seconds.tolist()}


def numpy_chain(case):
    """Answer each question with the seconds of one replicate by NumPy, SciPy and scikit-learn."""
    chain = NumpyChain(case["scene"], case["scene"].recipe.features, case["share"])
    yield {}
    while (question := (yield)) is not None:
        yield {"seconds": float(chain(question["number"]).seconds.sum())}


def memory(case):
    """Answer a question (side, rounds) with seconds, and with the peak memory of raw image and replicates."""
    scene, grown, ours = case["scene"], case["grown"], Ours(threads=case["threads"])
    ours.compile(grown.flat, scene.rule)
    small = scene.of(enlarged(scene.raw, case["smallest"]))
    ours.replicate(small, grown)(0)
    yield {}
    while (question := (yield)) is not None:
        image = scene.of(enlarged(scene.raw, question["side"]))
        work = ours.replicate(image, grown)
        _give_back()
        before = _memory("VmRSS")  # with the raw image, and the noise tables
        _forget_peak()
        seconds = []
        for number in range(question["rounds"]):
            began = time.perf_counter()
            work(number)
            seconds.append(time.perf_counter() - began)
        peak = _memory("VmHWM")
        known = before is not None and peak is not None
        yield {
            "seconds": seconds,
            "peak_bytes": peak - before + image.raw.nbytes if known else None,
            "forecast_bytes": ours.forecast(image, grown),
        }


def _memory(name):
    """Return a line of Linux' account of this process in bytes, None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _give_back():
    """Give memory that is free back to Linux: what a replicate takes of it again would not count."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):  # glibc has it
        library.malloc_trim(0)


def _forget_peak():
    """Let the peak begin anew."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main(work, path):
    with Path(path).open("rb") as file:
        case = pickle.load(file)
    answers = {"ours": replicates, "numpy": numpy_chain, "memory": memory}[work](case)
    print(json.dumps(next(answers)), flush=True)
    for line in sys.stdin:
        next(answers)
        print(json.dumps(answers.send(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
