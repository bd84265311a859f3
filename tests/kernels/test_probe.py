"""Every way in which CUDA can be missing or broken: the reason under ``auto``, the error and its remedy by name."""

import importlib.machinery
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cudahost.standin_install import GIB, StandinNvrtc, forget, install, runtime_error

from compdistort.backend import choose, get_backend, probe
from compdistort.cli import main
from compdistort.errors import BackendUnavailableError

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "cudahost" / "fake_libcuda.c"

needs_compiler = pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no g++")


@pytest.fixture(autouse=True)
def _look_again():
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def fake_driver(tmp_path_factory):
    """Folder with the stand-in driver; needs the real CuPy and a C compiler."""
    if not sys.platform.startswith("linux") or find_spec("cupy") is None:
        pytest.skip("needs the real CuPy, on Linux")
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, SOURCE], check=True)
    return folder


def _environment(folder, settings):
    unset = ("COMPDISTORT_DEVICE", "CUDA_VISIBLE_DEVICES", "LD_PRELOAD")
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "LD_LIBRARY_PATH": str(folder), **settings}


ASK = """
import json, sys
from compdistort.backend import choose
from compdistort.errors import BackendUnavailableError
auto = choose("auto")
try:
    error = choose("cuda").name
except BackendUnavailableError as caught:
    error = [caught.what, caught.remedy]
print(json.dumps([auto.name, auto.reason, error]))
"""

