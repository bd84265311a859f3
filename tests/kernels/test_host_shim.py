"""The host build of kernels: what it must catch, what it must let pass, which memory it may reach."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cudahost.host_module import HostBuildError, HostKernel, HostKernelError
from cudahost.levels import loader
from cudahost.own_kernels import own_cuda, own_text
from cudahost.standin_cupy import standin_cuda

from compdistort.backend.kernel_source import assemble, kernel_files, prototypes

TESTS = Path(__file__).resolve().parents[1]

MISUSE = {
    "no_barrier": r"race \(read after write\)|uninitialised read",
    "write_in_the_interval_of_a_read": r"race \((write after read|read after write)\)",
    "write_of_what_another_warp_reads": r"race \(write after read\) on shared s\[0\] of 64, thread \(40,0,0\)",
    "two_writers": r"race \(write after write\)",
    "half_is_never_written": r"uninitialised read of shared s\[32\] of 64, thread \(32,0,0\) of block \(0,0,0\)",
    "one_beyond_the_end": r"no element shared s\[64\] of 64, thread \(63,0,0\)",
    "one_before_the_start": r"no element shared s\[\d+\] of 64, thread \(0,0,0\)",
    "barrier_in_both_branches": r"__syncthreads at different places in one block",
    "shuffle_after_an_exit": r"names a lane that has exited",
    "shuffle_while_a_lane_waits_elsewhere": r"deadlock",
    "shuffle_by_a_lane_outside_the_mask": r"leaves out its own lane, thread \(16,0,0\)",
    "shuffle_from_a_lane_outside_the_mask": r"reads a lane that its mask leaves out",
    "write_beside_an_atomic": r"race \((write after atomic|atomic after write)\)",
    "read_beside_an_atomic": r"race \((read after atomic|atomic after read)\)",
    "atomic_on_what_was_never_written": r"uninitialised atomic on shared s\[0\]",
}
CORRECT = {
    "tree_sum": 64,
    "warp_sums": 64,
    "shared_atomics": 74,
    "warps_in_step": 63,
    "one_lane_after_all": 9,
    "votes": 32,
    "half_a_warp_among_itself": 5,
    "early_exit_of_whole_warps": 32,
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The tests' own kernels, with checked shared arrays."""
    return own_cuda(tmp_path_factory.mktemp("kernels"), "checked")


@pytest.mark.parametrize("kernel", MISUSE)
def test_misuse_is_refused_with_its_reason_and_place(checked, kernel):
    with pytest.raises(HostKernelError, match=MISUSE[kernel]):
        checked.launch(f"misuse.{kernel}", (2,), (64,), checked.zeros((128,), np.float32))


def test_every_kernel_of_the_two_files_is_tried(tmp_path):
    assert set(prototypes(own_text(tmp_path, "misuse"))) == set(MISUSE)
    assert set(prototypes(own_text(tmp_path, "correct"))) == set(CORRECT)


@pytest.mark.parametrize("level", ["plain", "checked", "reversed", "shuffled", "asan", "ptx75", "ptx90", "ptx120"])
def test_correct_kernels_pass(tmp_path, level):
    cuda = own_cuda(tmp_path, level)
    for kernel, wanted in CORRECT.items():
        out = cuda.zeros((128,), np.float32)
        cuda.launch(f"correct.{kernel}", (2,), (64,), out)
        assert out.get()[:2].tolist() == [wanted, wanted], kernel


def test_a_failed_launch_does_not_spoil_the_next(checked):
    out = checked.zeros((128,), np.float32)
    for _ in range(2):
        with pytest.raises(HostKernelError, match="no element"):
            checked.launch("misuse.one_beyond_the_end", (2,), (64,), out)
        checked.launch("correct.tree_sum", (2,), (64,), out)
        assert out.get()[:2].tolist() == [64, 64]


def test_orders_differ_though_one_library_serves_them(tmp_path):
    """A kernel whose result depends on the order of threads gives another one in each mode, in any sequence."""
    cudas = {mode: own_cuda(tmp_path, mode) for mode in ("checked", "reversed", "shuffled")}

    def visited(mode):
        out, place = cudas[mode].zeros((128,), np.int32), cudas[mode].zeros((1,), np.int32)
        cudas[mode].launch("order.visited", (2,), (64,), out, place)
        return out.get().tolist()

    first = {mode: visited(mode) for mode in cudas}
    assert first["checked"] == list(range(128))
    assert first["reversed"] == list(range(127, -1, -1))
    assert sorted(first["shuffled"]) == list(range(128))
    assert first["shuffled"] not in (first["checked"], first["reversed"])
    assert {mode: visited(mode) for mode in reversed(cudas)} == first


