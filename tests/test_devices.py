"""Who decides on the device, how it is written, and what the commands say and do about it."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from cudahost.levels import open_engine
from cudahost.standin_install import forget, install

from compdistort.backend import DEVICE_VARIABLE, DeviceRequest, choose, device_parts, get_backend, requested
from compdistort.cli import main
from compdistort.cli import study as study_commands
from compdistort.cli.common import chosen_device
from compdistort.errors import BackendUnavailableError, ConfigError
from compdistort.io.images import write_png
from compdistort.pipeline import study as study_pipeline
from compdistort.pipeline.inputs import backend_of
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.selftest import engine_checks, run_selftest
from compdistort.store import StudyStore
from compdistort.study_file import load_config, parse_config

needs_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no g++")
STUDY = """\
schema_version = 1
[input]
raw = "a.tif"
[calibration]
estimate = true
[segmenter]
model = "m.npz"
[[codec]]
id = "identity"
[compute]
device = "numpy"
"""


@pytest.fixture(autouse=True)
def _look_again(monkeypatch):
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    forget()
    yield
    forget()


@pytest.fixture
def cuda(monkeypatch, tmp_path):
    """A machine with two devices, whose kernels run on the CPU."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no g++")
    return install(monkeypatch, tmp_path / "cache", count=2)


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def no_cuda(monkeypatch):
    """A machine without CuPy."""
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:", "no list of devices"),
        ("cuda:x", "no list of devices"),
        ("cuda:0,", "no list of devices"),
        ("cuda:-1", "no list of devices"),
        ("cuda:+1", "no list of devices"),
        ("cuda: 1", "no list of devices"),
        ("cuda:1.0", "no list of devices"),
        ("cuda:\N{SUPERSCRIPT TWO}", "no list of devices"),
        ("cuda:1,1", "twice"),
        ("cuda:01,1", "twice"),
        ("cpu:0", "only cuda has numbers"),
        ("auto:0", "only cuda has numbers"),
        ("CUDA", "is unknown"),
        ("gpu", "use one of auto, cpu, numba, numpy, cupy, cuda"),
        (":0", "is unknown"),
    ],
)
def test_what_is_no_device_is_a_usage_error(device, words):
    for ask in (choose, device_parts, get_backend):
        with pytest.raises(ConfigError, match=words):
            ask(device)
    assert main(["doctor", "--device", device]) == 2


def test_single_devices_of_a_list():
    assert device_parts("cuda:2,0") == ("cuda:2", "cuda:0")
    assert device_parts("cupy:3") == ("cupy:3",)
    assert device_parts("auto") == ("auto",)


def test_engines_of_the_cpu():
    assert choose("cpu").name == choose("numba").name == get_backend("cpu").name == "numba"
    assert choose("numpy").name == "numpy"
    assert choose("cpu").devices == ()
    assert choose("cpu").reason == "asked for by name (cpu)"
    assert get_backend("numpy", "cpu").name == get_backend("numpy", "device").name == "numpy"


def test_where_the_forest_votes_is_checked():
    with pytest.raises(ConfigError, match="forest 'gpu' is unknown; use one of device, cpu"):
        get_backend("cpu", "gpu")


def test_an_option_beats_the_environment_and_that_beats_the_setting(monkeypatch):
    setting = DeviceRequest("cpu", "compute.device in s.toml")
    assert requested() == DeviceRequest("auto", "")
    assert requested(None, setting) == setting
    monkeypatch.setenv(DEVICE_VARIABLE, "numpy")
    assert requested(None, setting) == DeviceRequest("numpy", DEVICE_VARIABLE)
    assert requested("numpy", setting) == DeviceRequest("numpy", "--device")
    assert requested("", setting).name == ""
    assert get_backend().name == "numpy"
    assert get_backend("numba").name == "numba"
    assert choose().reason == "asked for by COMPDISTORT_DEVICE (numpy)"
    assert choose("cpu").reason == "asked for by name (cpu)"
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert requested(None, setting) == setting


def test_the_environment_beats_the_study_file_but_no_option(study, monkeypatch):
    assert load_config(study).compute.device == "numpy"
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:0,1")
    assert load_config(study).compute.device == "cuda:0,1"
    assert load_config(study, ("compute.device=cpu",)).compute.device == "cpu"
    assert load_config(study, ("compute.device=cpu",), "numba").compute.device == "numba"
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert load_config(study).compute.device == "numpy"


