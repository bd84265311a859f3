"""Kernels of one device: found by name, their arguments checked against the prototype, launched.

CuPy passes what it is given: a Python int as 8 bytes, an array of any type as a bare address. So every argument is
checked and cast here by the kernel's own parameter list.
"""

import threading
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from compdistort.backend.kernel_source import assemble, prototypes

Dims = tuple[int, ...]

MAX_GRID = (2**31 - 1, 65535, 65535)
"""Largest number of blocks along x, y, z."""

MAX_THREADS = 1024
"""Threads a block may have."""


class Module(Protocol):
    """A loaded module: what `cupy.RawModule` is."""

    def get_function(self, name: str) -> Callable[..., None]:
        """Return the kernel of that name; call it with grid, block, arguments."""
        ...


class Kernels:
    """Kernels of one device.

    Parameters
    ----------
    load : callable
        Takes a kernel file's name and its assembled text, gives the loaded `Module`.
    array_type : type
        Array class of the device's library; anything else is refused as a pointer.
    directory : Path, optional
        Folder of the kernels.
    """

    def __init__(
        self, load: Callable[[str, str], Module], array_type: type[Any], directory: Path | None = None
    ) -> None:
        self._load, self._array_type, self._directory = load, array_type, directory
        self._modules: dict[str, tuple[Module, dict[str, tuple[str, ...]]]] = {}
        self._functions: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def launch(self, kernel: str, grid: Dims, block: Dims, *arguments: Any) -> None:
        """Launch a kernel on the current stream.

        Parameters
        ----------
        kernel : str
            File and kernel, as in ``"accumulate.accumulate"``.
        grid, block : tuple of int
            Blocks, and threads a block, along x, y, z. An empty grid launches nothing.
        *arguments
            Arrays of the device, Python or NumPy scalars, or None for a null pointer, in the order of the prototype.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit the prototype, or grid or block are too large.
        """
        function, codes = self._function(kernel)
        if len(arguments) != len(codes):
            raise TypeError(f"{kernel}: {len(arguments)} arguments for {len(codes)} parameters")
        bound = tuple(self._bind(kernel, i, pair) for i, pair in enumerate(zip(arguments, codes, strict=True)))
        if prod(block) > MAX_THREADS or any(n > limit for n, limit in zip(grid, MAX_GRID, strict=False)):
            raise ValueError(f"{kernel}: grid {grid} of blocks {block} is too large to launch")
        if prod(grid):
            function(grid, block, bound)

    def _function(self, kernel: str) -> tuple[Callable[..., None], tuple[str, ...]]:
        with self._lock:
            if kernel not in self._functions:
                file, _, name = kernel.partition(".")
                if file not in self._modules:
                    text = assemble(file, self._directory)
                    self._modules[file] = self._load(file, text), prototypes(text)
                module, codes = self._modules[file]
                self._functions[kernel] = module.get_function(name), codes[name]
            return self._functions[kernel]

    def _bind(self, kernel: str, number: int, pair: tuple[Any, str]) -> Any:
        argument, code = pair
        where = f"{kernel}, argument {number}"
        if code[0] not in "pP":
            return _scalar(argument, code, where)
        if argument is None:
            return np.uint64(0)
        if not isinstance(argument, self._array_type):
            raise TypeError(f"{where}: needs an array of the device, not {type(argument).__name__}")
        wanted, lanes = np.dtype(code[1]), int(code[2:] or 1)
        if argument.dtype != wanted:
            raise TypeError(f"{where}: is {argument.dtype}, the kernel reads {wanted}")
        if not argument.flags.c_contiguous or argument.size % lanes:
            raise ValueError(f"{where}: must be C-contiguous with a multiple of {lanes} elements")
        if argument.size and argument.data.ptr % min(16, wanted.itemsize * lanes):
            raise ValueError(f"{where}: is not aligned to {wanted.itemsize * lanes} bytes")
        return argument


def _scalar(argument: Any, code: str, where: str) -> np.generic:
    """Return the argument as exactly the kernel's type; a value that does not fit is refused."""
    wanted = np.dtype(code)
    if isinstance(argument, bool | np.bool_) != (wanted.kind == "b"):
        raise TypeError(f"{where}: {type(argument).__name__} for {wanted}")
    if wanted.kind in "iu" and not isinstance(argument, int | np.integer):
        raise TypeError(f"{where}: {type(argument).__name__} for {wanted}")
    if wanted.kind in "iu" and not np.iinfo(wanted).min <= int(argument) <= np.iinfo(wanted).max:
        raise ValueError(f"{where}: {argument} does not fit {wanted}")
    cast: np.generic = wanted.type(argument)
    if wanted.kind == "f" and float(cast) != float(argument):
        raise ValueError(f"{where}: {argument!r} is not a {wanted}; round it where it is made")
    return cast


def blocks_for(n: int, per_block: int, limit: int = MAX_GRID[0]) -> int:
    """Return how many blocks cover `n` items, at most `limit` (kernels go on in strides of the grid).

    Examples
    --------
    >>> blocks_for(1000, 256), blocks_for(0, 256)
    (4, 0)
    """
    return min(-(-n // per_block), limit)
