"""Fixtures shared by all tests: the backend under test, and the folders of real data and oracles."""

import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest
from cudahost.levels import LevelUnavailableError, open_engine

from compdistort.backend import get_backend
from compdistort.errors import BackendUnavailableError

BACKENDS = ("numpy", "numba", "cupy", "cupy-on-host")
"""``cupy-on-host`` is the CUDA engine with its kernels built for the CPU: no device needed, only g++."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption("--require-backend", action="append", default=[], choices=BACKENDS, help="fail instead of skip")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Every backend; one that this machine cannot use skips aloud, unless it was required."""
    try:
        return open_engine("plain") if request.param == "cupy-on-host" else get_backend(request.param)
    except (BackendUnavailableError, LevelUnavailableError) as error:
        if request.param in request.config.getoption("--require-backend"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def one_signature_each():
    """What Numba keeps on disk had one signature each in all tests of this process.

    Two processes that add signatures of one function at the same time can store the code of the wrong one.
    """
    yield
    modules = [module for name, module in sys.modules.items() if name.startswith("compdistort.backend.")]
    loops = {value for module in modules for value in vars(module).values() if hasattr(value, "signatures")}
    several = [loop.py_func.__qualname__ for loop in loops if loop.stats.cache_path and len(loop.signatures) > 1]
    assert several == []


@pytest.fixture(params=("numpy", "numba"))
def cpu_backend(request):
    """The two CPU engines."""
    return get_backend(request.param)


def _skip_without_level(item):
    """Skip a test aloud whose level of the CUDA engine this machine cannot run; fail it if a device was required."""
    try:
        return (yield)
    except LevelUnavailableError as error:
        if error.level == "device" and "cupy" in item.config.getoption("--require-backend"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


pytest_runtest_setup = pytest.hookimpl(wrapper=True)(_skip_without_level)
pytest_runtest_call = pytest.hookimpl(wrapper=True)(_skip_without_level)


def _folder(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the shared folder '{name}' is not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real images, outside the project."""
    return _folder("data")


@pytest.fixture(scope="session")
def shared_oracle():
    """Folder of oracle tables and arrays, outside the project."""
    return _folder("oracle")


def pytest_terminal_summary(terminalreporter):
    """Say on which level every planted bug was caught; with -v, by which message."""
    reports = terminalreporter.getreports("passed")
    caught = sorted(value for report in reports for key, value in report.user_properties if key == "caught")
    levels = defaultdict(list)
    for name, level, _ in caught:
        levels[level].append(name)
    if caught:
        terminalreporter.section("planted bugs")
    for level, names in levels.items():
        text = f"{len(names)} caught by {level}: {', '.join(names)}"
        terminalreporter.line(textwrap.fill(text, 120, subsequent_indent="  ", break_on_hyphens=False))
    for name, level, message in caught if terminalreporter.verbosity > 0 else ():
        terminalreporter.line(f"{name:60} {level:8} {message[:100]}")
