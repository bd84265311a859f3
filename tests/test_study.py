"""A study end to end, small: verdicts, same bytes for any thread count, kill and resume, damage, bad input."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from compdistort.cli import main
from compdistort.errors import InterruptedStudyError, ResourceError
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import resume_study, run_study, study_status
from compdistort.store.journal import Journal
from compdistort.study_file import load_config

SIZE = 96
REPLICATES = 6


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a small simulated study."""
    folder = tmp_path_factory.mktemp("inputs")
    write_demo_inputs(folder, "spheres", size=SIZE, seed=1, n_replicates=REPLICATES)
    return folder


def _config(inputs, *settings):
    return load_config(inputs / "study.toml", ("compute.block=2", "compute.threads=1", *settings))


def _run(inputs, folder, *settings):
    return run_study(_config(inputs, *settings), folder, progress=Silence(), stop=StopFlag())


def _bytes_of_results(folder):
    """Hash of every array and of the machine-readable report: everything that must not depend on the way there."""
    files = [p for p in (folder / "data.zarr").rglob("*") if p.is_file()]
    files += [folder / "report" / "report.json", folder / "model.npz", *(folder / "report" / "tables").glob("*.csv")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """A finished study."""
    folder = tmp_path_factory.mktemp("finished") / "a.cdist"
    return _run(inputs, folder)


def test_identity_scores_exactly_zero_and_is_tolerable(finished):
    identity = finished.scores.codecs[0]
    assert identity.codec == "identity"
    assert np.nanmax(np.abs(identity.object_scores)) == 0
    assert all(q.expected.value == 0 and q.paper.value == 0 for q in identity.quantities if not q.flags)
    assert identity.verdict == "tolerable"


def test_report_and_its_twin_exist(finished):
    twin = json.loads((finished.folder / "report" / "report.json").read_text())
    assert finished.report == finished.folder / "report" / "index.html"
    assert "tolerable" in finished.report.read_text()
    assert twin


def test_two_threads_and_other_blocks_give_the_same_bytes(inputs, finished, tmp_path):
    other = _run(inputs, tmp_path / "b.cdist", "compute.threads=2")
    assert _bytes_of_results(other.folder) == _bytes_of_results(finished.folder)


@pytest.mark.slow
def test_block_size_does_not_change_the_scores(inputs, finished, tmp_path):
    other = _run(inputs, tmp_path / "c.cdist", "compute.block=5")
    assert (other.folder / "report/report.json").read_bytes() == (finished.folder / "report/report.json").read_bytes()


def test_slow_twin_engine_gives_the_same_bytes(inputs, finished, tmp_path):
    other = _run(inputs, tmp_path / "d.cdist", "compute.device='numpy'")
    assert _bytes_of_results(other.folder) == _bytes_of_results(finished.folder)


def test_the_papers_pairing_can_be_chosen(inputs, tmp_path):
    outcome = _run(inputs, tmp_path / "p.cdist", "match.one_to_one=false")
    assert outcome.scores.codecs[0].verdict == "tolerable"


def test_memory_limit_holds_on_resume_too(inputs, tmp_path):
    """A limit that not even one thread fits is refused, before the start and on resume."""
    with pytest.raises(ResourceError, match="max_memory"):
        _run(inputs, tmp_path / "q.cdist", "compute.max_memory='1MiB'")
    assert not (tmp_path / "q.cdist").exists()
    flag = StopFlag()
    with pytest.raises(InterruptedStudyError):
        run_study(_config(inputs), tmp_path / "q.cdist", progress=_StopAfter(flag, 1), stop=flag)
    document = json.loads((tmp_path / "q.cdist/study.json").read_text())
    document["config"]["compute"]["max_memory"] = "1MiB"
    (tmp_path / "q.cdist/study.json").write_text(json.dumps(document))
    with pytest.raises(ResourceError, match="max_memory"):
        resume_study(tmp_path / "q.cdist", progress=Silence(), stop=StopFlag())


def test_another_seed_gives_other_replicates(inputs, finished, tmp_path):
    """Negative control of the byte comparisons above."""
    other = _run(inputs, tmp_path / "e.cdist", "noise.seed=2")
    assert _bytes_of_results(other.folder) != _bytes_of_results(finished.folder)


class _StopAfter(Silence):
    """Asks for a stop once a number of replicates is done."""

    def __init__(self, flag, count):
        self._flag, self._count = flag, count

    def advance(self, done):
        if done >= self._count:
            self._flag.set("the test")


@pytest.mark.parametrize("count", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)), 5])
def test_stopped_study_resumes_to_the_same_bytes(inputs, finished, tmp_path, count):
    flag = StopFlag()
    with pytest.raises(InterruptedStudyError, match="compdistort resume"):
        run_study(_config(inputs), tmp_path / "f.cdist", progress=_StopAfter(flag, count), stop=flag)
    state = study_status(tmp_path / "f.cdist")
    assert not state["finished"]
    assert state["replicates_done"] == count // 2 * 2
    resume_study(tmp_path / "f.cdist", progress=Silence(), stop=StopFlag())
    assert _bytes_of_results(tmp_path / "f.cdist") == _bytes_of_results(finished.folder)


