"""Compiled networks: kept on disk, never run when damaged or foreign, made in the background without changing a bit."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend.base import SegmentRule
from compdistort.backend.bitsliced import machine, object_cache, voter
from compdistort.backend.bitsliced import network as network_module
from compdistort.backend.bitsliced.codes import encoder_of
from compdistort.backend.bitsliced.machine import Machine, compile_module
from compdistort.backend.plain import forest as plain
from compdistort.forest.flatten import flatten

KEY = "0" * 64
OBJECTS = [b"{}", b"one", b"", b"two" * 1000]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and nothing remembered."""
    monkeypatch.setenv("COMPDISTORT_CACHE", str(tmp_path))
    monkeypatch.setattr(voter, "_known", type(voter._known)())
    monkeypatch.setattr(voter, "_digests", type(voter._digests)())
    return tmp_path / "kernels"


@pytest.fixture(scope="module")
def fitted():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(300, 4)).astype(np.float32)
    estimator = RandomForestClassifier(9, random_state=0).fit(rows, rows[:, 0] + rows[:, 1] * rows[:, 2] > 0)
    planes = draw.normal(size=(4, 2048)).astype(np.float32)
    return flatten(estimator), planes


def _bits(own, planes):
    bits, nan_counts = np.empty(planes.shape[1] // 64, np.uint64), np.zeros(len(own.used), np.int64)
    own.mask_bits(np.ascontiguousarray(planes[list(own.used)]), SegmentRule(foreground=1), bits, nan_counts)
    return bits


def _wanted(forest, planes):
    return np.packbits(plain.forest_proba(planes, forest)[1] >= 0.5, bitorder="little").view(np.uint64)


def test_what_is_kept_is_read(tmp_path):
    tmp_path.chmod(0o700)
    assert object_cache.read_objects(KEY, tmp_path) is None
    assert object_cache.write_objects(KEY, OBJECTS, tmp_path)
    assert object_cache.read_objects(KEY, tmp_path) == OBJECTS
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["a bit", "the end", "all", "its name", "its mode", "its folder's mode"])
def test_what_is_damaged_or_open_to_others_is_not_read(tmp_path, what):
    tmp_path.chmod(0o700)
    object_cache.write_objects(KEY, OBJECTS, tmp_path)
    (file,) = tmp_path.iterdir()
    content, key = file.read_bytes(), KEY
    if what == "a bit":
        file.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    elif what in ("the end", "all"):
        file.write_bytes(content[:-1] if what == "the end" else b"")
    elif what == "its name":
        key = "1" * 64
        file.rename(file.with_name(file.name.replace(KEY, key)))
    elif what == "its mode":
        file.chmod(0o640)
    else:
        tmp_path.chmod(0o777)
    assert object_cache.read_objects(key, tmp_path) is None


