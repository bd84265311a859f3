"""What the engine takes for granted of the real CuPy and NVRTC, as far as no device is needed to see it."""

import ctypes
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from cudahost.standin_cupy import make_standin, standin_cuda

from compdistort.backend import probe
from compdistort.backend.device import cubin
from compdistort.backend.device import cuda as cuda_module
from compdistort.backend.device.cubin import compile_cubin
from compdistort.backend.device.cuda import LOST, NOT_LOADED, OUT_OF_MEMORY
from compdistort.backend.device.kernels import _scalar
from compdistort.backend.kernel_source import assemble, kernel_files

ROOT = Path(__file__).resolve().parents[2]
SCALARS = {"?": True, "B": 200, "H": 65535, "i": -5, "I": 2**32 - 1, "q": -(2**40), "Q": 2**64 - 1, "f": 0.5, "d": 0.1}
NAMES = (
    "RawModule", "asnumpy", "cuda.nvrtc.getVersion", "cuda.nvrtc.getSupportedArchs", "cuda.nvrtc.createProgram",
    "cuda.nvrtc.compileProgram", "cuda.nvrtc.getCUBIN", "cuda.nvrtc.getProgramLog", "cuda.nvrtc.destroyProgram",
    "cuda.runtime.driverGetVersion", "cuda.runtime.runtimeGetVersion", "cuda.runtime.getDeviceCount",
    "cuda.runtime.deviceGetAttribute", "cuda.runtime.getDeviceProperties", "cuda.runtime.memGetInfo",
)  # fmt: skip


@pytest.fixture
def cupy():
    """The real one."""
    return pytest.importorskip("cupy", reason="needs CuPy")


@pytest.fixture
def nvrtc(cupy):
    """The real one."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"NVRTC: {error}")
    return cupy.cuda.nvrtc


@pytest.mark.parametrize("code", SCALARS)
def test_a_number_reaches_the_kernel_as_the_bytes_of_its_type(cupy, code):
    value = _scalar(SCALARS[code], code, "here")
    held = pytest.importorskip("cupy._core._scalar").CScalar(value)  # what a launch makes of each number
    assert ctypes.string_at(held.ptr, value.itemsize) == value.tobytes()


def test_a_null_pointer_is_eight_bytes_of_zero(cupy):
    held = pytest.importorskip("cupy._core._scalar").CScalar(np.uint64(0))
    assert ctypes.string_at(held.ptr, 8) == bytes(8)


@pytest.mark.parametrize(("shape", "strides"), [((1, 5), (80, 8)), ((3, 1, 4), (32, 999, 8))])
def test_rows_cut_from_a_larger_array_count_as_contiguous(cupy, shape, strides):
    contiguous = pytest.importorskip("cupy._core.internal").get_c_contiguity
    assert contiguous(shape, strides, 8)
    assert not contiguous((2, 5), (80, 8), 8)


@pytest.mark.parametrize("name", NAMES)
def test_cupy_has_what_the_probe_and_the_loader_ask_for(cupy, name):
    found = cupy
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_statuses_are_those_that_cupy_knows(cupy):
    error = cupy.cuda.runtime.CUDARuntimeError
    assert str(error(OUT_OF_MEMORY)).startswith("cudaErrorMemoryAllocation")
    assert error(OUT_OF_MEMORY).status == OUT_OF_MEMORY
    assert all(str(error(status)).startswith("cudaError") for status in (*LOST, *NOT_LOADED))
    assert not issubclass(cupy.cuda.memory.OutOfMemoryError, error)


@pytest.mark.slow
def test_every_kernel_compiles_for_the_oldest_and_the_newest_device(nvrtc):
    archs = [arch for arch in nvrtc.getSupportedArchs() if arch >= probe.MIN_CAPABILITY]
    for name in kernel_files():
        for arch in {min(archs), max(archs)}:
            assert compile_cubin(name, assemble(name), arch, nvrtc)[:4] == b"\x7fELF"


@pytest.mark.parametrize("index", ["int", "long long"])
def test_the_kernels_of_cupys_label_compile_without_a_cuda_toolkit(cupy, nvrtc, index):
    """Their bodies, in a frame like that of CuPy's, with CuPy's own headers alone."""
    core = pytest.importorskip("cupy._core.core")
    measurements = pytest.importorskip("cupyx.scipy.ndimage._measurements")
    include = Path(cupy.__file__).parent / "_core" / "include"
    cccl = [f"-I{include / 'cupy' / '_cccl' / part}" for part in ("cub", "thrust", "libcudacxx")]
    options = ("-arch=sm_90", *cccl, f"-I{include}", "--std=c++17", "--device-as-default-execution-space")
    for name in ("connect", "count", "labels", "finalize"):
        body = getattr(measurements, f"_kernel_{name}")().operation
        text = "".join(f"#include <{header}>\n" for header in core._cupy_header_list) + (
            f"typedef {index} Y; typedef CArray<Y, 1, true, true> A; typedef CArray<int, 1, true, true> I;\n"
            'extern "C" __global__ void k(I shape, I dirs, int ndirs, int ndim, A y, A count, A labels, Y maxlabel,'
            f" CIndexer<1> all) {{ CUPY_FOR(i, all.size()) {{ all.set(i); {body} }} }}"
        )
        program = nvrtc.createProgram(text, f"{name}.cu", (), ())
        nvrtc.compileProgram(program, options)
        assert nvrtc.getCUBIN(program)[:4] == b"\x7fELF"


def test_a_machine_without_cuda_headers_is_named_with_its_remedy(monkeypatch):
    pathfinder = types.SimpleNamespace(find_nvidia_header_directory=lambda _library: None)
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", pathfinder)
    problem = probe.header_problem()
    assert "no CUDA headers" in problem.what
    assert "nvidia-cuda-runtime" in problem.remedy
    pathfinder.find_nvidia_header_directory = lambda _library: "/somewhere"
    assert probe.header_problem() is None


def test_cupy_imports_where_nothing_can_be_written_at_home(cupy):
    code = "from compdistort.backend import probe; print(probe.import_cupy().__name__)"
    environment = {"HOME": "/proc/no-such-home", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "cupy"


def test_a_cache_that_the_user_chose_for_cupy_is_left_alone(monkeypatch):
    monkeypatch.setenv(cubin.CUPY_VARIABLE, "/chosen")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    cubin.settle_cupy_cache()
    assert cubin.os.environ[cubin.CUPY_VARIABLE] == "/chosen"


def test_a_large_upload_goes_past_the_pinned_memory(monkeypatch):
    monkeypatch.setattr(cuda_module, "STAGED_BYTES", 15)
    cuda = standin_cuda(lambda _file, _text: None)
    sent = []
    monkeypatch.setattr(cuda.cp, "asarray", lambda array: sent.append(array) or make_standin().asarray(array))
    host = np.arange(8, dtype=np.uint16).reshape(2, 4)
    assert np.array_equal(cuda.download(cuda.upload(host)), host)
    assert not sent
    assert np.array_equal(cuda.download(cuda.upload(host[:, :2])), host[:, :2])
    assert len(sent) == 1
