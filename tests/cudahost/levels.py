"""The levels on which one and the same engine is proved, from a plain build on the CPU to a real device."""

import os
import shutil

from cudahost.host_module import MODES, HostModule
from cudahost.ptx_module import PTX_TARGETS, PtxModule
from cudahost.standin_cupy import standin_cuda

from compdistort.backend.cupy_backend import CupyBackend

LEVELS = (*MODES, *(f"ptx{target}" for target in PTX_TARGETS), "device")

NO_POOL = "COMPDISTORT_TESTS_WITHOUT_POOL"
"""Environment variable: every array on the device gets memory of its own."""


class LevelUnavailableError(Exception):
    """This machine cannot run the level; the text says why."""


def open_engine(level, *, directory=None, voter="device", slab_bytes=None, **memory):
    """Return the CUDA engine on one level.

    `directory` may hold other kernel sources (planted bugs); `memory` goes to the stand-in (see `make_standin`).
    """
    if level == "device":
        return _device_engine(directory, voter, slab_bytes)
    return CupyBackend(standin_cuda(loader(level), directory, slab_bytes, **memory), voter=voter)


def loader(level):
    """Return what `Kernels` loads its modules with on a level of the CPU."""
    return _ptx_loader(level[3:]) if level.startswith("ptx") else _host_loader(level)


def _host_loader(mode):
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise LevelUnavailableError("no g++")
    if mode == "asan" and "libasan" not in os.environ.get("LD_PRELOAD", ""):
        raise LevelUnavailableError("run by `make sanitize`: the sanitizer's library must be preloaded")
    return lambda _file, text: HostModule(text, mode)


def _ptx_loader(target):
    if shutil.which("nvcc") is None:
        raise LevelUnavailableError("no nvcc")
    return lambda _file, text: PtxModule(text, target)


def _device_engine(directory, voter, slab_bytes):
    from compdistort.backend.cuda_device import open_device
    from compdistort.errors import BackendUnavailableError

    try:
        cuda = open_device(0, directory=directory, slab_bytes=slab_bytes)
    except BackendUnavailableError as error:
        raise LevelUnavailableError(str(error)) from error
    if os.environ.get(NO_POOL):
        # An array in the middle of a pool's chunk has no edge that compute-sanitizer could see.
        cuda.cp.cuda.set_allocator(None)
    return CupyBackend(cuda, voter=voter)
