"""Threads that share one device: turns, memory, what stays on it, and what its errors are called."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from cudahost.bodies_forest import VOTERS, image_case
from cudahost.levels import open_engine
from cudahost.standin_cupy import CUDADriverError, WrongDeviceError, standin_cuda

from compdistort.backend.base import SegmentRule
from compdistort.backend.device.cubin import CACHE_VARIABLE
from compdistort.backend.device.cuda import AT_WORK, NOT_LOADED
from compdistort.backend.device.memo import MEMO_SIZE
from compdistort.backend.device.turnstile import Turnstile
from compdistort.errors import DeviceMemoryError, KernelCompileError

RULE = SegmentRule(foreground=1)
SECONDS = 60
"""After which a thread that waits is taken for one that waits for ever."""


def _turns(voter, total, threads, images=24):
    """Futures of one image's objects, `images` times by `threads` threads on a device of `total` bytes."""
    image, bank, forest, _ = image_case("2d")
    engine = open_engine("plain", voter=voter, total=total)
    on_device = engine.to_device(np.tile(image, (2, 3)))

    def work(_number):
        found = engine.image_objects(on_device, bank, forest, RULE)
        return found.labels.tobytes(), found.values.tobytes()

    with ThreadPoolExecutor(threads) as pool:
        turns = [pool.submit(work, k) for k in range(images)]
        assert not wait(turns, SECONDS).not_done
    return turns


def _objects(*arguments):
    return [turn.result() for turn in _turns(*arguments)]


def _fits(voter, total):
    try:
        return _objects(voter, total, 1, 1)
    except DeviceMemoryError:
        return []


@pytest.fixture(params=VOTERS)
def smallest(request):
    """Voter, bytes that the smallest sufficient device has, within 256, and what is found with plenty of memory."""
    too_small, enough = 0, 1 << 20
    wanted = _fits(request.param, enough)
    while enough - too_small > 256:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if _fits(request.param, middle) == wanted else (middle, enough)
    return request.param, enough, wanted[0]


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 8])
def test_threads_share_a_device_that_holds_no_more_than_one_of_them(smallest, threads):
    voter, total, wanted = smallest
    assert set(_objects(voter, total, threads)) == {wanted}


@pytest.mark.parametrize("threads", [1, 8])
def test_what_never_fits_is_an_error_in_every_thread(smallest, threads):
    voter, total, _ = smallest
    errors = [turn.exception() for turn in _turns(voter, total - 512, threads)]
    assert {type(error) for error in errors} == {DeviceMemoryError}


@pytest.fixture
def cuda():
    return standin_cuda(lambda _file, _text: None, total=1000)


def test_work_that_runs_out_of_memory_is_done_again_when_the_others_are_out(cuda):
    """Also without what it held itself when it failed."""
    holds, failed, seen = threading.Event(), threading.Event(), []

    def first():
        kept = cuda.empty((500,), np.uint8)
        holds.set()
        assert failed.wait(SECONDS)
        return kept.nbytes

    def second():
        seen.append(cuda._turnstile.at_work)
        kept = cuda.empty((400,), np.uint8)
        failed.set()
        return kept.nbytes + cuda.empty((600,), np.uint8).nbytes

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cuda.in_turn, first)
        assert holds.wait(SECONDS)
        two = pool.submit(cuda.in_turn, second)
        assert (one.result(SECONDS), two.result(SECONDS)) == (500, 1000)
    assert seen == [2, 1]
    assert cuda.cp.get_default_memory_pool().freed == 1


