"""The engine under test, on every level that this machine has."""

from collections import Counter

import pytest
from cudahost.levels import LEVELS, LevelUnavailableError, open_engine


@pytest.fixture(params=LEVELS)
def level(request):
    """Every level by name; one that this machine cannot run skips aloud, the device only if it was not required."""
    try:
        open_engine(request.param)
    except LevelUnavailableError as error:
        if request.param == "device" and "cupy" in request.config.getoption("--require-backend"):
            pytest.fail(str(error))
        pytest.skip(f"{request.param}: {error}")
    return request.param


@pytest.fixture
def engine(level):
    """The CUDA engine on each level."""
    return open_engine(level)


def pytest_terminal_summary(terminalreporter):
    """Say on which level the planted bugs were caught; with -v, name every one."""
    reports = terminalreporter.getreports("passed")
    caught = sorted(value for report in reports for key, value in report.user_properties if key == "caught")
    if not caught:
        return
    levels = Counter(level for _, level, _ in caught)
    terminalreporter.section("planted bugs")
    terminalreporter.line(", ".join(f"{count} caught by {level}" for level, count in levels.most_common()))
    for name, level, message in caught if terminalreporter.verbosity > 0 else ():
        terminalreporter.line(f"{name:60} {level:8} {message[:100]}")
