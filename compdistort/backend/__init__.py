"""Choice of the engine at run time. Nothing heavy is imported before `get_backend` is called.

Who decides on the device, the first that speaks: an option or argument, the environment variable COMPDISTORT_DEVICE,
the study file, ``auto``.
"""

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compdistort.errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from compdistort.backend.base import Backend
    from compdistort.backend.probe import DeviceFacts

DEVICES = ("auto", "cpu", "numba", "numpy", "cupy", "cuda")
"""Names that `get_backend` takes; ``cuda``, or its other name ``cupy``, may be followed by ``:i,j``."""

DEVICE_VARIABLE = "COMPDISTORT_DEVICE"
"""Environment variable: device where no option names one."""

FORESTS = ("device", "cpu")
"""Where the forest may vote: on the device, or on the CPU from streamed feature planes."""

_CUDA = ("cupy", "cuda")


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


def requested(option: str | None = None, setting: str = "auto") -> str:
    """Return the device that is asked for: by the option, else by the environment, else by the setting.

    Examples
    --------
    >>> requested("numpy", "cuda")
    'numpy'
    """
    return option or os.environ.get(DEVICE_VARIABLE) or setting


def choose(device: str | None = None) -> Choice:
    """Say which engine `get_backend` would give; a device that it names can be used.

    Parameters
    ----------
    device : str, optional
        One of `DEVICES`; default what the environment asks for, else ``auto``.

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
    wanted = requested(device)
    kind, numbers = _parse(wanted)
    if kind == "auto":
        return _choose_automatically()
    by = DEVICE_VARIABLE if wanted == os.environ.get(DEVICE_VARIABLE) else "name"
    asked = f"asked for by {by} ({wanted})"
    if kind in _CUDA:
        return _choose_cuda(wanted, numbers, asked)
    return Choice(name="numba" if kind == "cpu" else kind, reason=asked)


def get_backend(device: str | None = None, forest: str = "device") -> "Backend[Any]":
    """Return the engine for `device`.

    Parameters
    ----------
    device : str, optional
        ``auto``; ``cpu`` or ``numba`` (compiled loops); ``numpy`` (their slow, obvious twins); ``cuda`` (the first
        device that can be used) or ``cuda:1`` (that one; of several, the first: an engine is one device). Default:
        what the environment variable COMPDISTORT_DEVICE says, else ``auto``.
    forest : str
        One of `FORESTS`. Results are the same; on a CPU engine both are the CPU.

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
    if forest not in FORESTS:
        raise ConfigError(f"forest '{forest}' is unknown", f"use one of {', '.join(FORESTS)}")
    choice = choose(device)
    if choice.devices:
        from compdistort.backend.cuda_device import open_device  # noqa: PLC0415
        from compdistort.backend.cupy_backend import CupyBackend  # noqa: PLC0415

        return CupyBackend(open_device(choice.devices[0]), voter=forest)
    from compdistort.backend.numpy_backend import NumpyBackend  # noqa: PLC0415

    return NumpyBackend(jit=choice.name == "numba")


def device_parts(device: str) -> tuple[str, ...]:
    """Return the single devices of a list, for workers of one device each; any other name alone.

    Raises
    ------
    ConfigError
        As `choose`.

    Examples
    --------
    >>> device_parts("cuda:0,1"), device_parts("cuda"), device_parts("cpu")
    (('cuda:0', 'cuda:1'), ('cuda',), ('cpu',))
    """
    kind, numbers = _parse(device)
    return tuple(f"{kind}:{number}" for number in numbers) or (device,)


def _parse(device: str) -> tuple[str, tuple[int, ...]]:
    """Return kind and numbers of devices: ``("cuda", (0, 1))`` of ``"cuda:0,1"``."""
    kind, colon, rest = device.partition(":")
    if kind not in DEVICES:
        raise ConfigError(f"device '{device}' is unknown", f"use one of {', '.join(DEVICES)}")
    words = rest.split(",") if colon else []
    if words and kind not in _CUDA:
        raise ConfigError(f"device '{device}': only cuda has numbers", f"write --device {kind}")
    if not all(word.isascii() and word.isdigit() for word in words):
        raise ConfigError(f"device '{device}' is no list of devices", "write cuda, cuda:0 or cuda:0,1")
    numbers = tuple(int(word) for word in words)
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"device '{device}' names a device twice", "name each once")
    return kind, numbers


def _choose_cuda(wanted: str, numbers: tuple[int, ...], asked: str) -> Choice:
    """Return the devices that were asked for by number, or the first that can be used."""
    from compdistort.backend import probe  # noqa: PLC0415
    from compdistort.backend.cuda_device import usable_device  # noqa: PLC0415

    if numbers:
        words = "; ".join(str(usable_device(number)) for number in numbers)
        return Choice(name="cupy", reason=f"{asked}: {words}{_cache_note()}", devices=numbers)
    found = probe.first_usable()
    if isinstance(found, probe.DeviceFacts):
        return Choice(name="cupy", reason=f"{asked}: {_words(found)}", devices=(found.index,))
    raise BackendUnavailableError(f"device '{wanted}': {found.what}", found.remedy)


def _choose_automatically() -> Choice:
    """Take the first CUDA device that can be used, else the CPU; the reason says why."""
    from compdistort.backend import probe  # noqa: PLC0415

    # Without a driver nothing else matters, and CuPy takes a tenth of a second to import.
    problem = None if "cupy" in sys.modules else probe.driver_problem()
    found = problem or probe.first_usable()
    if isinstance(found, probe.DeviceFacts):
        return Choice(name="cupy", reason=f"CUDA engine on {_words(found)}", devices=(found.index,))
    return Choice(name="numba", reason=f"CPU engine, as no CUDA device can be used: {found.what}")


def _words(found: "DeviceFacts") -> str:
    """Say which device it is, of how many, and whether kernels can be kept between runs."""
    from compdistort.backend import probe  # noqa: PLC0415

    count = probe.machine().count
    others = f" (one of {count}; --device cuda:0,1 takes several)" if count > 1 else ""
    return f"{found}{others}{_cache_note()}"


def _cache_note() -> str:
    from compdistort.backend.device.cubin import cache_folder, cache_problem  # noqa: PLC0415

    problem = cache_problem(cache_folder())
    return f"; kernels are compiled at every start, as {problem}" if problem else ""
