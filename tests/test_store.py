"""What the study folder promises: only committed blocks exist, damage is found and named, two writers never mix."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compdistort.errors import ConfigError, ResourceError, StoreError, StoreLockedError
from compdistort.store import ArrayWrite, StudyStore
from compdistort.store.journal import Journal


@pytest.fixture
def store(tmp_path):
    made = StudyStore.create(tmp_path / "s.cdist", {"a": 1}, "a = 1\n")
    made.make_array("replicates/values", (25, 3, 2), "<f4", 10)
    return made


def _block(start, n):
    return np.arange(start * 6, (start + n) * 6, dtype="<f4").reshape(n, 3, 2)


def _commit_all(store):
    for start, n in ((0, 10), (10, 10), (20, 5)):
        store.commit(f"block/{start}", [ArrayWrite("replicates/values", _block(start, n), start)], {"n": n}, 1.5)


def test_blocks_are_read_back_and_survive_reopening(store):
    _commit_all(store)
    again = StudyStore.open(store.folder)
    assert again.verify() == []
    assert again.keys() == ["block/0", "block/10", "block/20"]
    assert np.array_equal(again.read("replicates/values"), _block(0, 25))
    assert again.facts("block/20") == {"n": 5}
    assert again.seconds("block/") == [1.5, 1.5, 1.5]
    assert (store.folder / "run.toml").read_text() == "a = 1\n"
    assert again.document()["config"] == {"a": 1}


def test_zeros_are_written_not_inferred(store):
    """Chunks equal to the fill value must exist too: presence is never inferred from the array."""
    store.commit("z", [ArrayWrite("replicates/values", np.zeros((10, 3, 2), "<f4"), 0)], {})
    assert (store.folder / "data.zarr/replicates/values/c/0/0/0").is_file()


def test_no_objects_is_a_valid_block(store):
    store.make_array("replicates/none", (25, 0, 19), "<f4", 10)
    store.commit("none", [ArrayWrite("replicates/none", np.zeros((10, 0, 19), "<f4"), 0)], {})
    again = StudyStore.open(store.folder)
    assert again.verify() == []
    assert again.read("replicates/none").shape == (25, 0, 19)


def test_uncommitted_data_do_not_count(store):
    """A crash between the arrays and the journal line: the block does not exist."""
    _commit_all(store)
    lines = (store.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (store.folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    assert not StudyStore.open(store.folder).has("block/20")


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_a_line_cut_short_does_not_count_and_can_be_written_again(store, cut):
    _commit_all(store)
    path = store.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = StudyStore.open(store.folder)
    assert again.keys() == ["block/0", "block/10"]
    again.commit("block/20", [ArrayWrite("replicates/values", _block(20, 5), 20)], {})
    assert StudyStore.open(store.folder).keys() == ["block/0", "block/10", "block/20"]


def test_every_flipped_journal_byte_is_noticed(store):
    """Flip one bit of every tenth byte: a record either stays equal or vanishes; none changes its content."""
    _commit_all(store)
    path = store.folder / "journal.jsonl"
    good = path.read_bytes()
    before = StudyStore.open(store.folder).journal.records()
    lost = 0
    for at in range(0, len(good), 10):
        damaged = bytearray(good)
        damaged[at] ^= 1
        path.write_bytes(bytes(damaged))
        found = Journal(path).records()
        assert all(found[key] == before[key] for key in found)
        lost += len(found) < len(before)
    assert lost > 50


@pytest.mark.parametrize("how", ["flip", "truncate", "delete"])
def test_damaged_chunk_is_named_and_forgotten(store, how):
    _commit_all(store)
    chunk = store.folder / "data.zarr/replicates/values/c/1/0/0"
    if how == "flip":
        data = bytearray(chunk.read_bytes())
        data[len(data) // 2] ^= 4
        chunk.write_bytes(bytes(data))
    elif how == "truncate":
        os.truncate(chunk, chunk.stat().st_size // 2)
    else:
        chunk.unlink()
    again = StudyStore.open(store.folder)
    assert again.verify() == ["block/10"]
    assert again.keys() == ["block/0", "block/20"]
    again.commit("block/10", [ArrayWrite("replicates/values", _block(10, 10), 10)], {})
    assert StudyStore.open(store.folder).verify() == []


def test_partial_files_of_a_kill_do_no_harm(store):
    _commit_all(store)
    (store.folder / "data.zarr/replicates/values/c/1/0/0.abc.partial").write_bytes(b"half")
    again = StudyStore.open(store.folder)
    assert again.verify() == []


def test_second_writer_is_refused_at_once_and_a_killed_one_leaves_no_lock(store):
    code = (
        "import sys, time; from pathlib import Path; from compdistort.store import StudyStore;"
        "s = StudyStore.open(Path(sys.argv[1]));\nwith s.writing():\n print('held', flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(store.folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().strip() == "held"
        with pytest.raises(StoreLockedError, match="another process"), store.writing():
            pass
        other.kill()
        other.wait()
    with store.writing():
        pass


def test_existing_folder_unknown_version_and_foreign_folder(store, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        StudyStore.create(store.folder, {})
    with pytest.raises(StoreError, match="is no study folder"):
        StudyStore.open(tmp_path)
    document = json.loads((store.folder / "study.json").read_text())
    (store.folder / "study.json").write_text(json.dumps(document | {"schema_version": 99}))
    with pytest.raises(StoreError, match="version 99"):
        StudyStore.open(store.folder)


def test_full_disk_is_a_resource_error_and_the_block_does_not_exist(store, monkeypatch):
    real = os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="disk is full"):
        store.commit("block/0", [ArrayWrite("replicates/values", _block(0, 10), 0)], {})
    assert not store.has("block/0")
    monkeypatch.setattr(os, "fsync", real)
    assert not StudyStore.open(store.folder).has("block/0")


def test_journal_line_comes_after_the_data_are_on_disk(store, monkeypatch):
    """Record the order of fsync calls: the journal is the last file of a commit."""
    order = []
    real = os.fsync

    def watch(descriptor):
        order.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to name what is synchronised")
    monkeypatch.setattr(os, "fsync", watch)
    store.commit("block/0", [ArrayWrite("replicates/values", _block(0, 10), 0)], {})
    journal = next(i for i, name in enumerate(order) if name.endswith("journal.jsonl"))
    chunk = next(i for i, name in enumerate(order) if name.endswith("values/c/0/0/0"))
    folder = next(i for i, name in enumerate(order) if name.endswith("values/c/0/0"))
    assert chunk < folder < journal
    assert order[journal + 1] == str(store.folder)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError):
        StudyStore.create(tmp_path / "file" / "s.cdist", {})
    assert not list(tmp_path.glob(".s.cdist*"))


@pytest.mark.parametrize("name", ["zarr.json", "replicates/zarr.json", "replicates/values/zarr.json"])
@pytest.mark.parametrize("text", ["x", "[]", '{"zarr'])
def test_damaged_descriptions_are_written_again(store, name, text):
    _commit_all(store)
    (store.folder / "data.zarr" / name).write_text(text)
    again = StudyStore.open(store.folder)
    damaged = again.verify()
    again.make_array("replicates/values", (25, 3, 2), "<f4", 10)
    for start, n in ((0, 10), (10, 10), (20, 5)):
        if f"block/{start}" in damaged:
            again.commit(f"block/{start}", [ArrayWrite("replicates/values", _block(start, n), start)], {"n": n})
    assert StudyStore.open(store.folder).verify() == []
    assert np.array_equal(again.read("replicates/values"), _block(0, 25))


def test_a_place_that_cannot_hold_a_study_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="a file, not a folder"):
        StudyStore.require_absent(tmp_path / "file" / "s.cdist")
    StudyStore.require_absent(tmp_path / "new" / "deep" / "s.cdist")
