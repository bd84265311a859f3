"""Runs the PTX that nvcc emits on the CPU: the compiler's own reading of the kernels.

The C++ build shows that a source is right; this shows that nvcc understood it the same way (contraction, rounding,
shifts, predicates, addresses). Accesses to global memory are held against the arrays that were passed.
"""

import subprocess
from functools import cache

from cudahost.host_module import FLAGS, HostBuildError, HostModule, build_library, cached
from cudahost.ptx_translate import translate

from compdistort.backend.device import cubin

PTX_TARGETS = ("75", "90", "120")
"""Virtual architectures: the oldest, that of the reference device, and one of the newer front end (sm_100 and up)."""

HOST_FLAGS = (*FLAGS, "-w", "-fwrapv", "-march=native")


class PtxModule(HostModule):
    """As `HostModule`, but what runs is nvcc's PTX for one virtual architecture."""

    def __init__(self, text, target):
        code = translate(make_ptx(text, target))
        self._open(build_library(code, HOST_FLAGS), order=0)


def make_ptx(text, target):
    """Return the PTX of an assembled CUDA source, compiled once for each content."""
    flags = ("-ptx", f"-arch=compute_{target}", *cubin.FLAGS)
    return cached((text, _version(), *flags), ".ptx", lambda folder: _compile(text, flags, folder)).read_text()


def _compile(text, flags, folder):
    source, out = folder / "unit.cu", folder / "unit.ptx"
    source.write_text(text)
    done = subprocess.run(["nvcc", *flags, "-o", out, source], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostBuildError(done.stderr)
    return out


@cache
def _version():
    return subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
