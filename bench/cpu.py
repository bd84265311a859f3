"""Times the CPU engine beside its peers: ``python bench/cpu.py [--quick] [--only STAGE ...] [--add JSON ...]``.

Every stage first proves its results: a wrong bit has no speed. All contenders of a row run in turns, in one process
where they can. A file ``.part`` is written after every stage, the result at the end; ``--add`` takes over the stages
that earlier results of the same machine and code hold, so that a run which was broken off goes on, and stages may run
where it is quiet. ``--patience SECONDS`` bounds the further rounds of each contender, which go on until undisturbed
times settle.
``--readme`` measures nothing and writes the tables of the newest result into README.md.

Exit codes: 0 all results right and all floors reached, 1 not, 2 usage.
"""

import os
import sys

# One thread each, the peers too: set before NumPy is imported; where it is already, this is not the program.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR") if "numpy" not in sys.modules else ():
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse  # noqa: E402
import json  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

from readme_block import RESULTS, write_readme  # noqa: E402

SAME = ("processor", "cores", "flags", "sources", "versions")
"""What stages must have in common to stand in one table."""


def _parser():
    parser = argparse.ArgumentParser(description="Time the CPU engine beside its peers, after proving its results.")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds: to see that all is well")
    parser.add_argument("--smoke", action="store_true", help="run everything, tiny, without any time")
    parser.add_argument("--only", nargs="+", default=(), metavar="STAGE", help="these stages alone")
    parser.add_argument("--add", nargs="+", default=(), type=Path, metavar="JSON", help="take over stages of results")
    parser.add_argument("--patience", type=_seconds, help="seconds of further rounds, for each contender")
    parser.add_argument("--output", type=Path, help="JSON file; default bench/results/cpu_<machine>.json")
    parser.add_argument("--readme", action="store_true", help="write README.md's tables from the newest result")
    return parser


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 on")
    return value


def main(arguments=None):
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.readme:
        from cpu_report import markdown

        return write_readme("cpu", markdown)
    # Compiled networks are kept by content: a folder of its own makes the seconds of compiling true.
    before = os.environ.get("COMPDISTORT_CACHE")
    with tempfile.TemporaryDirectory(prefix="bench-cpu-") as folder:
        os.environ["COMPDISTORT_CACHE"] = str(Path(folder) / "cache")
        try:
            return _measure(parser, options, Path(folder))
        finally:
            del os.environ["COMPDISTORT_CACHE"]
            if before is not None:
                os.environ["COMPDISTORT_CACHE"] = before


def _measure(parser, options, folder):
    from cpu_machine import file_name
    from cpu_report import is_met, joined
    from cpu_stages import FULL, QUICK, SMOKE, STAGES, Stages

    if unknown := set(options.only) - set(STAGES):
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; use {', '.join(STAGES)}")
    mode, sizes = ("smoke", SMOKE) if options.smoke else ("quick", QUICK) if options.quick else ("full", FULL)
    left = lambda parts: options.only or [name for name in STAGES if name not in parts]  # noqa: E731
    parts, machine = _taken_over(parser, options.add, mode, left)
    path = options.output
    if path is None and mode == "full" and (options.add or not options.only):
        path = (RESULTS / file_name(machine)).with_suffix(".part")
    patience = {} if options.patience is None else {"patience": options.patience}
    say = lambda words: print(words, file=sys.stderr, flush=True)  # noqa: E731
    stages = Stages(not options.smoke, say, sizes, folder, **patience)
    for name in left(parts):
        parts[name] = _stage(stages, name)
        _write(path, _document(parts, mode, machine))
    found = _document(parts, mode, machine)
    if found["mode"] == "full" and options.output is None:
        path.unlink(missing_ok=True)
        path = path.with_suffix(".json")
    _write(path, found)
    _tell(found, path)
    if found["mode"] == mode and not options.smoke:
        return 0 if is_met(found) else 1
    return 1 if joined(parts, "failures") else 0


def _stage(stages, name):
    """Run a stage and return what it found; a smoke run keeps no time."""
    from cpu_report import part

    about, began = {"date": _now()}, time.monotonic()
    if stages.bench.speeds:
        about["load_before"] = os.getloadavg()[0]
    bench = stages.run(name)
    if bench.speeds:
        about["seconds"] = round(time.monotonic() - began, 1)
    return part(bench, about)


def _tell(found, path):
    """Print the tables, the verdicts and what failed; a full result of this folder goes into README.md."""
    from cpu_report import joined, markdown

    print(markdown(found))
    for name, state in found["verdicts"].items():
        print(f"{state:>14}: {name}", file=sys.stderr)
    for failure in joined(found["parts"], "failures"):
        print(failure, file=sys.stderr)
    if path is not None:
        print(f"written: {path}", file=sys.stderr)
        if path.parent == RESULTS and found["mode"] == "full":
            write_readme("cpu", markdown)


def _now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def _document(parts, mode, machine):
    """Return the document of all stages, in their order; without one of them it is not full."""
    from cpu_report import document
    from cpu_stages import STAGES

    parts = {name: parts[name] for name in STAGES if name in parts}
    whole = mode if len(parts) == len(STAGES) else f"{mode}, {len(parts)} of {len(STAGES)} stages"
    newest = max(part["date"] for part in parts.values())
    return document(parts, {"date": newest, "mode": whole, "machine": machine})


def _taken_over(parser, paths, mode, runs):
    """Return the stages of earlier results and their machine; a mixture of machines, code or modes is refused.

    Stages that failed are not taken over, and of two files with the same stage one is refused. Where a stage `runs`
    here too, all must be of this machine: `runs` takes the stages taken over and returns whether.
    """
    from cpu_machine import facts

    found, parts = [_earlier(parser, path, mode) for path in paths], {}
    for path, each in zip(paths, found, strict=True):
        taken = {name: part for name, part in each["parts"].items() if not part["failures"]}
        if twice := sorted(parts.keys() & taken):
            parser.error(f"{path} has the stage {twice[0]} of another file; leave one of them out")
        parts |= taken
    machine = facts() if runs(parts) or not found else found[0]["machine"]
    for path, each in zip(paths, found, strict=True):
        for name in SAME:
            if each["machine"][name] != machine[name]:
                parser.error(f"{path}: its {name} is {each['machine'][name]}, not {machine[name]}")
    return parts, machine


def _earlier(parser, path, mode):
    """Return an earlier result; what is none, or of another mode, is refused."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = found["mode"], found["parts"], *(found["machine"][name] for name in SAME)
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{path} is no result of this benchmark ({error!r}); give a file that it wrote")
    if known[0].partition(",")[0] != mode:
        parser.error(f"{path} is of the mode {known[0]}, this run is {mode}")
    return found


def _write(path, found):
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
