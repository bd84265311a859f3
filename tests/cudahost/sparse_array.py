"""Arrays larger than any memory, of which only the end is touched, and launches of which only the end runs."""

import mmap
from contextlib import contextmanager
from functools import partial
from math import prod

import numpy as np
from cudahost.standin_cupy import StandinKernels

NORESERVE = 0x4000
"""Linux's MAP_NORESERVE, which Python names from 3.13 on: pages that are not written are not counted."""


def sparse(shape, dtype=np.float32, before=0):
    """Return zeros of any size, of which only what is touched takes memory.

    They lie behind `before` further elements: as many as an index that has turned negative in 32 bits may reach.
    """
    dtype, size = np.dtype(dtype), prod(shape)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
    pages = mmap.mmap(-1, (before + size) * dtype.itemsize, flags=flags)
    return np.frombuffer(pages, dtype, size, before * dtype.itemsize).reshape(shape)


@contextmanager
def only_last_blocks(engine, count=1, of=None):
    """Let the CPU's levels run only the last blocks of every launch, or of those of one kernel; a device runs all."""
    kernels = engine.cuda.kernels
    if not isinstance(kernels, StandinKernels):
        yield
        return
    find = kernels._function

    def cut(kernel):
        function, codes = find(kernel)
        return function if of not in (None, kernel) else partial(_end_of, function, count), codes

    kernels._function = cut
    try:
        yield
    finally:
        del kernels._function


def _end_of(function, count, grid, block, arguments):
    function(grid, block, arguments, only=(prod(grid) - count, count))


def launch_last(engine, kernel, grid, block, *arguments, count=1):
    """Run only the last blocks of one launch. For kernels that g++ built."""
    with only_last_blocks(engine, count):
        engine.cuda.launch(kernel, grid, block, *arguments)
