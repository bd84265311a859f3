"""One CUDA device: its streams, memory, transfers and kernels. The array library is handed in, never imported.

Every thread works on a stream of its own. What several threads share is uploaded once and complete before it is handed
out, so that no stream has to wait for another.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compdistort.backend.device.kernels import Kernels
from compdistort.errors import DeviceFailedError, DeviceMemoryError

T = TypeVar("T")

OUT_OF_MEMORY = 2
"""Status of a CUDA call that found no memory."""

LOST = (214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999)
"""Statuses after which the context is dead: memory error, illegal address, timeout, launch failure and their like."""

STAGED_BYTES = 1 << 26
"""Largest upload that goes through pinned memory: CuPy copies the array there, and never gives such memory back."""

SLAB_SHARE = 0.5
"""Part of the free memory that one slab's temporaries may take."""

MEMO_SIZE = 16
"""Tables, filters and forests that stay on the device."""


class Cuda:
    """One CUDA device.

    Parameters
    ----------
    cp : module
        `cupy`, or a stand-in of it.
    label : callable
        `cupyx.scipy.ndimage.label`.
    kernels : Kernels
        Kernels built for this device.
    device : int
        Its number.
    slab_bytes : int, optional
        Memory that the temporaries of one slab may take; default half of what is free. Results do not depend on it.
    """

    def __init__(
        self, cp: Any, label: Callable[..., Any], kernels: Kernels, device: int = 0, slab_bytes: int | None = None
    ) -> None:
        self.cp, self.label, self.kernels, self.device, self.slab_bytes = cp, label, kernels, device, slab_bytes
        self._local = threading.local()
        self._memo: OrderedDict[tuple[str, int], tuple[Any, Any]] = OrderedDict()
        self._memo_lock = threading.Lock()

    @contextmanager
    def here(self) -> Iterator[Any]:
        """Make this device and this thread's stream current; yield the stream.

        Raises
        ------
        DeviceMemoryError, DeviceFailedError
            What CuPy's own exceptions mean.
        """
        with self._translated(), self.cp.cuda.Device(self.device):
            if not hasattr(self._local, "stream"):
                self._local.stream = self.cp.cuda.Stream(non_blocking=True)
            with self._local.stream:
                yield self._local.stream

    def launch(self, kernel: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
        """Launch a kernel on the current stream (see `Kernels.launch`)."""
        self.kernels.launch(kernel, grid, block, *arguments)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Return an array whose values are undefined."""
        return self.cp.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Return an array of zeros."""
        return self.cp.zeros(shape, dtype)

    def upload(self, array: NDArray[Any]) -> Any:
        """Return a C-contiguous copy on the device."""
        source = np.ascontiguousarray(array)
        if source.nbytes <= STAGED_BYTES:
            return self.cp.asarray(source)
        out = self.cp.empty(source.shape, source.dtype)
        out.set(source)
        self.cp.cuda.get_current_stream().synchronize()  # some drivers read pageable memory after the call
        return out

    def download(self, array: Any) -> NDArray[Any]:
        """Return a copy on the host; waits for the current stream."""
        out: NDArray[Any] = self.cp.asnumpy(array)
        return out

    def memo(self, kind: str, source: object, build: Callable[[], T]) -> T:
        """Return what `build` made on the device of a host object the first time it was asked.

        Parameters
        ----------
        kind : str
            What is made of it.
        source : object
            Host data that never changes (a frozen dataclass); it is kept alive while its copy is.
        build : callable
            Makes the device data on the current stream.

        Returns
        -------
        object
            What `build` returned, complete on the device.
        """
        key = (kind, id(source))
        with self._memo_lock:
            if key in self._memo:
                self._memo.move_to_end(key)
                built: T = self._memo[key][1]
                return built
            made = build()
            self._local.stream.synchronize()
            self._memo[key] = (source, made)
            while len(self._memo) > MEMO_SIZE:
                # Streams of other threads may still read what is dropped: its memory must not be given away before.
                self.cp.cuda.Device(self.device).synchronize()
                self._memo.popitem(last=False)
            return made

    def free_bytes(self) -> int:
        """Return how much memory is free: on the device, and in blocks that CuPy keeps for reuse."""
        free, _ = self.cp.cuda.runtime.memGetInfo()
        return int(free) + int(self.cp.get_default_memory_pool().free_bytes())

    def in_slabs(self, total: int, bytes_each: int, work: Callable[[int, int], None]) -> None:
        """Call ``work(start, stop)`` over ``0 .. total`` in slabs that fit the memory.

        When the device runs out of memory, the slab is halved and done again: `work` must write the same whatever
        its slabs, and must not depend on what an earlier try has written.

        Parameters
        ----------
        total : int
            Planes (rows in 2D).
        bytes_each : int
            Memory that one of them takes while it is worked on.
        work : callable
            Does the planes ``start <= z < stop``.

        Raises
        ------
        DeviceMemoryError
            If not even one plane fits.
        """
        budget = self.slab_bytes or int(SLAB_SHARE * self.free_bytes())
        length = min(max(1, budget // max(1, bytes_each)), max(1, total))
        start = 0
        while start < total:
            stop = min(start + length, total)
            try:
                work(start, stop)
            except Exception as error:
                if not self._out_of_memory(error):
                    raise
                self.cp.get_default_memory_pool().free_all_blocks()
                if length == 1:
                    raise self._memory_error(error) from error
                length = max(1, length // 2)
            else:
                start = stop

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._out_of_memory(error) and not isinstance(error, DeviceMemoryError):
                raise self._memory_error(error) from error
            if self._status(error) in LOST:
                raise DeviceFailedError(
                    f"device {self.device} failed: {error}", "start again; if it happens again, use --device cpu"
                ) from error
            raise

    def _memory_error(self, error: Exception) -> DeviceMemoryError:
        return DeviceMemoryError(
            f"device {self.device} has too little free memory: {error}",
            "close what else uses it, crop the image, or use --device cpu",
        )

    def _out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, self.cp.cuda.memory.OutOfMemoryError | DeviceMemoryError) or (
            self._status(error) == OUT_OF_MEMORY
        )

    def _status(self, error: Exception) -> int:
        """Return the CUDA status of one of CuPy's own exceptions, 0 of any other."""
        kinds = (self.cp.cuda.runtime.CUDARuntimeError, self.cp.cuda.driver.CUDADriverError)
        return int(getattr(error, "status", 0)) if isinstance(error, kinds) else 0
