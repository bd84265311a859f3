"""Machine code by the real NVRTC, which needs no driver: flags, errors, and files kept by content."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cudahost.standin_install import StandinNvrtc

from compdistort.backend.device import cubin
from compdistort.backend.device.cubin import FLAGS, cache_folder, cache_problem, compile_cubin, cubin_file
from compdistort.backend.kernel_source import assemble, kernel_dir
from compdistort.errors import KernelCompileError

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")


@pytest.fixture(scope="module")
def nvrtc():
    """The real one."""
    module = pytest.importorskip("cupy", reason="needs CuPy").cuda.nvrtc
    try:
        module.getVersion()
    except RuntimeError as error:
        pytest.skip(f"NVRTC: {error}")
    return module


@pytest.fixture
def sources(tmp_path):
    """A copy of the kernels that may be changed."""
    return Path(shutil.copytree(kernel_dir(), tmp_path / "kernels"))


@pytest.fixture
def no_temporary(monkeypatch):
    """Forget the folder of an earlier test; give its name back afterwards."""
    cubin.temporary_folder.cache_clear()
    yield
    cubin.temporary_folder.cache_clear()


def test_machine_code_is_made_without_a_driver(nvrtc):
    code = compile_cubin("accumulate", assemble("accumulate"), 90, nvrtc)
    assert code[:4] == b"\x7fELF"
    assert b"accumulate" in code


def test_the_flags_keep_every_rounding(nvrtc):
    """No contraction, no flush to zero, IEEE division and square root, as PTX shows them."""
    text = """
extern "C" __global__ void probe(const float* a, float* out) {
  out[0] = a[0] * a[1] + a[2];
  out[1] = a[0] / a[1];
  out[2] = sqrtf(a[2]);
}
"""
    program = nvrtc.createProgram(text, "probe.cu", (), ())
    nvrtc.compileProgram(program, ("--gpu-architecture=compute_90", *FLAGS))
    ptx = nvrtc.getPTX(program)
    ptx = ptx.decode() if isinstance(ptx, bytes) else ptx
    found = re.findall(r"\b(?:fma|mul|add|div|sqrt)\S*\.f32\b", ptx)
    assert sorted(each.replace(".rn", "") for each in found) == ["add.f32", "div.f32", "mul.f32", "sqrt.f32"]
    assert {"div.rn.f32", "sqrt.rn.f32"} <= set(found)


def test_the_same_content_is_compiled_once(tmp_path):
    nvrtc = StandinNvrtc()
    first = cubin_file("k", "text", 90, nvrtc, tmp_path / "c")
    assert cubin_file("k", "text", 90, nvrtc, tmp_path / "c") == first
    assert nvrtc.compiled == 1
    assert first.read_text() == "text"
    assert [path.name for path in (tmp_path / "c").iterdir()] == [first.name]


def test_another_text_architecture_flag_or_compiler_gives_another_file(tmp_path, monkeypatch):
    nvrtc = StandinNvrtc()
    files = [cubin_file("k", text, arch, nvrtc, tmp_path) for text in ("a", "b") for arch in (80, 90)]
    monkeypatch.setattr(nvrtc, "getVersion", lambda: (13, 6))
    files.append(cubin_file("k", "a", 80, nvrtc, tmp_path))
    monkeypatch.setattr(cubin, "FLAGS", (*FLAGS, "-lineinfo"))
    files.append(cubin_file("k", "a", 80, nvrtc, tmp_path))
    assert len(set(files)) == nvrtc.compiled == 6


def test_a_changed_header_gives_another_file(nvrtc, sources, tmp_path):
    before = cubin_file("replicate", assemble("replicate", sources), 90, nvrtc, tmp_path / "c")
    header = sources / "philox.cuh"
    header.write_text(header.read_text().replace("0x9E3779B9u", "0x9E3779BBu"))
    after = cubin_file("replicate", assemble("replicate", sources), 90, nvrtc, tmp_path / "c")
    assert before != after
    assert before.read_bytes() != after.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None], ids=["empty", "cut", "one-bit"])
def test_a_damaged_file_is_compiled_again(tmp_path, damage):
    nvrtc = StandinNvrtc()
    path = cubin_file("k", "machine code", 90, nvrtc, tmp_path)
    path.write_bytes(b"machine codd" if damage is None else damage)
    assert cubin_file("k", "machine code", 90, nvrtc, tmp_path) == path
    assert path.read_text() == "machine code"
    assert nvrtc.compiled == 2


def test_processes_that_build_at_once_do_not_disturb_each_other(nvrtc, tmp_path):
    code = f"""
