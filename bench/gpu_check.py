"""Everything that a machine with a CUDA device must be asked, in less than eight minutes: ``make gpu-check``.

Tests of every kernel on the device, compute-sanitizer's memcheck and racecheck where the tool is there, and the quick
benchmark. Needs cupy, numba, numpy, scipy, scikit-learn, tifffile and pytest, no network, and installs nothing.

Exit codes: 0 nothing FAILED, 1 a step FAILED or the tests did not end in time, 4 no device that can be used.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compdistort.backend import choose  # noqa: E402 - found by the line above; imports nothing heavy
from compdistort.errors import EXIT_RESOURCE, BackendUnavailableError  # noqa: E402

PASSED, FAILED, OVERRAN, SKIPPED = "passed", "FAILED", "overran", "skipped"
SANITIZER_ERROR = 86
TOTAL_SECONDS = 465.0
LAST_MEASUREMENT_SECONDS = 60.0
"""The benchmark begins nothing new so long before its end."""


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes
    ----------
    name : str
        For the summary.
    command : tuple of str
        Without it the step is skipped, for the reason that `why` gives.
    seconds : float
        Its time; then it is killed.
    essential : bool
        Whether it must end in time.
    environment : tuple of (str, str)
        Further variables.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    essential: bool = False
    why: str = ""
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Result:
    """How a step ended."""

    step: Step
    outcome: str
    words: str
    seconds: float

    @property
    def good(self):
        return self.outcome != FAILED and not (self.outcome == OVERRAN and self.step.essential)


def steps(python):
    """Return the steps but the last."""
    kernels = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "kernels").glob("test_kernel_*.py"))
    pytest = (python, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider")
    chosen = ("-k", "device", "--require-backend", "cupy")
    return (
        Step("tests on the device", (*pytest, "tests/kernels", *chosen), 135, essential=True),
        *(_sanitized(tool, (*pytest, "-x", *kernels, *chosen)) for tool in ("memcheck", "racecheck")),
    )


def benchmark(python, seconds):
    """Return the last step, which takes the time that the others have left."""
    begin = str(max(1, round(seconds - LAST_MEASUREMENT_SECONDS)))
    return Step("benchmark", (python, "bench/gpu.py", "--quick", "--json", "--seconds", begin), seconds)


def _sanitized(tool, command):
    found = _sanitizer()
    name = f"compute-sanitizer {tool}"
    if found is None:
        return Step(name, (), 0, why="compute-sanitizer is neither on PATH nor in CUDA_HOME/bin")
    options = ("--tool", tool, "--error-exitcode", str(SANITIZER_ERROR), "--target-processes", "all")
    # Without CuPy's pool: inside one of its chunks an array has no edge that the tool could see.
    return Step(name, (found, *options, *command), 70, environment=(("COMPDISTORT_TESTS_WITHOUT_POOL", "1"),))


def _sanitizer():
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=str(Path(home) / "bin"))


def run(step):
    """Run one step and return how it ended; nothing that it started is left when its time is over."""
    if not step.command:
        return Result(step, SKIPPED, step.why, 0.0)
    print(f"\n--- {step.name}: {' '.join(step.command)}", flush=True)
    began = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | dict(step.environment)
    with subprocess.Popen(step.command, cwd=ROOT, env=environment, start_new_session=True) as process:
        try:
            code = process.wait(step.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Result(step, OVERRAN, f"not finished after {step.seconds:g} s", step.seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    outcome = PASSED if code == 0 else FAILED
    return Result(step, outcome, "" if code == 0 else f"exit code {code}", time.monotonic() - began)


def summary(results):
    """Return one line a step."""
    return "\n".join(f"{r.outcome:>8}  {r.step.name}, {r.seconds:.0f} s  {r.words}".rstrip() for r in results)


def missing_packages():
    """Return the packages that a step would fail without."""
    return [name for name in ("numpy", "scipy", "sklearn", "numba", "cupy", "pytest") if not find_spec(name)]


def main():
    if missing := missing_packages():
        print(
            f"gpu-check: nothing checked: {sys.executable} lacks {', '.join(missing)}; "
            "name another Python: make gpu-check GPU_PYTHON=.venv/bin/python",
            file=sys.stderr,
        )
        return EXIT_RESOURCE
    try:
        print(f"device: {choose('cuda').reason}", flush=True)
    except BackendUnavailableError as error:
        print(f"gpu-check: no device, nothing checked: {error}", file=sys.stderr)
        return EXIT_RESOURCE
    began = time.monotonic()
    results = [run(step) for step in steps(sys.executable)]
    results.append(run(benchmark(sys.executable, TOTAL_SECONDS - (time.monotonic() - began))))
    print(f"\n{summary(results)}")
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
