"""Kernels of the tests themselves, ``tests/cudahost/kernels/*.cu``: not the engine's, but built as its are."""

import shutil
from pathlib import Path

from cudahost.levels import loader
from cudahost.standin_cupy import standin_cuda

from compdistort.backend.kernel_source import assemble, kernel_dir

HERE = Path(__file__).resolve().parent / "kernels"


def own_directory(folder):
    """Copy the tests' kernels and the project's headers into a folder; return it."""
    for path in (*HERE.glob("*.cu"), *kernel_dir().glob("*.cuh")):
        shutil.copy(path, folder)
    return folder


def own_text(folder, name, source=None):
    """Return the assembled text of one of them, or of a source that is written there first."""
    own_directory(folder)
    if source is not None:
        (folder / f"{name}.cu").write_text(source)
    return assemble(name, folder)


def own_cuda(folder, level):
    """Return a stand-in device that knows the tests' kernels, on a level of the CPU."""
    return standin_cuda(loader(level), own_directory(folder))
