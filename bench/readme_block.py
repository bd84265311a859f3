"""Results of benchmarks in README.md: the newest one of a kind, and its block between two marks."""

import json
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
RESULTS, README = BENCH / "results", BENCH.parent / "README.md"


def newest(folder, kind):
    """Return the full result of a kind with the newest date in a folder, as (path, document); None without one."""
    found = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob(f"{kind}_*.json"))]
    return max((each for each in found if each[1]["mode"] == "full"), key=lambda each: each[1]["date"], default=None)


def replace_block(text, kind, block):
    """Return a text with the block between the marks of a kind; raise ValueError where they are missing."""
    begin, end = f"<!-- bench:{kind} -->", f"<!-- /bench:{kind} -->"
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"the text lacks the marks {begin} and {end}")
    return f"{before}{begin}\n{block}\n{end}{after}"


def block_of(path, document, markdown):
    """Return what README.md holds of a result."""
    return f"{markdown(document)}\n\nAll figures: `bench/results/{path.name}`."


def write_readme(kind, markdown):
    """Write the newest result of a kind into README.md; return the exit code: 1 where there is none."""
    found = newest(RESULTS, kind)
    if found is None:
        print(f"no full result of {kind} in {RESULTS}; run the benchmark first", file=sys.stderr)
        return 1
    text = replace_block(README.read_text(encoding="utf-8"), kind, block_of(*found, markdown))
    README.write_text(text, encoding="utf-8")
    return 0
