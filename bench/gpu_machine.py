"""The device under the clock: its facts, how work is timed on it, and the two rates all else is measured against."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

BENCH = Path(__file__).resolve().parent
GIB = 1 << 30
PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "nvidia-cuda-nvrtc", "cucim-cu13", "cucim-cu12")
FMA_A_ROUND = 32
"""fma of one thread in one round of `fma_rate`."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: every round is the mean over `calls` calls one after another."""

    rounds: tuple[float, ...]
    calls: int

    @property
    def median(self):
        return statistics.median(self.rounds)

    @property
    def fastest(self):
        return min(self.rounds)


class Machine:
    """One engine on one device, and a second kernel folder (this one) on the same device."""

    def __init__(self, engine, yardsticks, facts):
        self.engine, self.yardsticks, self.facts = engine, yardsticks, facts
        self.cp = engine.cuda.cp

    def time(self, work, rounds, seconds, round_seconds=0.02):
        """Time a call by the wall clock, the device idle before and after; the first call warms up.

        Short calls are repeated until a round takes `round_seconds`; rounds beyond the third are dropped when the
        whole would take longer than `seconds`.
        """
        self._once(work, 1)
        first = self._once(work, 1)
        calls = max(1, min(200, int(round_seconds / max(first, 1e-9))))
        rounds = max(min(rounds, 3), min(rounds, int(seconds / max(first * calls, 1e-9))))
        return Timing(tuple(self._once(work, calls) for _ in range(rounds)), calls)

    def _once(self, work, calls):
        self.engine.synchronize()
        began = time.perf_counter()
        for _ in range(calls):
            work()
        self.engine.synchronize()
        return (time.perf_counter() - began) / calls

    def free_memory(self):
        self.cp.get_default_memory_pool().free_all_blocks()

    def copier(self, n_bytes):
        """Return a call that copies so many bytes within the device."""
        source, target = (self.engine.to_device(np.zeros(n_bytes, np.uint8)) for _ in range(2))

        def copy():
            with self.engine.cuda.here():
                target.data.copy_from_device_async(source.data, n_bytes)

        return copy

    def fma_runner(self, blocks, rounds):
        """Return a call that does ``blocks * 256 * rounds * FMA_A_ROUND`` fma."""
        out = self.engine.to_device(np.zeros(blocks * 256, np.float32))

        def run():
            with self.engine.cuda.here():
                arguments = (out, float(np.float32(0.999)), 0.5, rounds)
                self.yardsticks.launch("fma.fma_rate", (blocks,), (256,), *arguments)

        return run


class HostMachine(Machine):
    """The stand-in: the same script on a machine without a device. Its times mean nothing and are never shown."""

    def time(self, work, rounds, seconds, round_seconds=0.0):
        work()
        return Timing((1.0,), 1)

    def copier(self, n_bytes):
        source, target = (self.engine.to_device(np.zeros(n_bytes, np.uint8)) for _ in range(2))
        return lambda: target.set(source.get())


def open_machine(index):
    """Return a device's machine.

    Raises
    ------
    BackendUnavailableError
        If it cannot be used, with the reason.
    """
    from compdistort.backend import probe
    from compdistort.backend.cuda_device import open_device
    from compdistort.backend.cupy_backend import CupyBackend

    cuda, yardsticks = open_device(index), open_device(index, directory=BENCH)
    return Machine(CupyBackend(cuda), yardsticks, _facts(probe.device(index), probe.machine(), cuda.cp))


def open_host_machine():
    """Return the stand-in's machine.

    Raises
    ------
    BackendUnavailableError
        If there is no g++.
    """
    sys.path.insert(0, str(BENCH.parent / "tests"))
    from cudahost.levels import LevelUnavailableError, open_engine

    from compdistort.errors import BackendUnavailableError

    facts = {"device": "stand-in on the CPU", "host": _host()}
    try:
        return HostMachine(open_engine("plain"), open_engine("plain", directory=BENCH).cuda, facts)
    except LevelUnavailableError as error:
        raise BackendUnavailableError(f"no stand-in either: {error}", "install g++") from error


def _facts(device, machine, cp):
    properties = cp.cuda.runtime.getDeviceProperties(device.index)
    return {
        "device": device.name,
        "compute_capability": device.arch / 10,
        "memory_gib": round(device.total_bytes / GIB, 1),
        "free_gib": round(device.free_bytes / GIB, 1),
        "multiprocessors": int(properties["multiProcessorCount"]),
        "driver": _driver(),
        "cuda_of_driver": machine.driver,
        "cuda_runtime": int(cp.cuda.runtime.runtimeGetVersion()),
        "nvrtc": machine.nvrtc,
        "cupy": machine.cupy,
        "host": _host(),
    }


def _driver():
    """Return the driver's version and what the device may do, as nvidia-smi tells, if it is there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown: no nvidia-smi"
    query = "--query-gpu=driver_version,clocks.max.sm,power.limit,ecc.mode.current"
    done = subprocess.run([tool, query, "--format=csv,noheader"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"unknown: {done.stderr.strip()}"


def _host():
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return {
        "processor": name,
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def cores():
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
