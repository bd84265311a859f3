"""What a study is said to need, where its engine keeps memory that cannot be swapped out."""

import re
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from compdistort.backend.base import FlatForest, SegmentRule
from compdistort.backend.cupy_backend import CupyBackend
from compdistort.backend.device.streaming import PIECE_BYTES, pinned_bytes
from compdistort.pipeline import forecast as forecast_module
from compdistort.pipeline import study_memory
from compdistort.pipeline.compiling import descends
from compdistort.pipeline.demo_inputs import write_demo_inputs, write_light_sheet_inputs
from compdistort.pipeline.forecast import forecast, forecast_lines
from compdistort.pipeline.preparation import prepare
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import check_study, run_study
from compdistort.study_file import load_config

GIB = 1 << 30


def _chain(voter, side=2048):
    """A chain whose engine tells its memory as the CUDA engine itself does."""
    backend = SimpleNamespace(name="cupy", voter=voter)
    backend.working_bytes = partial(CupyBackend.working_bytes, backend)
    raw = np.zeros((side, side), np.uint16)
    return SimpleNamespace(
        backend=backend,
        bank=None,
        classifier=SimpleNamespace(forest=SimpleNamespace(n_features=25, n_classes=2)),
        raw=raw,
        seen=raw,
        steps=(),
    )


@pytest.mark.parametrize(
    ("threads", "devices", "voting"), [(1, 1, 1), (2, 1, 2), (16, 1, 2), (16, 2, 4), (2, 2, 2)], ids=str
)
def test_pieces_that_the_cpu_votes_on_are_counted_for_every_thread_at_work(threads, devices, voting):
    plain, streamed = (study_memory.loop_memory(_chain(voter), threads, devices, runs=0) for voter in ("device", "cpu"))
    assert streamed - plain == voting * 2 * PIECE_BYTES


def test_pieces_of_a_small_image_are_small():
    assert pinned_bytes(25, 100 * 100) == 2 * 2 * 4 * 25 * 100 * 100
    assert pinned_bytes(25, 10**9) == 2 * PIECE_BYTES


def _fit(voter, max_memory):
    compute = SimpleNamespace(max_memory=max_memory, device="cuda", threads=8)
    config = SimpleNamespace(compute=compute, noise=SimpleNamespace(replicates=100), codec=(None,))
    return study_memory.fit_threads(_chain(voter), config, ())


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_memory_of_this_process_alone_counts():
    """What the parent holds is not the child's; what the child held and gave back is its peak."""
    ballast = np.ones(1 << 25)
    script = "import numpy as np; from compdistort.pipeline.environment import process_memory as m; a = m(); "
    script += "b = np.ones(1 << 24); del b; print(*a, *m())"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    now, most, later, peak = map(int, run.stdout.split())
    assert now <= most < ballast.nbytes
    assert later < now + (1 << 26) < peak


