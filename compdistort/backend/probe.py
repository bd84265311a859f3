"""Which CUDA devices can be used here, found out step by step; every step may fail, none raises or prints.

Order: CuPy's packages, its import, the driver, the number of devices, NVRTC, CUDA's headers; then for each device asked
for its compute capability, and only now - from here on the device holds a context - its free memory and a self-test.
Answers are kept for the process, so that asking again costs nothing.
"""

import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from compdistort.backend.cuda_status import (
    INSUFFICIENT_DRIVER,
    Problem,
    dotted,
    no_device,
    no_driver,
    of_exception,
    old_driver,
    version_problem,
)
from compdistort.errors import CompdistortError

MIN_CAPABILITY = 75
"""Oldest architecture, 7.5: CUDA 13 has no compiler for anything older."""

MIN_FREE_BYTES = 512 << 20
"""Memory that a device must have free."""

WHEELS = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
"""Packages that all own the folder ``cupy``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What CUDA is like on this machine, before any device is touched.

    Attributes
    ----------
    count : int
        Devices that the driver shows.
    problem : Problem or None
        Why none of them can be used.
    cupy, driver, nvrtc : str
        Versions as far as they could be read.
    archs : tuple of int
        Architectures that NVRTC compiles for.
    """

    count: int = 0
    problem: Problem | None = None
    cupy: str = ""
    driver: str = ""
    nvrtc: str = ""
    archs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """One device.

    Attributes
    ----------
    index : int
        Its number.
    problem : Problem or None
        Why it cannot be used.
    name : str
        As the driver calls it.
    arch : int
        Compute capability times ten.
    free_bytes, total_bytes : int
        Memory, when it was looked at.
    """

    index: int
    problem: Problem | None = None
    name: str = ""
    arch: int = 0
    free_bytes: int = 0
    total_bytes: int = 0

    def __str__(self) -> str:
        return (
            f"device {self.index}, {self.name or 'unnamed'}, compute capability {self.arch / 10:.1f}, "
            f"{self.free_bytes / 2**30:.1f} of {self.total_bytes / 2**30:.1f} GiB free"
        )


def driver_problem() -> Problem | None:
    """Say why the driver's library does not load; CuPy is not imported for it."""
    import ctypes  # noqa: PLC0415 - this module must be quick to import

    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return no_driver(name, str(error))
    return None


@cache
def machine() -> Machine:
    """Look for CuPy, the driver, devices and NVRTC."""
    wheels = [f"{name} {found}" for name in WHEELS if (found := installed(name))]
    if len(wheels) > 1:
        return Machine(
            problem=Problem(
                f"{' and '.join(wheels)} are installed together, and own the same files",
                "pip uninstall all of them, then pip install 'compdistort[cuda13]' (or [cuda12])",
            )
        )
    found = import_cupy()
    return Machine(problem=found) if isinstance(found, Problem) else _examine(found)


@cache
def device(index: int) -> DeviceFacts:
    """Look at one device, which must be below the machine's count; a context is made on it.

    Parameters
    ----------
    index : int
        Its number.

    Returns
    -------
    DeviceFacts
    """
    from compdistort.backend.cuda_device import self_test  # noqa: PLC0415 - needs NumPy

    cp = import_cupy()
    if isinstance(cp, Problem):
        return DeviceFacts(index=index, problem=cp)
    facts = DeviceFacts(index=index)
    try:
        runtime = cp.cuda.runtime
        arch = 10 * int(runtime.deviceGetAttribute(75, index)) + int(runtime.deviceGetAttribute(76, index))
        facts = DeviceFacts(index=index, name=_name(cp, index), arch=arch, problem=_arch_problem(index, arch))
        if facts.problem is not None:
            return facts
        with cp.cuda.Device(index):
            free, total = runtime.memGetInfo()
            problem = _memory_problem(index, free) or self_test(cp, index, arch)
        return DeviceFacts(index=index, name=facts.name, arch=arch, free_bytes=free, total_bytes=total, problem=problem)
    except CompdistortError as error:
        problem = Problem(f"device {index}: {error.what}", error.remedy)
    except Exception as error:  # busy, forbidden, broken: whatever it says is the reason
        found = of_exception(error)
        problem = Problem(f"device {index}: {found.what}", found.remedy)
    return DeviceFacts(index=index, name=facts.name, arch=facts.arch, problem=problem)


