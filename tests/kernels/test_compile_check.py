"""What every kernel needs on the architectures, by both compilers, without a device."""

import re

import pytest
from cudahost import compile_check
from cudahost.own_kernels import own_text

from compdistort.backend.kernel_source import assemble, kernel_files, prototypes

ARCHITECTURES = (75, 90, 120)
"""The oldest, that of the reference device, and one of the newer front end (sm_100 and up)."""


@pytest.fixture(params=compile_check.COMPILERS)
def compiler(request):
    """Each compiler that this machine has; another skips aloud."""
    if request.param not in compile_check.compilers():
        pytest.skip(f"no {request.param}")
    return request.param


def test_every_kernel_keeps_its_budget_of_registers_and_memory(compiler):
    found = compile_check.check(compiler, ARCHITECTURES)
    lines = compile_check.table(found)
    print(compiler, *lines, sep="\n")
    assert not [line for line in lines if "BAD" in line]
    for (file, arch), usages in found.items():
        assert {each.kernel for each in usages} == set(prototypes(assemble(file))), (file, arch)
        assert all(each.registers > 0 for each in usages)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("file", kernel_files())
def test_what_nvrtc_makes_has_portable_bits_and_no_local_memory(file, arch):
    if "nvrtc" not in compile_check.compilers():
        pytest.skip("no nvrtc")
    ptx = compile_check.nvrtc_ptx(assemble(file), arch)
    assert ".visible .entry" in ptx
    assert not compile_check.FORBIDDEN.findall(ptx)


MANY_VALUES = """
extern "C" __global__ void %s k(float* out, int n) {
  float v[100];
#pragma unroll
  for (int i = 0; i < 100; i++) v[i] = out[i * n];
  for (int round = 0; round < n; round++) {
#pragma unroll
    for (int i = 0; i < 100; i++) v[i] = v[i] * v[(i * 7 + 1) %% 100] + 1;
  }
#pragma unroll
  for (int i = 0; i < 100; i++) out[i * n] = v[i];
}
"""
INDEXED = """
extern "C" __global__ void k(float* out, int n) {
  float v[40];
  for (int i = 0; i < 40; i++) v[int(out[i]) & 31] = out[2 * i];
  out[0] = v[n];
}
"""
LARGE = """
extern "C" __global__ void k(float* out, int n) {
  __shared__ float s[12289];
  s[n] = out[n];
  __syncthreads();
  out[0] = s[n + 1];
}
"""
BAD = {
    "spills": (MANY_VALUES % "__launch_bounds__(1024)", "bytes spilled"),
    "registers": (MANY_VALUES % "", "registers, budget 64"),
    "an array indexed at run time": (INDEXED, "bytes of stack"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_kernel_beyond_its_budget_is_bad(compiler, name):
    source, message = BAD[name]
    usages = compile_check.check_text(source, 90, compiler)
    (line,) = compile_check.table({("k", 90): usages})[1:]
    assert line.startswith("k.k ")
    assert "BAD: sm_90: " in line
    assert message in line
    spills, stack = map(int, line.split()[2:4])
    assert (spills > 0, stack > 0) == {"spills": (True, True), "registers": (False, False)}.get(name, (False, True))


def test_spills_stack_and_shared_memory_have_columns_with_the_most_of_any_architecture():
    usages = [compile_check.Usage("k", arch, 40 + arch, 16 * (arch == 90), 8 * (arch == 75), 512) for arch in (75, 90)]
    header, line = compile_check.table({("k", usage.arch): [usage] for usage in usages})
    assert header.split() == ["kernel", "sm_75", "sm_90", "spills", "stack", "shared"]
    assert line.split()[:6] == ["k.k", "115", "130", "8", "16", "512"]
    assert [header.index(f" {name}") + 1 + len(name) for name in ("spills", "stack", "shared")] == [
        line.index(f" {value} ") + 1 + len(value) for value in ("8", "16", "512")
    ]


def test_more_than_48_kib_of_shared_memory_do_not_compile(compiler):
    with pytest.raises(compile_check.CompileError, match="shared"):
        compile_check.check_text(LARGE, 90, compiler)


@pytest.mark.parametrize("call", ["expf", "rsqrtf", "__logf", "sinf"])
def test_an_approximation_is_found_in_the_ptx(tmp_path, call):
    if "nvrtc" not in compile_check.compilers():
        pytest.skip("no nvrtc")
    source = f'#include "common.cuh"\nextern "C" __global__ void k(float* out) {{ out[0] = {call}(out[1]); }}\n'
    assert compile_check.FORBIDDEN.search(compile_check.nvrtc_ptx(own_text(tmp_path, "k", source), 90))


def test_a_source_that_does_not_compile_is_an_error_with_its_line(tmp_path, compiler):
    text = own_text(tmp_path, "k", '#include "common.cuh"\nextern "C" __global__ void k(float* out) { nonsense(); }\n')
    with pytest.raises(compile_check.CompileError, match=r"k\.cu\(2\).*nonsense"):
        compile_check.check_text(text, 90, compiler)


def test_the_command_prints_a_table_and_fails_on_a_bad_kernel(capsys, monkeypatch):
    installed = compile_check.compilers()
    if not installed:
        pytest.skip("no compiler")
    arguments = ["accumulate", "--arch", "90", "--compiler", installed[0]]
    assert compile_check.main(arguments) == 0
    out = capsys.readouterr().out
    assert "bytes spilled and of stack a thread" in out
    assert re.search(r"^accumulate\.accumulate +\d+ +0 +0 +0 +ok$", out, re.MULTILINE)
    monkeypatch.setattr(compile_check, "REGISTERS", 8)
    assert compile_check.main(arguments) == 1
    assert "registers, budget 8" in capsys.readouterr().out