def test_what_the_process_held_already_counts(monkeypatch):
    monkeypatch.setattr(study_memory, "process_memory", lambda: (GIB // 4, 3 * GIB))
    assert _fit("device", "4GiB").memory_bytes == 3 * GIB
    monkeypatch.setattr(study_memory, "process_memory", lambda: (GIB // 4, GIB // 4))
    assert GIB // 4 < _fit("device", "4GiB").memory_bytes < 3 * GIB


def test_voting_on_the_cpu_leaves_fewer_threads_inside_the_memory_limit():
    on_device, on_cpu = _fit("device", "2GiB"), _fit("cpu", "2GiB")
    assert on_cpu.threads < on_device.threads
    assert on_cpu.memory_bytes <= 2 * GIB
    assert on_cpu.notes


class Listener(Silence):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def heard(self, words):
        return any(words in text for text in self.said)


@pytest.fixture
def inputs(tmp_path, request):
    """A study of its own for every test, so that nobody else has compiled its forest."""
    seed = int.from_bytes(request.node.name.encode(), "big") % 2**31
    write_demo_inputs(tmp_path, "spheres", size=96, seed=seed, n_replicates=5)
    return load_config(tmp_path / "study.toml", ("compute.threads=1",), "cpu")


@pytest.fixture
def long(monkeypatch):
    """Every study counts as long."""
    monkeypatch.setattr(forecast_module, "_WORTH_COMPILING", 0.0)


def _cost(config, prepared, **more):
    return forecast(prepared.chain, prepared.codecs.values(), config, **more)


def _halved(monkeypatch):
    """Let an image take half the time whenever one is timed again; codecs take next to nothing beside it."""
    seconds = iter(1600.0 / 2**k for k in range(9))
    true = forecast_module._time_image
    monkeypatch.setattr(forecast_module, "_time_image", lambda chain: true(chain)._replace(seconds=next(seconds)))


def test_the_time_of_a_short_study_is_that_of_its_trees(inputs):
    prepared, listener = prepare(inputs, Silence()), Listener()
    cost = _cost(inputs, prepared, compiling=listener)
    assert descends(prepared.chain)
    assert not listener.said
    assert not any("not yet compiled" in line for line in forecast_lines(cost, prepared.chain))


def test_the_time_of_a_long_study_is_that_of_its_networks_where_there_is_time(inputs, long, monkeypatch):
    _halved(monkeypatch)
    prepared, listener = prepare(inputs, Silence()), Listener()
    begun, checked = _cost(inputs, prepared), _cost(inputs, prepared, compiling=listener)
    assert listener.heard("compiling the forest")
    assert not descends(prepared.chain)
    assert begun.seconds / checked.seconds == pytest.approx(4, rel=0.1)  # with trees, and compiled


def test_a_forest_that_cannot_be_compiled_is_timed_once(inputs, long, monkeypatch):
    _halved(monkeypatch)
    monkeypatch.setattr(forecast_module, "compile_beforehand", lambda chain: False)
    prepared = prepare(inputs, Silence())
    begun, checked = _cost(inputs, prepared), _cost(inputs, prepared, compiling=Silence())
    assert begun.seconds / checked.seconds == pytest.approx(2, rel=0.1)


def test_a_check_compiles_and_a_run_says_that_it_has_not(inputs, long, tmp_path):
    listener, flag = Listener(), StopFlag()
    run_study(inputs, tmp_path / "s.cdist", progress=listener, stop=flag)
    assert listener.heard("not yet compiled")
    checking = Listener()
    assert "not yet compiled" not in check_study(inputs, checking)["text"]
    assert checking.heard("compiling the forest")
    after = Listener()
    run_study(inputs, tmp_path / "again.cdist", progress=after, stop=flag)
    assert not after.heard("not yet compiled")


def _engine(name, voter="device", smoothing=0.0, leaves=(0.0, 1.0)):
    """A chain of that engine with a forest of one stump; its threshold tells smoothed and other ones apart."""
    value = np.array([[leaves[0], 1 - leaves[0]], [leaves[1], 1 - leaves[1]]])
    forest = FlatForest(
        feature=np.array([0, -1, -1], np.int16), threshold=np.array([smoothing + 0.5, 0, 0], np.float32),
        left=np.array([1, 0, 1], np.int32), root=np.zeros(1, np.int32), depth=np.ones(1, np.int32), leaf_value=value,
        n_features=1,
    )  # fmt: skip
    rule = SegmentRule(foreground=1, connectivity=8, smoothing_px=smoothing)
    return SimpleNamespace(
        backend=SimpleNamespace(name=name, voter=voter), classifier=SimpleNamespace(forest=forest), rule=rule
    )


@pytest.mark.parametrize(
    ("chain", "descending"),
    [
        (_engine("numba"), True),
        (_engine("cupy", "cpu"), True),
        (_engine("cupy"), False),
        (_engine("numpy"), False),
        (_engine("numba", smoothing=1.0), True),
        (_engine("numba", smoothing=1.0, leaves=(0.25, 1.0)), False),
    ],
    ids=["cpu", "cuda with votes on the cpu", "cuda", "numpy", "smoothed votes", "smoothed probabilities"],
)
def test_which_trees_are_worth_compiling(chain, descending):
    assert descends(chain) is descending


def test_studies_load_no_compiler_that_their_engine_does_not_need():
    code = "import sys, compdistort.pipeline.study, compdistort.pipeline.sweep; "
    code += "print([m for m in ('numba', 'llvmlite') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def _said_and_peak(folder, *settings):
    """Return the memory, MiB, that a study is said to need before its first replicate, and the most that it held."""
    words = ["run", "study.toml", "-o", "s.cdist", *settings, "--progress", "plain"]
    script = f"from compdistort.cli import main; assert main({words!r}) == 0; "
    script += "print('peak', open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    number, unit = re.search(r"([0-9.]+) ([GM]iB) of memory", run.stdout + run.stderr).groups()
    return float(number) * (1024 if unit == "GiB" else 1), int(re.search(r"peak ([0-9]+)", run.stdout)[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("size", "threads"), [(512, 1), (1024, 2)])
def test_the_memory_of_a_whole_study_is_known_to_a_tenth(tmp_path, size, threads):
    """A study in a process of its own: the forecast of its peak, said before the first replicate, holds within 10 %."""
    write_demo_inputs(tmp_path, "spheres", size=size, seed=1, n_replicates=2 * threads)
    said, peak = _said_and_peak(tmp_path, "--threads", str(threads))
    assert said == pytest.approx(peak, rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("shape", "slab"), [((64, 768, 768), 4), ((64, 768, 768), 32), ((24, 1408, 1408), 12)])
def test_the_memory_of_a_study_of_a_volume_on_disk_is_known_to_a_tenth(tmp_path, shape, slab):
    """As above, of volumes that are decided slab by slab; their codecs decode to 16 bit and to floats."""
    write_light_sheet_inputs(tmp_path, shape=shape, n_replicates=2)
    said, peak = _said_and_peak(tmp_path, "--threads", "2", "--set", f"compute.slab={slab}")
    assert said == pytest.approx(peak, rel=0.1)
