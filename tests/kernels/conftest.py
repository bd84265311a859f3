"""The engine under test, on every level that this machine has."""

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