@pytest.fixture
def uncollected():
    """No garbage is collected: what is not freed at once stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("in_slabs", [True, False])
def test_a_turn_that_ran_out_of_memory_holds_none_when_it_ends(cuda, monkeypatch, in_slabs):
    """Who waits to be alone goes in at that moment."""
    free, sizes, leave = [], [600, 100], cuda._turnstile._leave
    monkeypatch.setattr(cuda._turnstile, "_leave", lambda: free.append(cuda.free_bytes()) or leave())

    def slab(_start, _stop):
        kept = cuda.empty((300,), np.uint8)
        return kept, cuda.empty((sizes.pop(0),), np.uint8)

    def work():
        kept = cuda.empty((200,), np.uint8)
        if in_slabs:
            cuda.in_slabs(1, 1, slab)
        else:
            slab(0, 1)
        return kept.nbytes

    assert cuda.in_turn(work) == 200
    assert (free, sizes) == ([1000, 1000], [])


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("voter", VOTERS)
def test_an_image_that_does_not_fit_leaves_no_garbage_on_the_device(voter):
    """Whichever of its steps runs out of memory; it can fail from Python 3.12 on, where generators keep frames."""
    image, bank, forest, _ = image_case("2d")
    garbage = {}
    for total in range(8000, 20001, 4000):
        engine = open_engine("plain", voter=voter, total=total)
        on_device = engine.to_device(np.tile(image, (2, 3)))
        with pytest.raises(DeviceMemoryError):
            engine.image_objects(on_device, bank, forest, RULE)
        free = engine.cuda.free_bytes()
        gc.collect()
        garbage[total] = engine.cuda.free_bytes() - free
    assert set(garbage.values()) == {0}, garbage


def test_fewer_threads_are_the_remedy_where_there_were_several(cuda):
    def too_much():
        return cuda.empty((2000,), np.uint8)

    inside, failed = threading.Event(), threading.Event()

    def second():
        assert inside.wait(SECONDS)
        try:
            return too_much()
        finally:
            failed.set()

    with pytest.raises(DeviceMemoryError, match="too little free memory") as alone:
        cuda.in_turn(too_much)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(cuda.in_turn, lambda: inside.set() or failed.wait(SECONDS))
        error = pool.submit(cuda.in_turn, second).exception(SECONDS)
    assert "--threads" not in alone.value.remedy
    assert "use fewer --threads" in error.remedy


def test_a_turn_within_a_turn_is_repeated_as_a_whole(cuda):
    calls = []

    def inner():
        calls.append("inner")
        return cuda.empty((2000 if len(calls) == 2 else 10,), np.uint8)

    def outer():
        calls.append("outer")
        return cuda.in_turn(inner)

    assert cuda.in_turn(outer).nbytes == 10
    assert calls == ["outer", "inner"] * 2


def test_threads_at_work_divide_the_memory_for_slabs(cuda):
    together, lengths = threading.Barrier(2), []

    def work():
        together.wait(SECONDS)
        found = []
        cuda.in_slabs(1000, 1, lambda start, stop: found.append(stop - start))
        together.wait(SECONDS)
        lengths.append(found[0])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(cuda.in_turn, [work] * 2))
    cuda.in_turn(lambda: cuda.in_slabs(1000, 1, lambda start, stop: lengths.append(stop - start)))
    assert lengths == [250, 250, 500, 500]


def test_turns_go_on_after_errors_of_every_kind(cuda):
    def work(number):
        if number % 3 == 0:
            raise ZeroDivisionError
        return cuda.empty((1001 if number % 3 == 1 else 400,), np.uint8).nbytes

    with ThreadPoolExecutor(16) as pool:
        turns = [pool.submit(cuda.in_turn, lambda k=k: work(k)) for k in range(300)]
        errors = [type(turn.exception(SECONDS)) for turn in turns]
    assert errors == [ZeroDivisionError, DeviceMemoryError, type(None)] * 100
    assert cuda._turnstile.at_work == 0


def test_a_turnstile_lets_in_so_many_or_one_alone():
    gate, inside, seen = Turnstile(AT_WORK), [], []

    def go(number):
        alone = number % 5 == 0
        with gate.turn(alone=alone):
            inside.append(alone)
            with gate.turn(alone=not alone):
                threading.Event().wait(0.001)
                seen.append(tuple(inside))
            inside.remove(alone)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(go, range(200), timeout=SECONDS))
    assert {each for each in seen if True in each} == {(True,)}
    assert max(map(len, seen)) == AT_WORK == 2
    assert gate.most > AT_WORK
    assert gate.at_work == 0


def test_nobody_goes_in_before_one_who_waits_to_be_alone():
    gate, order, entered = Turnstile(2), [], threading.Event()

    def go(name, alone):
        with gate.turn(alone=alone):
            entered.set()
            order.append(name)

    with ThreadPoolExecutor(2) as pool, gate.turn():
        pool.submit(go, "alone", True)
        while not gate._want_alone:
            threading.Event().wait(0.001)
        pool.submit(go, "late", False)
        assert not entered.wait(0.05)
    assert order == ["alone", "late"]


def test_an_interrupt_while_waiting_leaves_the_turnstile_as_it_was(monkeypatch):
    gate = Turnstile(1)

    def interrupt(_ready):
        raise KeyboardInterrupt

    for alone in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(gate._changed, "wait_for", interrupt)
            with pytest.raises(KeyboardInterrupt), gate.turn(alone=alone):
                pass
    with gate.turn():
        assert gate.at_work == gate.most == 1


def _taken(cuda, source):
    """What the device keeps of an object, and a weak reference to its memory."""
    array = cuda.memo("test", source, lambda: cuda.empty((4,), np.uint8))
    return array, weakref.ref(array._host)


def _fill_memo(cuda):
    with cuda.here():
        sources = [object() for _ in range(MEMO_SIZE)]
        for source in sources:
            _taken(cuda, source)


def test_what_a_thread_was_handed_stays_until_its_kernels_are_launched(cuda):
    source = object()
    with cuda.here():
        array, memory = _taken(cuda, source)
        with cuda.here():
            pass
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_fill_memo, cuda).result(SECONDS)
        del array
        assert memory() is not None
    _fill_memo(cuda)
    assert memory() is None
    assert len(cuda._memo) == MEMO_SIZE
    assert not cuda._memo._in_use


@pytest.mark.parametrize("status", NOT_LOADED)
def test_machine_code_that_cannot_be_loaded_is_said_to_be_so(status, monkeypatch, tmp_path):
    """CuPy opens the file at the first launch only."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))

    class Module:
        def get_function(self, _name):
            raise CUDADriverError(status)

    cuda = standin_cuda(lambda _file, _text: Module())
    with pytest.raises(KernelCompileError, match=f"cannot load a kernel: {status}") as caught, cuda.here():
        cuda.launch("accumulate.accumulate", (1,), (1,))
    assert str(tmp_path / "kernels") in caught.value.remedy


