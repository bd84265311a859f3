"""What a whole study costs: ``python bench/study_cost.py STUDY.toml [CHECKOUT] [--threads N] [--output JSON]``.

Runs ``compdistort run`` in a process of its own, with the package of another checkout where one is given, into a folder
that is removed afterwards, and prints wall time, processor time and peak resident memory. The network of the forest is
compiled anew: its cache is a folder of its own. ``bench/foci_h2ax.toml`` is the study that README.md tells of.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
POLL_SECONDS = 0.1


def _parser():
    parser = argparse.ArgumentParser(description="Time a whole study and watch its memory.")
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("checkout", type=Path, nargs="?", default=BENCH.parent, help="folder that holds compdistort/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file that the figures are added to")
    return parser


def main(arguments=None):
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="study-cost-") as folder:
        found = _measure(options, Path(folder))
    print(json.dumps(found, indent=1))
    if options.output is not None:
        before = json.loads(options.output.read_text()) if options.output.exists() else []
        options.output.write_text(json.dumps([*before, found], indent=1) + "\n")
    return 0 if found["exit_code"] == 0 else 1


def _measure(options, folder):
    environment = {**os.environ, "PYTHONPATH": str(options.checkout.resolve()), "COMPDISTORT_CACHE": str(folder / "c")}
    words = ["run", str(options.study.resolve()), "-o", str(folder / "s.cdist"), "--progress", "none"]
    command = [sys.executable, "-m", "compdistort", *words, "--threads", str(options.threads)]
    load, began = os.getloadavg()[0], time.monotonic()
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak_bytes(process.pid))
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - began
    times = os.times()
    return {
        "study": options.study.name,
        "commit": _commit(options.checkout),
        "threads": options.threads,
        "wall_seconds": round(seconds, 1),
        "processor_seconds": round(times.children_user + times.children_system, 1),
        "peak_bytes": peak,
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "exit_code": process.returncode,
        "said": [line for line in process.stdout.read().strip().splitlines() if not line.startswith("report:")],
        "machine": _machine(),
    }


def _peak_bytes(pid):
    """Return the high-water mark of a process's resident memory, 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), default=0)


def _commit(checkout):
    words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _machine():
    sys.path.insert(0, str(BENCH))
    from cpu_machine import facts

    found = facts()
    return {name: found[name] for name in ("processor", "cores", "vectors", "versions")}


if __name__ == "__main__":
    sys.exit(main())
