"""Times the CUDA engine on a device: ``python bench/gpu.py [--quick] [--json]``.

Every stage first proves that its bits are the plain twin's; else it is marked FAILED and has no speed. Rates are given
beside the copy rate and the fma rate of the same device, measured in the same run, and beside other libraries on the
same device and host. Nothing is ever shown that was not measured here: ``--smoke`` runs the whole script on a machine
without a device, on a stand-in, and drops every time.

Exit codes: 0 all bits right, 1 a stage FAILED, 4 no device that can be used.
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

from gpu_machine import open_host_machine, open_machine  # noqa: E402 - found by the line above
from gpu_report import FAILED, Bench, document, table  # noqa: E402
from gpu_scenes import FULL, QUICK, SMOKE  # noqa: E402
from gpu_stages import STAGES, Stages  # noqa: E402

import compdistort  # noqa: E402
from compdistort.backend import choose  # noqa: E402
from compdistort.backend.kernel_source import assemble, kernel_files  # noqa: E402
from compdistort.errors import EXIT_RESOURCE, CompdistortError  # noqa: E402

FULL_SECONDS, QUICK_SECONDS = 3600.0, 240.0


def _parser():
    parser = argparse.ArgumentParser(description="Time the CUDA engine, after proving its bits.")
    parser.add_argument("--device", type=int, help="number of the CUDA device; default the first usable one")
    parser.add_argument("--quick", action="store_true", help=f"fewer sizes and rounds, at most {QUICK_SECONDS:.0f} s")
    parser.add_argument("--smoke", action="store_true", help="run everything on a stand-in, tiny, without any time")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=(), help="these stages alone")
    parser.add_argument("--seconds", type=float, help="begin no new measurement after so many seconds")
    parser.add_argument("--json", action="store_true", help="print JSON; the table goes to stderr")
    parser.add_argument("--output", type=Path, help="JSON file; default bench/results/<device>-<date>.json")
    return parser


def main(arguments=None):
    options = _parser().parse_args(arguments)
    try:
        machine = open_host_machine() if options.smoke else open_machine(_device(options.device))
    except CompdistortError as error:
        print(f"bench/gpu.py: no device, nothing measured: {error}", file=sys.stderr)
        return EXIT_RESOURCE
    path = options.output or (None if options.smoke else _result_path(machine.facts["device"]))
    if lacks := _unwritable(path):
        print(f"bench/gpu.py: nothing measured: {lacks}", file=sys.stderr)
        return EXIT_RESOURCE
    began = time.monotonic()
    default = QUICK_SECONDS if options.quick else FULL_SECONDS
    seconds = default if options.seconds is None else options.seconds
    bench = Bench(
        machine,
        rounds=5 if options.quick or options.smoke else 9,
        row_seconds=10.0 if options.quick else 60.0,
        deadline=began + seconds,
        speeds=not options.smoke,
    )
    sizes = SMOKE if options.smoke else QUICK if options.quick else FULL
    Stages(machine, sizes, bench).run(options.only)
    about = {"date": _now(), "seconds": round(time.monotonic() - began, 1), "smoke": options.smoke, **_software()}
    if options.smoke:
        del about["seconds"]
    found = document(bench, machine.facts, about)
    print(table(bench, machine.facts), file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(found, indent=1))
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}", file=sys.stderr)
    return 1 if any(row.status == FAILED for row in bench.rows) else 0


def _device(number):
    """Return the device's number: the one asked for, or that of the first usable one."""
    return choose("cuda" if number is None else f"cuda:{number}").devices[0]


def _unwritable(path):
    """Make the folder of the results; say why none can be written there, or nothing: before an hour is spent."""
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except OSError as error:
        return f"{path.parent} cannot be written to ({error.strerror}); name another file with --output"
    return ""


def _software():
    """Name what was measured better than a version can."""
    kernels = hashlib.sha256("".join(assemble(name) for name in kernel_files()).encode()).hexdigest()
    return {"compdistort": compdistort.__version__, "kernels_sha256": kernels}


def _now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def _result_path(device):
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return BENCH / "results" / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"


if __name__ == "__main__":
    sys.exit(main())
