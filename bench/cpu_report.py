"""What was measured: rows, floors and what became of them, as JSON, and as Markdown made from that JSON alone."""

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from cpu_gates import GateError
from cpu_turns import WorkerError

from compdistort.errors import CompdistortError

PASSED, UNDISTURBED, MISSED, FAILED, NOT_MEASURED, SHOWN = (
    "passed", "passed undisturbed", "MISSED", "FAILED", "not measured", "shown",
)  # fmt: skip
MET = (PASSED, UNDISTURBED)


@dataclass(frozen=True)
class Target:
    """A promise: the ratio of medians, peer over ours, must reach the floor; the aim is for AVX-512.

    A neighbour on the same physical core slows full vector code by up to a half and more, SciPy's loops far less. So a
    floor that medians miss counts as reached where the undisturbed times reach it (see `cpu_laps`: of both sides the
    fastest time of each piece of a call, summed); the table says so.
    """

    words: str
    floor: float
    aim: float


TARGETS = {
    "volume float": Target("whole replicate 3D, `ilastik` preset, float forest", 25, 45),
    "volume uint16": Target("whole replicate 3D, `ilastik` preset, uint16 bins", 30, 55),
    "volume uint8": Target("whole replicate 3D, `ilastik` preset, uint8 bins", 40, 80),
    "volume fast uint8": Target("whole replicate 3D, `fast` features, uint8 bins", 60, 120),
    "plane float": Target("whole replicate 2D, 200 trees, float forest", 18, 30),
    "plane uint8": Target("whole replicate 2D, 200 trees, uint8 bins", 40, 80),
    "features": Target("features alone, `ilastik` preset, 3D", 16, 33),
    "forest float": Target("forest alone, float features", 14, 28),
    "forest uint16": Target("forest alone, uint16 codes", 20, 40),
    "forest uint8": Target("forest alone, uint8 codes", 50, 110),
    "table": Target("object table, 19 parameters", 100, 300),
    "noise": Target("noise, exact law", 3, 8),
    "threads": Target("two threads against one", 1.5, 1.9),
}
"""By the `target` of their rows; each needs at least one, and all of its rows must reach the floor."""

COMPILE_SECONDS = {"none": 25.0, "uint16": 10.0, "uint8": 10.0}
"""Most seconds that a forest of 100 trees may take to compile, by its bins."""


@dataclass
class Row:
    """Ours against one peer, in nanoseconds a pixel of one call."""

    name: str
    ours: dict | None = None
    peer: dict | None = None
    peer_name: str = ""
    ratio: float | None = None
    undisturbed_ratio: float | None = None
    target: str = ""
    floor: float | None = None
    aim: float | None = None
    status: str = SHOWN
    note: str = ""


@dataclass
class Bench:
    """Collects what is measured; `speeds` off keeps that something ran and drops every number of time."""

    speeds: bool = True
    say: object = print
    rows: list[Row] = field(default_factory=list)
    gates: dict = field(default_factory=dict)
    forests: dict = field(default_factory=dict)
    stages: dict = field(default_factory=dict)
    growth: list = field(default_factory=list)
    absent: dict = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def compare(self, name, ours, peer, peer_name, *, target="", note=""):
        """Add a row from the `Times` of both."""
        row = Row(name, self._times(ours), self._times(peer), peer_name, target=target)
        row.note = "; ".join(words for words in (note, ours.note, peer.note) if words)
        if target:
            row.floor, row.aim = TARGETS[target].floor, TARGETS[target].aim
        if self.speeds:
            row.ratio = peer.median / ours.median
            row.undisturbed_ratio = peer.undisturbed / ours.undisturbed
            if target:
                undisturbed = row.undisturbed_ratio >= row.floor
                row.status = PASSED if row.ratio >= row.floor else UNDISTURBED if undisturbed else MISSED
        self.rows.append(row)
        times = f"{_ns(row.ours)} against {_ns(row.peer)} of {peer_name}"
        self.say(f"  {name}: {times}, {_ratios(asdict(row))} {row.status}")

    def _times(self, times):
        about = {"pixels": times.units, "rounds": times.rounds, "calls_a_round": times.calls_a_round}
        if not self.speeds:
            return about
        pieces = {"pieces": len(times.pieces), "undisturbed_ns": times.undisturbed}
        return about | {"calls": len(times.seconds), "median_ns": times.median, "min_ns": times.fastest} | pieces

    def compiled(self, name, seconds, forest, *, kind, limited):
        """Keep a forest's size and what compiling it took; `limited` where `COMPILE_SECONDS` holds."""
        known = self.forests.setdefault(name, {**forest, "bins": kind})
        if self.speeds and seconds:
            known["compile_seconds"] = seconds
            if limited:
                known["compile_limit_seconds"] = COMPILE_SECONDS[kind]
        self.say(f"  forest {name}: {known}")

    def miss(self, name, why):
        """Keep that a peer is not there, and why."""
        self.absent[name] = why
        self.say(f"  {name}: not measured: {why}")

    @contextmanager
    def stage(self, name):
        """A wrong result, or an engine that gives up, ends the stage and is told."""
        self.say(f"{name}:")
        try:
            yield
        except (GateError, CompdistortError, WorkerError) as error:
            kind = FAILED if isinstance(error, GateError) else NOT_MEASURED
            self.failures.append(f"{name}: {kind}: {error}")
            self.say(f"  {kind}: {error}")