def test_damaged_block_and_damaged_model_are_made_again(inputs, finished, tmp_path):
    folder = _run(inputs, tmp_path / "g.cdist").folder
    chunk = next((folder / "data.zarr/replicates/values/c/1").rglob("0"))
    chunk = chunk if chunk.is_file() else next(p for p in chunk.rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])
    (folder / "model.npz").write_bytes(b"nonsense")
    said = []
    listener = Silence()
    listener.say = said.append
    resume_study(folder, progress=listener, stop=StopFlag())
    assert any("replicates/000002 is damaged" in text for text in said)
    assert _bytes_of_results(folder) == _bytes_of_results(finished.folder)


def _start(inputs, folder):
    command = [sys.executable, "-m", "compdistort", "run", str(inputs / "study.toml"), "-o", str(folder)]
    command += ["--threads", "1", "--set", "compute.block=2", "--progress", "json"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_killed_process_resumes_to_the_same_bytes(inputs, finished, tmp_path):
    folder = tmp_path / "h.cdist"
    with _start(inputs, folder) as process:
        while not (folder / "journal.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert main(["resume", str(folder), "--progress", "none", "--json"]) == 0
    assert _bytes_of_results(folder) == _bytes_of_results(finished.folder)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_exits_5_within_ten_seconds_and_resumes(inputs, finished, tmp_path):
    folder = tmp_path / "i.cdist"
    with _start(inputs, folder) as process:
        while not (folder / "journal.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
        words = process.stderr.read()
    if code == 0:
        pytest.skip("the study was faster than the signal")
    assert code == 5
    assert "compdistort resume" in words
    assert main(["resume", str(folder), "--progress", "none", "--json"]) == 0
    assert _bytes_of_results(folder) == _bytes_of_results(finished.folder)


@pytest.mark.slow
def test_fifty_kills_at_random_times(inputs, finished, tmp_path):
    """kill -9 at 50 times spread over a run (training, commits and report included), then resume: the same bytes."""
    draw = np.random.Generator(np.random.Philox(7))
    reference = _bytes_of_results(finished.folder)
    resumed = 0
    for i in range(50):
        folder = tmp_path / f"k{i}.cdist"
        with _start(inputs, folder) as process:
            time.sleep(float(draw.uniform(2.0, 7.0)))
            process.kill()
            process.wait()
        if folder.exists():
            assert main(["resume", str(folder), "--progress", "none", "--json"]) == 0
            assert _bytes_of_results(folder) == reference
            resumed += 1
        assert not list(tmp_path.glob(f".k{i}.cdist*")) or not folder.exists()
    assert resumed >= 20


def test_second_resume_is_refused(inputs, tmp_path):
    flag = StopFlag()
    folder = tmp_path / "j.cdist"
    with pytest.raises(InterruptedStudyError):
        run_study(_config(inputs), folder, progress=_StopAfter(flag, 1), stop=flag)
    code = "import sys; from compdistort.cli import main; sys.exit(main(sys.argv[1:]))"
    from compdistort.store import StudyStore

    with StudyStore.open(folder).writing():
        done = subprocess.run(
            [sys.executable, "-c", code, "resume", str(folder)], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 4
    assert "another process" in done.stderr


def _write_study(inputs, tmp_path, **changes):
    """Copy the study with other input files; return its path."""
    text = (inputs / "study.toml").read_text()
    for name in ("raw.tif", "labels.tif", "sensor.json", "held_out.tif", "truth.tif"):
        text = text.replace(f'"{name}"', f'"{(inputs / name).as_posix()}"')
    for old, new in changes.items():
        text = text.replace(f'"{(inputs / old.replace("_tif", ".tif")).as_posix()}"', f'"{new}"')
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def _fails(capsys, path, code, *words):
    assert main(["run", str(path), "-o", str(path.parent / "x.cdist"), "--progress", "none"]) == code
    message = capsys.readouterr().err.strip()
    assert message.startswith("compdistort: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    assert not (path.parent / "x.cdist").exists()
    assert not [p.name for p in path.parent.iterdir() if p.name.startswith(".")]


def _raw_variant(inputs, tmp_path, change):
    raw = read_image(inputs / "raw.tif")
    write_tiff(tmp_path / "other.tif", change(raw))
    return _write_study(inputs, tmp_path, raw_tif=(tmp_path / "other.tif").as_posix())


def test_eight_bit_raw_is_refused(inputs, tmp_path, capsys):
    path = _raw_variant(inputs, tmp_path, lambda raw: (raw >> 8).astype(np.uint8))
    _fails(capsys, path, 3, "other.tif", "uint8")


def test_annotations_of_another_shape_are_refused(inputs, tmp_path, capsys):
    write_tiff(tmp_path / "other.tif", np.ones((5, 7), np.uint8))
    path = _write_study(inputs, tmp_path, labels_tif=(tmp_path / "other.tif").as_posix())
    _fails(capsys, path, 3, "other.tif")


def test_one_class_is_refused(inputs, tmp_path, capsys):
    write_tiff(tmp_path / "other.tif", np.ones((SIZE, SIZE), np.uint8))
    path = _write_study(inputs, tmp_path, labels_tif=(tmp_path / "other.tif").as_posix())
    _fails(capsys, path, 3, "class", "other.tif")


def test_sensor_that_does_not_fit_is_refused(inputs, tmp_path, capsys):
    path = _raw_variant(inputs, tmp_path, lambda raw: (raw // 40).astype(np.uint16))
    _fails(capsys, path, 3, "offset")


def test_existing_folder_is_refused(inputs, finished, capsys):
    assert main(["run", str(inputs / "study.toml"), "-o", str(finished.folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_missing_file_and_unknown_codec(inputs, tmp_path, capsys):
    path = _write_study(inputs, tmp_path, raw_tif="nowhere.tif")
    _fails(capsys, path, 3, "nowhere.tif")
    path.write_text(re.sub('id = "jpeg"', 'id = "jpge"', (inputs / "study.toml").read_text(), count=1))
    _fails(capsys, path, 2, "jpge", "jpeg")


def test_changed_input_is_noticed_on_resume(inputs, tmp_path, capsys):
    raw = read_image(inputs / "raw.tif")
    write_tiff(tmp_path / "own.tif", raw)
    path = _write_study(inputs, tmp_path, raw_tif=(tmp_path / "own.tif").as_posix())
    flag = StopFlag()
    folder = tmp_path / "l.cdist"
    with pytest.raises(InterruptedStudyError):
        run_study(load_config(path), folder, progress=_StopAfter(flag, 1), stop=flag)
    write_tiff(tmp_path / "own.tif", raw + np.uint16(1))
    assert main(["resume", str(folder), "--progress", "none"]) == 3
    assert "own.tif" in capsys.readouterr().err


def test_zero_objects_give_a_report_that_says_so(inputs, tmp_path):
    outcome = _run(inputs, tmp_path / "m.cdist", "measure.min_size=100000")
    assert outcome.scores.n_objects == 0
    assert any("no object" in text.lower() for text in outcome.scores.warnings)
    assert "no object" in outcome.report.read_text().lower()


def test_cuda_by_name_is_an_error_never_a_fallback(inputs, tmp_path, capsys):
    arguments = ["run", str(inputs / "study.toml"), "-o", str(tmp_path / "n.cdist"), "--device", "cuda"]
    assert main(arguments) == 4
    assert "cuda" in capsys.readouterr().err
    assert not (tmp_path / "n.cdist").exists()


def test_fail_on(inputs, tmp_path, capsys):
    arguments = ["report", str(_run(inputs, tmp_path / "o.cdist").folder), "--json"]
    assert main(arguments) == 0
    verdicts = {codec["verdict"] for codec in json.loads(capsys.readouterr().out)["codecs"]}
    expected = 6 if verdicts & {"undecided", "intolerable"} else 0
    assert main([*arguments, "--fail-on", "undecided"]) == expected


def test_check_writes_nothing(inputs, capsys):
    before = sorted(p.name for p in Path(inputs).iterdir())
    assert main(["check", str(inputs / "study.toml"), "--json", "--progress", "none"]) == 0
    cost = json.loads(capsys.readouterr().out)["forecast"]
    assert cost["images"] == REPLICATES * 5
    assert cost["seconds"] > 0
    assert sorted(p.name for p in Path(inputs).iterdir()) == before


def _estimated_study(folder):
    """Write a study that estimates its sensor from a clipped ramp of light; return its path."""
    folder.mkdir()
    draw = np.random.Generator(np.random.Philox(3))
    light = np.linspace(200, 3000, 256)[None, :].repeat(256, axis=0)
    image = np.minimum(np.rint(100 + 0.5 * draw.poisson(light)), 1400).astype(np.uint16)
    annotated = np.zeros(image.shape, np.uint8)
    annotated[:, 20:80:5] = 1
    annotated[:, 180:250:5] = 2
    write_tiff(folder / "ramp.tif", image)
    write_tiff(folder / "labels.tif", annotated)
    (folder / "s.toml").write_text(
        'schema_version = 1\n[input]\nraw = "ramp.tif"\n[calibration]\nestimate = true\n[noise]\nreplicates = 3\n'
        '[segmenter]\nlabels = "labels.tif"\n[measure]\nmin_size = 50\n[[codec]]\nid = "jpeg"\nratio = 5000\n'
    )
    return folder / "s.toml"


def test_estimated_sensor_saturation_and_missed_ratio_reach_the_terminal(tmp_path, capsys):
    config = load_config(_estimated_study(tmp_path / "ü b"))
    outcome = run_study(config, tmp_path / "ü b" / "s.cdist", progress=Silence(), stop=StopFlag())
    assert main(["report", str(outcome.folder)]) == 0
    text = capsys.readouterr().out
    assert "sensor estimated" in text
    assert "saturated" in text
    assert ":1 (not 5000)" in text
    assert main(["report", str(outcome.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sensor_estimated"]
    assert any(text.startswith("ramp.tif: sensor estimated") for text in found["warnings"])
    assert found["codecs"][0]["target_ratio"] == 5000
    assert not found["codecs"][0]["ratio_reached"]


def test_report_again_gives_the_same_bytes(finished):
    page = finished.folder / "report/report.json"
    before = page.read_bytes()
    assert main(["report", str(finished.folder), "--json"]) == 0
    assert page.read_bytes() == before


def test_missing_input_on_resume_names_the_file(inputs, tmp_path, capsys):
    write_tiff(tmp_path / "own.tif", read_image(inputs / "raw.tif"))
    path = _write_study(inputs, tmp_path, raw_tif=(tmp_path / "own.tif").as_posix())
    run_study(load_config(path), tmp_path / "r.cdist", progress=Silence(), stop=StopFlag())
    (tmp_path / "own.tif").unlink()
    assert main(["resume", str(tmp_path / "r.cdist"), "--progress", "none"]) == 3
    assert "own.tif (raw): does not exist" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "r.cdist")]) == 0


def test_changed_study_document_is_bad_input(tmp_path, capsys):
    (tmp_path / "study.json").write_text('{"schema_version": 3, "config": {}}')
    assert main(["resume", str(tmp_path)]) == 3
    assert "study.json" in capsys.readouterr().err


def test_full_disk_half_way_says_how_to_go_on(inputs, tmp_path, monkeypatch, capsys):
    def full(self, record):
        if record["key"] == "replicates/000002":
            raise ResourceError("journal.jsonl: the disk is full", "free some space")
        append(self, record)

    append = Journal.append
    monkeypatch.setattr(Journal, "append", full)
    folder = tmp_path / "t.cdist"
    words = ["run", str(inputs / "study.toml"), "-o", str(folder), "--set", "compute.block=2", "--progress", "none"]
    assert main(words) == 4
    assert f"go on with `compdistort resume {folder}`" in capsys.readouterr().err
    assert study_status(folder)["replicates_done"] == 2


def test_forecast_of_the_disk_holds_the_study(inputs, finished, capsys):
    assert main(["check", str(inputs / "study.toml"), "--json", "--progress", "none"]) == 0
    forecast = json.loads(capsys.readouterr().out)["forecast"]["disk_bytes"]
    taken = sum(path.stat().st_size for path in finished.folder.rglob("*") if path.is_file())
    assert taken < forecast < 5 * taken
