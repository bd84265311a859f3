"""The levels on which one and the same engine is proved, from a plain build on the CPU to a real device."""

import os

from cudahost.host_module import MODES, HostModule, lacks_compiler, lacks_nvcc
from cudahost.ptx_module import PTX_TARGETS, PtxModule
from cudahost.standin_cupy import standin_cuda

from compdistort.backend.cupy_backend import CupyBackend

LEVELS = (*MODES, *(f"ptx{target}" for target in PTX_TARGETS), "device")

NO_POOL = "COMPDISTORT_TESTS_WITHOUT_POOL"
"""Environment variable: every array on the device gets memory of its own."""


class LevelUnavailableError(Exception):
    """This machine cannot run a level; the text says which and why. A test that raises it is skipped."""

    def __init__(self, level, reason):
        super().__init__(level, reason)
        self.level = level

    def __str__(self):
        return ": ".join(self.args)


def open_engine(level, *, directory=None, voter="device", slab_bytes=None, **memory):
    """Return the CUDA engine on one level.

    `directory` may hold other kernel sources (planted bugs); `memory` goes to the stand-in (see `make_standin`).
    """
    if level == "device":
        return _device_engine(directory, voter, slab_bytes)
    return CupyBackend(standin_cuda(loader(level), directory, slab_bytes, **memory), voter=voter)


def loader(level):
    """Return what `Kernels` loads its modules with on a level of the CPU."""
    of_ptx = level.startswith("ptx")
    if lacks := lacks_compiler() or (of_ptx and lacks_nvcc()):
        raise LevelUnavailableError(level, lacks)
    if level == "asan" and "libasan" not in os.environ.get("LD_PRELOAD", ""):
        raise LevelUnavailableError(level, "run by `make sanitize`: the sanitizer's library must be preloaded")
    if of_ptx:
        return lambda _file, text: PtxModule(text, level[3:])
    return lambda _file, text: HostModule(text, level)


def _device_engine(directory, voter, slab_bytes):
    from compdistort.backend import choose
    from compdistort.backend.cuda_device import open_device
    from compdistort.errors import BackendUnavailableError

    try:
        cuda = open_device(choose("cuda").devices[0], directory=directory, slab_bytes=slab_bytes)
    except BackendUnavailableError as error:
        raise LevelUnavailableError("device", str(error)) from error
    if os.environ.get(NO_POOL):
        # An array in the middle of a pool's chunk has no edge that compute-sanitizer could see.
        cuda.cp.cuda.set_allocator(None)
    return CupyBackend(cuda, voter=voter)
