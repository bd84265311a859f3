"""The PTX level: what is translated computes as the PTX ISA says, and what must not be in a kernel is refused."""

import numpy as np
import pytest
from cudahost import arithmetic
from cudahost.bodies import same_bits
from cudahost.host_module import HostKernelError
from cudahost.levels import loader
from cudahost.needs import needs_nvcc
from cudahost.own_kernels import own_cuda, own_text
from cudahost.ptx_module import PTX_TARGETS, make_ptx
from cudahost.ptx_translate import PtxError, translate
from cudahost.standin_cupy import standin_cuda

from compdistort.backend.kernel_source import assemble, kernel_files
from compdistort.backend.plain.exact import fma


@pytest.fixture(scope="module", params=["plain", "ptx75", "ptx90", "ptx120"])
def cuda(request, tmp_path_factory):
    """The tests' own kernels, built by g++ and from the PTX of each target."""
    return own_cuda(tmp_path_factory.mktemp("kernels"), request.param)


def run(cuda, kernel, inputs, rows, dtype):
    """Launch a kernel that gives `rows` results an item."""
    n = len(inputs[0])
    out = cuda.zeros((rows, n), dtype)
    cuda.launch(kernel, (-(-n // 128),), (128,), *map(cuda.upload, inputs), out, n)
    return out.get()


def test_float32_arithmetic_is_numpys(cuda):
    x, y = arithmetic.pairs(arithmetic.FLOATS)
    with np.errstate(all="ignore"):
        fused = fma(x, y, np.full_like(x, -1.5))
        fused = np.where(np.isfinite(x) & np.isfinite(y), fused, x * y)
    wanted = arithmetic.floats(x, y, fused)
    same_bits(run(cuda, "arithmetic.floats", (x, y), len(wanted), np.uint32), wanted, "float32")


def test_float64_arithmetic_is_numpys(cuda):
    x, y = arithmetic.pairs(arithmetic.DOUBLES)
    wanted = arithmetic.doubles(x, y)
    same_bits(run(cuda, "arithmetic.doubles", (x, y), len(wanted), np.uint64), wanted, "float64")


def test_floats_become_integers_saturated(cuda):
    y = arithmetic.DOUBLES
    with np.errstate(over="ignore"):
        x = y.astype(np.float32)
    wanted = arithmetic.from_floats(x, y)
    same_bits(run(cuda, "arithmetic.from_floats", (x, y), len(wanted), np.int64), wanted, "integers")


def test_integers_become_floats_rounded_once(cuda):
    wanted = arithmetic.to_floats(arithmetic.INTEGERS)
    same_bits(run(cuda, "arithmetic.to_floats", (arithmetic.INTEGERS,), len(wanted), np.uint64), wanted, "floats")


def test_integer_arithmetic_is_pythons(cuda):
    x, y = arithmetic.pairs(arithmetic.INTEGERS)
    wanted = np.array([arithmetic.whole_numbers(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)]).T
    same_bits(run(cuda, "arithmetic.whole_numbers", (x, y), len(wanted), np.int64), wanted, "integers")


def test_atomics_combine_all_values(cuda):
    v = np.append(np.random.default_rng(1).integers(1, 2**20, 300), 7).astype(np.uint32)
    words, numbers, longs = np.zeros(9, np.uint32), np.zeros(3, np.int32), np.zeros(4, np.uint64)
    words[[1, 3]], words[7], numbers[1], longs[1] = 2**32 - 1, 5, 2**31 - 1, 2**64 - 1
    arrays = [cuda.upload(each) for each in (v, words, numbers, longs)]
    cuda.launch("arithmetic.atomics", (3,), (128,), *arrays, len(v))
    total, low, high = int(v.sum(dtype=np.uint64)), int(v.min()), int(v.max())
    joined = np.bitwise_or.reduce(v)
    same = [total, low, high, np.bitwise_and.reduce(v | 0x80), joined & 0xFF00, np.bitwise_xor.reduce(v), 7, 6, 1]
    assert arrays[1].get().tolist() == same
    assert arrays[2].get().tolist() == [total, low, high]
    assert arrays[3].get().tolist() == [each << 20 for each in (total, low, high, int(joined))]


@pytest.mark.parametrize("target", PTX_TARGETS)
def test_rare_instructions_do_what_the_isa_says(tmp_path, target):
    cuda = own_cuda(tmp_path, f"ptx{target}")
    rng = np.random.default_rng(2)
    inputs = [rng.integers(0, 2**32, 400, dtype=np.uint64).astype(np.uint32) for _ in range(3)]
    edges = np.array([0, 1, 5, 8, 31, 32, 33, 63, 255, 2**31, 2**32 - 1], np.uint32)
    for each in inputs:
        each[:200] = rng.choice(edges, 200)
    triples = zip(*(each.tolist() for each in inputs), strict=True)
    wanted = np.array([arithmetic.instructions(*triple) for triple in triples], np.uint32).T
    same_bits(run(cuda, "instructions.instructions", inputs, len(wanted), np.uint32), wanted, "instructions")


ENTRY = """.visible .entry k(.param .u64 k_param_0)
{{
  .reg .pred %p<3>;
  .reg .f32 %f<4>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<4>;
  {}
  ret;
}}
"""
REFUSED = {
    "ex2.approx.f32 %f1, %f2;": "approx has no portable bits",
    "add.rn.ftz.f32 %f1, %f2, %f3;": "ftz has no portable bits",
    "div.full.f32 %f1, %f2, %f3;": "full has no portable bits",
    "add.rn.sat.f32 %f1, %f2, %f3;": "sat has no portable bits",
    "mul.f32 %f1, %f2, %f3;": "no rounding mode",
    "add.rz.f32 %f1, %f2, %f3;": "not translated: add.rz.f32",
    "atom.global.add.f32 %f1, [%rd1], %f2;": "float atomic",
    "red.global.add.f64 [%rd1], %fd1;": "float atomic",
    "ld.local.u32 %r1, [%rd1];": "not translated: ld.local",
    "ld.f32 %f1, [%rd1];": "generic address",
    "dp4a.u32.u32 %r1, %r2, %r3, %r1;": "not translated: dp4a.u32.u32",
    "call.uni (retval0), f, (param0);": "not translated: call.uni",
    "bar.sync 1, 32;": "barrier of some threads only",
    ".local .align 4 .b8 __local_depot0[16];": "local memory",
    "cvt.rz.f32.f64 %f1, %fd1;": "not translated: cvt.rz",
    "mov.u32 %r1, %clock;": "operand %clock",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_a_kernel_must_not_contain_is_refused_by_name(line):
    with pytest.raises(PtxError, match=REFUSED[line]):
        translate(ENTRY.format(line))


SOURCES = {
    "out[0] = expf(out[1]);": "no portable bits",
    "out[0] = rsqrtf(out[1]);": "no portable bits",
    "float v[32]; for (int i = 0; i < 32; i++) v[i] = out[i]; out[0] = v[int(out[1]) & 31];": "local memory",
    'printf("%d", n);': "call|local memory",
    "out[0] = __fdividef(out[1], out[2]);": "approx",
}


@pytest.mark.parametrize("line", SOURCES)
def test_what_nvcc_makes_of_a_forbidden_source_is_refused(tmp_path, line):
    source = '#include "common.cuh"\nextern "C" __global__ void k(float* out, int n) {\n' + line + "\n}\n"
    with pytest.raises(PtxError, match=SOURCES[line]):
        loader("ptx90")("k", own_text(tmp_path, "k", source))


@needs_nvcc
@pytest.mark.parametrize("target", PTX_TARGETS)
@pytest.mark.parametrize("file", kernel_files())
def test_every_kernel_is_translated_for_every_target(file, target):
    assert "CUHOST_MODULE" in translate(make_ptx(assemble(file), target))


@pytest.mark.parametrize(("n", "fails"), [(0, False), (1, True), (-1, True), (2**20, True)])
def test_an_access_outside_the_arrays_that_were_passed_is_refused(tmp_path, n, fails):
    cuda = own_cuda(tmp_path, "ptx90")
    out = cuda.zeros((64,), np.float32)
    if not fails:
        cuda.launch("overrun.past_the_end", (1,), (64,), out, n)
        assert out.get().tolist() == [1] * 64
        return
    with pytest.raises(HostKernelError, match="outside every array that was passed, thread"):
        cuda.launch("overrun.past_the_end", (1,), (64,), out, n)


def test_a_slice_may_be_left_within_its_allocation(tmp_path):
    cuda = own_cuda(tmp_path, "ptx90")
    out = cuda.zeros((65,), np.float32)
    cuda.launch("overrun.past_the_end", (1,), (64,), out[:64], 1)
    assert out.get().tolist() == [0] + [1] * 64


BARRIERS = {
    "one_beyond_the_end": "shared memory exceeded at byte 256 of 256",
    "barrier_in_both_branches": "__syncthreads at different places",
    "shuffle_after_an_exit": "names a lane that has exited",
    "shuffle_while_a_lane_waits_elsewhere": "deadlock",
    "shuffle_from_a_lane_outside_the_mask": "reads a lane that its mask leaves out",
}


@pytest.mark.parametrize("kernel", BARRIERS)
def test_broken_barriers_are_refused_here_too(tmp_path, kernel):
    cuda = own_cuda(tmp_path, "ptx90")
    with pytest.raises(HostKernelError, match=BARRIERS[kernel]):
        cuda.launch(f"misuse.{kernel}", (2,), (64,), cuda.zeros((128,), np.float32))


def test_misaligned_vectors_are_refused(tmp_path):
    source = '#include "common.cuh"\nextern "C" __global__ void k(const float* in, float4* out) {\n'
    source += "  out[0] = *reinterpret_cast<const float4*>(in + 1);\n}\n"
    own_text(tmp_path, "k", source)
    cuda = standin_cuda(loader("ptx90"), tmp_path)
    with pytest.raises(HostKernelError, match="misaligned access to global memory"):
        cuda.launch("k.k", (1,), (1,), cuda.zeros((8,), np.float32), cuda.zeros((4,), np.float32))