def part(bench, about):
    """Return what one stage found, JSON-safe."""
    found = {
        **about, "rows": [asdict(row) for row in bench.rows], "forests": bench.forests, "stages": bench.stages,
        "growth": bench.growth, "identity": bench.gates, "absent": bench.absent, "failures": bench.failures,
    }  # fmt: skip
    return json.loads(json.dumps(found))


def document(parts, about):
    """Return everything: what the stages found, by their names, and what follows from all of them."""
    return json.loads(json.dumps(about)) | {"parts": parts, "verdicts": verdicts(parts)}


def joined(parts, key):
    """Return what all stages hold under a key, in their order; of two forests of one name the first."""
    held = [part[key] for part in parts.values()]
    if held and isinstance(held[0], list):
        return [each for one in held for each in one]
    found: dict = {}
    for each in held:
        found |= {name: value for name, value in each.items() if name not in found}
    return found


def verdicts(parts):
    """Return for each target and each limit whether it is met: passed, MISSED or not measured."""
    told = {}
    for key, target in TARGETS.items():
        states = [row["status"] for row in joined(parts, "rows") if row["target"] == key]
        told[target.words] = next((state for state in (MISSED, UNDISTURBED, PASSED) if state in states), NOT_MEASURED)
    for part in parts.values():  # a forest may be compiled in several stages: each time counts
        for name, forest in part["forests"].items():
            if "compile_limit_seconds" in forest:
                met = forest["compile_seconds"] <= forest["compile_limit_seconds"]
                before = told.get(f"compiling {name}", PASSED)
                told[f"compiling {name}"] = before if met else MISSED
    return told


def is_met(found):
    """Return whether every result is right and every floor reached."""
    return not joined(found["parts"], "failures") and set(found["verdicts"].values()) <= set(MET)


def markdown(found):
    """Return the tables of a document."""
    rows, absent = joined(found["parts"], "rows"), joined(found["parts"], "absent")
    told = [
        _where(found),
        _ratio_table([row for row in rows if row["target"]], floors=True),
        "Other peers, and what no floor refers to:",
        _ratio_table([row for row in rows if not row["target"]], floors=False),
        "Forests, whose size decides about speed:",
        _forest_table(joined(found["parts"], "forests")),
        "Growth, one replicate of a volume on one thread (hard scene):",
        _growth_table(joined(found["parts"], "growth")),
    ]  # fmt: skip
    if absent:
        told.append("Not measured here: " + "; ".join(f"{k} ({v})" for k, v in sorted(absent.items())) + ".")
    return "\n\n".join(each for each in told if each)


def _where(found):
    machine = found["machine"]
    versions = ", ".join(
        f"{name} {machine['versions'][package]}"
        for name, package in (("NumPy", "numpy"), ("SciPy", "scipy"), ("scikit-learn", "scikit-learn"))
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['vectors']}; {versions}; {found['date'][:10]}. "
        "Nanoseconds a pixel or voxel on one thread unless said, median of all calls, made in turns (in brackets the "
        "ratio of undisturbed times, the fastest of each piece of a call summed: a neighbour hits some pieces of every "
        "call); before any time is taken, masks, labels and tables are compared with scikit-learn's and SciPy's."
    )


def _ratio_table(rows, *, floors):
    head = ["", "ours", "peer", "", "ratio", *(["floor"] if floors else [])]
    lines = [
        [
            row["name"], _ns(row["ours"]), row["peer_name"], _ns(row["peer"]), _ratios(row),
            *([f"{row['floor']:g}" + ("" if row["status"] == PASSED else f" {row['status']}")] if floors else []),
        ]
        for row in rows
    ]  # fmt: skip
    return _table(head, lines, right=(1, 3, 4, 5))


def _forest_table(forests):
    head = ["", "trees", "inner nodes", "thresholds", "visits a pixel", "compiled in"]
    lines = [
        [
            name, str(f["trees"]), str(f["inner_nodes"]), str(f["distinct_thresholds"]), f"{f['visits_per_pixel']:.0f}",
            f"{f['compile_seconds']:.1f} s" if "compile_seconds" in f else "",
        ]
        for name, f in forests.items()
    ]  # fmt: skip
    return _table(head, lines, right=(1, 2, 3, 4, 5))


def _growth_table(growth):
    head = ["side", "forest", "ns a voxel", "peak memory", "bytes a voxel", "forecast", "forecast / peak"]
    lines = []
    for row in growth:
        peak, forecast = row.get("peak_bytes"), row["forecast_bytes"]
        shares = [_number(peak / row["voxels"]), _mib(forecast), _number(forecast / peak)] if peak else ["", "", ""]
        lines.append([f"{row['side']}^3", row["forest"], _ns(row), _mib(peak), *shares])
    return _table(head, lines, right=(2, 3, 4, 5, 6))


def _table(head, lines, right):
    if not lines:
        return ""
    rule = ["---:" if k in right else "---" for k in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def _ns(times):
    return _number((times or {}).get("median_ns"))


def _ratios(row):
    if row["ratio"] is None:
        return ""
    return f"{_number(row['ratio'])} ({_number(row['undisturbed_ratio'])})"


def _number(value):
    """Return three digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _mib(n_bytes):
    return "" if n_bytes is None else f"{_number(n_bytes / 2**20)} MiB"
