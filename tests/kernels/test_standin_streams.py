"""Streams of the stand-in: a wait that the engine forgets is an error, or garbage, and never luck."""

import inspect
import re

import numpy as np
import pytest
from cudahost import standin_streams
from cudahost.standin_cupy import make_standin, ndarray
from cudahost.standin_streams import POISON, StreamOrderError


@pytest.fixture
def cp():
    return make_standin()


@pytest.fixture
def copies(cp):
    return cp.cuda.Stream(non_blocking=True)


def pinned(cp, n):
    return np.frombuffer(cp.cuda.alloc_pinned_memory(4 * n), np.float32, n)


def sent(cp, copies, values):
    """An array of the device on its way to pinned memory."""
    array = cp.asarray(np.array(values, np.float32))
    copies.wait_event(cp.cuda.get_current_stream().record())
    out = pinned(cp, array.size)
    array.get(stream=copies, out=out, blocking=False)
    return array, out


def test_copy_arrives_when_its_event_is_waited_for(cp, copies):
    _array, out = sent(cp, copies, [1, 2])
    early = copies.record()
    array = cp.asarray(np.array([3, 4], np.float32))
    copies.wait_event(cp.cuda.get_current_stream().record())
    later = pinned(cp, 2)
    array.get(stream=copies, out=later, blocking=False)
    assert (out.view(np.uint8) == POISON).all()
    early.synchronize()
    assert out.tolist() == [1, 2]
    assert (later.view(np.uint8) == POISON).all()
    copies.synchronize()
    assert later.tolist() == [3, 4]


def test_source_overwritten_before_the_copy_is_done_shows(cp, copies):
    array, out = sent(cp, copies, [1, 2])
    array.fill(9)
    copies.synchronize()
    assert out.tolist() == [9, 9]


def test_source_freed_before_the_copy_is_done_is_refused(cp, copies):
    array, _out = sent(cp, copies, [1, 2])
    del array
    with pytest.raises(StreamOrderError, match="freed"):
        copies.synchronize()


def test_copy_that_does_not_wait_for_the_work_before_it_is_refused(cp, copies):
    array = cp.zeros((2,), np.float32)
    with pytest.raises(StreamOrderError, match="does not wait"):
        array.get(stream=copies, out=pinned(cp, 2), blocking=False)
    copies.wait_event(cp.cuda.get_current_stream().record())
    array.fill(1)
    with pytest.raises(StreamOrderError, match="does not wait"):
        array.get(stream=copies, out=pinned(cp, 2), blocking=False)


def test_asynchronous_copy_to_memory_that_is_not_pinned_is_refused(cp):
    with pytest.raises(StreamOrderError, match="pinned"):
        cp.zeros((2,), np.float32).get(out=np.empty(2, np.float32), blocking=False)


def test_copy_on_the_current_stream_comes_before_the_work_behind_it(cp, copies):
    with copies:
        array, out = cp.asarray(np.array([5], np.float32)), pinned(cp, 1)
        array.get(out=out, blocking=False)
        array.fill(6)
        assert cp.cuda.get_current_stream() is copies
        copies.synchronize()
    assert out.tolist() == [5]
    assert cp.cuda.get_current_stream() is not copies


def test_upload_on_another_stream_arrives_when_that_is_waited_for(cp, copies):
    array, host = cp.zeros((2,), np.float32), np.array([1, 2], np.float32)
    copies.wait_event(cp.cuda.get_current_stream().record())
    array.set(host, stream=copies)
    assert array.get().tolist() == [0, 0]
    copies.synchronize()
    assert array.get().tolist() == [1, 2]


def sent_up(cp, copies, host):
    """An array of the device to which host memory is on its way."""
    array = cp.zeros((2,), np.float32)
    copies.wait_event(cp.cuda.get_current_stream().record())
    array.set(host, stream=copies)
    return array


def test_host_memory_overwritten_before_its_upload_is_done_shows(cp, copies):
    host = np.array([1, 2], np.float32)
    array = sent_up(cp, copies, host)
    host[:] = 7
    copies.synchronize()
    assert array.get().tolist() == [7, 7]


def test_host_memory_freed_before_its_upload_is_done_is_refused(cp, copies):
    _array = sent_up(cp, copies, np.array([1, 2], np.float32))
    with pytest.raises(StreamOrderError, match="freed"):
        copies.synchronize()


def test_upload_of_rows_with_gaps_is_refused(cp, copies):
    with pytest.raises(StreamOrderError, match="contiguous"):
        sent_up(cp, copies, np.zeros((2, 2), np.float32)[:, 0])


def test_work_on_a_stream_of_another_device_is_refused(cp, copies):
    array = cp.zeros((2,), np.float32)
    copies.wait_event(cp.cuda.get_current_stream().record())
    with cp.cuda.Device(1), pytest.raises(StreamOrderError, match="device 0 while 1"):
        array.get(stream=copies, out=pinned(cp, 2), blocking=False)


def test_upload_to_memory_that_other_work_may_still_use_is_refused(cp, copies):
    cp.zeros((2,), np.float32)
    array = cp.empty((2,), np.float32)
    with pytest.raises(StreamOrderError, match="does not wait"):
        array.set(np.zeros(2, np.float32), stream=copies)


@pytest.mark.parametrize(
    "name", ["ndarray.get", "ndarray.set", "cuda.Event.__init__", "cuda.Event.record", "cuda.Stream.record",
             "cuda.Stream.wait_event", "cuda.alloc_pinned_memory"]
)  # fmt: skip
def test_arguments_are_cupys(name):
    real, ours = pytest.importorskip("cupy"), make_standin()
    for part in name.split("."):
        real, ours = getattr(real, part), getattr(ours, part)
    first = re.search(r"\((.*)\)", real.__doc__.splitlines()[0])[1]
    names = [re.split(r"[= ]", word.strip())[-1 if "size_t" in word else 0] for word in first.split(",")]
    assert list(inspect.signature(ours).parameters) == names


def test_arrays_of_the_device_are_the_standins():
    assert isinstance(make_standin().zeros((1,)), ndarray)
    assert standin_streams.get_current_stream() is standin_streams.get_current_stream()
