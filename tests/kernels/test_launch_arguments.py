"""What a launch takes and what it refuses, before any kernel runs."""

import numpy as np
import pytest
from cudahost.own_kernels import own_text
from cudahost.standin_cupy import standin_cuda

SOURCE = """#include "common.cuh"
extern "C" __global__ void k(const float* __restrict__ a, const float4* __restrict__ v, u16* out,
                             int n, i64 m, float f, bool b, u8 c) {}
"""


@pytest.fixture
def recorded(tmp_path):
    """A device whose kernel only records how it was called, and one set of right arguments."""
    calls = []

    class Module:
        def get_function(self, _name):
            return lambda grid, block, arguments: calls.append((grid, block, arguments))

    own_text(tmp_path, "k", SOURCE)
    cuda = standin_cuda(lambda _file, _text: Module(), tmp_path)
    arrays = [cuda.zeros((8,), dtype) for dtype in (np.float32, np.float32, np.uint16)]
    return cuda, [*arrays, 1, 2, 0.5, True, 255], calls


def test_python_values_become_exactly_the_types_of_the_kernel(recorded):
    cuda, right, calls = recorded
    cuda.launch("k.k", (1,), (32,), None, *right[1:])
    ((grid, block, arguments),) = calls
    assert (grid, block) == ((1,), (32,))
    assert [each.dtype for each in arguments[3:]] == [np.int32, np.int64, np.float32, np.bool_, np.uint8]
    assert arguments[0] == 0
    assert arguments[1] is right[1]


WRONG = {
    "another dtype": (0, lambda cuda: cuda.zeros((8,), np.float64), TypeError),
    "another sign": (2, lambda cuda: cuda.zeros((8,), np.int16), TypeError),
    "another library": (0, lambda cuda: np.zeros(8, np.float32), TypeError),
    "a number for an array": (0, lambda cuda: 5, TypeError),
    "an array for a number": (3, lambda cuda: cuda.zeros((1,), np.int32), TypeError),
    "not contiguous": (0, lambda cuda: cuda.zeros((16,), np.float32)[::2], ValueError),
    "not aligned": (1, lambda cuda: cuda.zeros((9,), np.float32)[1:], ValueError),
    "no whole vectors": (1, lambda cuda: cuda.zeros((6,), np.float32), ValueError),
    "too large an int": (3, lambda cuda: 2**31, ValueError),
    "too small an int": (3, lambda cuda: -(2**31) - 1, ValueError),
    "too large a long": (4, lambda cuda: 2**63, ValueError),
    "too large a byte": (7, lambda cuda: 256, ValueError),
    "a negative byte": (7, lambda cuda: -1, ValueError),
    "a float for an int": (3, lambda cuda: 1.0, TypeError),
    "a bool for an int": (3, lambda cuda: True, TypeError),
    "an int for a bool": (6, lambda cuda: 1, TypeError),
    "a float that is not a float32": (5, lambda cuda: 0.1, ValueError),
    "a NumPy integer that does not fit": (3, lambda cuda: np.int64(2**40), ValueError),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_that_does_not_fit_is_refused(recorded, name):
    cuda, right, calls = recorded
    place, make, error = WRONG[name]
    right[place] = make(cuda)
    with pytest.raises(error, match=rf"k\.k, argument {place}"):
        cuda.launch("k.k", (1,), (32,), *right)
    assert not calls


TOO_LARGE = [((1, 65536), (32,)), ((1, 1, 65536), (32,)), ((2**31,), (32,)), ((1,), (1025,)), ((1,), (32, 8, 8))]


@pytest.mark.parametrize(("grid", "block"), TOO_LARGE)
def test_too_large_a_launch_is_refused(recorded, grid, block):
    cuda, right, calls = recorded
    with pytest.raises(ValueError, match="too large"):
        cuda.launch("k.k", grid, block, *right)
    assert not calls


def test_a_missing_argument_is_refused_and_an_empty_grid_runs_nothing(recorded):
    cuda, right, calls = recorded
    with pytest.raises(TypeError, match="7 arguments for 8"):
        cuda.launch("k.k", (1,), (32,), *right[:-1])
    cuda.launch("k.k", (0,), (32,), *right)
    assert not calls
