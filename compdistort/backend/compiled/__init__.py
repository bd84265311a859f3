"""Numba loops, one file a family. Each function equals its namesake in `compdistort.backend.plain` to the bit.

Numba keeps what it has compiled beside the source, else in the user's cache folder. Where it can write to neither (a
container without a home, a package that an administrator installed) it would refuse to compile at all, so another
folder is named here, before the first loop is read.
"""

import os
import tempfile
from pathlib import Path

from numba.core import config
from numba.misc.appdirs import AppDirs

from compdistort.backend.device.cubin import cache_folder, cache_problem, temporary_folder


def settle_numba_cache() -> None:
    """Name a folder for Numba's cache where its usual ones cannot be written to.

    It is COMPDISTORT_CACHE or the program's own cache folder, else one that lives as long as the process.
    """
    usual = (Path(__file__).with_name("__pycache__"), Path(AppDirs(appname="numba", appauthor=False).user_cache_dir))
    if config.CACHE_DIR or any(_is_writable(folder) for folder in usual):
        return
    own = cache_folder().with_name("numba")
    config.CACHE_DIR = str(temporary_folder() / "numba" if cache_problem(own) else own)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return os.access(folder, os.W_OK)
    except OSError:
        return False


settle_numba_cache()
