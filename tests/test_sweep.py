"""A sweep end to end, small: a study's own scores, only what is new is computed, the same bytes however it ran."""

import csv
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from markupsafe import Markup

from compdistort.codecs import registry
from compdistort.codecs.identity import Identity
from compdistort.errors import (
    CalibrationError,
    CodecRangeError,
    ConfigError,
    InputError,
    InterruptedStudyError,
    StoreError,
    StoreLockedError,
)
from compdistort.forest import save_classifier
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.outcome import score_store
from compdistort.pipeline.preparation import prepare
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import run_study
from compdistort.pipeline.sweep import run_sweep
from compdistort.pipeline.sweep_scores import Verdicts
from compdistort.pipeline.sweep_store import ASKED
from compdistort.pipeline.sweep_words import sweep_status
from compdistort.report import sweep_page
from compdistort.store import StudyStore
from compdistort.study_file import load_config

SIZE, REPLICATES = 96, 6
SWEEP = """
[sweep]
ratios = [5, 60]
[[sweep.codec]]
id = "jpeg"
[[sweep.codec]]
id = "bit-depth"
name = "8-bit"
"""
IDENTITY = '[[sweep.codec]]\nid = "identity"\n'


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a small simulated study; its classifier is trained here, once."""
    folder = tmp_path_factory.mktemp("inputs")
    write_demo_inputs(folder, "spheres", size=SIZE, seed=1, n_replicates=REPLICATES)
    trained = prepare(load_config(folder / "study.toml"), Silence()).trained
    save_classifier(folder / "model.npz", trained.classifier)
    return folder


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Draw the figures of `finished` alone (it is made before): they take most of the time, and are looked at there."""
    for name in ("rate_figure", "object_figure"):
        monkeypatch.setattr(sweep_page, name, lambda twin: Markup("<svg></svg>"))


def _config(inputs, sweep=SWEEP, settings=(), name="sweep.toml"):
    head, segmenter, rest = re.split(r"(?=\[segmenter\])|(?=\[measure\])", (inputs / "study.toml").read_text())
    head += f'[segmenter]\nmodel = "model.npz"\n{rest.split("[[codec]]")[0]}'
    assert "labels" in segmenter
    (inputs / name).write_text(head + sweep)
    return load_config(inputs / name, ("compute.block=2", "compute.threads=1", *settings))


def _sweep(inputs, folder, sweep=SWEEP, settings=(), progress=None, stop=None):
    config = _config(inputs, sweep, settings)
    return run_sweep(config, folder, progress=progress or Silence(), stop=stop or StopFlag())


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """A finished sweep: two ratios of a codec, and one codec without any."""
    return _sweep(inputs, tmp_path_factory.mktemp("finished") / "a.sweep")


@pytest.fixture
def copied(finished, tmp_path):
    """A folder of its own with the results of `finished`."""
    return shutil.copytree(finished.folder, tmp_path / "copied.sweep")


@pytest.fixture(scope="module")
def study(inputs, tmp_path_factory):
    """Folder and scores of a study with the codecs of `finished`."""
    codecs = '[[codec]]\nid = "jpeg"\nratio = 5\n[[codec]]\nid = "jpeg"\nratio = 60\n[[codec]]\nid = "bit-depth"\n'
    folder = tmp_path_factory.mktemp("study") / "a.cdist"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compdistort.pipeline.study.report_store", score_store)  # scores it, and draws nothing
        scores = run_study(_config(inputs, codecs, name="twin.toml"), folder, progress=Silence(), stop=StopFlag())
    return folder, scores


def _bytes_of_results(folder):
    """Hash of every array and of the machine-readable report, without the digest of the program."""
    files = [p for p in (folder / "data.zarr").rglob("*") if p.is_file()]
    files += [folder / "model.npz", *(folder / "report" / "tables").glob("*.csv")]
    found = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    report = json.loads((folder / "report" / "sweep.json").read_text())
    del report["provenance"]["study"]["source_sha256"]
    found["report"] = json.dumps(report).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def _points(outcome):
    return {
        f"{curve['name']} {point['label']}".strip(): point
        for curve in outcome.twin["series"]
        for point in curve["points"]
    }


@pytest.fixture
def found(monkeypatch):
    """Every image that goes through the chain."""
    images, find = [], Chain.find

    def counting(self, image):
        images.append(image)
        return find(self, image)

    monkeypatch.setattr(Chain, "find", counting)
    return images


