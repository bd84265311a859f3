"""What a study ran on: versions, machine, engine. For provenance and for `doctor`."""

import hashlib
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import compdistort
from compdistort.backend import DEVICE_VARIABLE, DEVICES, DeviceRequest, choose, probe, requested
from compdistort.backend.device.cubin import cache_folder, cache_problem
from compdistort.errors import CompdistortError

PACKAGES = (
    "numpy", "scipy", "numba", "llvmlite", "scikit-learn", "tifffile", "imagecodecs", "zarr", "connected-components-3d",
    "pydantic", "matplotlib",
)  # fmt: skip
RNG = "philox4x32-10/v1"


def package_version(name: str) -> str:
    """Return the installed version of a distribution, ``"not installed"`` without one."""
    return probe.installed(name) or "not installed"


def source_digest() -> str:
    """Return the sha256 over the package's own source, which names what ran better than a version can."""
    total = hashlib.sha256()
    root = Path(compdistort.__file__).parent
    for path in sorted(root.rglob("*.py")):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def usable_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return the machine's memory in bytes, None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def process_memory() -> tuple[int, int] | None:
    """Return the memory of this process in bytes: what it holds now, and the most that it ever held.

    Where the system tells the most alone, that is given twice; None where it tells neither (Windows).
    """
    status = Path("/proc/self/status")  # Linux: getrusage counts what the parent held before it started this program
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        now, most = (1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return now, most
    try:
        resource = import_module("resource")
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return most, most


def software() -> dict[str, Any]:
    """Return versions: the same on every run of the same installation."""
    return {
        "compdistort": compdistort.__version__,
        "source_sha256": source_digest(),
        "python": platform.python_version(),
        "random_numbers": RNG,
        "packages": {name: package_version(name) for name in PACKAGES},
    }


def session(device: DeviceRequest) -> dict[str, Any]:
    """Return what is special to this run: command line, machine, engine, start."""
    choice = choose(device)
    return {
        "start": now(),
        "stop": None,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "machine": platform.machine(),
        "system": platform.platform(),
        "processors": usable_processors(),
        "engine": choice.name,
        "why": choice.reason,
        "cuda": _cuda_versions() if choice.devices else None,
        "pid": os.getpid(),
    }


def now() -> str:
    """Return the time with its zone, ISO 8601."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def _cuda_versions() -> dict[str, str]:
    here = probe.machine()
    return {"cupy": here.cupy, "driver": here.driver, "nvrtc": here.nvrtc}


def cuda_report() -> dict[str, Any]:
    """Return what CUDA is like here: versions, every device, the folder of compiled kernels, and what is missing.

    Returns
    -------
    dict
        JSON-ready: ``cupy``, ``driver``, ``nvrtc`` (versions, empty where unknown), ``problem`` and ``remedy`` (None
        where a device can be tried), ``devices``, ``kernel_cache`` and ``kernel_cache_problem``.
    """
    here = probe.machine()
    folder = cache_folder()
    return {
        **_cuda_versions(),
        "problem": here.problem and here.problem.what,
        "remedy": here.problem and here.problem.remedy,
        "devices": [_device_report(probe.device(index)) for index in range(here.count)],
        "kernel_cache": str(folder),
        "kernel_cache_problem": cache_problem(folder) or None,
    }


def _device_report(facts: probe.DeviceFacts) -> dict[str, Any]:
    return {
        "index": facts.index,
        "name": facts.name,
        "compute_capability": f"{facts.arch / 10:.1f}",
        "memory_free_gib": round(facts.free_bytes / 2**30, 1),
        "memory_gib": round(facts.total_bytes / 2**30, 1),
        "problem": facts.problem and facts.problem.what,
        "remedy": facts.problem and facts.problem.remedy,
    }


def doctor(device: str | None = None) -> dict[str, Any]:
    """Return what works here: chosen engine and why, what every device name gives, CUDA, versions, machine.

    Parameters
    ----------
    device : str, optional
        What ``--device`` says; default what the environment asks for, else ``auto``.

    Returns
    -------
    dict
        JSON-ready, but for ``error``: the exception that the choice of the engine ended in, or None.
    """
    chosen, why, error = _chosen(device)
    devices = {}
    for name in DEVICES:
        try:
            devices[name] = choose(name).reason
        except CompdistortError as missing:
            devices[name] = f"unavailable: {missing}"
    memory = memory_bytes()
    return {
        "chosen": chosen,
        "why": why,
        "error": error,
        "devices": devices,
        "environment": {DEVICE_VARIABLE: os.environ.get(DEVICE_VARIABLE)},
        "cuda": cuda_report(),
        "processors": usable_processors(),
        "memory_gib": None if memory is None else round(memory / 2**30, 1),
        "system": platform.platform(),
        **software(),
    }


def _chosen(device: str | None) -> tuple[str, str, CompdistortError | None]:
    """Return the chosen engine and why; without one ``"none"``, and the error: the rest may tell what is wrong."""
    try:
        choice = choose(requested(device))
    except CompdistortError as error:
        return "none", str(error), error
    return choice.name, choice.reason, None