from pathlib import Path
from cupy.cuda import nvrtc
from compdistort.backend.device.cubin import cubin_file
from compdistort.backend.kernel_source import assemble
for name in ("accumulate", "replicate"):
    path = cubin_file(name, assemble(name), 90, nvrtc, Path({str(tmp_path / "c")!r}))
    assert path.read_bytes()[:4] == b"\\x7fELF"
    print(path.name)
"""
    made = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    names = [process.communicate(timeout=120)[0].split() for process in made]
    assert [process.returncode for process in made] == [0] * 4
    assert all(each == names[0] for each in names)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(names[0])


def test_a_folder_that_cannot_be_used_leaves_no_trace_and_no_error(tmp_path, no_temporary):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "kernels"
    nvrtc = StandinNvrtc()
    path = cubin_file("k", "text", 90, nvrtc, folder)
    assert path.read_text() == "text"
    assert tmp_path not in path.parents
    assert cubin_file("k", "text", 90, nvrtc, folder) == path
    assert nvrtc.compiled == 1
    assert cache_problem(folder) == f"{folder} cannot be made (Not a directory)"


def test_a_temporary_file_ends_with_the_process(tmp_path):
    (tmp_path / "file").write_text("")
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests')\n"
        "from cudahost.standin_install import StandinNvrtc\n"
        "from compdistort.backend.device.cubin import cubin_file\n"
        f"print(cubin_file('k', 'text', 90, StandinNvrtc(), Path({str(tmp_path / 'file' / 'k')!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).parent.exists()


def test_a_disk_that_fills_up_is_no_error(tmp_path, monkeypatch, no_temporary):
    write = cubin._write

    def full(place, stem, code):
        if place == tmp_path:
            raise OSError(28, "No space left on device")
        return write(place, stem, code)

    monkeypatch.setattr(cubin, "_write", full)
    assert cubin_file("k", "text", 90, StandinNvrtc(), tmp_path).read_text() == "text"


def test_nowhere_to_write_is_a_named_error(tmp_path, monkeypatch, no_temporary):
    def full(place, stem, code):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cubin, "_write", full)
    with pytest.raises(KernelCompileError, match=r"anywhere \(No space left on device\); free some space"):
        cubin_file("k", "text", 90, StandinNvrtc(), tmp_path)


@POSIX
def test_the_folder_is_the_users_own(tmp_path, no_temporary):
    folder = tmp_path / "deep" / "kernels"
    assert cache_problem(folder) == ""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert "others may write" in cache_problem(folder)
    path = cubin_file("k", "text", 90, StandinNvrtc(), folder)
    assert not list(folder.iterdir())
    assert path.read_text() == "text"


def test_where_the_folder_is(tmp_path):
    own = {"COMPDISTORT_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/x"}
    assert cache_folder(own, "linux") == tmp_path / "kernels"
    home = cache_folder({}, "linux")
    assert home.parts[-3:] == (".cache", "compdistort", "kernels")
    assert cache_folder({"XDG_CACHE_HOME": "relative"}, "linux") == home
    assert cache_folder({"LOCALAPPDATA": str(tmp_path)}, "win32") == tmp_path / "compdistort" / "kernels"


def test_a_compile_error_names_the_true_file_and_line(nvrtc, sources):
    header = sources / "philox.cuh"
    lines = header.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if "uint4 c = counter" in line)
    lines[at] = "  uint4 c = nothing;"
    header.write_text("\n".join(lines))
    with pytest.raises(KernelCompileError) as caught:
        compile_cubin("replicate", assemble("replicate", sources), 90, nvrtc)
    assert caught.value.what == f'philox.cuh({at + 1}): error: identifier "nothing" is undefined (for sm_90)'
    assert "--device cpu" in caught.value.remedy
    kernel = sources / "accumulate.cu"
    lines = kernel.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if "#include" in line) + 1
    lines.insert(at, "static __device__ int wrong = nothing;")
    kernel.write_text("\n".join(lines))
    with pytest.raises(KernelCompileError, match=rf"^accumulate\.cu\({at + 1}\): error: identifier .nothing."):
        compile_cubin("accumulate", assemble("accumulate", sources), 90, nvrtc)


def test_an_architecture_that_nvrtc_does_not_know_is_a_named_error(nvrtc):
    with pytest.raises(KernelCompileError, match="sm_42"):
        compile_cubin("accumulate", assemble("accumulate"), 42, nvrtc)


def test_a_missing_compiler_is_a_named_error(tmp_path):
    with pytest.raises(KernelCompileError, match=r"NVRTC, CUDA's run-time compiler, does not load") as caught:
        cubin_file("k", "text", 90, StandinNvrtc(missing=True), tmp_path)
    assert "pip install 'compdistort[cuda13]'" in caught.value.remedy
    assert "\n" not in str(caught.value)