def test_the_scores_are_those_of_a_study_with_the_same_codecs(finished, study):
    """The study computes every codec beside the raw image, and nothing is copied or kept: the obvious twin."""
    points = _points(finished)
    assert list(points) == ["jpeg 5:1", "jpeg 60:1", "8-bit"]
    folder, found = study
    compression = StudyStore.open(folder).facts("reference")["codecs"].values()
    for scores, saved, point in zip(found.codecs, compression, points.values(), strict=True):
        assert (point["verdict"], tuple(point["reasons"])) == (scores.verdict, scores.reasons)
        assert (point["ratio"], point["encoded_bytes"]) == (saved["ratio"], saved["encoded_bytes"])
        assert point["reached"] == saved["record"].get("reached", True)
        deciding = {q.name: q.expected.value for q in scores.quantities if q.decides}
        assert {name: each["expected"]["value"] for name, each in point["scores"].items()} == {
            name: value if np.isfinite(value) else None for name, value in deciding.items()
        }
        assert point["matched"] == scores.counts.matched


def test_every_image_goes_through_the_chain_once_on_any_number_of_threads(inputs, finished, found, tmp_path):
    """The raw image and each replicate by itself and through three points."""
    other = _sweep(inputs, tmp_path / "b.sweep", settings=("compute.threads=2",))
    assert other.images == finished.images == (1 + REPLICATES) * 4
    assert len(found) == other.images - 1  # the raw image is found by its own way
    assert _bytes_of_results(other.folder) == _bytes_of_results(finished.folder)


def test_one_more_codec_computes_that_alone(inputs, found, copied):
    before, journal = _bytes_of_results(copied), (copied / "journal.jsonl").read_bytes()
    more = _sweep(inputs, copied, f'{SWEEP}[[sweep.codec]]\nid = "jpeg"\nname = "fine"\nratios = [3]\n')
    assert len(found) == more.images == 1 + REPLICATES
    assert list(_points(more)) == ["jpeg 5:1", "jpeg 60:1", "8-bit", "fine 3:1"]
    after = _bytes_of_results(copied)
    assert {name for name in before if name.startswith("data.zarr") and after[name] != before[name]} == set()
    assert (copied / "journal.jsonl").read_bytes().startswith(journal)
    found.clear()
    fewer = _sweep(inputs, copied)
    assert (len(found), fewer.images) == (0, 0)
    again = _bytes_of_results(copied)
    assert {name: digest for name, digest in again.items() if name in before} == before


def test_decoded_images_that_are_equal_are_decided_once(inputs, found, copied):
    """Lossless coders, and ratios beyond what the knob reaches."""
    _sweep(inputs, copied, f'[sweep]\n{IDENTITY}[[sweep.codec]]\nid = "png"\n')
    assert len(found) == 1  # the raw image through one of the two
    found.clear()
    far = '[sweep]\n[[sweep.codec]]\nid = "jpeg"\nratios = [5000, 9000]\n'
    first, second = _points(_sweep(inputs, copied, far)).values()
    assert len(found) == 1 + REPLICATES
    assert first["point"] == second["point"]
    assert (first["target_ratio"], second["target_ratio"]) == (5000, 9000)
    assert not first["reached"]
    found.clear()
    again = _sweep(inputs, copied, far.replace("ratios = [5000, 9000]", f"quality = {first['config']['quality']}"))
    assert (len(found), again.images) == (0, 0)


def test_equal_rows_are_copied_to_the_bit(inputs, copied, tmp_path, monkeypatch):
    """Two ids of one coder: the second is copied from the first, and equals what it is when computed by itself."""

    class Renamed(registry.CODECS["jpeg"]):
        codec_id = "renamed"

    monkeypatch.setitem(registry.CODECS, "renamed", Renamed)
    one = '[[sweep.codec]]\nid = "jpeg"\nquality = 40\n'
    other = '[[sweep.codec]]\nid = "renamed"\nquality = 40\n'
    other_folder = shutil.copytree(copied, tmp_path / "b.sweep")
    both = _sweep(inputs, copied, f"[sweep]\n{one}{other}")
    alone = _sweep(inputs, other_folder, f"[sweep]\n{other}")
    assert both.images == alone.images == 1 + REPLICATES
    place = _points(both)["renamed"]["point"]
    assert place == _points(alone)["renamed"]["point"]
    for name in ("aligned", "replicates/values", "replicates/summary", "replicates/decoded"):
        copied, computed = (StudyStore.open(each.folder).read(f"codecs/{place}/{name}") for each in (both, alone))
        np.testing.assert_array_equal(copied, computed)
    assert _points(both)["renamed"]["scores"] == _points(alone)["renamed"]["scores"]