def _asked_by(study, overrides=(), device=None):
    compute = load_config(study, overrides, device).compute
    reason = choose(compute.request).reason
    assert reason == f"asked for by {compute.request.source} ({compute.device})"
    return compute.request.source


def test_who_asked_for_the_device_of_a_study_stands_in_the_reason(study, monkeypatch):
    assert _asked_by(study) == f"compute.device in {study}"
    assert _asked_by(study, ("compute.device=numpy",)) == "--set compute.device"
    assert _asked_by(study, (), "numpy") == _asked_by(study, ("compute.device=cpu",), "numpy") == "--device"
    monkeypatch.setenv(DEVICE_VARIABLE, "numpy")
    assert _asked_by(study) == "COMPDISTORT_DEVICE"
    assert _asked_by(study, ("compute.device=numpy",)) == "--set compute.device"
    assert _asked_by(study, (), "numpy") == "--device"
    assert "_device_source" not in load_config(study).model_dump_json()
    monkeypatch.delenv(DEVICE_VARIABLE)
    study.write_text(STUDY[: STUDY.index("[compute]")])
    assert load_config(study).compute.request == DeviceRequest("auto", "")


def test_a_device_that_does_not_exist_is_an_error_that_names_who_asked_for_it(study, monkeypatch):
    def words(overrides=(), device=None):
        with pytest.raises(ConfigError) as caught:
            load_config(study, overrides, device)
        return caught.value.what

    assert words((), "") == "device '' (--device) is unknown"
    assert words(("compute.device=foo",)) == "device 'foo' (--set compute.device) is unknown"
    monkeypatch.setenv(DEVICE_VARIABLE, "1")
    assert words() == "device '1' (COMPDISTORT_DEVICE) is unknown"
    monkeypatch.delenv(DEVICE_VARIABLE)
    study.write_text(STUDY.replace('"numpy"', '"cpu:3"'))
    assert words() == f"device 'cpu:3' (compute.device in {study}): only cuda has numbers"
    study.write_text(STUDY.replace('"numpy"', "3"))
    assert words().startswith(f"{study}: compute.device = 3: ")


def test_who_asked_for_the_device_stands_in_what_doctor_says(monkeypatch, no_cuda, capsys):
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert main(["doctor"]) == main(["doctor", "--device", "cpu"]) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith("engine: "))
    assert first == "engine: numba (asked for by COMPDISTORT_DEVICE (cpu))"
    assert second == "engine: numba (asked for by --device (cpu))"
    monkeypatch.setenv(DEVICE_VARIABLE, "foo")
    assert main(["doctor"]) == 2
    assert "device 'foo' (COMPDISTORT_DEVICE) is unknown; use one of" in capsys.readouterr().err
    for device in ("cuda", "cuda:4"):
        monkeypatch.setenv(DEVICE_VARIABLE, device)
        assert main(["doctor"]) == 4
        assert f"device '{device}' (COMPDISTORT_DEVICE): CuPy is not installed" in capsys.readouterr().err
    monkeypatch.setenv(DEVICE_VARIABLE, "auto")
    assert main(["doctor"]) == 0
    assert "engine: numba (asked for by COMPDISTORT_DEVICE (auto): CPU engine" in capsys.readouterr().out


ONE_DEVICE = {
    "measure": "mask.png -o o.csv",
    "features": "a.tif -o o.npz",
    "synth": "a.tif --sensor s.json -o r",
    "train": "a.tif --labels l.tif -o m.npz",
    "segment": "a.tif --model m.npz -o o.png",
    "calibrate": "--flat a.tif b.tif --dark c.tif d.tif -o s.json",
}


@pytest.mark.parametrize("command", ONE_DEVICE)
def test_a_command_that_works_on_one_device_refuses_several(command, no_cuda, capsys, monkeypatch):
    words = [command, *ONE_DEVICE[command].split()]
    assert main([*words, "--device", "cuda:0,1"]) == 2
    assert "device 'cuda:0,1' (--device): this command works on one device; name one" in capsys.readouterr().err
    assert main([*words, "--device", ""]) == 2
    assert "device '' (--device) is unknown" in capsys.readouterr().err
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:0,1")
    assert main(words) == 2
    assert "device 'cuda:0,1' (COMPDISTORT_DEVICE): this command works" in capsys.readouterr().err
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert main([*words, "--device", "cuda:1"]) in (3, 4)  # files that are not there, or no CuPy: whichever is first
    assert "one device" not in capsys.readouterr().err


