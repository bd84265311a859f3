"""Several devices: the bits of one, in spawned processes that end when they must.

Two CPU engines stand for devices, but where the worker processes build the CUDA engine itself, on stand-in devices.
"""

import functools
import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import active_children

import pytest
from cudahost.standin_install import forget, install
from cudahost.standin_worker import begin, watch

from compdistort import errors
from compdistort.errors import BackendUnavailableError, InterruptedStudyError, ResourceError
from compdistort.pipeline import forecast, inputs, study, study_memory, workers
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import resume_study, run_study, study_status
from compdistort.study_file import load_config

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

DEVICES = ("numba", "numpy")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with the files of a small simulated study."""
    folder = tmp_path_factory.mktemp("inputs")
    write_demo_inputs(folder, "spheres", size=64, seed=1, n_replicates=7)
    return folder


@pytest.fixture
def two_devices(monkeypatch):
    """Let every device name stand for two engines of the CPU."""
    for module in (study, forecast, study_memory, inputs):
        monkeypatch.setattr(module, "device_parts", lambda _name: DEVICES)


def _run(files, folder, progress=None, stop=None):
    config = load_config(files / "study.toml", ("compute.block=4", "compute.threads=2"))
    return run_study(config, folder, progress=progress or Silence(), stop=stop or StopFlag())


def _run_two(files, folder, *settings):
    """Run a study of two replicates, one for either of two devices."""
    config = load_config(files / "study.toml", ("noise.replicates=2", "compute.block=2", *settings))
    said = []
    listener = Silence()
    listener.say = said.append
    run_study(config, folder, progress=listener, stop=StopFlag())
    return said


def _bytes_of_results(folder):
    found = [p for p in (folder / "data.zarr").rglob("*") if p.is_file()] + [folder / "report/report.json"]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """A study that one engine finished."""
    folder = tmp_path_factory.mktemp("one") / "a.cdist"
    _run(files, folder)
    return folder


class _Then(Silence):
    """Calls a function once a number of replicates is done."""

    def __init__(self, count, function):
        self._count, self._function = count, function

    def advance(self, done):
        if done == self._count:
            self._function()


def test_two_devices_give_the_bytes_of_one_and_leave_nothing_running(files, finished, tmp_path, two_devices):
    seen = []
    _run(files, tmp_path / "b.cdist", _Then(5, lambda: seen.extend(active_children())))
    assert len(seen) == 2
    assert not [child for child in seen if child.is_alive()]
    assert _bytes_of_results(tmp_path / "b.cdist") == _bytes_of_results(finished)


@pytest.fixture
def cuda_workers(monkeypatch, tmp_path):
    """Folder where two stand-in devices, here and in every worker process, note who enters them."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no g++")
    folder = tmp_path / "watched"
    folder.mkdir()
    watch(install(monkeypatch, folder / "cache", count=2), folder)
    monkeypatch.setattr(workers, "_begin", functools.partial(begin, folder, 2))
    yield folder
    forget()


def test_two_workers_on_the_cuda_engine_give_the_bytes_of_one_cpu_engine(files, tmp_path, cuda_workers):
    """A worker of device 1 works on device 1 and never touches device 0, and it starts without engines."""
    _run_two(files, tmp_path / "cpu.cdist", "compute.device=cpu")
    said = _run_two(files, tmp_path / "cuda.cdist", "compute.device='cuda:0,1'")
    assert said[0].startswith("engine: cupy (asked for by --set compute.device (cuda:0,1): device 0, Stand-in 0")
    assert _bytes_of_results(tmp_path / "cuda.cdist") == _bytes_of_results(tmp_path / "cpu.cdist")
    entered = {}
    for path in cuda_workers.glob("devices-*"):
        _, process, number = path.name.split("-")
        entered.setdefault(int(process), set()).add(int(number))
    assert entered.pop(os.getpid()) == {0, 1}
    assert sorted(entered.values(), key=min) == [{0}, {1}]
    for path in cuda_workers.glob("modules-*"):
        assert not {"numba", "cupy", "cupyx", "sklearn", "zarr", "matplotlib", "typer"} & set(path.read_text().split())


