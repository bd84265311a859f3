"""`compdistort sweep` at the command line: answers, exit codes, and signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from markupsafe import Markup

from compdistort.cli import main
from compdistort.forest import save_classifier
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.preparation import prepare
from compdistort.pipeline.progress import Silence
from compdistort.report import sweep_page
from compdistort.study_file import load_config

REPLICATES = 4
SWEEP = '[sweep]\n[[sweep.codec]]\nid = "jpeg"\nratios = [4, 40]\n'


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a small simulated study whose file asks for a sweep alone; its classifier is trained."""
    folder = tmp_path_factory.mktemp("inputs")
    write_demo_inputs(folder, "spheres", size=96, seed=1, n_replicates=REPLICATES)
    trained = prepare(load_config(folder / "study.toml"), Silence()).trained
    save_classifier(folder / "model.npz", trained.classifier)
    head, _, rest = re.split(r"(?=\[segmenter\])|(?=\[measure\])", (folder / "study.toml").read_text())
    segmenter = '[segmenter]\nmodel = "model.npz"\n'
    (folder / "study.toml").write_text(head + segmenter + rest.split("[[codec]]")[0] + SWEEP)
    return folder


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Draw no figures: they take most of the time."""
    for name in ("rate_figure", "object_figure"):
        monkeypatch.setattr(sweep_page, name, lambda twin: Markup("<svg></svg>"))


def _words(inputs, folder, *words):
    return ["sweep", str(inputs / "study.toml"), "-o", str(folder), "--progress", "none", *words]


def test_help_and_json(inputs, tmp_path, capsys):
    assert main(["sweep", "--help"]) == 0
    assert "--status" in capsys.readouterr().out
    folder = tmp_path / "a.sweep"
    assert main(_words(inputs, folder, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images_computed"] == 3 * (1 + REPLICATES)
    (curve,) = found["series"]
    assert [point["label"] for point in curve["points"]] == ["4:1", "40:1"]
    assert {"best", "beyond", "largest_tolerable_ratio"} <= curve.keys()
    assert found["report"] == str(folder / "report" / "index.html")
    for command in ("resume", "status", "report"):
        assert main([command, str(folder)]) == 3
        assert f"is the folder of a sweep; use `compdistort sweep {folder}`" in capsys.readouterr().err
    assert main(["sweep", str(folder), "--status", "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert state["finished"]
    assert (state["replicates_done"], state["series"][0]["points_done"]) == (REPLICATES, 2)
    assert main(["sweep", str(folder), "--progress", "none"]) == 0
    out = capsys.readouterr().out
    assert "largest tolerable" in out
    assert f"report: {folder}" in out
    assert main(["sweep", str(folder), "--status"]) == 0
    assert "jpeg: 2 of 2 points" in capsys.readouterr().out
    assert main(_words(inputs, folder, "--seed", "9")) == 3
    assert "noise.seed: 1, not 9" in capsys.readouterr().err
    for wrong in (["--seed", "9"], ["--set", "title=a"], ["-o", "b"]):
        assert main(["sweep", str(folder), *wrong]) == 2
        assert f"{wrong[0]} does nothing" in capsys.readouterr().err.replace("noise.seed", "--seed")
    assert main(["sweep", str(folder), "--max-memory", "lots"]) == 2
    assert main(["sweep", str(folder), "--progress", "none", "--threads", "2", "--max-memory", "9GiB"]) == 0


@pytest.fixture(scope="module")
def numbers(inputs, tmp_path_factory):
    """The scores of a sweep that nothing disturbed, as a file's bytes."""
    folder = tmp_path_factory.mktemp("whole") / "a.sweep"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("rate_figure", "object_figure"):
            patch.setattr(sweep_page, name, lambda twin: Markup("<svg></svg>"))
        assert main(_words(inputs, folder)) == 0
    return _numbers(folder)


def _numbers(folder):
    return (folder / "report/tables/scores.csv").read_bytes()


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_study_without_codecs_is_sent_to_sweep(command, inputs, tmp_path, capsys):
    words = ["-o", str(tmp_path / "s.cdist")] if command == "run" else []
    assert main([command, str(inputs / "study.toml"), *words]) == 2
    assert "has no [[codec]]; add one, or use `compdistort sweep`" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_forecast_is_said_before_the_start(inputs, tmp_path, capsys):
    words = _words(inputs, tmp_path / "a.sweep")
    words[words.index("none")] = "json"
    assert main(words) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    said = [event.get("text", "") for event in events]
    forecast = next(place for place, text in enumerate(said) if text.startswith("forecast:"))
    assert f"forecast: {3 * REPLICATES} images" in said[forecast]
    assert forecast < next(place for place, event in enumerate(events) if event["event"] == "start")


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["--set", "sweep.ratio=[3]"], 2, "did you mean 'ratios'"),
        (["--set", "input.raw='nowhere.tif'"], 3, "nowhere.tif"),
        (["--max-memory", "1MiB"], 4, "max_memory"),
        (["--device", "cuda"], 4, "cuda"),
    ],
)
def test_exit_codes(inputs, tmp_path, capsys, settings, code, words):
    assert main(_words(inputs, tmp_path / "a.sweep", *settings)) == code
    message = capsys.readouterr().err.strip()
    assert words in message
    assert "\n" not in message


@pytest.mark.skipif(os.name == "nt", reason="cp")
def test_programs_of_codecs_run_only_where_they_are_allowed(inputs, tmp_path, capsys):
    line = '["cp","{in}","{out}"]'
    asked = f'sweep={{codec=[{{id="external",name="copy",encode={line},decode={line}}}]}}'
    words = _words(inputs, tmp_path / "a.sweep", "--set", asked, "--json")
    assert main(words) == 2
    assert "runs the program cp" in capsys.readouterr().err
    assert not (tmp_path / "a.sweep").exists()
    assert main([*words, "--allow-code"]) == 0
    (curve,) = json.loads(capsys.readouterr().out)["series"]
    assert curve["points"][0]["verdict"] == "tolerable"
    assert main(["sweep", str(tmp_path / "a.sweep")]) == 2
    assert "--allow-code" in capsys.readouterr().err


def test_status_of_nothing(tmp_path, capsys):
    assert main(["sweep", str(tmp_path), "--status"]) == 3
    assert "is no study folder" in capsys.readouterr().err


def _start(inputs, folder):
    command = [
        sys.executable,
        "-m",
        "compdistort",
        *_words(inputs, folder, "--threads", "1", "--set", "compute.block=2"),
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 5), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_killed_or_interrupted_process_goes_on_to_the_same_numbers(inputs, numbers, tmp_path, number, code):
    folder = tmp_path / "a.sweep"
    with _start(inputs, folder) as process:
        while not (folder / "journal.jsonl").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        found = process.wait(60)
        words = process.stderr.read()
    if found == 0:
        pytest.skip("the sweep was faster than the signal")
    assert found == code
    assert code != 5 or f"compdistort sweep {folder}" in words
    assert main(["sweep", str(folder), "--progress", "none", "--json"]) == 0
    assert _numbers(folder) == numbers
    assert len(numbers) > 1000