@pytest.mark.slow
def test_the_slow_twin_engine_gives_the_same_bytes(inputs, finished, tmp_path):
    other = _sweep(inputs, tmp_path / "b.sweep", settings=("compute.device='numpy'",))
    assert _bytes_of_results(other.folder) == _bytes_of_results(finished.folder)


def test_blocks_leave_no_trace_in_the_report_and_stay_what_they_were(inputs, finished, tmp_path):
    other = _sweep(inputs, tmp_path / "b.sweep", settings=("compute.block=5",))
    assert _bytes_of_results(other.folder)["report"] == _bytes_of_results(finished.folder)["report"]
    again = _sweep(inputs, tmp_path / "b.sweep", settings=("compute.block=3",))
    assert again.images == 0


def test_another_seed_gives_other_bytes(inputs, finished, tmp_path):
    """Negative control of the comparisons above."""
    other = _sweep(inputs, tmp_path / "b.sweep", settings=("noise.seed=2",))
    assert _bytes_of_results(other.folder) != _bytes_of_results(finished.folder)


class _StopAfter(Silence):
    """Asks for a stop once it was told of a number of images."""

    def __init__(self, flag, count):
        self._flag, self._left = flag, count

    def advance(self, done):
        self._left -= 1
        if self._left <= 0:
            self._flag.set("the test")


@pytest.mark.parametrize("count", [1, 21])
def test_a_stopped_sweep_goes_on_to_the_same_bytes(inputs, finished, tmp_path, count):
    flag, folder = StopFlag(), tmp_path / "b.sweep"
    with pytest.raises(InterruptedStudyError, match=r"compdistort sweep .*b\.sweep"):
        _sweep(inputs, folder, progress=_StopAfter(flag, count), stop=flag)
    state = sweep_status(folder)
    assert not state["finished"]
    assert state["replicates_done"] <= REPLICATES
    rest = _sweep(inputs, folder)
    assert rest.images < (1 + REPLICATES) * 4
    assert _bytes_of_results(folder) == _bytes_of_results(finished.folder)
    assert sweep_status(folder)["finished"]


def test_damaged_blocks_are_made_again(inputs, finished, copied):
    folder = copied
    point = _points(finished)["jpeg 60:1"]["point"]
    lost = [
        next(p for p in (folder / place / "c" / "1").rglob("*") if p.is_file())
        for place in ("data.zarr/replicates/values", f"data.zarr/codecs/{point}/replicates/values")
    ]
    for chunk in lost:
        chunk.write_bytes(chunk.read_bytes()[:-3])
    said, listener = [], Silence()
    listener.say = said.append
    rest = _sweep(inputs, folder, progress=listener)
    assert sum("is damaged" in text for text in said) == 2
    assert rest.images == 2 * 2
    assert _bytes_of_results(folder) == _bytes_of_results(finished.folder)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("noise.seed=7", "noise.seed: 1, not 7"),
        ("noise.replicates=8", "noise.replicates: 6, not 8"),
        ("measure.min_size=21", "measure.min_size: 20, not 21"),
        ("input.crop='0:90,0:90'", "input.crop: none, not 0:90,0:90"),
    ],
)
def test_another_raw_part_is_refused(inputs, finished, setting, words):
    before = _bytes_of_results(finished.folder)
    with pytest.raises(InputError, match=re.escape(words)):
        _sweep(inputs, finished.folder, settings=(setting,))
    assert _bytes_of_results(finished.folder) == before


def test_another_image_under_the_same_name_is_refused(inputs, finished):
    raw = (inputs / "raw.tif").read_bytes()
    write_tiff(inputs / "raw.tif", read_image(inputs / "raw.tif") + np.uint16(1))
    try:
        with pytest.raises(InputError, match=r"another file \(raw\)"):
            _sweep(inputs, finished.folder)
    finally:
        (inputs / "raw.tif").write_bytes(raw)


