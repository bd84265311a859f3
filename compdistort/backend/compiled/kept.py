"""Loops that are compiled once and kept on disk, in a folder named by the sources that they are made of.

Numba looks at the file of a kept loop alone, not at the files of what it calls: after a change there it would go on
with old code. And it keeps loops beside the source or in the user's cache folder, and refuses to compile where it can
write to neither (a container without a home, a package of an administrator). So the folder is named here.
"""

import hashlib
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config

from compdistort.backend.device.cubin import cache_folder, cache_problem, temporary_folder

GENERATIONS = 4
"""Folders that stay: those of the sources used last."""

_BACKEND = Path(__file__).resolve().parents[1]


def sources_digest(backend: Path = _BACKEND) -> str:
    """Return a hash of everything that is compiled into a kept loop.

    Parameters
    ----------
    backend : Path
        The folder `compdistort/backend`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    files = [*backend.glob("compiled/*.py"), *backend.glob("plain/*.py"), backend.parent / "rng.py"]
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]


@cache
def loops_folder() -> str:
    """Return the folder of this process's kept loops, made where it can be.

    In NUMBA_CACHE_DIR where that is set, else in COMPDISTORT_CACHE or the program's own cache folder, else in one that
    lives as long as the process.
    """
    digest = sources_digest()
    if config.CACHE_DIR:
        return str(Path(config.CACHE_DIR) / f"compdistort-{digest}")
    every = cache_folder().with_name("numba")
    if cache_problem(every) or cache_problem(every / digest):
        return str(temporary_folder() / "numba")
    (every / digest).touch()
    _drop_oldest(every)
    return str(every / digest)


def _drop_oldest(every: Path) -> None:
    """Remove the folders beyond `GENERATIONS`; a process that still uses one compiles what it misses."""
    folders = sorted((place for place in every.iterdir() if place.is_dir()), key=lambda place: place.stat().st_mtime)
    for folder in folders[:-GENERATIONS]:
        shutil.rmtree(folder, ignore_errors=True)


def kept_loop(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, without Python's lock, and keep it on disk.

    It must be called with one signature only: Numba's list of a function's signatures is not safe against two processes
    that add to it at the same time, and would give one the code of the other. Loops that it calls are plain `njit`.
    """
    others = config.CACHE_DIR
    config.CACHE_DIR = loops_folder()
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = others