def test_an_empty_device_is_an_error_in_every_command_of_a_study(study, tmp_path, capsys):
    for words in (["check", str(study)], ["run", str(study)], ["demo", "-o", str(tmp_path)], ["doctor"]):
        assert main([*words, "--device", ""]) == 2
        assert "device '' (--device) is unknown" in capsys.readouterr().err


def test_check_and_resume_are_told_where_the_forest_votes(study, tmp_path, monkeypatch, capsys):
    asked = []

    def note(config, *_others, **_named):
        asked.append(config.compute.forest)
        return {"text": ""}

    monkeypatch.setattr(study_pipeline, "check_study", note)
    assert main(["check", str(study), "--forest", "cpu"]) == main(["check", str(study)]) == 0
    monkeypatch.setattr(study_pipeline, "_work", lambda _store, config, *_others, **_named: note(config))
    monkeypatch.setattr(study_commands, "_finish", lambda *_outcome, **_named: 0)
    StudyStore.create(tmp_path / "a.cdist", load_config(study).model_dump(mode="json"), "")
    assert main(["resume", str(tmp_path / "a.cdist"), "--forest", "cpu"]) == 0
    assert main(["resume", str(tmp_path / "a.cdist")]) == 0
    assert asked == ["cpu", "device", "cpu", "device"]
    for words in (["check", str(study)], ["resume", str(tmp_path / "a.cdist")]):
        for forest in ("gpu", ""):
            assert main([*words, "--forest", forest]) == 2
    assert "forest" in capsys.readouterr().err


def test_a_study_says_which_engine_computes_it_and_why(study, no_cuda):
    said = []
    listener = Silence()
    listener.say = said.append
    assert backend_of(load_config(study, ("compute.device=auto",)), listener).name == "numba"
    asked = "asked for by --set compute.device (auto): "
    assert said == [f"engine: numba ({asked}CPU engine, as no CUDA device can be used: CuPy is not installed)"]
    with pytest.raises(BackendUnavailableError):
        backend_of(load_config(study, ("compute.device=cuda",)), listener)


def test_a_study_says_where_its_forest_votes(study):
    config = load_config(study)
    assert config.compute.forest == "device"
    assert load_config(study, ("compute.forest=cpu",)).compute.forest == "cpu"
    with pytest.raises(ConfigError, match=r"compute\.forest"):
        parse_config({**config.model_dump(mode="json"), "compute": {"forest": "gpu"}}, "s.toml")


def test_a_device_that_is_asked_for_is_given_or_an_error(cuda):
    assert get_backend("cuda").cuda.device == 0
    assert get_backend("cuda:1").cuda.device == get_backend("cupy:1,0").cuda.device == 1
    assert choose("cuda:1,0").devices == (1, 0)
    assert choose("cuda:1").reason.startswith("asked for by name (cuda:1): device 1, Stand-in 1")
    for device in ("cuda:2", "cuda:0,7"):
        with pytest.raises(BackendUnavailableError, match="this machine has 2 CUDA devices; use number 0 to 1"):
            choose(device)


def test_the_engine_that_is_chosen_automatically_computes(cuda):
    engine = get_backend()
    assert (engine.name, engine.voter) == ("cupy", "device")
    assert get_backend("auto", "cpu").voter == "cpu"
    images = np.full((3, 4, 5), 65535, np.uint16)
    sums = [np.zeros((4, 5), np.uint64) for _ in range(2)]
    on_device = [engine.to_device(each) for each in sums]
    engine.accumulate(engine.to_device(images), *on_device)
    get_backend("numpy").accumulate(images, *sums)
    for got, expected in zip(on_device, sums, strict=True):
        assert np.array_equal(engine.to_host(got), expected)


