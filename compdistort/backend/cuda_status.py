"""What is wrong with a CUDA installation, in words, and what to do about it."""

import os
from dataclasses import dataclass
from typing import Any

MIN_CUPY = (14, 2)
"""Oldest CuPy: the first whose `label` counts beyond 2^31 voxels."""

INSUFFICIENT_DRIVER = 35
"""Status of a CUDA call without a driver, or with one older than the runtime."""

NO_DEVICE = 100
"""Status of a CUDA call where the driver sees no device."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why CUDA, or one device, cannot be used.

    Attributes
    ----------
    what : str
        The reason, in one line.
    remedy : str
        What to do about it.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


_INSTALL = "install an NVIDIA driver (`nvidia-smi` must list the device), or use --device cpu"
_RESTART = "restart the machine; if it stays, see `nvidia-smi` and the system's log"
_BUSY = "wait, or close what else uses it (`nvidia-smi` lists it)"

_STATUSES = {
    2: ("CUDA finds no memory to start with", _BUSY),
    3: ("CUDA was started before this process was forked", "start processes with the method 'spawn'"),
    34: (
        "a stub library is loaded instead of the NVIDIA driver",
        "remove CUDA's lib64/stubs from LD_LIBRARY_PATH, or install an NVIDIA driver",
    ),
    46: ("every CUDA device is busy or forbidden (exclusive or prohibited mode)", _BUSY),
    214: ("the memory of a CUDA device reports an uncorrectable error", _RESTART),
    304: (
        "the operating system refuses the NVIDIA driver",
        "check the permissions of /dev/nvidia* and that the module nvidia_uvm is loaded",
    ),
    802: ("the CUDA system is not ready", "start the fabric manager service, or wait until it has started"),
    803: (
        "the NVIDIA driver's library and its kernel module are of different versions",
        "restart the machine after the driver's update (in a container: use the host's driver)",
    ),
    804: (
        "CUDA's forward compatibility does not support this device",
        "remove the package cuda-compat, or its folder from LD_LIBRARY_PATH, and update the driver",
    ),
    999: ("the NVIDIA driver reports an unknown error", _RESTART),
}


def version_problem(cp: Any) -> Problem | None:
    """Say of an imported `cupy` that it is too old, or a folder that an uninstalled CuPy left behind."""
    if not hasattr(cp, "__version__"):
        places = ", ".join(map(str, getattr(cp, "__path__", ()))) or "cupy"
        return Problem(
            f"the folder of CuPy holds no CuPy ({places})", "remove it, and pip install 'compdistort[cuda13]'"
        )
    if _numbers(str(cp.__version__)) >= MIN_CUPY:
        return None
    return Problem(
        f"CuPy {cp.__version__} is too old, {'.'.join(map(str, MIN_CUPY))} is needed",
        "pip install --upgrade 'compdistort[cuda13]' (or [cuda12])",
    )


def no_driver(library: str, reason: str) -> Problem:
    """Return the problem of a driver's library that does not load, for that reason."""
    absent = reason.startswith(f"{library}: cannot open shared object file: No such file")
    return Problem(f"no NVIDIA driver ({f'{library} is not found' if absent else reason})", _INSTALL)


def old_driver(driver: int, runtime: int) -> Problem:
    """Return the problem of a driver older than CuPy's CUDA.

    Parameters
    ----------
    driver, runtime : int
        CUDA versions as CUDA counts them: 12040 for 12.4.
    """
    needed = runtime // 1000
    swap = driver // 1000 == 12 < needed
    other = ", or pip uninstall cupy-cuda13x and pip install 'compdistort[cuda12]'" if swap else ""
    return Problem(
        f"the NVIDIA driver is too old: it is for CUDA {dotted(driver)}, CuPy is for CUDA {needed}",
        f"update the driver{other}",
    )


def no_device() -> Problem:
    """Return the problem of a machine whose driver sees no device."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is None:
        return Problem("the NVIDIA driver sees no CUDA device", "see what `nvidia-smi` lists, or use --device cpu")
    return Problem(
        f"the NVIDIA driver sees no CUDA device (CUDA_VISIBLE_DEVICES='{hidden}')",
        "unset CUDA_VISIBLE_DEVICES, or name devices that `nvidia-smi` lists",
    )


def of_exception(error: Exception) -> Problem:
    """Return the problem that an exception of CuPy stands for."""
    status = getattr(error, "status", None)
    if status == NO_DEVICE:
        return no_device()
    lines = str(error).strip().splitlines() or [""]
    found = f"{type(error).__name__}: {lines[0]}"
    if status in _STATUSES:
        what, remedy = _STATUSES[status]
        return Problem(f"{what} (status {status})", remedy)
    return Problem(f"CUDA does not work here ({found})", "see `nvidia-smi`, install CuPy again, or use --device cpu")


def dotted(version: int) -> str:
    """Return a version as people write it.

    Examples
    --------
    >>> dotted(12040)
    '12.4'
    """
    return f"{version // 1000}.{version % 1000 // 10}"


def _numbers(text: str) -> tuple[int, ...]:
    """Return ``(14, 2)`` of ``"14.2.0rc1"``."""
    parts = text.split(".")[:2]
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts)
