"""Machine code for one architecture: made by NVRTC with our own flags, kept on disk by its content. Needs no driver.

CuPy's own compiler is not used: it appends ``-ftz=true`` to any options, and its cache does not see a changed header.
The name of a kept file holds the hash of what it was made from and the hash of what it holds, so that one rename
writes both, a damaged file is not taken, and two processes that build the same do not disturb each other.
"""

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from compdistort.errors import KernelCompileError

FLAGS = ("--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true", "-std=c++17")
"""Contraction only where a kernel says so; IEEE denormals, division and square root."""

CACHE_VARIABLE = "COMPDISTORT_CACHE"
"""Environment variable: folder of compiled kernels, and of Numba's loops that cannot be kept elsewhere."""

CUPY_VARIABLE = "CUPY_CACHE_DIR"
"""Environment variable: folder of the kernels that CuPy compiles itself, for `label`."""

_DIGITS = 24
_OTHERS_MAY_WRITE = 0o022


def cache_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return the folder where machine code is kept.

    Parameters
    ----------
    environ : mapping
        Environment: COMPDISTORT_CACHE, else the system's own place for such files.
    platform : str
        As `sys.platform`.

    Returns
    -------
    Path

    Examples
    --------
    >>> cache_folder({"XDG_CACHE_HOME": "/fast"}, "linux").as_posix()
    '/fast/compdistort/kernels'
    """
    own = environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).absolute() / "kernels"
    place = Path(environ.get("LOCALAPPDATA" if platform == "win32" else "XDG_CACHE_HOME") or "")
    if not place.is_absolute():  # the XDG specification: a relative path is to be ignored
        place = Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111 - Path.home raises where there is no home
    return place / "compdistort" / "kernels"


def cache_problem(folder: Path) -> str:
    """Make the folder if need be; say why machine code cannot be kept there, or nothing.

    A folder that others may write to is refused too: what lies there is run.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
    except OSError as error:
        return f"{folder} cannot be made ({error.strerror})"
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & _OTHERS_MAY_WRITE):
        return f"{folder} belongs to another user, or others may write to it"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written to"


def settle_cupy_cache() -> None:
    """Name a folder for the kernels that CuPy compiles itself where its usual one cannot be: it would not import."""
    usual = Path(os.path.expanduser("~/.cupy/kernel_cache"))  # noqa: PTH111 - Path.home raises where there is no home
    if "cupy" in sys.modules or os.environ.get(CUPY_VARIABLE):
        return
    try:
        usual.mkdir(parents=True, exist_ok=True)
        usable = os.access(usual, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        own = cache_folder().with_name("cupy")
        os.environ[CUPY_VARIABLE] = str(temporary_folder() / "cupy" if cache_problem(own) else own)


def cubin_file(name: str, text: str, arch: int, nvrtc: Any, folder: Path | None = None) -> Path:
    """Return a file of machine code, compiled only if no good one is kept.

    Parameters
    ----------
    name : str
        Kernel file, without suffix.
    text : str
        Its assembled source.
    arch : int
        Architecture, 90 for ``sm_90``.
    nvrtc : module
        `cupy.cuda.nvrtc`.
    folder : Path, optional
        Where it is kept; default `cache_folder`. Where it cannot be used, the file lives as long as the process.

    Returns
    -------
    Path

    Raises
    ------
    KernelCompileError
        If NVRTC is missing, refuses the source, or nothing can be written anywhere.
    """
    wanted = folder or cache_folder()
    place = temporary_folder() if cache_problem(wanted) else wanted
    stem = f"{name}-sm{arch}-{_key(text, arch, nvrtc)}"
    kept = _find(place, stem)
    if kept is not None:
        return kept
    code = compile_cubin(name, text, arch, nvrtc)
    try:
        return _write(place, stem, code)
    except OSError:  # a full disk, say: one run can still do without
        with _nowhere_else():
            return _write(temporary_folder(), stem, code)


def compile_cubin(name: str, text: str, arch: int, nvrtc: Any) -> bytes:
    """Return the machine code of a source text.

    Parameters
    ----------
    name : str
        Kernel file, without suffix; messages name it.
    text : str
        Its assembled source.
    arch : int
        Architecture, 90 for ``sm_90``.
    nvrtc : module
        `cupy.cuda.nvrtc`.

    Returns
    -------
    bytes
        An ELF file, as `cupy.RawModule` loads it.

    Raises
    ------
    KernelCompileError
        With NVRTC's first error, which names the true file and line.
    """
    program = _loaded(nvrtc.createProgram, text, f"{name}.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"--gpu-architecture=sm_{arch}", *FLAGS))
        code: bytes = nvrtc.getCUBIN(program)
    except Exception as error:
        log = str(nvrtc.getProgramLog(program))
        first = next((line for line in log.splitlines() if "error" in line), f"{name}.cu: {error}")
        raise KernelCompileError(
            f"{first.strip()} (for sm_{arch})", "use --device cpu, and report this line with `compdistort doctor`"
        ) from error
    finally:
        nvrtc.destroyProgram(program)
    return code


def nvrtc_version(nvrtc: Any) -> tuple[int, int]:
    """Return the version of NVRTC.

    Raises
    ------
    KernelCompileError
        If its library is missing or does not load.
    """
    major, minor = _loaded(nvrtc.getVersion)
    return int(major), int(minor)


def _loaded(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call NVRTC, whose library CuPy looks for at the first call."""
    try:
        return call(*arguments)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise KernelCompileError(
            f"NVRTC, CUDA's run-time compiler, does not load ({lines[0].rstrip('.: ')})",
            "install it with pip install 'compdistort[cuda13]' ('compdistort[cuda12]' beside cupy-cuda12x)",
        ) from error


def _key(text: str, arch: int, nvrtc: Any) -> str:
    made_from = repr((FLAGS, arch, nvrtc_version(nvrtc), text))
    return hashlib.sha256(made_from.encode()).hexdigest()[:_DIGITS]


def _checksum(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()[:_DIGITS]


def _find(place: Path, stem: str) -> Path | None:
    """Return the kept file that still holds what its name says."""
    for path in sorted(place.glob(f"{stem}-*.cubin")):
        try:
            if path.stem.removeprefix(f"{stem}-") == _checksum(path.read_bytes()):
                return path
        except OSError:  # removed or closed to us meanwhile: it is compiled again
            continue
    return None


def _write(place: Path, stem: str, code: bytes) -> Path:
    """Write the file whole or not at all: only a rename gives it its name."""
    final = place / f"{stem}-{_checksum(code)}.cubin"
    handle, temporary = tempfile.mkstemp(dir=place, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        Path(temporary).replace(final)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return final


@contextmanager
def _nowhere_else() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KernelCompileError(
            f"machine code cannot be written anywhere ({error.strerror})", f"free some space, or set {CACHE_VARIABLE}"
        ) from error


@cache
def temporary_folder() -> Path:
    """Return a folder of this process, removed at its end: CuPy opens files in it at a kernel's first launch."""
    with _nowhere_else():
        place = Path(tempfile.mkdtemp(prefix="compdistort-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
