"""Opens a CUDA device through CuPy, which is imported here and nowhere earlier."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from compdistort.backend import DeviceRequest, probe
from compdistort.backend.cuda_status import Problem
from compdistort.backend.device.cubin import cubin_file
from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import Kernels, Module
from compdistort.errors import BackendUnavailableError

KNOWN_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
"""Counter, key and words of Philox4x32-10, from Random123's ``kat_vectors``."""


def open_device(
    index: int, *, directory: Path | None = None, slab_bytes: int | None = None, host_threads: int | None = None
) -> Cuda:
    """Return a CUDA device with its kernels.

    Parameters
    ----------
    index : int
        Its number.
    directory : Path, optional
        Folder of the kernels; default: the package's own.
    slab_bytes, host_threads : int, optional
        See `Cuda`.

    Returns
    -------
    Cuda

    Raises
    ------
    BackendUnavailableError
        If it cannot be used, with the probe's reason and what to do.
    """
    facts = usable_device(index)
    cp = probe.import_cupy()
    label = import_module("cupyx.scipy.ndimage").label
    kernels = Kernels(_module_loader(cp, facts.arch), cp.ndarray, directory)
    return Cuda(cp, label, kernels, index, slab_bytes, host_threads)


def usable_device(index: int, source: str = "") -> probe.DeviceFacts:
    """Return the facts of a device that can be used; `source` is who asked for it, for the error.

    Raises
    ------
    BackendUnavailableError
        If it cannot.
    """
    machine = probe.machine()
    facts = probe.device(index) if 0 <= index < machine.count else probe.DeviceFacts(index=index)
    problem = machine.problem or facts.problem or _absent(index, machine.count)
    if problem is not None:
        raise BackendUnavailableError(f"{DeviceRequest(f'cuda:{index}', source)}: {problem.what}", problem.remedy)
    return facts


def _absent(index: int, count: int) -> Problem | None:
    if 0 <= index < count:
        return None
    last = f"0 to {count - 1}" if count > 1 else "0"
    devices = "device" if count == 1 else "devices"
    return Problem(f"this machine has {count} CUDA {devices}", f"use number {last}")


def self_test(cp: Any, index: int, arch: int) -> Problem | None:
    """Draw known random words and label two pixels on the current device; say what is wrong.

    The words go our own way of compiling, the labels CuPy's: whatever is missing is found while another engine can
    still be chosen.

    Raises
    ------
    Exception
        Of NVRTC, of the driver, of CuPy: whatever stops it.
    """
    counter, key, expected = (np.array(part, np.uint32) for part in zip(*KNOWN_ANSWERS, strict=True))
    words = cp.asarray(np.zeros_like(expected))
    kernels = Kernels(_module_loader(cp, arch), cp.ndarray)
    kernels.launch("replicate.philox_known", (1,), (32,), cp.asarray(counter), cp.asarray(key), words, len(expected))
    found, n = import_module("cupyx.scipy.ndimage").label(cp.asarray(np.array([[True, False, True]])))
    right = {
        "draws wrong random words": np.array_equal(cp.asnumpy(words), expected),
        "labels wrongly": int(n) == 2 and cp.asnumpy(found).tolist() == [[1, 0, 2]],
    }
    wrong = " and ".join(what for what, good in right.items() if not good)
    return Problem(f"device {index} {wrong} in the self-test", "do not trust it, report this") if wrong else None


def _module_loader(cp: Any, arch: int) -> Callable[[str, str], Module]:
    """Return what `Kernels` loads modules with; CuPy opens the file at the first launch, on the device current then."""

    def load(name: str, text: str) -> Module:
        path = cubin_file(name, text, arch, cp.cuda.nvrtc)
        module: Module = cp.RawModule(path=str(path))
        return module

    return load
