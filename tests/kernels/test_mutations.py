"""Planted bugs: every one is caught by some level, and the tests that catch them pass on the true kernels.

A bug is let loose in a process of its own: what it writes where it should not must not spoil other tests.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from cudahost.bodies import check_accumulate
from cudahost.host_module import HostBuildError, HostKernel
from cudahost.levels import LevelUnavailableError, open_engine
from cudahost.mutation import Mutation, all_mutations, catch
from cudahost.needs import needs_compiler

from compdistort.backend.kernel_source import kernel_dir

SECONDS = 240
"""Time of one planted bug, builds included."""

MUTATIONS = all_mutations()
CONTROLS = sorted({(each.body.__name__, each.level): each.body for each in MUTATIONS}.items())


class Cage:
    """A process for planted bugs, a new one after each that dies or hangs."""

    def __init__(self):
        self.pool = None

    def catch(self, mutation, folder):
        if self.pool is None:
            self.pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_endless_after_20_s)
        try:
            return self.pool.submit(catch, mutation, folder).result(SECONDS)
        except (BrokenExecutor, TimeoutError) as error:
            self.close()
            pytest.fail(f"the process died or hung ({type(error).__name__}): name a level that sees it")

    def close(self):
        if self.pool is not None:
            for process in list(self.pool._processes.values()):
                process.kill()
            self.pool.shutdown()
            self.pool = None


def _endless_after_20_s():
    """A planted bug may keep a kernel from ending."""
    HostKernel.limit_s = 20


@pytest.fixture(scope="module")
def cage():
    made = Cage()
    yield made
    made.close()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.file}-{each.name}")
def test_a_planted_bug_is_caught(mutation, cage, tmp_path, record_property):
    found = cage.catch(mutation, tmp_path / "kernels")
    assert found, f"no level of {', '.join(mutation.levels())} finds it"
    record_property("caught", (f"{mutation.file}: {mutation.name}", found.level, found.message))


@pytest.mark.parametrize(("key", "body"), CONTROLS, ids=lambda each: "-".join(each) if isinstance(each, tuple) else "")
def test_what_catches_planted_bugs_passes_on_the_true_kernels(key, body):
    body(open_engine(key[1]))


@needs_compiler
@pytest.mark.parametrize(
    "workers", [pytest.param([], marks=pytest.mark.slow), ["-n", "2"]], ids=["alone", "two workers"]
)
@pytest.mark.slow
def test_the_summary_says_which_level_caught_which_bug(workers):
    if workers:
        pytest.importorskip("xdist")
    words = ["-q", "-p", "no:cacheprovider", "-k", "planted_bug_is_caught and sums-overwritten", *workers, __file__]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False)
    assert "1 caught by plain: accumulate.cu: sums-overwritten-not-added" in done.stdout


def test_names_are_told_apart():
    names = [(each.file, each.name) for each in MUTATIONS]
    assert len(names) == len(set(names))


def test_every_kernel_file_has_planted_bugs():
    changed = {each.file for each in MUTATIONS}
    assert {path.name for path in kernel_dir().glob("*.cu")} <= changed


def test_a_change_without_effect_is_not_caught_and_one_that_does_not_build_is_a_defect(tmp_path):
    old, body = "u64 s = 0, q = 0;", check_accumulate
    assert catch(Mutation("harmless", "accumulate.cu", old, "u64 q = 0, s = 0;", body), tmp_path / "harmless") is None
    with pytest.raises(HostBuildError):
        catch(Mutation("broken", "accumulate.cu", old, "u64 s = nonsense;", body), tmp_path / "broken")


def _dies(_engine):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_bug_that_kills_its_process_fails_its_test_alone(cage, tmp_path):
    deadly = Mutation("deadly", "accumulate.cu", "u64 s = 0, q = 0;", "u64 q = 0, s = 0;", _dies)
    with pytest.raises(pytest.fail.Exception, match="died or hung"):
        cage.catch(deadly, tmp_path / "deadly")
    harmless = Mutation("harmless", "accumulate.cu", "u64 s = 0, q = 0;", "u64 q = 0, s = 0;", check_accumulate)
    assert cage.catch(harmless, tmp_path / "harmless") is None


@pytest.mark.parametrize("level", ["plain", "checked", "ptx90", "asan"])
def test_where_no_level_is_there_none_is_said_to_have_missed_the_bug(tmp_path, monkeypatch, level):
    monkeypatch.setenv("CXX", "no-such-compiler")
    bug = Mutation("bug", "accumulate.cu", "u64 s = 0, q = 0;", "u64 s = 1, q = 0;", check_accumulate, level)
    with pytest.raises(LevelUnavailableError, match=f"{level}: no no-such-compiler"):
        catch(bug, tmp_path / "kernels")


def test_a_snippet_that_is_not_there_once_is_a_defect(tmp_path):
    lost = Mutation("lost", "accumulate.cu", "no such text", "", check_accumulate)
    with pytest.raises(ValueError, match="occurs 0 times"):
        catch(lost, tmp_path / "kernels")
