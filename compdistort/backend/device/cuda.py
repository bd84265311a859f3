"""One CUDA device: its streams, memory, transfers and kernels. The array library is handed in, never imported.

Every thread works on a stream of its own. What several threads share is uploaded once and complete before it is handed
out, so that no stream has to wait for another.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from compdistort.backend.device.cubin import cache_folder
from compdistort.backend.device.kernels import Kernels
from compdistort.backend.device.memo import Memo
from compdistort.backend.device.turnstile import Turnstile
from compdistort.errors import DeviceFailedError, DeviceMemoryError, KernelCompileError

T = TypeVar("T")

OUT_OF_MEMORY = 2
"""Status of a CUDA call that found no memory."""

LOST = (214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999)
"""Statuses after which the context is dead: memory error, illegal address, timeout, launch failure and their like."""

NOT_LOADED = (200, 209, 218, 222, 300, 301, 302, 303, 500)
"""Statuses of machine code that is damaged, gone, of another architecture, or without the kernel."""

AT_WORK = 2
"""Threads that work on the device at once.

The host work and the waits of one overlap with the kernels of the other; more would only divide the memory.
"""

STAGED_BYTES = 1 << 26
"""Largest upload that goes through pinned memory: CuPy copies the array there, and never gives such memory back."""

SLAB_SHARE = 0.5
"""Part of the free memory that the slabs of all threads at work may take."""


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
        Memory that the temporaries of one slab may take; default half of what is free, divided by the threads at work.
        Results do not depend on it.
    host_threads : int, optional
        Threads of `host_pool`; default as many as this process may use cores.

    Attributes
    ----------
    host_pool : ThreadPoolExecutor
        For what the host computes for the device, whichever thread asks; it starts threads when there is work.
    """

    def __init__(
        self,
        cp: Any,
        label: Callable[..., Any],
        kernels: Kernels,
        device: int = 0,
        slab_bytes: int | None = None,
        host_threads: int | None = None,
    ) -> None:
        self.cp, self.label, self.kernels, self.device, self.slab_bytes = cp, label, kernels, device, slab_bytes
        self.host_threads = host_threads or _cores()
        self.host_pool = ThreadPoolExecutor(self.host_threads)
        self._turnstile = Turnstile(AT_WORK)
        self._local = threading.local()
        self._memo = Memo(
            lambda: self._stream("kernels").synchronize(), lambda: self.cp.cuda.Device(self.device).synchronize()
        )

    def in_turn(self, work: Callable[[], T]) -> T:
        """Return what `work` gives, called as by `here`, while at most `AT_WORK` threads work on the device.

        When the device runs out of memory, `work` is called again once no other thread is at work. Within a turn of the
        same thread it is just called: the outer turn is repeated as a whole.

        Parameters
        ----------
        work : callable
            Must give the same when it is called again, whatever an earlier call has done.

        Raises
        ------
        DeviceMemoryError
            If the memory does not suffice for this thread alone.
        """
        if self._turnstile.inside:
            with self.here():
                return work()
        # An error, and with it the arrays that its frames hold, is gone before the turn ends: whoever waits to be alone
        # goes in at that moment.
        with self._turnstile.turn(), suppress(DeviceMemoryError), self.here():
            return work()
        with self._turnstile.turn(alone=True), self.here():
            self.cp.get_default_memory_pool().free_all_blocks()
            return work()

    @contextmanager
    def here(self) -> Iterator[Any]:
        """Make this device and this thread's stream current; yield the stream.

        Raises
        ------
        DeviceMemoryError, DeviceFailedError, KernelCompileError
            What CuPy's own exceptions mean.
        """
        try:
            with self.cp.cuda.Device(self.device), self._memo.using(), self._stream("kernels") as stream:
                yield stream
        except Exception as error:
            # From Python 3.12 on, the frame of a generator keeps the frame that threw the error into it, and that keeps
            # the error. Were this frame in the error's own traceback, too, all of them, with every array that the work
            # held, would stay until garbage is collected. The traceback of what is raised instead has it.
            self._translate(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
            raise

    def copy_stream(self) -> Any:
        """Return this thread's stream for copies beside its kernels; inside `here` only."""
        return self._stream("copies")

    def _stream(self, purpose: str) -> Any:
        if not hasattr(self._local, purpose):
            setattr(self._local, purpose, self.cp.cuda.Stream(non_blocking=True))
        return getattr(self._local, purpose)

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
            What `build` returned, complete on the device; it stays there at least until this thread leaves `here`.
        """
        return self._memo.get(kind, source, build)

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
        budget = self.slab_bytes or int(SLAB_SHARE * self.free_bytes()) // max(1, self._turnstile.at_work)
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

    def _translate(self, error: Exception) -> None:
        """Raise what one of CuPy's own exceptions means; do nothing about any other."""
        if self._out_of_memory(error) and not isinstance(error, DeviceMemoryError):
            raise self._memory_error(error) from error
        if self._status(error) in LOST:
            raise DeviceFailedError(
                f"device {self.device} failed: {error}", "start again; if it happens again, use --device cpu"
            ) from error
        if self._status(error) in NOT_LOADED:
            raise KernelCompileError(
                f"device {self.device} cannot load a kernel: {error}",
                f"delete {cache_folder()} and start again; if it happens again, report it and use --device cpu",
            ) from error

    def _memory_error(self, error: Exception) -> DeviceMemoryError:
        fewer = "use fewer --threads, " if self._turnstile.most > 1 else ""
        return DeviceMemoryError(
            f"device {self.device} has too little free memory: {error}",
            f"close what else uses it, {fewer}crop the image, or use --device cpu",
        )

    def _out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, self.cp.cuda.memory.OutOfMemoryError | DeviceMemoryError) or (
            self._status(error) == OUT_OF_MEMORY
        )

    def _status(self, error: Exception) -> int:
        """Return the CUDA status of one of CuPy's own exceptions, 0 of any other."""
        kinds = (self.cp.cuda.runtime.CUDARuntimeError, self.cp.cuda.driver.CUDADriverError)
        return int(getattr(error, "status", 0)) if isinstance(error, kinds) else 0


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
