"""Times the CPU engine beside its peers: ``python bench/cpu.py [--quick] [--only STAGE ...]``.

Every stage first proves its results: a wrong bit has no speed. All contenders of a row run in turns, in one process
where they can. ``--readme`` measures nothing and writes the tables of the newest result into README.md.

Exit codes: 0 all results right and all floors reached, 1 not, 2 usage.
"""

import os

# One thread each, the peers too: set before NumPy is imported.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

from readme_block import RESULTS, write_readme  # noqa: E402


def _parser():
    parser = argparse.ArgumentParser(description="Time the CPU engine beside its peers, after proving its results.")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds: to see that all is well")
    parser.add_argument("--smoke", action="store_true", help="run everything, tiny, without any time")
    parser.add_argument("--only", nargs="+", default=(), metavar="STAGE", help="these stages alone")
    parser.add_argument("--output", type=Path, help="JSON file; default bench/results/cpu_<machine>.json")
    parser.add_argument("--readme", action="store_true", help="write README.md's tables from the newest result")
    return parser


def main(arguments=None):
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.readme:
        from cpu_report import markdown

        return write_readme("cpu", markdown)
    # Compiled networks are kept by content: a folder of its own makes the seconds of compiling true.
    with tempfile.TemporaryDirectory(prefix="bench-cpu-") as folder:
        os.environ["COMPDISTORT_CACHE"] = str(Path(folder) / "cache")
        return _measure(parser, options, Path(folder))


def _measure(parser, options, folder):
    from cpu_machine import facts, file_name
    from cpu_report import Bench, document, is_met, markdown
    from cpu_stages import FULL, QUICK, SMOKE, STAGES, Stages

    if unknown := set(options.only) - set(STAGES):
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; use {', '.join(STAGES)}")
    mode, sizes = ("smoke", SMOKE) if options.smoke else ("quick", QUICK) if options.quick else ("full", FULL)
    began = time.monotonic()
    machine = facts()
    bench = Bench(speeds=not options.smoke, say=lambda words: print(words, file=sys.stderr, flush=True))
    Stages(bench, sizes, folder).run(options.only)
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "mode": mode, "machine": machine}
    if not options.smoke:
        about["seconds"] = round(time.monotonic() - began, 1)
        about["load_after"] = os.getloadavg()[0]
    found = document(bench, about)
    print(markdown(found))
    for name, state in found["verdicts"].items():
        print(f"{state:>14}: {name}", file=sys.stderr)
    for failure in found["failures"]:
        print(failure, file=sys.stderr)
    path = options.output
    if path is None and mode == "full" and not options.only:
        path = RESULTS / file_name(machine)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}", file=sys.stderr)
        if path.parent == RESULTS and mode == "full":
            write_readme("cpu", markdown)
    if options.smoke or options.only:
        return 1 if found["failures"] else 0
    return 0 if is_met(found) else 1


if __name__ == "__main__":
    sys.exit(main())
