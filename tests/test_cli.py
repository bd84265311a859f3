"""The command line itself: names, exit codes, one-line errors, machine-readable output."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from compdistort.cli import main
from compdistort.cli.app import MULTIPLE
from compdistort.cli.common import spread_multiple
from compdistort.cli.progress import Plain, listener
from compdistort.errors import ConfigError
from compdistort.io.images import write_png
from compdistort.pipeline.stopping import STOP_SIGNALS, StopFlag

COMMANDS = (
    "calibrate", "estimate-noise", "synth", "features", "train", "segment", "measure", "init", "check", "run", "resume",
    "status", "steps", "report", "doctor", "demo", "selftest", "bench", "codecs",
    "encode", "decode", "sweep",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists_and_explains_itself(command, capsys):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out


def test_unknown_command_and_option_exit_2_in_one_line(capsys):
    for words in (["nonsense"], ["doctor", "--nonsense"]):
        assert main(words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_no_words_show_help(capsys):
    assert main([]) == 0
    assert "Usage" in capsys.readouterr().out


def test_doctor_names_the_engine_and_the_missing_device(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"] == "numba"
    assert "CUDA" in found["why"]
    assert found["devices"]["cuda"].startswith("unavailable")
    assert main(["doctor", "--device", "cuda"]) == 4
    assert main(["doctor", "--device", "quantum"]) == 2


def test_selftest_passes(capsys):
    assert main(["selftest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert len(found["checks"]) >= 6


def test_init_then_check_names_the_missing_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "study.toml"]) == 0
    assert main(["init", "study.toml"]) == 2
    capsys.readouterr()
    assert main(["check", "study.toml", "--progress", "none"]) == 3
    assert "raw.tif" in capsys.readouterr().err


def test_status_of_no_study(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 3
    assert "is no study folder" in capsys.readouterr().err


def test_internal_errors_say_how_to_report(monkeypatch, capsys):
    def broken(device):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("compdistort.pipeline.environment.doctor", broken)
    assert main(["doctor"]) == 1
    assert "--debug" in capsys.readouterr().err
    assert main(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_several_words_after_one_flag():
    words = ["calibrate", "--flat", "a", "b", "--dark", "c", "d", "-o", "s.json"]
    assert spread_multiple(words, {"--flat", "--dark"}) == [
        "calibrate", "--flat", "a", "--flat", "b", "--dark", "c", "--dark", "d", "-o", "s.json",
    ]  # fmt: skip
    assert {"--flat", "--dark", "--sigma"} <= MULTIPLE
    assert spread_multiple(["--sigma", "-1.5", "2"], {"--sigma"}) == ["--sigma", "-1.5", "--sigma", "2"]


def test_progress_without_a_terminal_is_plain_and_can_be_json(capsys):
    assert isinstance(listener("auto"), Plain)
    with pytest.raises(ConfigError):
        listener("dance")
    bar = listener("json")
    bar.start(10, 0)
    bar.advance(10)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["start", "progress"]
    assert lines[-1]["done"] == 10


def test_module_entry_and_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "compdistort", "doctor", "--device", "cuda"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "\x1b" not in done.stdout + done.stderr


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("compdistort ")


def test_usage_errors_name_the_option_and_the_help(capsys):
    for words, named in (
        (["synth"], "RAW"),
        (["synth", "a.tif", "-n", "many"], "--replicates"),
        (["calibrate", "--flat"], "--flat"),
    ):
        assert main(words) == 2
        message = capsys.readouterr().err
        assert named in message
        assert f"see `compdistort {words[0]} --help`" in message
    assert main(["statu"]) == 2
    assert "Did you mean 'status'" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_end_any_command_with_exit_5(monkeypatch, capsys, number):
    before = [signal.getsignal(each) for each in STOP_SIGNALS]

    def killed(device):
        os.kill(os.getpid(), number)
        time.sleep(1)

    monkeypatch.setattr("compdistort.pipeline.environment.doctor", killed)
    assert main(["doctor"]) == 5
    message = capsys.readouterr().err
    assert "stopped by a signal" in message
    assert len(message.splitlines()) == 1
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_waits_while_the_compiler_calls_back():
    """An exception raised inside LLVM's callbacks is lost, and spoils the code that is compiled."""
    stop = StopFlag()
    space = {"__name__": "llvmlite.fake", "os": os, "signal": signal, "time": time, "done": []}
    exec("def callback():\n os.kill(os.getpid(), signal.SIGTERM)\n time.sleep(0.2)\n done.append(1)", space)

    def compile_then_wait():
        with stop.interrupting():
            space["callback"]()
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        compile_then_wait()
    assert space["done"] == [1]
    assert stop.requested
    assert stop.reason == "SIGTERM"


def test_an_interrupted_import_is_an_interruption(monkeypatch, capsys):
    def broken(device):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt as error:
            raise ImportError("half a module") from error

    monkeypatch.setattr("compdistort.pipeline.environment.doctor", broken)
    assert main(["doctor"]) == 5
    capsys.readouterr()


@pytest.mark.parametrize("output", [".", "..", "nowhere/x.csv", "mask.png/x.csv", "mask.png"])
def test_outputs_that_cannot_be_are_refused_before_the_work(tmp_path, monkeypatch, capsys, output):
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((20, 20), np.uint8)
    mask[4:9, 4:9] = 255
    write_png(tmp_path / "mask.png", mask)
    before = (tmp_path / "mask.png").read_bytes()
    assert main(["measure", "mask.png", "-o", output]) == (2 if output == "mask.png" else 4)
    assert output in capsys.readouterr().err
    assert (tmp_path / "mask.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["mask.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_standard_output_is_a_resource_error():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "compdistort", "doctor"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("compdistort: standard output: cannot be written")
    assert len(done.stderr.splitlines()) == 1


def test_demo_leaves_what_is_no_study(tmp_path, capsys):
    mine = tmp_path / "spheres" / "study.cdist" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    assert main(["demo", "-o", str(tmp_path), "-n", "2", "--progress", "none"]) == 3
    assert "is no study folder" in capsys.readouterr().err
    assert mine.read_text() == "precious"
    assert [p.name for p in (tmp_path / "spheres").iterdir()] == ["study.cdist"]


def test_demo_of_an_unknown_scene_says_one_line(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path), "--scene", "forest"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "compdistort: --scene forest is unknown; use one of spheres, confluent"
    ]
    assert list(tmp_path.iterdir()) == []