FAULTS = {
    "null_pointer": "memory fault",
    "far_away": "memory fault",
    "division": "integer division by zero",
    "endless": "does not end",
    "waits_forever": "does not end",
}


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer ends the process itself")
@pytest.mark.parametrize("kernel", FAULTS)
def test_a_fault_or_an_endless_loop_ends_the_launch_alone(tmp_path, monkeypatch, kernel):
    cuda = own_cuda(tmp_path, "plain")
    monkeypatch.setattr(HostKernel, "limit_s", 1)
    out = cuda.zeros((64,), np.int32)
    for _ in range(2):
        with pytest.raises(HostKernelError, match=FAULTS[kernel] + r", thread \(\d+,0,0\) of block \(0,0,0\)"):
            cuda.launch(f"faults.{kernel}", (1,), (64,), None if kernel == "null_pointer" else out, 5)
    cuda.launch("order.visited", (1,), (64,), out, cuda.zeros((1,), np.int32))
    assert out.get().tolist() == list(range(64))


KERNEL = '#include "common.cuh"\nextern "C" __global__ void k(float* out) {{\n  {}\n}}\n'


@pytest.mark.parametrize(
    "line", ["atomicAdd(&out[0], 1.f);", "out[0] = __frobnicate(1.f);", "extern __shared__ int s[];"]
)
def test_what_the_dialect_lacks_does_not_build_and_its_line_is_named(tmp_path, line):
    text = own_text(tmp_path, "k", KERNEL.format(line))
    with pytest.raises(HostBuildError, match=r"k\.cu:3:|not there for this type"):
        loader("plain")("k", text)


@pytest.mark.parametrize("file", kernel_files())
def test_the_parsed_prototypes_are_those_that_the_compiler_sees(file):
    text = assemble(file)
    module = loader("plain")(file, text)
    for name, codes in prototypes(text).items():
        signature = getattr(module.library, f"cuhost_signature_{name}")
        signature.restype = ctypes.c_char_p
        assert tuple(signature().decode().split()) == codes, name


COLUMNS, ROWS = 131072, 40000


def fill_one_row(folder, level, kernel, row):
    """Let the last block of one row write into an array of 5.2e9 bytes that is otherwise never touched."""
    function = loader(level)("huge", own_text(folder, "huge")).get_function(kernel)
    big = np.zeros((ROWS, COLUMNS), np.uint8)
    blocks = COLUMNS // 256
    device = standin_cuda(None).cp.ndarray(big)
    function((blocks, ROWS), (256,), (device, np.int32(COLUMNS)), only=(blocks * (row + 1) - 1, 1))
    return big[row, -256:].tolist()


def test_an_index_of_64_bits_reaches_the_end_of_a_huge_array(tmp_path):
    wanted = [x % 251 + 1 for x in range(COLUMNS - 256, COLUMNS)]
    assert fill_one_row(tmp_path, "plain", "fill_i64", ROWS - 1) == wanted


def test_an_index_of_32_bits_misses_the_end_of_a_huge_array(tmp_path):
    assert fill_one_row(tmp_path, "plain", "fill_u32", ROWS - 1) == [0] * 256


def test_a_signed_index_of_32_bits_leaves_a_huge_array(tmp_path):
    with pytest.raises(HostKernelError, match="outside every array"):
        fill_one_row(tmp_path, "ptx90", "fill_int", 3 * 2**30 // COLUMNS)


OVERRUN = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from cudahost.own_kernels import own_cuda
cuda = own_cuda(Path({folder!r}), "asan")
cuda.launch("overrun.{kernel}", (1,), (64,), cuda.zeros((64,), np.float32), {n})
print("ran to its end")
"""
SANITIZER = {
    "past_the_end": "heap-buffer-overflow",
    "past_shared": "index 64 out of bounds",
    "signed_overflow": "signed integer overflow",
    "shift_too_far": "shift exponent 32",
}


@pytest.mark.skipif("libasan" not in os.environ.get("LD_PRELOAD", ""), reason="asan: run by `make sanitize`")
@pytest.mark.parametrize("kernel", SANITIZER)
def test_asan_and_ubsan_end_a_process_that_leaves_an_array_or_the_language(tmp_path, kernel):
    for n, message in enumerate(("ran to its end", SANITIZER[kernel])):
        code = OVERRUN.format(tests=str(TESTS), folder=str(tmp_path), kernel=kernel, n=n)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert message in done.stdout + done.stderr
        assert (done.returncode == 0) == (n == 0)
