"""Builds the CUDA sources with g++ and runs their kernels on the CPU: what the stand-in of `cupy.RawModule` loads.

Modes: ``plain``; ``checked`` (shared memory checked for bounds, races and initialisation), ``reversed`` and
``shuffled`` (checked, other orders of threads and blocks); ``asan`` (AddressSanitizer and UBSan; the process must be
started with their libraries preloaded).
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compdistort.backend.kernel_source import KERNEL

HERE = Path(__file__).resolve().parent
FLAGS = (
    "-std=c++17", "-O2", "-g", "-fPIC", "-shared", "-DCUHOST", "-ffp-contract=off", "-fno-fast-math",
    "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-unused-function",
)  # fmt: skip
CHECKED = ("-DCUHOST_CHECK",)
MODES = {
    "plain": (("-march=native",), 0),
    "checked": (CHECKED, 0),
    "reversed": (CHECKED, 1),
    "shuffled": (CHECKED, 7),
    "asan": (("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"), 0),
}
"""By mode: further flags, and the order of threads and blocks (0 ascending, 1 descending, else shuffled)."""

_ONE_LAUNCH = threading.Lock()


class HostKernelError(RuntimeError):
    """A kernel did what no kernel may do."""


class HostBuildError(RuntimeError):
    """A kernel does not build."""


def compiler():
    """Return the command of the C++ compiler: CXX, or g++."""
    return os.environ.get("CXX") or "g++"


def lacks_compiler():
    """Say that this machine lacks the C++ compiler, or nothing."""
    return "" if shutil.which(compiler()) else f"no {compiler()}"


def lacks_nvcc():
    """Say that this machine lacks nvcc, or the compiler that nvcc itself calls, or nothing."""
    return next((f"no {command}" for command in ("nvcc", "gcc") if shutil.which(command) is None), "")


def build_cache():
    """Folder of built kernels: CUHOST_CACHE, or one of the user's own among the temporary files."""
    place = Path(os.environ.get("CUHOST_CACHE") or Path(tempfile.gettempdir()) / f"cuhost-{os.getuid()}")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


@contextmanager
def _locked(path):
    """Let one process at a time into the block; without `filelock`, which a machine with a device need not have."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached(parts, suffix, make):
    """Return the cached file of some content, made once: ``make(folder)`` returns what it built in an empty folder."""
    path = build_cache() / (hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20] + suffix)
    with _locked(path.with_suffix(".lock")):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent) as work:
                make(Path(work)).replace(path)
    return path


def build_library(text, flags):
    """Return the path of the shared library of one C++ text."""
    headers = [(header.name, header.read_text()) for header in sorted(HERE.glob("*.h"))]
    return cached((text, *headers, compiler(), *flags), ".so", lambda folder: _compile(text, flags, folder))


def _compile(text, flags, folder):
    source, out = folder / "unit.cpp", folder / "unit.so"
    source.write_text(text)
    done = subprocess.run(
        [compiler(), *flags, f"-I{HERE}", "-o", out, source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HostBuildError(done.stderr)
    return out


class HostModule:
    """One kernel file, built for the CPU; offers what `cupy.RawModule` does."""

    def __init__(self, text, mode="plain"):
        flags, order = MODES[mode]
        names = KERNEL.findall(text)
        unit = text + "".join(f"CUHOST_EXPORT({name})\n" for name in names) + "CUHOST_MODULE\n"
        self._open(build_library(unit, (*FLAGS, *flags)), order)

    def _open(self, path, order):
        self.library, self._order = ctypes.CDLL(str(path)), order
        self.library.cuhost_error.restype = ctypes.c_char_p

    def get_function(self, name):
        return HostKernel(self.library, name, self._order)


class HostKernel:
    """One kernel: call it with grid, block and arguments already checked by `Kernels.launch`."""

    limit_s = 300
    """Processor time after which a launch is taken for endless."""

    def __init__(self, library, name, order=0):
        self.name, self.library, self._order = name, library, order
        self._launch = getattr(library, f"cuhost_launch_{name}")

    def __call__(self, grid, block, arguments, *, only=None):
        """``only=(first, count)`` runs just these blocks, x fastest: the last ones of a huge array, say."""
        cells = [_cell(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * max(1, len(cells)))(*(cell.ctypes.data for cell in cells))
        dims = [(ctypes.c_uint * 3)(*(*each, 1, 1)[:3]) for each in (grid, block)]
        memory = np.array([_memory(argument) for argument in arguments if _is_array(argument)], np.uint64)
        with _ONE_LAUNCH:
            self._prepare(memory, only or (0, 2**64 - 1))
            failed = self._launch(dims[0], dims[1], pointers)
            message = self.library.cuhost_error().decode()
        if failed:
            raise HostKernelError(f"{self.name}: {message}")

    def _prepare(self, memory, only):
        """Tell the library, which several modules may share, how this launch is run."""
        self.library.cuhost_order(ctypes.c_uint(self._order))
        self.library.cuhost_limit(ctypes.c_uint(self.limit_s))
        self.library.cuhost_only(*map(ctypes.c_ulong, only))
        self.library.cuhost_memory(ctypes.c_ulong(len(memory)), ctypes.c_void_p(memory.ctypes.data))


def _is_array(argument):
    return hasattr(argument, "data") and hasattr(argument.data, "ptr")


def _memory(argument):
    """Return the address and the size of the allocation that an array lies in."""
    return argument.data.mem.ptr, argument.data.mem.size


def _cell(argument):
    """Return an array of one element that holds the bytes the kernel reads: an address, or the scalar itself."""
    if _is_array(argument):
        return np.array([argument.data.ptr], np.uint64)
    return np.array([argument], argument.dtype)
