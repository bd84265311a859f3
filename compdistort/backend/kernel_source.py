"""Finds and assembles the CUDA sources; imports no CUDA.

Own headers are written into the text with ``#line``, so that the text alone decides what is compiled (and what a
cached binary stands for) and a compiler's message still names the true file and line.
"""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from compdistort.errors import KernelCompileError

KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
_INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"\s*$')
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_VECTOR = re.compile(r"(float|double|int|uint|ushort|uchar)([24])")
_CODES = {
    "float": "f", "double": "d", "int": "i", "uint": "I", "ushort": "H", "uchar": "B", "bool": "?",
    "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q",
}  # fmt: skip


@cache
def kernel_dir() -> Path:
    """Return the folder of the kernels: inside the installed package, or beside it in a checkout.

    Raises
    ------
    KernelCompileError
        If neither place holds them.
    """
    root = Path(str(files("compdistort")))
    places = (root / "kernels", root.parent / "kernels")
    for place in places:
        if (place / "common.cuh").is_file():
            return place
    raise KernelCompileError(
        f"no kernels in {places[0]} or {places[1]}", "install compdistort again; the files are part of it"
    )


def kernel_files(directory: Path | None = None) -> tuple[str, ...]:
    """Return the names of all kernel files, without ``.cu``, sorted."""
    return tuple(sorted(path.stem for path in (directory or kernel_dir()).glob("*.cu")))


def assemble(name: str, directory: Path | None = None) -> str:
    """Return the text of one kernel file with the project's own headers written into it.

    Parameters
    ----------
    name : str
        File name without ``.cu``.
    directory : Path, optional
        Folder of the kernels; default `kernel_dir`.

    Returns
    -------
    str
    """
    folder = directory or kernel_dir()
    seen: set[Path] = set()
    return "\n".join(_lines(folder / f"{name}.cu", folder, seen)) + "\n"


def _lines(path: Path, folder: Path, seen: set[Path]) -> list[str]:
    seen.add(path)
    out = [f'#line 1 "{path.name}"']
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = _INCLUDE.match(line)
        header = folder / found[1] if found else None
        if header is None or not header.is_file():
            out.append(line)
            continue
        if header not in seen:
            out += _lines(header, folder, seen)
        out.append(f'#line {number + 1} "{path.name}"')
    return out


def prototypes(text: str) -> dict[str, tuple[str, ...]]:
    """Return the parameters of every kernel in a source text.

    Parameters
    ----------
    text : str
        CUDA source, assembled or not.

    Returns
    -------
    dict of str to tuple of str
        By kernel: one code a parameter. A scalar is its NumPy type character; a pointer is ``p`` (read) or ``P``
        (written), the character, and the lanes of a vector type, as in ``pf4`` for ``const float4*``.

    Examples
    --------
    >>> prototypes('extern "C" __global__ void add(const float4* __restrict__ a, u16* out, i64 n) {}')
    {'add': ('pf4', 'PH', 'q')}
    """
    bare = _COMMENT.sub("", text)
    return {found[1]: tuple(map(_code, _parameters(bare, found.end()))) for found in KERNEL.finditer(bare)}


def _parameters(text: str, start: int) -> list[str]:
    end = text.index(")", start)
    return [part for part in (piece.strip() for piece in text[start:end].split(",")) if part]


def _code(parameter: str) -> str:
    words = re.sub(r"__restrict__|__grid_constant__", "", parameter).replace("*", " * ").split()
    base = next(word for word in words if word not in ("const", "*"))
    vector = _VECTOR.fullmatch(base)
    code = _CODES[vector[1]] + vector[2] if vector else _CODES[base]
    if "*" not in words:
        return code
    return ("p" if "const" in words else "P") + code
