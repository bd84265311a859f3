"""Studies with steps, end to end: what belongs to the recorded and what to the seen image; the same bytes always."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from steps_case import CROPPED, N_ANGLES, ROWS, STEPS, digests, run_scan, without_pages, write_scan

from compdistort.cli import main
from compdistort.codecs import build_codec
from compdistort.errors import InputError, InterruptedStudyError
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline import forecast, inputs, step_kinds, study, study_memory
from compdistort.pipeline.comparison import compare
from compdistort.pipeline.preparation import prepare
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.reference import load_reference
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import resume_study, run_study
from compdistort.store import StudyStore
from compdistort.study_file import load_config


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with the files of a scan."""
    folder = tmp_path_factory.mktemp("scan")
    write_scan(folder)
    return folder


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """A finished study of it."""
    with pytest.MonkeyPatch.context() as patch:
        without_pages(patch)
        return run_scan(files, tmp_path_factory.mktemp("finished") / "a.cdist")


@pytest.fixture(autouse=True)
def _no_pages(monkeypatch):
    without_pages(monkeypatch)


def test_objects_are_of_what_is_seen_and_noise_of_what_was_recorded(files, finished):
    store = StudyStore.open(finished.folder)
    facts = store.facts("reference")
    assert facts["image"]["shape"] == list(CROPPED)
    assert facts["image"]["voxel_um"] is None
    assert facts["recorded"] == {"shape": [N_ANGLES, ROWS, 48], "plane": N_ANGLES // 2}
    assert finished.measurands.ndim == 3
    assert finished.scores.n_objects > 2
    raw = read_image(files / "raw.tif")[:, 12:36]
    np.testing.assert_array_equal(store.read("recorded/raw"), raw[30])
    assert store.read("reference/labels").shape == CROPPED
    assert store.read("reference/raw").shape == CROPPED[1:]
    assert store.read("reference/raw").dtype == np.uint16
    assert store.read("reference/projection").shape == CROPPED[1:]
    chain = prepare(load_config(files / "study.toml"), Silence()).chain
    drawn = np.stack([chain.replicate(index)[30].astype(np.uint64) for index in range(3)])
    np.testing.assert_array_equal(store.read("accumulators/pixel_S1"), drawn.sum(0))
    np.testing.assert_array_equal(store.read("accumulators/pixel_S2"), (drawn**2).sum(0))


def test_rows_are_those_of_images_that_went_the_whole_way_by_hand(files, finished):
    """The obvious twin: draw, code, run the steps, find, pair; nothing left out."""
    config = load_config(files / "study.toml")
    store = StudyStore.open(finished.folder)
    made = prepare(config, Silence())
    chain, reference = made.chain, load_reference(store, config, made.chain.sensor)
    replicate = chain.backend.to_host(chain.replicate(2))
    codec = build_codec(store.facts("reference")["codecs"]["shift"]["config"])
    for image, place in ((replicate, "replicates"), (codec.apply(replicate).decoded, "codecs/shift/replicates")):
        seen = chain.steps.see(image, chain.backend).image
        found = compare(chain, reference, chain.backend.to_device(seen))
        np.testing.assert_array_equal(store.read(f"{place}/values")[2], found.aligned.astype(np.float32))
        np.testing.assert_array_equal(store.read(f"{place}/summary")[2], found.summary)
    assert (store.read("codecs/shift/replicates/summary") != store.read("replicates/summary")).any()


def test_what_steps_found_is_recorded_of_raw_image_and_codecs(files, finished):
    facts = StudyStore.open(finished.folder).facts("reference")
    assert [entry["id"] for entry in facts["steps"]] == ["attenuation", "back-projection", "crop", "contrast-stretch"]
    assert abs(facts["steps"][1]["fixed"]["centre_px"] - 25.5) < 0.3
    assert facts["codecs"]["identity"]["steps"] == [entry["raw"] for entry in facts["steps"]]
    assert facts["codecs"]["shift"]["steps"] != facts["codecs"]["identity"]["steps"]
    assert {"step 1 dark", "step 1 flat"} <= set(facts["inputs"])
    assert str(files) not in json.dumps(facts)
    assert facts["config"]["step"][0]["flat"] == "flat.tif"


def test_a_codec_is_shown_as_recorded_and_as_seen(finished):
    store = StudyStore.open(finished.folder)
    for name in ("identity", "shift"):
        same = name == "identity"
        assert np.array_equal(store.read(f"codecs/{name}/recorded"), store.read("recorded/raw")) is same
        assert np.array_equal(store.read(f"codecs/{name}/image"), store.read("reference/raw")) is same


def test_a_lossless_codec_changes_nothing_and_the_shift_does(finished):
    identity, shift, _ = finished.scores.codecs
    assert identity.verdict == "tolerable"
    assert np.nanmax(np.abs(identity.object_scores)) == 0
    assert max(abs(quantity.expected.value) for quantity in shift.quantities[:3]) > 0


@pytest.mark.parametrize(
    "settings",
    [("compute.threads=2",), ("compute.device='numpy'",)],
    ids=["threads", "plain"],
)
def test_results_do_not_depend_on_threads_or_engine(files, finished, tmp_path, settings):
    other = run_scan(files, tmp_path / "b.cdist", *settings)
    assert digests(other.folder) == digests(finished.folder)


@pytest.mark.slow
def test_spawned_workers_give_the_same_bytes(files, finished, tmp_path, monkeypatch):
    for each in (study, forecast, study_memory, inputs):
        monkeypatch.setattr(each, "device_parts", lambda _name: ("numba", "numba"))
    other = run_scan(files, tmp_path / "c.cdist", "compute.threads=2")
    assert digests(other.folder) == digests(finished.folder)


def test_another_step_gives_other_results(files, finished, tmp_path):
    """Negative control of the comparisons of bytes."""
    text = (files / "study.toml").read_text().replace('filter = "hann"', 'filter = "cosine"')
    (files / "other.toml").write_text(text)
    config = load_config(files / "other.toml")
    other = run_study(config, tmp_path / "d.cdist", progress=Silence(), stop=StopFlag())
    assert digests(other.folder) != digests(finished.folder)


class _StopAfter(Silence):
    def __init__(self, flag, count):
        self._flag, self._count = flag, count

    def advance(self, done):
        if done >= self._count:
            self._flag.set("the test")


def test_a_stopped_study_goes_on_without_a_second_search(files, finished, tmp_path, monkeypatch):
    folder, flag = tmp_path / "e.cdist", StopFlag()
    with pytest.raises(InterruptedStudyError):
        run_study(load_config(files / "study.toml"), folder, progress=_StopAfter(flag, 2), stop=flag)

    def never(*_args, **_options):
        raise AssertionError("searched again")

    monkeypatch.setattr(step_kinds, "find_centre", never)
    (folder / "model.npz").write_bytes(b"nonsense")  # it is trained again, on what is seen
    resume_study(folder, progress=Silence(), stop=StopFlag())
    assert digests(folder) == digests(finished.folder)


@pytest.mark.slow
def test_a_killed_study_resumes_to_the_same_bytes(files, finished, tmp_path):
    folder = tmp_path / "f.cdist"
    command = [sys.executable, "-m", "compdistort", "run", str(files / "study.toml"), "-o", str(folder)]
    with subprocess.Popen([*command, "--progress", "json"], stderr=subprocess.PIPE, text=True) as process:
        journal = folder / "journal.jsonl"
        while not (journal.exists() and "reference" in journal.read_text()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert main(["resume", str(folder), "--progress", "none", "--json"]) == 0
    assert digests(folder) == digests(finished.folder)


def test_a_changed_flat_field_is_noticed_on_resume(tmp_path):
    write_scan(tmp_path)
    run_scan(tmp_path, tmp_path / "g.cdist", "noise.replicates=2")
    write_tiff(tmp_path / "flat.tif", read_image(tmp_path / "flat.tif") + 1)
    with pytest.raises(InputError, match=r"flat.tif \(step 1 flat\) is not the file"):
        resume_study(tmp_path / "g.cdist", progress=Silence(), stop=StopFlag())


def test_a_voxel_size_is_that_of_what_is_seen(files, finished, tmp_path):
    scaled = run_scan(files, tmp_path / "h.cdist", "input.voxel_um=[2.0, 2.0, 2.0]", "noise.replicates=2")
    assert StudyStore.open(scaled.folder).facts("reference")["image"]["voxel_um"] == [2.0, 2.0, 2.0]
    plain, other = (
        {each.name: each.raw for each in outcome.scores.codecs[0].quantities} for outcome in (finished, scaled)
    )  # fmt: skip
    assert other["V"] == pytest.approx(8 * plain["V"])


def _bad(text, old, new):
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        (
            "arc_deg = 360.0",
            'angles = "short.txt"',
            3,
            "step 2 (back-projection): there are 60 projections",
        ),
        ('centre_px = "search"', "centre_px = 48.0", 2, "step 2 (back-projection): the centre of rotation"),
        ('dark = "dark.tif"', 'dark = "small.tif"', 3, "small.tif: crop 12:36,0:48 is not inside"),
        ('dark = "dark.tif"', 'dark = "gone.tif"', 3, "gone.tif"),
        ('box = "3:21,9:39,9:39"', 'box = "3:25,9:39,9:39"', 2, "step 3 (crop): box"),
        ('crop = "12:36,0:48"', 'crop = "0:1,12:36,0:48"', 2, "leaves one plane"),
        ('crop = "12:36,0:48"', "page = 3", 3, "step 1 (attenuation): projections have the shape (48, 48)"),
        (
            'id = "contrast-stretch"',
            'id = "contrast-strech"',
            2,
            "step 4: id 'contrast-strech' is unknown, did",
        ),
        ("threads = 1", "slab = 4", 2, "compute.slab = 4: a study with steps"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, old, new, code, words):
    write_scan(tmp_path)
    (tmp_path / "short.txt").write_text("0\n60\n120\n")
    write_tiff(tmp_path / "small.tif", np.full((4, 20, 20), 100, np.uint16))
    (tmp_path / "study.toml").write_text(_bad((tmp_path / "study.toml").read_text(), old, new))
    before = sorted(tmp_path.iterdir())
    assert main(["run", str(tmp_path / "study.toml"), "-o", str(tmp_path / "x.cdist"), "--progress", "none"]) == code
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert sorted(tmp_path.iterdir()) == before


def test_files_of_steps_are_relative_to_the_study_file(files):
    assert load_config(files / "study.toml").step[0].dark == files / "dark.tif"
    assert "dark.tif" in STEPS
