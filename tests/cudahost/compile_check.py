"""Compiles every kernel for every architecture, without a device, and holds what it needs against budgets.

    python tests/cudahost/compile_check.py [--arch 75 90 ...] [--compiler nvcc|nvrtc] [files ...]

Both compilers matter: nvcc is at hand for development, NVRTC is what a user's machine runs. Their register counts
differ a little, since they inline differently.
"""

import argparse
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from compdistort.backend.device.cubin import FLAGS
from compdistort.backend.kernel_source import assemble, kernel_files

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
REGISTERS = 64
"""Registers a thread may have: 256 threads then fill a quarter of a multiprocessor, and four blocks fit."""

EXCEPTIONS: dict[str, tuple[int, str]] = {}
"""By kernel: how many registers it may have instead, and why."""

SHARED_BYTES = 48 * 1024
OTHERS = "   spills    stack   shared"
"""Columns of the table behind the registers."""

REPORT = ("-Xptxas", "-v")
UNITS = (
    "registers a thread; bytes spilled and of stack a thread, of shared memory a block, the most of any architecture"
)
FORBIDDEN = re.compile(r"\.ftz\b|\.approx\b|\.full\b|\bex2\.|\blg2\.|\.local\b|\bcall\b")
"""What no PTX of ours may hold: values that other engines could not reproduce, local memory, calls."""

_NAME = re.compile(r"Compiling entry function '(\w+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


class CompileError(Exception):
    """A kernel file that a compiler refuses; the text is the compiler's."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kernel needs on one architecture: registers a thread, bytes a thread or, for shared memory, a block."""

    kernel: str
    arch: int
    registers: int = 0
    stack: int = 0
    spills: int = 0
    shared: int = 0

    def problem(self):
        """Say what is beyond the budget, or nothing."""
        budget, _ = EXCEPTIONS.get(self.kernel, (REGISTERS, ""))
        found = {
            f"{self.spills} bytes spilled": self.spills > 0,
            f"{self.stack} bytes of stack": self.stack > 0,
            f"{self.shared} bytes of shared memory": self.shared > SHARED_BYTES,
            f"{self.registers} registers, budget {budget}": self.registers > budget,
        }
        return ", ".join(text for text, bad in found.items() if bad)


def usages(log, arch):
    """Read the assembler's report."""
    out, current = [], None
    for line in log.splitlines():
        if found := _NAME.search(line):
            current = Usage(found[1], arch)
        elif current and (found := _FRAME.search(line)):
            current = replace(current, stack=int(found[1]), spills=int(found[2]) + int(found[3]))
        elif current and (found := _USED.search(line)):
            out.append(replace(current, registers=int(found[1]), shared=int(found[2] or 0)))
            current = None
    return out


def check_text(text, arch, compiler):
    """Compile one assembled source; return the `Usage` of its kernels. The report is kept by content."""
    from cudahost.host_module import cached

    make, version = COMPILERS[compiler]

    def write(folder):
        report = folder / "report"
        report.write_text(make(text, arch, folder))
        return report

    return usages(cached((text, compiler, version(), arch, *FLAGS), ".log", write).read_text(), arch)


def _nvcc(text, arch, folder):
    source = folder / "unit.cu"
    source.write_text(text)
    flags = (f"-arch=sm_{arch}", *FLAGS, *REPORT, "-Werror", "all-warnings")
    command = ["nvcc", "-cubin", *flags, "-o", folder / "unit.cubin", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stderr


@cache
def _nvcc_version():
    return subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout


def _cupys_nvrtc():
    from cupy.cuda import nvrtc  # noqa: TID251 - it compiles without a device

    return nvrtc


def nvrtc_program(text, *options):
    """Compile by NVRTC; return its program, to be asked for PTX or for the log."""
    nvrtc = _cupys_nvrtc()

    program = nvrtc.createProgram(text, "unit.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options, *FLAGS))
    except nvrtc.NVRTCError as error:
        raise CompileError(nvrtc.getProgramLog(program)) from error
    return program


def _nvrtc(text, arch, _folder):
    return _cupys_nvrtc().getProgramLog(nvrtc_program(text, f"--gpu-architecture=sm_{arch}", "--ptxas-options=-v"))


def nvrtc_ptx(text, arch):
    """Return the PTX that NVRTC makes for a virtual architecture."""
    ptx = _cupys_nvrtc().getPTX(nvrtc_program(text, f"--gpu-architecture=compute_{arch}"))
    return ptx.decode() if isinstance(ptx, bytes) else ptx


def _nvrtc_version():
    return _cupys_nvrtc().getVersion()


COMPILERS = {"nvcc": (_nvcc, _nvcc_version), "nvrtc": (_nvrtc, _nvrtc_version)}


def compilers():
    """Return the compilers that this machine has."""
    from cudahost.host_module import lacks_nvcc

    found = [] if lacks_nvcc() else ["nvcc"]
    try:
        _nvrtc_version()
    except (ImportError, RuntimeError):
        return found
    return [*found, "nvrtc"]


def check(compiler, architectures=ARCHITECTURES, files=None):
    """Return the `Usage` of all kernels, by file, architecture and kernel."""
    found = {}
    for file in files or kernel_files():
        text = assemble(file)
        for arch in architectures:
            found[file, arch] = check_text(text, arch, compiler)
    return found


def table(found):
    """Return the lines of a table, a row a kernel: its registers by architecture, and the most of what else it takes.

    These are the bytes a thread spilled (stores and loads), those of its stack, and those of a block's shared memory.
    """
    architectures = sorted({arch for _, arch in found})
    lines = [f"{'kernel':36}" + "".join(f"{f'sm_{arch}':>7}" for arch in architectures) + OTHERS]
    for file in sorted({file for file, _ in found}):
        by_kernel = {}
        for (where, arch), each in found.items():
            for usage in each if where == file else ():
                by_kernel.setdefault(usage.kernel, {})[arch] = usage
        for kernel, row in by_kernel.items():
            columns = "".join(f"{row[arch].registers:7}" for arch in architectures)
            bad = "; ".join(f"sm_{arch}: {usage.problem()}" for arch, usage in row.items() if usage.problem())
            most = "".join(f"{max(getattr(each, what) for each in row.values()):9}" for what in OTHERS.split())
            lines.append(f"{f'{file}.{kernel}':36}{columns}{most}   {f'BAD: {bad}' if bad else 'ok'}")
    return lines


def main(arguments):
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="kernel files without .cu; default all")
    parser.add_argument("--arch", type=int, nargs="+", default=ARCHITECTURES)
    parser.add_argument("--compiler", choices=COMPILERS, help="default: all that are found")
    chosen = parser.parse_args(arguments)
    status = 0
    for compiler in [chosen.compiler] if chosen.compiler else compilers():
        lines = table(check(compiler, chosen.arch, chosen.files))
        print(f"{compiler} {' '.join(FLAGS)}", UNITS, *lines, sep="\n", flush=True)
        status |= any("BAD" in line for line in lines)
    return int(status)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make kernels | head`
    raise SystemExit(main(sys.argv[1:]))
