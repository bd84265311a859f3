"""Streams, events and pinned memory of the stand-in for CuPy: the worst order that the real ones allow.

A kernel runs at once, as if its stream were ahead of all others. A copy that need not block is done only when somebody
waits for its stream, as if that were behind: by then its source may be overwritten or freed, and until then its target
holds garbage. A copy on a stream that does not wait for the kernels before it is refused, and so is work on a stream
of another device than the current one.
"""

import threading
import weakref

import numpy as np

POISON = 0xA5
EARLY = False
"""True: the other extreme, copies are done at once, into memory that somebody may still be reading."""

_BLOCK = 512

_local = threading.local()
_born = {}


class StreamOrderError(RuntimeError):
    """Work on different streams whose order nobody has settled."""


def devices():
    """Numbers of the devices that this thread has made current; the last one is."""
    if not hasattr(_local, "devices"):
        _local.devices = [0]
    return _local.devices


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._stream, self._work = None, 0

    def record(self, stream=None):
        self._stream = stream or get_current_stream()
        self._work = self._stream._work

    def synchronize(self):
        if self._stream is not None:
            self._stream._deliver(self._work)


class Stream:
    def __init__(self, null=False, non_blocking=False, ptds=False):
        self.ptr, self._device = id(self), None if null else devices()[-1]
        self._work, self._seen, self._copies = 0, {}, []

    def __enter__(self):
        _stack().append(self)
        return self

    def __exit__(self, *_error):
        _stack().pop()

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        """What comes next on this stream comes after the event; the copies before it are visible to it."""
        event.synchronize()
        self._seen[event._stream] = max(event._work, self._seen.get(event._stream, 0))

    def synchronize(self):
        self._deliver(self._work)

    def _queue(self, deliver=None):
        if self._device not in (None, devices()[-1]):
            raise StreamOrderError(f"work on a stream of device {self._device} while {devices()[-1]} is current")
        self._work += 1
        if EARLY and deliver is not None:
            deliver()
        elif deliver is not None:
            self._copies.append((self._work, deliver))

    def _deliver(self, work):
        while self._copies and self._copies[0][0] <= work:
            self._copies.pop(0)[1]()

    def _require_order(self, event):
        if event is not None and self is not event._stream and self._seen.get(event._stream, 0) < event._work:
            raise StreamOrderError("a copy on a stream that does not wait for the work before it: record, wait_event")


def _stack():
    if not hasattr(_local, "stack"):
        _local.stack = [Stream(null=True)]
    return _local.stack


def get_current_stream(device_id=-1):
    return _stack()[-1]


class PinnedMemory(np.ndarray):
    """Bytes that an asynchronous copy may go to."""


def alloc_pinned_memory(size):
    """As many bytes or more, rounded up as CuPy's pool does; full of garbage."""
    memory = np.ndarray.__new__(PinnedMemory, (-(-size // _BLOCK) * _BLOCK,), np.uint8)
    memory.fill(POISON)
    return memory


class Place:
    """Where an array lies, without keeping its memory alive."""

    def __init__(self, array):
        root = _root(array)
        self._root, self._start, self._n = weakref.ref(root), array.ctypes.data - root.ctypes.data, array.nbytes

    def bytes(self):
        root = self._root()
        if root is None:
            raise StreamOrderError("memory was freed before its copy was done")
        return root.reshape(-1).view(np.uint8)[self._start : self._start + self._n]


def _root(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def copy_out(source, out, stream, blocking):
    """`cupy.ndarray.get`: from the device's memory to NumPy's."""
    here = get_current_stream()
    stream = stream or here
    stream._require_order(here.record())
    if blocking:
        stream.synchronize()
        out[...] = source
        return
    if not isinstance(_root(out), PinnedMemory):
        raise StreamOrderError("an asynchronous copy needs pinned memory")
    target, place = Place(out), Place(source)
    now = source.copy().reshape(-1).view(np.uint8) if stream is here else None

    def deliver():
        target.bytes()[...] = place.bytes() if now is None else now

    stream._queue(deliver)


def born(host):
    """Note where in its stream's work an allocation was made: the work before may still use that memory."""
    key = id(host)
    _born[key] = get_current_stream().record()
    weakref.finalize(host, _born.pop, key)
    return host


def copy_in(host, target, stream):
    """`cupy.ndarray.set`: the host's memory is read when the copy's turn has come, as some drivers do."""
    here = get_current_stream()
    if stream is None or stream is here:
        here._queue()
        target[...] = host
        return
    stream._require_order(_born.get(id(_root(target))))
    if not host.flags.c_contiguous:
        raise StreamOrderError("CuPy would copy from a contiguous copy that nobody keeps")
    source, place = Place(host), Place(target)

    def deliver():
        place.bytes()[...] = source.bytes()

    stream._queue(deliver)