BROKEN_DRIVERS = [
    ({"FAKE_INIT": "100"}, "the NVIDIA driver sees no CUDA device", "nvidia-smi"),
    (
        {"FAKE_INIT": "100", "CUDA_VISIBLE_DEVICES": ""},
        "sees no CUDA device (CUDA_VISIBLE_DEVICES='')",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    ({"FAKE_DRIVER": "11080"}, "too old: it is for CUDA 11.8, CuPy is for CUDA 13", "update the driver"),
    ({"FAKE_DRIVER": "12040"}, "too old: it is for CUDA 12.4, CuPy is for CUDA 13", "compdistort[cuda12]"),
    ({"FAKE_INIT": "803"}, "of different versions (status 803)", "restart the machine after the driver's update"),
    ({"FAKE_INIT": "804"}, "forward compatibility does not support", "cuda-compat"),
    ({"FAKE_INIT": "802"}, "not ready", "fabric manager"),
    ({"FAKE_INIT": "999"}, "unknown error (status 999)", "restart the machine"),
    ({"FAKE_INIT": "46"}, "busy or forbidden", "nvidia-smi"),
    ({"FAKE_INIT": "2"}, "no memory to start with (status 2)", "close what else uses it"),
    ({"FAKE_INIT": "34"}, "stub library", "LD_LIBRARY_PATH"),
    ({"FAKE_INIT": "304"}, "operating system refuses", "/dev/nvidia"),
    ({"FAKE_INIT": "201"}, "CUDA does not work here (CUDARuntimeError", "install CuPy again"),
    ({"FAKE_INIT": "0", "FAKE_COUNT": "1"}, "unknown error (status 999)", "restart the machine"),
    ({"FAKE_INIT": "0", "FAKE_COUNT": "1", "FAKE_ERROR": "2"}, "no memory to start with", "close what else uses it"),
]


def _ask(folder, settings):
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(
        command, env=_environment(folder, settings), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("settings", "reason", "remedy"), BROKEN_DRIVERS, ids=["-".join(row[0].values()) or "-" for row in BROKEN_DRIVERS]
)
def test_broken_drivers_fall_back_aloud_and_are_named_errors(fake_driver, settings, reason, remedy):
    name, why, error = _ask(fake_driver, settings)
    assert name == "numba"
    assert why.startswith("CPU engine, as no CUDA device can be used: ")
    assert reason in why
    assert error[0].startswith("device 'cuda': ")
    assert reason in error[0]
    assert remedy in error[1]


@pytest.mark.parametrize(("content", "reason"), [(b"no library", "libcuda.so.1: file too short"), (b"x" * 9999, "ELF")])
def test_a_damaged_driver_library_is_no_driver(fake_driver, tmp_path, content, reason):
    (tmp_path / "libcuda.so.1").write_bytes(content)
    name, why, error = _ask(tmp_path, {})
    assert name == "numba"
    assert "no NVIDIA driver" in why
    assert reason in why
    assert reason in error[0]
    assert "install an NVIDIA driver" in error[1]


def test_without_a_driver_cupy_is_not_even_imported(monkeypatch):
    if probe.driver_problem() is None:
        pytest.skip("this machine has an NVIDIA driver")
    code = "import sys; from compdistort.backend import choose; print(choose('auto').reason, 'cupy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "no NVIDIA driver (libcuda.so.1 is not found) False" in done.stdout


@pytest.mark.parametrize("row", [BROKEN_DRIVERS[0], BROKEN_DRIVERS[2], BROKEN_DRIVERS[7]], ids=["none", "old", "999"])
def test_the_command_line_exits_4_with_the_remedy(fake_driver, row):
    settings, reason, remedy = row
    command = [sys.executable, "-m", "compdistort", "doctor"]
    environment = _environment(fake_driver, settings)
    done = subprocess.run(
        [*command, "--device", "cuda"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr
    assert remedy in done.stderr
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert f"missing: {reason}"[:30] in done.stdout or reason in done.stdout
    assert remedy in done.stdout


DEVICE_PROBLEMS = [
    ({"count": 0}, "sees no CUDA device", "nvidia-smi"),
    ({"capability": (6, 1)}, "device 0 has compute capability 6.1, 7.5 is needed", "newer device"),
    ({"capability": (13, 0)}, "compute capability 13.0, which NVRTC 13.5 cannot compile for", "nvidia-cuda-nvrtc"),
    ({"free": 1 << 20}, "device 0 has 1 MiB of memory free, 512 are needed", "close what else uses it"),
    ({"fails": {"count": runtime_error(999)}}, "unknown error (status 999)", "restart"),
    ({"fails": {("context", 0): runtime_error(46)}}, "device 0: every CUDA device is busy", "nvidia-smi"),
    ({"fails": {("context", 0): RuntimeError("odd")}}, "device 0: CUDA does not work here (RuntimeError: odd)", "CuPy"),
    ({"version": "14.1.1"}, "CuPy 14.1.1 is too old, 14.2 is needed", "--upgrade"),
    ({"nvrtc": StandinNvrtc(missing=True)}, "NVRTC, CUDA's run-time compiler, does not load", "compdistort[cuda13]"),
]


@pytest.mark.parametrize(("setting", "reason", "remedy"), DEVICE_PROBLEMS, ids=[row[1] for row in DEVICE_PROBLEMS])
def test_devices_that_cannot_be_used(monkeypatch, tmp_path, setting, reason, remedy):
    install(monkeypatch, tmp_path, **setting)
    assert choose("auto").name == "numba"
    assert reason in choose("auto").reason
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend("cuda")
    assert reason in caught.value.what
    assert remedy in caught.value.remedy


@needs_compiler
def test_a_device_that_draws_wrong_words_is_refused(monkeypatch, tmp_path):
    def wrong(text):
        return text.replace("0xD2511F53u", "0xD2511F51u")

    install(monkeypatch, tmp_path, nvrtc=StandinNvrtc(edit=wrong))
    assert "draws wrong random words in the self-test" in choose("auto").reason
    with pytest.raises(BackendUnavailableError, match="do not trust it"):
        choose("cuda:0")


@needs_compiler
def test_a_device_whose_code_does_not_compile_is_refused_with_the_line(monkeypatch, tmp_path):
    class Broken(StandinNvrtc):
        def compileProgram(self, program, options):
            raise RuntimeError("NVRTC_ERROR_COMPILATION (6)")

        def getProgramLog(self, program):
            return 'replicate.cu(7): warning: unused\nphilox.cuh(3): error: identifier "y" is undefined\n'

    install(monkeypatch, tmp_path, nvrtc=Broken())
    assert 'device 0: philox.cuh(3): error: identifier "y" is undefined (for sm_90)' in choose("auto").reason


@needs_compiler
def test_the_first_usable_device_is_taken_and_the_others_are_not_touched(monkeypatch, tmp_path):
    fails = {("context", 0): runtime_error(46), ("context", 2): AssertionError("must not be touched")}
    install(monkeypatch, tmp_path, count=3, fails=fails)
    choice = choose("auto")
    assert (choice.name, choice.devices) == ("cupy", (1,))
    assert choice.reason.startswith(
        "CUDA engine on device 1, Stand-in 1, compute capability 9.0, 16.0 of 16.0 GiB free"
    )
    assert "one of 3; a study takes several, as in --device cuda:0,1" in choice.reason


@needs_compiler
def test_the_answer_is_kept_for_the_process(monkeypatch, tmp_path):
    module = install(monkeypatch, tmp_path)
    assert choose("auto").name == "cupy"
    module.cuda.runtime.getDeviceCount = None
    module.cuda.Device = None
    assert choose("auto").devices == choose("cuda:0").devices == (0,)


def test_two_wheels_of_cupy_are_refused(monkeypatch, tmp_path):
    for name in ("cupy_cuda12x", "cupy_cuda13x"):
        info = tmp_path / f"{name}-14.2.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 14.2.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    install(monkeypatch, tmp_path)
    assert "cupy-cuda12x 14.2.0 and cupy-cuda13x 14.2.0 are installed together" in choose("auto").reason
    with pytest.raises(BackendUnavailableError, match="pip uninstall all of them"):
        choose("cuda")


def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy is not installed" in choose("auto").reason
    with pytest.raises(BackendUnavailableError, match=r"pip install 'compdistort\[cuda13\]'"):
        choose("cuda")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "raise ImportError('libfoo.so: cannot open shared object file\\nand more')",
            r"\(ImportError: libfoo.so: cannot open",
        ),
        ("import no_such_module_of_cupy", "it needs no_such_module_of_cupy"),
        ("raise AttributeError", r"\(AttributeError: \)"),
        ("__version__ = '9'", "CuPy 9 is too old"),
    ],
)
def test_a_cupy_that_does_not_import(monkeypatch, tmp_path, text, reason):
    (tmp_path / "cupy.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(BackendUnavailableError, match=reason):
        choose("cuda")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)


