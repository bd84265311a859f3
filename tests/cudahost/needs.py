"""Marks of tests that call a compiler themselves; one that asks for a level is skipped where the level is not there."""

import pytest
from cudahost.host_module import lacks_compiler, lacks_nvcc

needs_compiler = pytest.mark.skipif(lacks_compiler() != "", reason=lacks_compiler())
needs_nvcc = pytest.mark.skipif(lacks_nvcc() != "", reason=lacks_nvcc())