def first_usable() -> DeviceFacts | Problem:
    """Return the first device that can be used, or the problem of the machine or of its first device."""
    here = machine()
    if here.problem is not None:
        return here.problem
    first = None
    for index in range(here.count):
        facts = device(index)
        if facts.problem is None:
            return facts
        first = first or facts.problem
    return first or no_device()


def import_cupy() -> Any:
    """Return the module `cupy`, or the `Problem` with it."""
    from compdistort.backend.device.cubin import settle_cupy_cache  # noqa: PLC0415

    try:
        settle_cupy_cache()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cp = import_module("cupy")
        return version_problem(cp) or cp
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return Problem("CuPy is not installed", "pip install 'compdistort[cuda13]', or use --device cpu")
        return Problem(f"CuPy does not import: it needs {error.name}", "pip install it, or install CuPy again")
    except Exception as error:  # built for another NumPy or C library, a missing file, half an installation
        lines = str(error).strip().splitlines() or [""]
        return Problem(
            f"CuPy does not import ({type(error).__name__}: {lines[0]})",
            "pip uninstall it, then pip install 'compdistort[cuda13]'",
        )


def _examine(cp: Any) -> Machine:
    """Ask the driver and NVRTC, neither of which makes a context."""
    driver, count, problem = 0, 0, None
    try:
        driver = int(cp.cuda.runtime.driverGetVersion())
        count = int(cp.cuda.runtime.getDeviceCount())
        problem = None if count else no_device()
    except Exception as error:  # the status says what; see cuda_status
        problem = _count_problem(cp, error, driver)
    version_, archs, compiler = _nvrtc(cp)
    problem = problem or compiler or header_problem()
    return Machine(
        count=0 if problem else count,
        problem=problem,
        cupy=str(cp.__version__),
        driver=dotted(driver) if driver else "",
        nvrtc=version_,
        archs=archs,
    )


def _count_problem(cp: Any, error: Exception, driver: int) -> Problem:
    if getattr(error, "status", None) != INSUFFICIENT_DRIVER:
        return of_exception(error)
    try:
        return driver_problem() or old_driver(driver, int(cp.cuda.runtime.runtimeGetVersion()))
    except Exception:  # the first error says more than one met while it is explained
        return of_exception(error)


def _nvrtc(cp: Any) -> tuple[str, tuple[int, ...], Problem | None]:
    from compdistort.backend.device.cubin import nvrtc_version  # noqa: PLC0415

    try:
        numbers = nvrtc_version(cp.cuda.nvrtc)
        archs = tuple(int(arch) for arch in cp.cuda.nvrtc.getSupportedArchs())
    except CompdistortError as error:
        return "", (), Problem(error.what, error.remedy)
    except Exception as error:  # an NVRTC too old to be asked
        return "", (), of_exception(error)
    return ".".join(map(str, numbers)), archs, None


def header_problem() -> Problem | None:
    """Say why CuPy would refuse to compile its own `label`: it wants CUDA's headers on the machine."""
    try:
        found = import_module("cuda.pathfinder").find_nvidia_header_directory("cudart")
    except Exception as error:  # half a toolkit, or a pathfinder of other names
        return of_exception(error)
    if found:
        return None
    return Problem(
        "CuPy finds no CUDA headers to compile with",
        "pip install --upgrade 'compdistort[cuda13]' (or [cuda12]): nvidia-cuda-runtime holds them",
    )


def _arch_problem(index: int, arch: int) -> Problem | None:
    has = f"device {index} has compute capability {arch / 10:.1f}"
    if arch < MIN_CAPABILITY:
        return Problem(f"{has}, {MIN_CAPABILITY / 10} is needed", "use a newer device, or --device cpu")
    if arch in machine().archs:
        return None
    return Problem(
        f"{has}, which NVRTC {machine().nvrtc} cannot compile for",
        "pip install --upgrade nvidia-cuda-nvrtc (a newer one knows newer devices), or use --device cpu",
    )


def _memory_problem(index: int, free: int) -> Problem | None:
    if free >= MIN_FREE_BYTES:
        return None
    return Problem(
        f"device {index} has {free >> 20} MiB of memory free, {MIN_FREE_BYTES >> 20} are needed",
        "close what else uses it (`nvidia-smi` lists it), or use another device",
    )


def _name(cp: Any, index: int) -> str:
    name = cp.cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def installed(name: str) -> str:
    """Return the version of an installed distribution, nothing where there is none, or only its remains."""
    from importlib.metadata import version  # noqa: PLC0415

    try:
        return version(name) or ""
    except Exception:  # not there, or a folder of metadata that lost its files
        return ""