@pytest.mark.slow
def test_threads_that_are_fewer_than_devices_are_raised_aloud(files, tmp_path, two_devices):
    note = "one thread a device: 2 threads, not 1"
    said = _run_two(files, tmp_path / "g.cdist", "compute.threads=1")
    assert said.count(note) == 1
    assert any("on 2 threads" in each for each in said)
    for threads, times in ((None, 1), (2, 0)):
        again = []
        listener = Silence()
        listener.say = again.append
        resume_study(tmp_path / "g.cdist", progress=listener, stop=StopFlag(), threads=threads)
        assert again.count(note) == times


def test_a_killed_worker_is_named_and_resume_gives_the_same_bytes(files, finished, tmp_path, two_devices):
    def kill_the_second():
        os.kill(sorted(child.pid for child in active_children())[1], signal.SIGKILL)

    folder = tmp_path / "c.cdist"
    with pytest.raises(ResourceError, match=r"'numpy' ended unexpectedly.*compdistort resume"):
        _run(files, folder, _Then(5, kill_the_second))
    assert not active_children()
    assert study_status(folder)["replicates_done"] == 4
    resume_study(folder, progress=Silence(), stop=StopFlag())
    assert _bytes_of_results(folder) == _bytes_of_results(finished)


def test_a_stop_ends_the_workers_and_resume_gives_the_same_bytes(files, finished, tmp_path, two_devices):
    stop, folder = StopFlag(), tmp_path / "d.cdist"
    with pytest.raises(InterruptedStudyError, match="stopped by the test"):
        _run(files, folder, _Then(1, lambda: stop.set("the test")), stop)
    assert not active_children()
    assert study_status(folder)["replicates_done"] == 0
    resume_study(folder, progress=Silence(), stop=StopFlag())
    assert _bytes_of_results(folder) == _bytes_of_results(finished)


def test_a_device_that_cannot_be_opened_keeps_its_error(files, tmp_path, monkeypatch):
    for module in (study, forecast, study_memory, inputs):
        monkeypatch.setattr(module, "device_parts", lambda _name: ("numba", "cuda:99"))
    with pytest.raises(BackendUnavailableError):
        _run(files, tmp_path / "e.cdist")
    assert not active_children()


_PROGRAM = """
import sys
from pathlib import Path
from compdistort import cli
from compdistort.pipeline import forecast, inputs, study, study_memory

if __name__ == "__main__":
    for module in (study, forecast, study_memory, inputs):
        module.device_parts = lambda _name: ("numba", "numba")
    sys.exit(cli.main(sys.argv[1:]))
"""


def _started(files, tmp_path):
    """Start a study of two devices as a program of its own; return it once a block is done and the next in work."""
    program, folder = tmp_path / "program.py", tmp_path / "f.cdist"
    program.write_text(_PROGRAM)
    command = [sys.executable, program, "run", files / "study.toml", "-o", folder, "--progress", "none", "-n", "400"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    journal = folder / "journal.jsonl"
    while not (journal.exists() and "replicates/000000" in journal.read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return process


def _group_is_gone(group, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_all_processes_is_the_parents_to_judge(files, tmp_path, number):
    """As a terminal's Ctrl-C or a batch system does it: the whole group is told."""
    with _started(files, tmp_path) as process:
        os.killpg(process.pid, number)
        words = process.stderr.read()
        assert process.wait(20) == 5
    assert "Traceback" not in words
    assert "compdistort resume" in words
    assert _group_is_gone(process.pid, 5)


def test_workers_end_when_their_parent_is_killed(files, tmp_path):
    with _started(files, tmp_path) as process:
        process.kill()
    assert _group_is_gone(process.pid, 10)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 64])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_every_number_is_computed_once_and_in_order(n, parts):
    pieces = workers.cut(range(5, 5 + n), parts)
    assert [number for piece in pieces for number in piece] == list(range(5, 5 + n))
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


@pytest.mark.parametrize("kind", [e for e in vars(errors).values() if isinstance(e, type)], ids=lambda e: e.__name__)
def test_every_error_survives_the_way_between_processes(kind):
    found = pickle.loads(pickle.dumps(kind("what", "remedy")))
    assert (type(found), found.what, found.remedy) == (kind, "what", "remedy")
