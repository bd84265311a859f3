"""Runs the kernel tests of the level `asan`: the kernels under AddressSanitizer and UBSan. Needs g++.

The sanitizers' libraries must be the first that a process loads, so the tests run in a child that preloads them.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("libasan.so", "libubsan.so")


def environment(compiler):
    """Return the child's environment, or None where the compiler has no sanitizers."""
    found = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in LIBRARIES
    ]
    if not all(Path(path).is_absolute() for path in found):
        return None
    return {**os.environ, "LD_PRELOAD": " ".join(found), "ASAN_OPTIONS": "detect_leaks=0"}


def main(arguments):
    """Run the tests; return the exit status: that nothing ran is a failure, that nothing can run is not."""
    compiler = os.environ.get("CXX") or "g++"
    preloaded = environment(compiler) if shutil.which(compiler) else None
    if preloaded is None:
        print(f"sanitize: skipped, no {compiler} with {' and '.join(LIBRARIES)}")
        return 0
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-k", "asan", "tests/kernels", *arguments]
    child = subprocess.Popen(command, cwd=ROOT, env=preloaded, stdout=subprocess.PIPE, text=True)
    last = ""
    for line in child.stdout:
        print(line, end="")
        last = line if line.strip() else last
    if child.wait() == 0 and not re.search(r"\b[1-9]\d* passed", last):
        print("sanitize: no test of the level asan ran")
        return 1
    return child.returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
