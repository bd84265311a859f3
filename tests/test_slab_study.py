"""A study of a volume that stays on disk: the same results as in memory, however many planes are decided together."""

import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_volume_study import SHAPE, STUDY, _run, _scene

from compdistort import get_backend
from compdistort.backend.compiled.components import paint
from compdistort.cli import main
from compdistort.errors import ConfigError, ImageFormatError, InputError, ResourceError
from compdistort.io.images import write_tiff
from compdistort.io.volume_write import volume_writer
from compdistort.pipeline import study_memory
from compdistort.pipeline.forecast import forecast
from compdistort.pipeline.preparation import prepare
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.raw_image import read_raw
from compdistort.pipeline.raw_volume import DiskVolume, largest_plane
from compdistort.pipeline.reference import read_objects
from compdistort.pipeline.slab_chain import Levelled, ReplicatePlanes
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import report_study, resume_study
from compdistort.pipeline.study_memory import fit_threads
from compdistort.pipeline.views import View
from compdistort.store import StudyStore
from compdistort.study_file import load_config

CODECS = """
[[codec]]
id = "bit-depth"
name = "8-bit"
[[codec]]
id = "jpeg"
ratio = 8
[operators]
scores = true
side = 24
replicates = 3
"""
ONE_SHAPE = ("reference/labels", "reference/runs")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a study of a volume."""
    folder = tmp_path_factory.mktemp("slabs")
    raw, truth = _scene()
    write_tiff(folder / "raw.tif", raw)
    write_tiff(folder / "truth.tif", truth)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:16][truth[3:16] > 0] = 2
    labels[::5, ::7, ::6][truth[::5, ::7, ::6] == 0] = 1
    write_tiff(folder / "labels.tif", labels)
    lines = [line for line in STUDY.splitlines() if not line.startswith("threshold_annotation")]
    lines.insert(lines.index("[segmenter]") + 1, 'labels = "labels.tif"')
    (folder / "study.toml").write_text("\n".join(lines) + CODECS)
    return folder


@pytest.fixture(scope="module")
def in_memory(inputs, tmp_path_factory):
    """The study with the whole volume in memory."""
    return _run(inputs, tmp_path_factory.mktemp("memory") / "a.cdist")


def _results(folder):
    """Return a hash of every array, of the model and of the scores of a study; labels as an image."""
    store = StudyStore.open(folder)
    found = {"labels": _labels(store), "model": (folder / "model.npz").read_bytes()}
    for path in (folder / "data.zarr").rglob("zarr.json"):
        name = str(path.parent.relative_to(folder / "data.zarr"))
        if json.loads(path.read_text())["node_type"] == "array" and not name.startswith(ONE_SHAPE):
            found[name] = store.read(name).tobytes()
    for path in (folder / "report" / "tables").glob("*.csv"):
        found[path.name] = path.read_bytes()
    found["report"] = json.dumps(_without_memory(json.loads((folder / "report" / "report.json").read_text()))).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def _without_memory(report):
    """Leave out what tells how and when a study ran."""
    report.pop("provenance", None)
    report.get("config", {}).pop("compute", None)
    return report


def _labels(store):
    objects = read_objects(store)
    return (paint(objects.runs) if hasattr(objects, "runs") else objects.labels).tobytes()


@pytest.mark.parametrize(("slab", "threads"), [(7, 2), *(pytest.param(n, 1, marks=pytest.mark.slow) for n in (1, 20))])
def test_slabs_and_threads_leave_no_trace(slab, threads, inputs, in_memory, tmp_path):
    """20 planes in 20, 3 and 1 slabs: labels, tables, sums, codecs, operator scores, report are those of memory."""
    found = _run(inputs, tmp_path / "b.cdist", f"compute.slab={slab}", f"compute.threads={threads}")
    assert StudyStore.open(found.folder).facts("reference")["image"]["streams"]
    assert _results(found.folder) == _results(in_memory.folder)


@pytest.mark.slow
def test_another_seed_leaves_a_trace(inputs, in_memory, tmp_path):
    """Negative control of the comparison."""
    found = _run(inputs, tmp_path / "b.cdist", "compute.slab=7", "noise.seed=2")
    changed = {name for name, digest in _results(found.folder).items() if digest != _results(in_memory.folder)[name]}
    assert {"replicates/values", "replicates/summary", "accumulators/pixel_S1"} <= changed
    assert "labels" not in changed


@pytest.mark.slow
def test_a_study_goes_on_as_it_was_started(inputs, in_memory, tmp_path):
    """Whatever memory there is later: what is committed is kept as runs."""
    folder = _run(inputs, tmp_path / "b.cdist", "compute.slab=7").folder
    journal = (folder / "journal.jsonl").read_text().splitlines()
    lost = ("replicates/000002", "operators")
    kept = [line for line in journal if json.loads(line)["record"]["key"] not in lost]
    assert len(kept) == len(journal) - 2
    (folder / "journal.jsonl").write_text("\n".join(kept) + "\n")
    document = json.loads((folder / "study.json").read_text())
    document["config"]["compute"]["slab"] = 0
    (folder / "study.json").write_text(json.dumps(document))
    resume_study(folder, progress=Silence(), stop=StopFlag(), threads=2)
    assert _results(folder) == _results(in_memory.folder)
    assert report_study(folder, tmp_path / "page").report.read_bytes() == (folder / "report/index.html").read_bytes()


@pytest.mark.parametrize("key", [pytest.param("reference", marks=pytest.mark.slow), "replicates/000000"])
@pytest.mark.slow
def test_a_killed_study_of_a_volume_on_disk_resumes_to_the_same_results(key, inputs, in_memory, tmp_path):
    folder = tmp_path / "b.cdist"
    command = [sys.executable, "-m", "compdistort", "run", str(inputs / "study.toml"), "-o", str(folder)]
    command += ["--set", "compute.slab=3", "--set", "compute.block=2", "--progress", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        journal = folder / "journal.jsonl"
        while not (journal.exists() and key in journal.read_text()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (folder / "report" / "index.html").exists()
    assert main(["resume", str(folder), "--progress", "none", "--json"]) == 0
    assert StudyStore.open(folder).facts("reference")["image"]["streams"]
    assert _results(folder) == _results(in_memory.folder)


@pytest.mark.parametrize("damage", [pytest.param("vanished", marks=pytest.mark.slow), "replaced"])
def test_nothing_is_committed_of_a_volume_that_changes_meanwhile(damage, inputs, in_memory, tmp_path, monkeypatch):
    """A chunk that is gone reads as zeros, and another one as what it is: neither is an error of the format."""
    path = tmp_path / "raw.zarr"
    with volume_writer(path, SHAPE, np.uint16) as writer:
        writer.write_planes(_scene()[0])
    chunk = max(each for each in path.rglob("c/*/*/*") if each.is_file())
    before, commit = chunk.read_bytes(), StudyStore.commit

    def harmful(self, key, *arguments):
        commit(self, key, *arguments)
        if key == "replicates/000000":
            chunk.unlink()
            if damage == "replaced":
                chunk.write_bytes(before)

    monkeypatch.setattr(StudyStore, "commit", harmful)
    folder = tmp_path / "b.cdist"
    with pytest.raises(ImageFormatError, match=rf"{chunk.name}.* was changed, replaced or removed") as caught:
        _run(inputs, folder, "compute.slab=7", f'input.raw="{path}"')
    assert f"go on with `compdistort resume {folder}`" in caught.value.remedy
    keys = [json.loads(line)["record"]["key"] for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert keys == ["reference", "replicates/000000"]
    monkeypatch.undo()
    if damage == "vanished":
        with pytest.raises(InputError, match="not the file that the study was started with"):
            resume_study(folder, progress=Silence(), stop=StopFlag())
        chunk.write_bytes(before)
    resume_study(folder, progress=Silence(), stop=StopFlag())
    found, whole = _results(folder), _results(in_memory.folder)
    assert {name for name in found if found[name] != whole[name]} == {"report"}, "the report names the file"


def test_a_volume_stays_on_disk_where_memory_would_not_hold_the_study(inputs):
    config = load_config(inputs / "study.toml", ("compute.max_memory=2MiB",))
    assert isinstance(read_raw(config).pixels, DiskVolume)
    assert isinstance(read_raw(load_config(inputs / "study.toml", ("compute.max_memory=3MiB",))).pixels, np.ndarray)


def test_what_never_fits_is_refused(inputs):
    """The program alone takes more than 2 MiB."""
    with pytest.raises(ResourceError, match="max_memory = 2MiB is too small"):
        _prepared(inputs, "compute.max_memory=2MiB")


def _prepared(inputs, *settings):
    config = load_config(inputs / "study.toml", settings)
    made = prepare(config, Silence())
    return made, forecast(made.chain, made.codecs.values(), config), config


def test_the_forecast_says_how_the_volume_is_read(inputs):
    made, cost, config = _prepared(inputs, "compute.slab=3")
    assert cost.notes == ("the volume stays on disk: 3 of its 20 planes are decided together",)
    assert cost.memory_bytes >= fit_threads(made.chain, config, made.codecs.values()).memory_bytes > 2**20


def test_as_many_planes_are_decided_together_as_fit(inputs, monkeypatch):
    """With what else the study holds, and with the width of what its codecs decode; none that do not fit are chosen."""
    made, _, config = _prepared(inputs, "compute.slab=3")
    monkeypatch.setattr(study_memory, "process_memory", lambda: (2**28, 2**28))
    monkeypatch.setattr(study_memory, "shown_pixels", lambda _chain: 0)
    codecs = list(made.codecs.values())

    def fit(codecs, runs, **compute):
        section = config.compute.model_copy(update=compute)
        return fit_threads(made.chain, config.model_copy(update={"compute": section}), codecs, runs)

    runs = 20_000_000
    needs = {n: fit(codecs, runs, slab=n).memory_bytes for n in (2, 4, 8, 12, 16, 20)}
    assert list(needs.values()) == sorted(set(needs.values()))
    for n, memory in needs.items():
        for limit, slab in ((memory, n), (memory - 1, max((m for m in needs if m < n), default=0))):
            if slab:
                found = fit(codecs, runs, slab=0, max_memory=str(limit))
                assert (found.slab, found.memory_bytes) == (slab, needs[slab])
    with pytest.raises(ResourceError, match="too small"):
        fit(codecs, runs, slab=0, max_memory=str(needs[2] - 1))
    with pytest.raises(ResourceError, match=r"fewer planes together \(compute.slab\)"):
        fit(codecs, runs, slab=20, max_memory=str(needs[12]))
    shift = [codec for codec in codecs if codec.codec_id == "identity"]
    assert fit(shift, runs, slab=8).memory_bytes < needs[8]


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_replicate_is_the_same_in_any_pieces(engine, inputs):
    """Also after it went to another process, which opens the file anew."""
    made, _, _ = _prepared(inputs, "compute.slab=3")
    backend, chain = get_backend(engine), made.chain
    raw = pickle.loads(pickle.dumps(DiskVolume(inputs / "raw.tif")))
    whole = backend.to_host(backend.replicate(backend.to_device(_scene()[0]), chain.noise, chain.key, range(4, 5)))[0]
    planes = ReplicatePlanes(raw, chain.noise, chain.key, 4, backend)
    for start, stop in ((0, 20), (3, 4), (11, 20)):
        np.testing.assert_array_equal(planes.read_planes(start, stop), whole[start:stop])
    assert (planes.read_planes(0, 20) != _scene()[0]).any()
    assert Levelled(planes).levels().size == whole.size


def test_pieces_of_the_raw_volume(inputs):
    made, _, _ = _prepared(inputs, "compute.slab=3")
    raw = _scene()[0]
    np.testing.assert_array_equal(made.chain.projection(), raw.max(axis=0))
    np.testing.assert_array_equal(made.chain.shown(View(5)), raw[5])
    np.testing.assert_array_equal(made.chain.part(((2, 19), (5, 6), (0, 60))), raw[2:19, 5:6])
    np.testing.assert_array_equal(largest_plane(made.chain.raw), raw.max(axis=0))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (("segmenter.smoothing_px=1.0",), ConfigError, "smoothing_px"),
        (('input.truth="labels2.tif"',), InputError, "shape"),
        (('input.raw="labels.tif"',), ImageFormatError, "uint8"),
    ],
)
def test_what_cannot_be_read_slab_by_slab_is_refused(settings, error, words, inputs, tmp_path):
    write_tiff(inputs / "labels2.tif", np.zeros((20, 56, 61), np.uint8))
    with pytest.raises(error, match=words):
        _run(inputs, tmp_path / "b.cdist", "compute.slab=5", *settings)
    assert not (tmp_path / "b.cdist").exists()


def test_slabs_of_a_plane_are_refused(inputs, tmp_path, capsys):
    words = ["run", str(inputs / "study.toml"), "-o", str(tmp_path / "p.cdist"), "--set", "input.page=3"]
    assert main([*words, "--set", "compute.slab=2"]) == 2
    assert "is a plane, not a volume" in capsys.readouterr().err