def test_a_file_of_another_user_is_not_read(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    object_cache.write_objects(KEY, OBJECTS, tmp_path)
    monkeypatch.setattr(object_cache, "cache_problem", lambda _: "")
    monkeypatch.setattr(object_cache.os, "getuid", lambda: 4242)
    assert object_cache.read_objects(KEY, tmp_path) is None


def test_a_forest_is_compiled_once(folder, fitted, monkeypatch):
    forest, planes = fitted
    first = voter.voter_for(forest, wait=True)
    assert first.seconds > 0
    assert len(list(folder.iterdir())) == 1
    voter._known.clear()
    monkeypatch.setattr(network_module, "compile_module", lambda *_: pytest.fail("compiled again"))
    again = voter.voter_for(forest, wait=True)
    assert again.seconds == 0
    assert np.array_equal(_bits(again, planes), _wanted(forest, planes))


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_damaged_file_is_compiled_again(folder, fitted, damage):
    forest, planes = fitted
    voter.voter_for(forest, wait=True)
    (file,) = folder.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    voter._known.clear()
    again = voter.voter_for(forest, wait=True)
    assert again.seconds > 0
    assert file.read_bytes() == content
    assert np.array_equal(_bits(again, planes), _wanted(forest, planes))


def test_a_folder_that_cannot_be_used_is_done_without(folder, fitted):
    forest, planes = fitted
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("no folder")
    own = voter.voter_for(forest, wait=True)
    assert own.compiled
    assert np.array_equal(_bits(own, planes), _wanted(forest, planes))


@pytest.mark.usefixtures("folder")
def test_in_the_background_the_bits_stay_the_same(fitted, monkeypatch):
    forest, planes = fitted
    may_go_on, threads = threading.Event(), []

    def slowly(text, target):
        threads.append(threading.current_thread().name)
        may_go_on.wait(60)
        return compile_module(text, target)

    monkeypatch.setattr(network_module, "compile_module", slowly)
    before = voter.voter_for(forest, wait=False)
    assert not before.compiled
    assert not voter.voter_for(forest, wait=False).compiled
    bits = _bits(before, planes)
    may_go_on.set()
    voter._BACKGROUND.wait()
    after = voter.voter_for(forest, wait=False)
    assert after.compiled
    assert set(threads) == {"compdistort-compile"}
    assert np.array_equal(bits, _wanted(forest, planes))
    assert np.array_equal(_bits(after, planes), bits)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("wait", [True, False])
def test_what_cannot_be_compiled_is_said_once_and_descended(fitted, monkeypatch, wait):
    forest, planes = fitted

    def refuse(*_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(network_module, "compile_module", refuse)
    if not wait:
        assert not voter.voter_for(forest, wait=False).compiled
        voter._BACKGROUND.wait()
    with pytest.warns(voter.SlowForestWarning, match="no such instruction"):
        own = voter.voter_for(forest, wait=wait)
    assert not own.compiled
    assert "no such instruction" in voter.forest_note(forest)
    assert np.array_equal(_bits(own, planes), _wanted(forest, planes))
    voter.voter_for(forest, wait=wait)


@pytest.mark.parametrize(("cpu", "features"), [("generic", ""), ("x86-64-v3", ""), ("x86-64-v4", "")])
def test_numbas_choice_of_machine_is_followed(cpu, features, monkeypatch):
    """And another machine's code has another key."""
    usual = Machine.here()
    if "x86_64" not in usual.triple:
        pytest.skip("these are names of x86-64 machines")
    monkeypatch.setattr(machine.config, "CPU_NAME", cpu)
    monkeypatch.setattr(machine.config, "CPU_FEATURES", features)
    named = Machine.here()
    assert (named.cpu, named.features) == (cpu, features)
    assert named.identity != usual.identity
    assert named.group == (512 if cpu == "x86-64-v4" else 256)


@pytest.mark.usefixtures("folder")
def test_code_for_any_machine_gives_the_same_bits(fitted, monkeypatch):
    """Compiled without AVX, as for the oldest machine."""
    forest, planes = fitted
    monkeypatch.setattr(machine.config, "CPU_NAME", "generic")
    monkeypatch.setattr(machine.config, "CPU_FEATURES", "")
    assert np.array_equal(_bits(voter.voter_for(forest, wait=True), planes), _wanted(forest, planes))


def test_words_of_512_pixels_give_the_same_bits(folder, fitted, monkeypatch):
    """The form for wide registers, on whatever machine this is."""
    forest, planes = fitted
    monkeypatch.setattr(Machine, "group", 512)
    own = voter.voter_for(forest, wait=True)
    assert own.networks[1].group == 512
    assert np.array_equal(_bits(own, planes), _wanted(forest, planes))
    assert folder.is_dir()


SCRIPT = """
import os
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from compdistort.backend.bitsliced.voter import voter_for
from compdistort.forest.flatten import flatten
draw = np.random.default_rng(0)
rows = draw.normal(size=({n}, 8)).astype(np.float32)
forest = flatten(RandomForestClassifier(20, random_state=0).fit(rows, draw.integers(0, 2, {n})))
print(voter_for(forest, wait=False).compiled, flush=True)
"""
FORK = """
child = os.fork()
print(voter_for(forest, wait=True).compiled, flush=True)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def _run(script, folder):
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "COMPDISTORT_CACHE": str(folder)}, timeout=120,
    )  # fmt: skip


def test_a_program_ends_at_once_while_it_compiles(tmp_path):
    """No crash, no wait for the rest."""
    done = _run(SCRIPT.format(n=5000), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
    assert not list(tmp_path.rglob("*.network"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_while_it_compiles_compiles_too(tmp_path):
    done = _run(SCRIPT.format(n=200) + FORK, tmp_path)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["False", "True", "True"], "")


def test_the_encoder_reads_what_the_voter_reads(fitted):
    forest, _ = fitted
    assert voter.voter_for(forest, wait=False).used == encoder_of(forest).used
    voter._BACKGROUND.wait()