def test_margin_and_title_may_change_without_any_image(inputs, copied):
    wide = _sweep(inputs, copied, settings=("statistics.margin=1000", "title=other"))
    page = wide.report.read_text()
    tight = _sweep(inputs, copied, settings=("statistics.margin=1e-6",))
    assert wide.images == tight.images == 0
    verdicts = [{name: point["verdict"] for name, point in _points(each).items()} for each in (wide, tight)]
    assert verdicts[0]["8-bit"] == "tolerable"
    assert "tolerable" not in verdicts[1].values()
    assert [curve["limit"]["best"] for curve in tight.twin["series"]] == [None, None]
    assert "other" in page
    assert "No codec is tolerable" in tight.report.read_text()


@pytest.fixture
def up_to_20(monkeypatch):
    """The verdict is tolerable where a ratio up to 20 was asked for."""
    monkeypatch.setattr(Verdicts, "tolerable", lambda self, placed: placed.asked.ratio <= 20)


@pytest.mark.usefixtures("up_to_20")
def test_a_search_halves_the_gap_and_goes_on_after_a_stop(inputs, copied, tmp_path):
    """Beside it, the same ratios as a list: the same points, and nothing new to compute."""
    search = '[sweep]\n[[sweep.codec]]\nid = "jpeg"\nboundary = true\nbetween = [3, 300]\npoints = 5\n'
    flag, whole = StopFlag(), shutil.copytree(copied, tmp_path / "b.sweep")
    with pytest.raises(InterruptedStudyError):
        _sweep(inputs, copied, search, progress=_StopAfter(flag, 14), stop=flag)
    state = sweep_status(copied)["series"][0]
    assert (state["points_done"], state["points_missing"], state["points_searched_at_most"]) == (1, 1, 3)
    points = _points(_sweep(inputs, copied, search)).values()
    assert sorted(point["target_ratio"] for point in points) == [3, 9.487, 16.87, 30, 300]
    assert _sweep(inputs, whole, search).images == 5 * (1 + REPLICATES)
    assert _bytes_of_results(whole) == _bytes_of_results(copied)
    listed = _sweep(inputs, copied, '[sweep]\n[[sweep.codec]]\nid = "jpeg"\nratios = [3, 9.487, 16.87, 30, 300]\n')
    assert listed.images == 0
    assert [point["point"] for point in _points(listed).values()] == [point["point"] for point in points]


def test_a_search_ends_where_the_smallest_ratio_is_not_tolerable(inputs, copied):
    search = '[sweep]\n[[sweep.codec]]\nid = "jpeg"\nboundary = true\nbetween = [5, 60]\n'
    outcome = _sweep(inputs, copied, search, settings=("statistics.margin=1e-6",))
    assert outcome.images == 0
    assert list(_points(outcome)) == ["jpeg 5:1"]
    assert outcome.twin["series"][0]["limit"]["best"] is None


class Picky(Identity):
    """A codec that refuses what its test tells it to."""

    codec_id = "picky"
    refuses = staticmethod(lambda image: False)

    def apply(self, image):
        if self.refuses(image):
            raise CodecRangeError("codec 'picky' does not like this image", "give another")
        return super().apply(image)


@pytest.mark.parametrize("whole", [True, False])
def test_a_codec_that_refuses_the_image_or_a_replicate_is_named_and_the_others_go_on(
    inputs, copied, monkeypatch, whole
):
    raw = read_image(inputs / "raw.tif")
    monkeypatch.setattr(Picky, "refuses", staticmethod(lambda image: np.array_equal(image, raw) == whole))
    monkeypatch.setitem(registry.CODECS, "picky", Picky)
    sweep = f'[sweep]\n[[sweep.codec]]\nid = "picky"\n{IDENTITY}'
    outcome = _sweep(inputs, copied, sweep)
    refused, kept = _points(outcome).values()
    assert refused["verdict"] == "refused"
    assert "does not like" in refused["reasons"][0]
    assert ("of a replicate" in refused["reasons"][0]) == (not whole)
    assert kept["verdict"] == "tolerable"
    assert "does not like this image" in outcome.report.read_text()
    assert _sweep(inputs, copied, sweep).images == 0


class Calibrated(Identity):
    """A codec that no sensor is good enough for."""

    codec_id = "calibrated"

    def with_sensor(self, sensor):
        raise CalibrationError("the sensor model is an estimate", "calibrate the camera")