def test_votes_of_all_threads_share_one_pool_and_a_thread_keeps_its_streams(monkeypatch):
    made = []
    engine = open_engine("plain", voter="cpu", host_threads=3)
    stream = engine.cuda.cp.cuda.Stream
    monkeypatch.setattr(engine.cuda.cp.cuda, "Stream", lambda **options: made.append(1) or stream(**options))
    image, bank, forest, _ = image_case("2d")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: engine.image_objects(engine.to_device(image), bank, forest, RULE), range(20)))
    assert 0 < len(made) <= 2 * 2
    assert 0 < len(engine.cuda.host_pool._threads) <= 3


@pytest.mark.parametrize("voter", VOTERS)
def test_an_engine_works_on_its_own_device_and_refuses_arrays_of_another(voter):
    image, bank, forest, _ = image_case("2d")
    engines = [open_engine("plain", voter=voter, device=device) for device in (0, 1)]
    found = [engine.image_objects(engine.to_device(image), bank, forest, RULE) for engine in engines]
    assert np.array_equal(found[0].labels, found[1].labels)
    assert np.array_equal(found[0].values, found[1].values)
    other = engines[0].to_device(image)
    assert (other.device.id, engines[1].to_device(image).device.id) == (0, 1)
    with pytest.raises(ValueError, match="lies on device 0, this engine works on 1"):
        engines[1].image_objects(other, bank, forest, RULE)
    counts = engines[0].to_device(np.zeros(1, np.uint64))
    planes = engines[0].to_device(np.zeros((1, 8), np.float32))
    with engines[1].cuda.here(), pytest.raises(WrongDeviceError):
        engines[1].cuda.launch("forest.count_nan", (1, 1), (256,), planes, counts, 8)
