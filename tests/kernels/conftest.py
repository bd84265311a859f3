"""The engine under test, on every level that this machine has."""

import pytest
from cudahost.levels import LEVELS, open_engine


@pytest.fixture(params=LEVELS)
def level(request):
    """Every level by name; one that this machine cannot run skips aloud, the device only if it was not required."""
    open_engine(request.param)
    return request.param


@pytest.fixture
def engine(level):
    """The CUDA engine on each level."""
    return open_engine(level)
