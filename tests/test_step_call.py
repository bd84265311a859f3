"""Functions of the user's as steps: run only when the command line says so, given a copy, and checked."""

import json
import sys

import numpy as np
import pytest
from steps_case import digests, run_scan, without_pages, write_scan

from compdistort.backend import get_backend
from compdistort.cli import main
from compdistort.errors import ConfigError, InputError, InterruptedStudyError
from compdistort.pipeline import forecast, inputs, study, study_memory
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.step_open import open_steps
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import resume_study, run_study
from compdistort.store import StudyStore
from compdistort.study_file import load_config, parse_config

MODULE = '''
from pathlib import Path

import numpy as np

Path(__file__).with_name("was_run").touch()
calls = []


def halve(image, by=2):
    """Return every second row and column, divided; write into the argument, which must be a copy."""
    out = (image[..., ::2, ::2] / by).astype(np.float32)
    image[...] = 0
    return out


def give(image, what):
    calls.append(what)
    results = {
        "list": [[1.0]],
        "float64": image.astype(np.float64),
        "bool": image > 0,
        "row": image.reshape(-1),
        "nothing": image[:0],
        "nan": np.full(image.shape, np.nan, np.float32),
        "masked": np.ma.masked_array(image.astype(np.float32)),
        "swapped": image.astype(">u2"),
        "noise": np.random.default_rng().normal(size=image.shape).astype(np.float32),
        "view": image[..., ::2],
    }
    return results[what]


def fail(image):
    raise RuntimeError("out of luck")


def leave(image):
    raise SystemExit(0)


def flatten(image):
    return image.max(axis=0)


def bright_shape(image):
    """Return a shape that depends on the image."""
    return image[: 3 if image.max() > 50000 else 2]


number = 5
'''
DATA = {
    "schema_version": 1,
    "input": {"raw": "a.tif"},
    "calibration": {"estimate": True},
    "segmenter": {"model": "m.npz"},
    "codec": [{"id": "identity"}],
}
CALL = """
[[step]]
id = "call"
function = "user_steps:halve"
settings = { by = 3 }

[[step]]
id = "contrast-stretch"
limits = "raw"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Folder of the user's module, on the path; forgotten afterwards."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "user_steps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    sys.modules.pop("user_steps", None)


@pytest.fixture
def files(tmp_path, module, monkeypatch):
    """Folder with a scan whose study calls the user's function."""
    without_pages(monkeypatch)
    folder = tmp_path / "scan"
    folder.mkdir()
    write_scan(folder, CALL)
    text = (folder / "study.toml").read_text()
    text = text.replace("background_below_dn = 30000, foreground_above_dn = 46000", LEVELS)
    (folder / "study.toml").write_text(text)
    return folder


LEVELS = "background_below_dn = 20000, foreground_above_dn = 45000"


def _run(image, function, settings=None):
    step = {"id": "call", "function": f"user_steps:{function}", "settings": settings or {}}
    opened = open_steps(parse_config({**DATA, "step": [step]}, "x"), image.shape, allow_code=True)
    return opened.prepare(image, get_backend("numba"))


def _image(top=60000):
    return np.random.default_rng(1).integers(100, top, (4, 6, 8)).astype(np.uint16)


def test_code_is_refused_without_the_flag_and_not_even_imported(files, module, tmp_path, monkeypatch, capsys):
    """Neither the study file nor the environment can allow it."""
    monkeypatch.setenv("COMPDISTORT_ALLOW_CODE", "1")
    for command in ("check", "run"):
        words = [command, str(files / "study.toml"), "--progress", "none"]
        words += ["-o", str(tmp_path / "a.cdist")] if command == "run" else []
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "step 1 (call): user_steps:halve is code that the study would run" in said
        assert "--allow-code" in said
    assert not (module / "was_run").exists()
    assert not (tmp_path / "a.cdist").exists()
    assert main(["check", str(files / "study.toml"), "--set", "compute.allow_code=true"]) == 2
    assert "unknown key 'compute.allow_code'" in capsys.readouterr().err
    assert main(["check", str(files / "study.toml"), "--allow-code", "--progress", "none", "--json"]) == 0
    assert (module / "was_run").exists()
    found = json.loads(capsys.readouterr().out)
    assert [(step["id"], step["shape"]) for step in found["steps"]] == [
        ("call", [60, 12, 24]), ("contrast-stretch", [60, 12, 24]),
    ]  # fmt: skip
    assert found["steps"][1]["fixed"]["high"] > found["steps"][1]["fixed"]["low"]


def test_a_function_gets_a_copy_and_its_settings(module):
    image = _image()
    before = image.copy()
    steps, seen = _run(image, "halve", {"by": 4})
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(seen, (before[..., ::2, ::2] / 4).astype(np.float32))
    assert steps.describe() == ["the function user_steps:halve with by = 4"]
    assert not steps.keeps_voxels
    assert len(steps.fixed[0]["source_sha256"]) == 64


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("list", r"gave list; return a plain NumPy array"),
        ("masked", r"gave MaskedArray; return a plain NumPy array"),
        ("float64", r"gave float64; return uint16 or float32: result.astype\(np.float32\)"),
        ("bool", r"gave bool"),
        ("swapped", r"gave >u2"),
        ("row", r"gave an array of shape \(192,\)"),
        ("nothing", r"gave an array of shape \(0, 6, 8\)"),
        ("nan", r"gave values that are not finite"),
        ("noise", r"gives another result for the same image"),
        ("other", r"raised KeyError: 'other'"),
    ],
)
def test_what_a_function_gives_is_checked(module, what, message):
    with pytest.raises(InputError, match=rf"step 1 \(call\): user_steps:give {message}"):
        _run(_image(), "give", {"what": what})


