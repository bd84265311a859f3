"""Choice of the engine at run time. Nothing heavy is imported before `get_backend` is called.

Who decides on the device, the first that speaks: an option or argument, the environment variable COMPDISTORT_DEVICE,
the study file, ``auto`` (see `compdistort.backend.device_request`).
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compdistort.backend.device_request import (
    CUDA,
    DEVICE_VARIABLE,
    DEVICES,
    Device,
    DeviceRequest,
    device_parts,
    requested,
)
from compdistort.errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from compdistort.backend.base import Backend
    from compdistort.backend.probe import DeviceFacts

__all__ = [
    "DEVICES",
    "DEVICE_VARIABLE",
    "FORESTS",
    "Choice",
    "Device",
    "DeviceRequest",
    "check_forest",
    "choose",
    "device_parts",
    "get_backend",
    "requested",
]

FORESTS = ("device", "cpu")
"""Where the forest may vote: on the device, or on the CPU from streamed feature planes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which engine was chosen, and why.

    Attributes
    ----------
    name : str
        Name of the engine.
    reason : str
        One sentence for the log.
    devices : tuple of int
        CUDA devices that were asked for, or found; empty on the CPU.
    """

    name: str
    reason: str
    devices: tuple[int, ...] = ()


def choose(device: Device | None = None) -> Choice:
    """Say which engine `get_backend` would give; a device that it names can be used.

    Parameters
    ----------
    device : str or DeviceRequest, optional
        One of `DEVICES`, of several CUDA devices ``cuda:i,j``; default what the environment asks for, else ``auto``.

    Returns
    -------
    Choice

    Raises
    ------
    ConfigError
        For an unknown name, or numbers of devices that make no sense.
    BackendUnavailableError
        If a device was asked for by name that this machine does not have, or cannot use.
    """
    wanted = requested() if device is None else DeviceRequest(device) if isinstance(device, str) else device
    kind, numbers = wanted.parse()
    if kind == "auto":
        return _choose_automatically(wanted)
    if kind in CUDA:
        return _choose_cuda(wanted, numbers)
    return Choice(name="numba" if kind == "cpu" else kind, reason=wanted.asked)


def check_forest(forest: str) -> None:
    """Refuse a place where no forest may vote.

    Raises
    ------
    ConfigError
        If it is none of `FORESTS`.
    """
    if forest not in FORESTS:
        raise ConfigError(f"forest '{forest}' is unknown", f"use one of {', '.join(FORESTS)}")


def get_backend(device: Device | None = None, forest: str = "device", threads: int | None = None) -> "Backend[Any]":
    """Return the engine for `device`.

    Parameters
    ----------
    device : str or DeviceRequest, optional
        ``auto``; ``cpu`` or ``numba`` (compiled loops); ``numpy`` (their slow, obvious twins); ``cuda`` (the first
        device that can be used) or ``cuda:1`` (that one; of several, the first: an engine is one device). Default:
        what the environment variable COMPDISTORT_DEVICE says, else ``auto``.
    forest : str
        One of `FORESTS`. Results are the same; on a CPU engine both are the CPU.
    threads : int, optional
        Threads on which the CPU computes, or votes for a device; default as many as this process may use cores.

    Returns
    -------
    Backend

    Raises
    ------
    ConfigError, BackendUnavailableError
        As `choose`; ConfigError for an unknown `forest` too.

    Examples
    --------
    >>> get_backend("numpy").name
    'numpy'
    """
    check_forest(forest)
    choice = choose(device)
    if choice.devices:
        from compdistort.backend.cuda_device import open_device  # noqa: PLC0415
        from compdistort.backend.cupy_backend import CupyBackend  # noqa: PLC0415

        return CupyBackend(open_device(choice.devices[0], host_threads=threads), voter=forest)
    from compdistort.backend.numpy_backend import NumpyBackend  # noqa: PLC0415

    return NumpyBackend(jit=choice.name == "numba", threads=threads)


def _choose_cuda(wanted: DeviceRequest, numbers: tuple[int, ...]) -> Choice:
    """Return the devices that were asked for by number, or the first that can be used."""
    from compdistort.backend import probe  # noqa: PLC0415
    from compdistort.backend.cuda_device import usable_device  # noqa: PLC0415

    if numbers:
        words = "; ".join(str(usable_device(number, wanted.source)) for number in numbers)
        return Choice(name="cupy", reason=f"{wanted.asked}: {words}{_cache_note()}", devices=numbers)
    found = probe.first_usable()
    if isinstance(found, probe.DeviceFacts):
        return Choice(name="cupy", reason=f"{wanted.asked}: {_words(found)}", devices=(found.index,))
    raise BackendUnavailableError(f"{wanted}: {found.what}", found.remedy)


def _choose_automatically(wanted: DeviceRequest) -> Choice:
    """Take the first CUDA device that can be used, else the CPU; the reason says why, and who wanted it so."""
    from compdistort.backend import probe  # noqa: PLC0415

    # Without a driver nothing else matters, and the import of CuPy is not for nothing.
    problem = None if "cupy" in sys.modules else probe.driver_problem()
    found = problem or probe.first_usable()
    by = f"{wanted.asked}: " if wanted.source else ""
    if isinstance(found, probe.DeviceFacts):
        return Choice(name="cupy", reason=f"{by}CUDA engine on {_words(found)}", devices=(found.index,))
    return Choice(name="numba", reason=f"{by}CPU engine, as no CUDA device can be used: {found.what}")


def _words(found: "DeviceFacts") -> str:
    """Say which device it is, of how many, and whether kernels can be kept between runs."""
    from compdistort.backend import probe  # noqa: PLC0415

    count = probe.machine().count
    others = f" (one of {count}; a study takes several, as in --device cuda:0,1)" if count > 1 else ""
    return f"{found}{others}{_cache_note()}"


def _cache_note() -> str:
    from compdistort.backend.device.cubin import cache_folder, cache_problem  # noqa: PLC0415

    problem = cache_problem(cache_folder())
    return f"; kernels are compiled at every start, as {problem}" if problem else ""