def test_the_folder_that_an_uninstalled_cupy_leaves_behind_is_no_cupy(monkeypatch, tmp_path, capsys):
    """Without its files the folder still imports, as a namespace package without any name in it."""
    (tmp_path / "cupy" / "__pycache__").mkdir(parents=True)
    finder = importlib.machinery.PathFinder

    class OnlyThere:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return finder.find_spec(name, [str(tmp_path)]) if name == "cupy" else None

    monkeypatch.setattr(sys, "meta_path", [OnlyThere, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(probe, "driver_problem", lambda: None)
    reason = f"the folder of CuPy holds no CuPy ({tmp_path / 'cupy'})"
    assert choose("auto").reason.endswith(reason)
    with pytest.raises(BackendUnavailableError, match="remove it, and pip install") as caught:
        choose("cuda")
    assert caught.value.what == f"device 'cuda': {reason}"
    assert main(["doctor"]) == 0
    assert f"missing: {reason}" in capsys.readouterr().out
    assert main(["doctor", "--device", "cuda"]) == 4
    sys.modules.pop("cupy", None)


def test_a_runtime_that_does_not_tell_its_version_keeps_the_first_error(monkeypatch, tmp_path):
    module = install(monkeypatch, tmp_path, fails={"count": runtime_error(35)})
    monkeypatch.setattr(probe, "driver_problem", lambda: None)
    assert "too old: it is for CUDA 13.0" in choose("auto").reason
    del module.cuda.runtime.runtimeGetVersion
    forget()
    assert "CUDA does not work here (CUDARuntimeError: 35: stand-in)" in choose("auto").reason


@pytest.mark.parametrize("metadata", [None, "", "Metadata-Version: 2.1\nName: cupy-cuda13x\n"])
def test_metadata_that_an_uninstalled_package_leaves_behind_is_no_version(monkeypatch, tmp_path, metadata):
    info = tmp_path / "compdistort_left_over-1.dist-info"
    info.mkdir()
    if metadata is not None:
        (info / "METADATA").write_text(metadata)
    monkeypatch.syspath_prepend(tmp_path)
    assert probe.installed("compdistort-left-over") == ""


def test_memory_is_said_in_gib():
    facts = probe.DeviceFacts(index=1, name="X", arch=75, free_bytes=3 * GIB, total_bytes=4 * GIB)
    assert str(facts) == "device 1, X, compute capability 7.5, 3.0 of 4.0 GiB free"