def test_kernels_that_cannot_be_kept_are_said_aloud(cuda, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COMPDISTORT_CACHE", str(tmp_path / "file"))
    assert choose("auto").name == "cupy"
    assert "kernels are compiled at every start, as " in choose("auto").reason
    assert str(tmp_path / "file") in choose("auto").reason


def test_commands_say_on_stderr_what_was_chosen_and_why(no_cuda, tmp_path, capsys, monkeypatch):
    mask = np.zeros((20, 20), np.uint8)
    mask[4:9, 4:9] = 255
    write_png(tmp_path / "mask.png", mask)
    command = ["measure", str(tmp_path / "mask.png"), "-o", str(tmp_path / "o.csv"), "--json"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == "engine: numba (CPU engine, as no CUDA device can be used: CuPy is not installed)\n"
    assert json.loads(out)
    assert main([*command, "--device", "cpu"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda")
    assert main(command) == 4
    assert "CuPy is not installed; pip install 'compdistort[cuda13]'" in capsys.readouterr().err
    assert main([*command, "--device", "numpy"]) == 0


def test_the_device_of_a_command_is_the_one_that_was_asked_for(monkeypatch, no_cuda, capsys):
    assert chosen_device(None).name == "auto"
    assert "engine: numba" in capsys.readouterr().err
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert chosen_device(None).name == "cpu"
    assert chosen_device("numpy").name == "numpy"
    assert capsys.readouterr().err == ""


def test_doctor_without_cuda_names_what_is_missing(no_cuda, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "missing: CuPy is not installed; pip install 'compdistort[cuda13]'" in out
    assert "compiled kernels: " in out
    assert main(["doctor", "--device", "cuda"]) == 4


def test_doctor_lists_every_device(monkeypatch, tmp_path, capsys):
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no g++")
    install(monkeypatch, tmp_path, count=2, fails={("context", 1): RuntimeError("odd")})
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"] == "cupy"
    assert found["devices"]["cuda"].startswith("asked for by name (cuda): device 0")
    report = found["cuda"]
    assert (report["cupy"], report["driver"], report["nvrtc"]) == ("14.2.0", "13.0", "13.5")
    assert [(each["name"], each["compute_capability"]) for each in report["devices"]] == [
        ("Stand-in 0", "9.0"), ("Stand-in 1", "9.0"),
    ]  # fmt: skip
    assert report["devices"][0]["memory_gib"] == 16.0
    assert "odd" in report["devices"][1]["problem"]
    assert report["kernel_cache"] == str(tmp_path / "kernels")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "CUDA: CuPy 14.2.0, driver for CUDA 13.0, NVRTC 13.5" in out
    assert "device 0: Stand-in 0, compute capability 9.0, 16.0 of 16.0 GiB free: usable" in out
    assert "cannot be used: device 1: CUDA does not work here (RuntimeError: odd)" in out


def test_selftest_says_that_the_cuda_engine_was_not_checked(no_cuda, capsys):
    assert main(["selftest"]) == 0
    out = capsys.readouterr().out
    assert "skip CUDA engine: device 'cuda': CuPy is not installed" in out
    assert "CUDA: " not in out


@needs_compiler
def test_selftest_checks_pass_on_the_cuda_engine():
    for name, check in engine_checks(open_engine("plain")).items():
        passed, detail = check()
        assert passed, f"{name}: {detail}"


def test_selftest_checks_the_cuda_engine_where_there_is_one(cuda):
    found = run_selftest()
    names = {item["name"] for item in found["checks"]}
    assert found["passed"], [item for item in found["checks"] if not item["passed"]]
    assert {f"CUDA: {part}" for part in ("noise, gaussian", "features, weka", "forest", "labels", "objects")} <= names
    assert found["skipped"] == []


@pytest.mark.parametrize(("device", "code"), [("cuda", 4), ("cuad", 2)])
def test_doctor_prints_what_it_knows_also_where_the_device_is_wrong(no_cuda, capsys, device, code):
    assert main(["doctor", "--device", device]) == code
    out, error = capsys.readouterr()
    assert out.startswith(f"engine: none (device '{device}' (--device)")
    assert "CUDA: " in out
    assert "numpy" in out
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["--device", "cuda"], ["--device", "cuad"], ["--forest", "gpu"]])
def test_a_demo_that_cannot_run_removes_nothing(no_cuda, tmp_path, words):
    kept = tmp_path / "spheres" / "study.cdist" / "file"
    kept.parent.mkdir(parents=True)
    kept.write_text("")
    assert main(["demo", "-o", str(tmp_path), *words]) in (2, 4)
    assert kept.exists()


def test_a_device_that_is_missing_is_not_blamed_on_the_image(no_cuda, tmp_path, capsys):
    write_png(tmp_path / "raw.png", np.zeros((8, 8), np.uint16))
    files = [str(tmp_path / name) for name in ("raw.png", "m.npz", "mask.png")]
    assert main(["segment", files[0], "--model", files[1], "-o", files[2], "--device", "cuda"]) == 4
    assert capsys.readouterr().err.startswith("compdistort: device 'cuda' (--device): ")
