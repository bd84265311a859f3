"""The house rules that a machine can check: sizes, banned imports, light import, wheel contents, backend parity."""

import ast
import inspect
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from compdistort.backend.base import Backend
from compdistort.backend.cupy_backend import CupyBackend
from compdistort.backend.kernel_source import assemble, kernel_dir, kernel_files, prototypes
from compdistort.backend.numpy_backend import NumpyBackend

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "compdistort"
MODULES = sorted(PACKAGE.rglob("*.py"))
MODULE_LINES = 300
FUNCTION_LINES = 40


def _name(path):
    return str(path.relative_to(ROOT))


def _functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def _body_lines(node):
    """Lines of the body without the docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_is_short(path):
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", [p for p in MODULES if "compiled" not in p.parts], ids=_name)
def test_function_bodies_are_short(path):
    long = {node.name: _body_lines(node) for node in _functions(path) if _body_lines(node) > FUNCTION_LINES}
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_public_functions_have_docstrings(path):
    tree = ast.parse(path.read_text())
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert ast.get_docstring(tree)
    assert not [node.name for node in public if not ast.get_docstring(node)]


def test_arrays_are_documented_with_their_shape():
    """A numpydoc entry that says ndarray says its shape too."""
    bad = [
        f"{_name(path)}: {line.strip()}"
        for path in MODULES
        for line in path.read_text().splitlines()
        if re.match(r"^\s+\w[\w, ]* : (ndarray|array)", line) and "shape" not in line
    ]
    assert not bad


def test_only_backends_import_compilers():
    """Numba and CuPy stay behind the backend protocol."""
    pattern = re.compile(r"^\s*(import|from) (numba|cupy)\b", re.MULTILINE)
    offenders = [_name(path) for path in MODULES if "backend" not in path.parts and pattern.search(path.read_text())]
    assert not offenders


def test_import_is_light():
    heavy = ("numba", "cupy", "sklearn", "dask", "matplotlib", "zarr", "pydantic", "scipy", "imagecodecs", "numpy")
    code = f"import sys, compdistort; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("engine", [NumpyBackend, CupyBackend])
def test_backends_have_the_protocol_names_and_arguments(engine):
    verbs = [name for name, value in vars(Backend).items() if callable(value) and not name.startswith("_")]
    assert len(verbs) >= 12
    for verb in verbs:
        expected = list(inspect.signature(getattr(Backend, verb)).parameters)
        assert list(inspect.signature(getattr(engine, verb)).parameters) == expected, verb
    extra = {n for n in vars(engine) if not n.startswith("_")} - set(verbs) - {"name"}
    assert not extra


def test_cubins_are_the_only_way_to_a_device():
    """CuPy compiles with flags of its own, so nothing may be compiled by it."""
    calls = {_name(path): re.findall(r"RawModule\((.*)\)", path.read_text()) for path in MODULES}
    assert [(name, made) for name, made in calls.items() if made] == [
        ("compdistort/backend/cuda_device.py", ["path=str(path)"])
    ]
    banned = re.compile(r"\b(RawKernel|ElementwiseKernel|ReductionKernel|fuse)\(")
    assert not [_name(path) for path in MODULES if banned.search(path.read_text())]


def test_every_kernel_stands_in_the_table():
    table = (kernel_dir() / "README.md").read_text()
    names = [f"{file}.{kernel}" for file in kernel_files() for kernel in prototypes(assemble(file))]
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in table] == []


@pytest.mark.parametrize("path", sorted(kernel_dir().glob("*.cu")), ids=lambda path: path.name)
def test_kernels_say_what_they_are(path):
    """The header block names purpose, launch and oracle, and only our own headers are included."""
    text = path.read_text()
    header = text[: text.index("#include")]
    assert "Oracle:" in header
    assert "Launch" in header
    assert set(re.findall(r"#include\s+(\S+)", text)) <= {f'"{each.name}"' for each in kernel_dir().glob("*.cuh")}
    assert not re.search(r"\b(expf?|logf?|powf?|rsqrtf?|__\w+_rz|__frcp_\w+)\(|--use_fast_math", text)


def test_no_unfinished_marks():
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b")
    assert not [_name(path) for path in MODULES if marks.search(path.read_text())]


def test_wheel_holds_package_kernels_and_template(tmp_path):
    """Build the wheel with the build backend itself and look inside."""
    pytest.importorskip("hatchling", reason="the build backend is installed with the [dev] extra")
    code = f"import hatchling.build as b; print(b.build_wheel({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "compdistort/kernels/README.md" in names
    assert {f"compdistort/kernels/{path.name}" for path in kernel_dir().glob("*.cu*")} <= set(names)
    assert "compdistort/py.typed" in names
    assert any(name.endswith(".jinja") for name in names)
    assert not [name for name in names if name.startswith("tests/")]