def test_a_function_that_leaves_the_program_ends_the_study_with_an_error(module):
    with pytest.raises(InputError, match=r"step 1 \(call\): user_steps:leave raised SystemExit"):
        _run(_image(), "leave")


def test_a_view_is_taken_as_an_array_of_its_own(module):
    _, seen = _run(_image(), "give", {"what": "view"})
    assert seen.flags.c_contiguous
    np.testing.assert_array_equal(seen, _image()[..., ::2])


def test_steps_that_end_in_a_plane_take_no_voxel_size(module):
    steps, seen = _run(_image(), "flatten")
    assert seen.shape == (6, 8)
    config = parse_config(DATA, "x")
    assert steps.voxel_um(config, (3.0, 1.0, 1.0)) is None
    sized = parse_config({**DATA, "input": {"raw": "a.tif", "voxel_um": [3.0, 1.0, 1.0]}}, "x")
    with pytest.raises(ConfigError, match=r"input.voxel_um: the steps end in a plane, not a volume; remove it"):
        steps.voxel_um(sized, (3.0, 1.0, 1.0))
    steps, _ = _run(_image(), "halve")
    assert steps.voxel_um(config, (3.0, 1.0, 1.0)) is None
    assert steps.voxel_um(sized, (3.0, 1.0, 1.0)) == (3.0, 1.0, 1.0)


def test_the_shape_must_be_that_of_the_raw_image(module):
    steps, seen = _run(_image(), "bright_shape")
    assert seen.shape == (3, 6, 8)
    with pytest.raises(InputError, match=r"step 1 \(call\): makes an image of shape \(2, 6, 8\), and \(3, 6, 8\)"):
        steps.see(_image(40000), get_backend("numba"))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("user_steps:fail", InputError, r"step 1 \(call\): user_steps:fail raised RuntimeError: out of luck"),
        ("user_steps:number", ConfigError, r"step 1 \(call\): user_steps:number is no function"),
        ("user_steps:absent", ConfigError, r"user_steps:absent cannot be imported \(AttributeError"),
        ("no_such_module:f", ConfigError, r"no_such_module:f cannot be imported .*PYTHONPATH"),
    ],
)
def test_functions_that_cannot_be_used_are_named(module, function, error, message):
    step = {"id": "call", "function": function}
    with pytest.raises(error, match=message):
        open_steps(parse_config({**DATA, "step": [step]}, "x"), (4, 6, 8), allow_code=True).prepare(
            _image(), get_backend("numba")
        )


def test_a_broken_module_is_named(module):
    (module / "broken_steps.py").write_text("def f(:\n")
    step = {"id": "call", "function": "broken_steps:f"}
    with pytest.raises(ConfigError, match=r"broken_steps:f cannot be imported \(SyntaxError"):
        open_steps(parse_config({**DATA, "step": [step]}, "x"), (4, 6, 8), allow_code=True)


class _StopAfter(Silence):
    def __init__(self, flag, count):
        self._flag, self._count = flag, count

    def advance(self, done):
        if done >= self._count:
            self._flag.set("the test")


def test_a_study_with_code_resumes_only_when_allowed_and_with_the_same_code(files, module, tmp_path, capsys):
    whole = run_scan(files, tmp_path / "whole.cdist", allow_code=True)
    folder, flag = tmp_path / "part.cdist", StopFlag()
    with pytest.raises(InterruptedStudyError):
        run_study(load_config(files / "study.toml"), folder, progress=_StopAfter(flag, 2), stop=flag, allow_code=True)
    assert main(["resume", str(folder), "--progress", "none"]) == 2
    assert "--allow-code" in capsys.readouterr().err
    sys.modules.pop("user_steps")
    (module / "user_steps.py").write_text(MODULE + "# another one\n")
    with pytest.raises(InputError, match=r"step 1 \(call\): the file of user_steps:halve is not the one"):
        resume_study(folder, progress=Silence(), stop=StopFlag(), allow_code=True)
    sys.modules.pop("user_steps")
    (module / "user_steps.py").write_text(MODULE)
    assert main(["resume", str(folder), "--progress", "none", "--json", "--allow-code"]) == 0
    assert digests(folder) == digests(whole.folder)
    facts = StudyStore.open(folder).facts("reference")
    assert facts["steps"][0]["settings"] == {"id": "call", "function": "user_steps:halve", "settings": {"by": 3}}


def test_spawned_workers_run_the_function_too(files, tmp_path, monkeypatch):
    one = run_scan(files, tmp_path / "one.cdist", allow_code=True)
    for each in (study, forecast, study_memory, inputs):
        monkeypatch.setattr(each, "device_parts", lambda _name: ("numba", "numba"))
    two = run_scan(files, tmp_path / "two.cdist", "compute.threads=2", allow_code=True)
    assert digests(two.folder) == digests(one.folder)