@pytest.mark.slow
def test_a_codec_that_needs_a_better_sensor_is_refused_by_name(inputs, copied, monkeypatch):
    monkeypatch.setitem(registry.CODECS, "calibrated", Calibrated)
    (refused,) = _points(_sweep(inputs, copied, '[sweep]\n[[sweep.codec]]\nid = "calibrated"\n')).values()
    assert (refused["verdict"], refused["reasons"]) == (
        "refused",
        ["the sensor model is an estimate; calibrate the camera"],
    )


class Uninstalled(Identity):
    """A codec whose library is missing for a while."""

    codec_id = "uninstalled"
    missing = True

    def with_sensor(self, sensor):
        if self.missing:
            raise ConfigError("codec 'uninstalled' is not available", "install it")
        return super().with_sensor(sensor)


def test_a_codec_that_was_not_installed_is_tried_again(inputs, copied, monkeypatch):
    monkeypatch.setitem(registry.CODECS, "uninstalled", Uninstalled)
    sweep = '[sweep]\n[[sweep.codec]]\nid = "uninstalled"\n'
    for _ in range(2):
        (refused,) = _points(_sweep(inputs, copied, sweep)).values()
        assert refused["reasons"] == ["codec 'uninstalled' is not available; install it"]
    monkeypatch.setattr(Uninstalled, "missing", False)
    (point,) = _points(_sweep(inputs, copied, sweep)).values()
    assert point["verdict"] == "tolerable"


def test_the_page_and_its_tables(finished):
    page = finished.report.read_text()
    assert "Largest tolerable ratio at 95 % confidence" in page
    assert not re.search(r"(src|href)=\"https?:", page)
    figures = re.findall(r"<svg[^>]*aria-label=\"([^\"]*)\"", page)
    assert len(figures) == 2
    assert "jpeg" in figures[0]
    assert "tolerable below 1" in figures[0]
    folder = finished.folder / "report"
    assert json.loads((folder / "sweep.json").read_text()) == finished.twin
    limits, points, scores = (
        list(csv.DictReader((folder / f"tables/{name}.csv").read_text().splitlines()))
        for name in ("limits", "points", "scores")
    )
    assert [line["codec"] for line in limits] == ["jpeg", "8-bit"]
    for line, curve in zip(limits, finished.twin["series"], strict=True):
        best = curve["limit"]["best"]
        assert line["largest_tolerable_ratio"] == ("" if best is None else repr(best["ratio"]))
    assert [float(line["ratio"]) for line in points] == [p["ratio"] for p in _points(finished).values()]
    assert len(scores) == 3 * len(finished.twin["quantities"])
    assert {"N", "A"} <= {line["quantity"] for line in scores}


def test_bytes_and_savings_fit_together(finished):
    raw = finished.twin["image"]["raw_bytes"]
    assert raw == 2 * SIZE * SIZE
    for point in _points(finished).values():
        assert point["ratio"] == raw / point["encoded_bytes"]
        assert point["saved_fraction"] == pytest.approx(1 - point["encoded_bytes"] / raw)


def test_no_object_is_said(inputs, tmp_path):
    outcome = _sweep(inputs, tmp_path / "a.sweep", f"[sweep]\n{IDENTITY}", ("measure.min_size=100000",))
    assert "no object" in outcome.report.read_text()
    assert outcome.twin["series"][0]["limit"]["best"] is None


def test_the_folder_of_a_study_is_refused(inputs, study):
    with pytest.raises(StoreError, match="of a study, not of a sweep"):
        _sweep(inputs, study[0])


def test_a_folder_that_lost_what_was_asked_says_so(inputs, copied):
    folder = copied
    (folder / ASKED).write_text("{")
    with pytest.raises(StoreError, match="is missing or damaged"):
        sweep_status(folder)
    assert _sweep(inputs, folder).images == 0


def test_a_second_process_is_refused_while_one_works(inputs, copied):
    with StudyStore.open(copied).writing(), pytest.raises(StoreLockedError, match="another process"):
        _sweep(inputs, copied)


def test_bad_input_leaves_no_folder(inputs, tmp_path):
    with pytest.raises(ConfigError, match="jpge"):
        _sweep(inputs, tmp_path / "a.sweep", '[sweep]\n[[sweep.codec]]\nid = "jpge"\n')
    with pytest.raises(InputError):
        _sweep(inputs, tmp_path / "a.sweep", settings=('input.raw="nowhere.tif"',))
    assert not list(tmp_path.iterdir())
