"""A stand-in for CuPy whose device is this process: the same names, NumPy memory, kernels built by g++.

It offers only what the engine uses (a test holds every name against the real CuPy), and it is stricter: a device
array is never taken for a NumPy array, fresh memory holds garbage, the memory may be made small, and a kernel sees
only arrays of the device that is current.
"""

import threading
import types
import weakref

import numpy as np
from cudahost import standin_streams
from cudahost.standin_streams import POISON
from scipy import ndimage

from compdistort.backend.device.cuda import Cuda
from compdistort.backend.device.kernels import Kernels


class OutOfMemoryError(MemoryError):
    pass


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, message="stand-in"):
        super().__init__(f"{status}: {message}")
        self.status = status


class CUDADriverError(CUDARuntimeError):
    pass


class Pointer:
    """Where an array starts (`ptr`), and the whole allocation it lies in (`mem`)."""

    def __init__(self, host):
        self.ptr = host.ctypes.data
        while isinstance(host.base, np.ndarray):
            host = host.base
        self.mem = types.SimpleNamespace(ptr=host.ctypes.data, size=host.nbytes)


class ndarray:  # noqa: N801 - CuPy's name
    """Array of the stand-in's device: only what the engine may ask of one."""

    __array_priority__ = 100

    def __init__(self, host, device=None):
        self._host, self.device = host, Device(standin_streams.devices()[-1]) if device is None else device

    def __array__(self, *_args, **_kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use the backend's to_host")

    def __len__(self):
        return len(self._host)

    def __getitem__(self, key):
        part = self._host[key]
        return self._part(part if isinstance(part, np.ndarray) else np.asarray(part))

    def __setitem__(self, key, value):
        self._host[key] = value._host if isinstance(value, ndarray) else value

    dtype = property(lambda self: self._host.dtype)
    shape = property(lambda self: self._host.shape)
    size = property(lambda self: self._host.size)
    ndim = property(lambda self: self._host.ndim)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: Pointer(self._host))

    def _part(self, host):
        return ndarray(host, self.device)

    def reshape(self, *shape):
        return self._part(self._host.reshape(*shape))

    def ravel(self):
        return self._part(self._host.ravel())

    def view(self, dtype):
        return self._part(self._host.view(dtype))

    def get(self, stream=None, order="C", out=None, blocking=True):
        out = np.empty(self.shape, self.dtype, order) if out is None else out
        self._require_like(out)
        standin_streams.copy_out(self._host, out, stream, blocking)
        return out

    def set(self, arr, stream=None):
        self._require_like(arr)
        standin_streams.copy_in(arr, self._host, stream)

    def _require_like(self, host):
        if host.dtype != self.dtype:
            raise TypeError(f"{host.dtype} array for {self.dtype} array")
        if host.shape != self.shape:
            raise ValueError(f"shape {host.shape} for {self.shape}")

    def fill(self, value):
        standin_streams.get_current_stream()._queue()
        self._host.fill(value)


class Device:
    def __init__(self, device=0):
        self.id = device

    def __enter__(self):
        standin_streams.devices().append(self.id)
        return self

    def __exit__(self, *_error):
        standin_streams.devices().pop()

    def synchronize(self):
        standin_streams.get_current_stream().synchronize()


class Pool:
    def __init__(self):
        self.freed = 0

    def free_bytes(self):
        return 0

    def free_all_blocks(self):
        self.freed += 1


class Memory:
    """Counts the bytes of arrays that are alive; `largest` bounds one of them, `total` all together."""

    def __init__(self, largest, total):
        self._largest, self._total, self.used = largest, total, 0
        self._lock = threading.RLock()  # an array may be collected while another is counted

    def take(self, host):
        with self._lock:
            if host.nbytes > self._largest or self.used + host.nbytes > self._total:
                raise OutOfMemoryError(f"Out of memory allocating {host.nbytes} bytes")
            self.used += host.nbytes
        weakref.finalize(host, self._give_back, host.nbytes)

    def _give_back(self, n_bytes):
        with self._lock:
            self.used -= n_bytes

    def info(self):
        return self._total - self.used, self._total


def make_standin(largest=1 << 62, free=1 << 30, total=None):
    """Return a module that looks like CuPy.

    A single array above `largest` bytes does not fit its memory, nor do arrays above `total` bytes together; without a
    `total` it always says that `free` bytes are free.
    """
    pool, memory = Pool(), Memory(largest, total or 1 << 62)

    def empty(shape, dtype=float):
        host = standin_streams.born(np.empty(shape, dtype))
        memory.take(host)
        host.reshape(-1).view(np.uint8).fill(POISON)
        return ndarray(host)

    def zeros(shape, dtype=float):
        out = empty(shape, dtype)
        out.fill(0)
        return out

    def asarray(array):
        if isinstance(array, ndarray):
            return array
        out = empty(np.shape(array), np.asarray(array).dtype)
        out.set(np.asarray(array))
        return out

    module = types.ModuleType("cupy")
    module.ndarray, module.empty, module.zeros, module.asarray = ndarray, empty, zeros, asarray
    module.asnumpy = lambda array: array.get()
    module.get_default_memory_pool = lambda: pool
    module.cuda = types.SimpleNamespace(
        Device=Device,
        Event=standin_streams.Event,
        Stream=standin_streams.Stream,
        alloc_pinned_memory=standin_streams.alloc_pinned_memory,
        get_current_stream=standin_streams.get_current_stream,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError, memGetInfo=memory.info if total else lambda: (free, free)
        ),
        driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
    )
    return module


def label(input, structure=None):  # noqa: A002 - CuPy's name
    """`cupyx.scipy.ndimage.label`, by SciPy."""
    if not isinstance(input, ndarray):
        raise TypeError("input must be cupy.ndarray")
    found, n = ndimage.label(input._host, structure, output=np.int32)
    return ndarray(found), n


class WrongDeviceError(RuntimeError):
    """A kernel of one device was handed an array of another."""


class StandinKernels(Kernels):
    """Kernels that count as work of the current stream."""

    def launch(self, kernel, grid, block, *arguments):
        elsewhere = {each.device.id for each in arguments if isinstance(each, ndarray)} - {
            standin_streams.devices()[-1]
        }
        if elsewhere:
            raise WrongDeviceError(f"{kernel}: array of device {elsewhere}, current is {standin_streams.devices()[-1]}")
        super().launch(kernel, grid, block, *arguments)
        standin_streams.get_current_stream()._queue()


def standin_cuda(load, directory=None, slab_bytes=None, *, device=0, host_threads=None, **memory):
    """Return a `Cuda` whose kernels come from ``load(file, text)``; `memory` goes to `make_standin`."""
    cp = make_standin(**memory)
    kernels = StandinKernels(load, ndarray, directory)
    return Cuda(cp, label, kernels, device, slab_bytes=slab_bytes, host_threads=host_threads)
