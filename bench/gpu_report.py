"""What was measured: rows with derived rates, the targets, and both as a table and as JSON."""

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from gpu_stages import GateError

from compdistort.errors import DeviceFailedError

MEASURED, FAILED, MISSED = "measured", "FAILED", "not measured"
COPY_SHARE, STACK_RATIO, CHAIN_RATIO, STACK_SECONDS = 0.7, 5.0, 50.0, 2.0
MANY = 1000


@dataclass
class Row:
    """One thing under the clock; without numbers where it was not measured."""

    stage: str
    name: str
    status: str = MEASURED
    note: str = ""
    peer: bool = False
    rounds: int = 0
    calls_a_round: int = 0
    median: float | None = None
    fastest: float | None = None
    voxels: int | None = None
    n_bytes: int | None = None
    ns_per_voxel: float | None = None
    gb_s: float | None = None
    of_copy_rate: float | None = None
    of_fma_rate: float | None = None
    of_bound: float | None = None
    bytes_to_host: float | None = None


@dataclass
class Bench:
    """Collects rows; `speeds` off (the stand-in) keeps that something ran and drops every number of time."""

    machine: object
    rounds: int
    row_seconds: float
    deadline: float
    speeds: bool = True
    rows: list[Row] = field(default_factory=list)
    copy_rate: float | None = None
    fma_rate: float | None = None
    lost: str = ""
    _stage: str = ""

    def add(self, name, work, *, voxels, n_bytes=None, fma=None, peer=False, note=""):
        """Time a call and return its row."""
        row = Row(self._stage, name, voxels=int(voxels), n_bytes=n_bytes, peer=peer, note=note)
        self.rows.append(row)
        if time.monotonic() > self.deadline:
            row.status, row.note = MISSED, "out of time"
            return row
        timing = self.machine.time(work, self.rounds, self.row_seconds)
        row.rounds, row.calls_a_round = len(timing.rounds), timing.calls
        if self.speeds:
            self._derive(row, timing, fma)
        return row

    def _derive(self, row, timing, fma):
        seconds = timing.median
        row.median, row.fastest = seconds, timing.fastest
        row.ns_per_voxel = seconds / row.voxels * 1e9
        row.gb_s = None if row.n_bytes is None else row.n_bytes / seconds / 1e9
        bounds = []
        if row.n_bytes and self.copy_rate:
            row.of_copy_rate = row.gb_s / self.copy_rate
            bounds.append(row.of_copy_rate)
        if fma and self.fma_rate:
            row.of_fma_rate = fma / seconds / self.fma_rate
            bounds.append(row.of_fma_rate)
        row.of_bound = max(bounds, default=None)

    def miss(self, name, why):
        """Keep that something was not measured, and why."""
        self.rows.append(Row(self._stage, name, status=MISSED, note=why))

    def closed(self, name):
        """Say whether a stage cannot begin, and keep why."""
        self._stage = name
        why = self.lost or ("out of time" if time.monotonic() > self.deadline else "")
        if why:
            self.miss(name, why)
        return bool(why)

    @contextmanager
    def stage(self, name):
        """Name the stage; a wrong bit takes away its speeds, another error ends it, a lost device ends all."""
        self._stage = name
        try:
            yield
        except GateError as error:
            self.rows = [row for row in self.rows if row.stage != name]
            self.rows.append(Row(name, name, status=FAILED, note=str(error)))
        except Exception as error:  # whatever it is, it belongs into the table
            first = (str(error).splitlines() or [""])[0]
            self.rows = [row for row in self.rows if row.stage != name or row.rounds or row.status != MEASURED]
            self.miss(name, f"{type(error).__name__}: {first}")
            self.lost = f"the device is lost since stage {name}" if isinstance(error, DeviceFailedError) else ""

    def find(self, *words):
        """Return the measured rows whose names hold all words."""
        return [r for r in self.rows if r.median is not None and all(word in r.name for word in words)]


@dataclass
class Target:
    """One promise and what became of it: met, missed or not measured."""

    name: str
    status: str
    words: str


def targets(bench):
    """Return every target with what was measured for it."""
    return [
        _noise_target(bench),
        *(_stack_target(bench, preset) for preset in ("plain", "ilastik")),
        *(_chain_target(bench, sides) for sides in ("^2", "^3")),
        _light_sheet_target(bench),
        _many_target(bench),
    ]


def _judged(name, fulfilled, words):
    return Target(name, "met" if fulfilled else "missed", words)


def _noise_target(bench):
    name = f"replicates at {COPY_SHARE:.0%} of the copy rate, or of the rate of issue"
    found = [row for row in bench.find("noise scalar, 1000 e-") if row.of_copy_rate is not None]
    if not found:
        return Target(name, MISSED, "")
    words = f"{found[0].of_copy_rate:.0%} of the copy rate"
    if found[0].of_copy_rate >= COPY_SHARE:
        return _judged(name, fulfilled=True, words=words)
    # A profiler must count the instructions before the other limit can be judged.
    return Target(name, MISSED, f"{words}; the rate of issue may be nearer, ask ncu")


def _stack_target(bench, preset):
    name = f"stack {preset}, 7 sigmas in 3D: {STACK_RATIO:g} times cupyx / cuCIM"
    ratios = []
    for ours in [row for row in bench.find(f"stack {preset} ") if not row.peer]:
        peers = [row for library in ("cupyx", "cuCIM") for row in bench.find(f"{ours.name}, {library}")]
        if peers:
            ratios.append((min(row.median for row in peers) / ours.median, ours.name))
    if not ratios:
        return Target(name, MISSED, "")
    words = ", ".join(f"{ratio:.1f} times ({of})" for ratio, of in ratios)
    return _judged(name, min(ratios)[0] >= STACK_RATIO, words)


def _chain_target(bench, sides):
    kind = "image" if sides == "^2" else "volume"
    name = f"noise to mask, 100 trees, {kind}: {CHAIN_RATIO:g} times NumPy + SciPy + scikit-learn on the host's cores"
    ours = bench.find("noise to mask", sides, "voter device")
    peers = [row for row in bench.find("noise to mask", "scikit-learn") if row.name.count("x") == int(sides[1]) - 1]
    if not ours or not peers:
        return Target(name, MISSED, "")
    ratio = peers[0].ns_per_voxel / ours[0].ns_per_voxel
    return _judged(name, ratio >= CHAIN_RATIO, f"{ratio:.0f} times a voxel ({ours[0].name} against {peers[0].name})")


def _light_sheet_target(bench):
    name = f"one replicate of 550 x 2048 x 2048 in {STACK_SECONDS:g} s, noise to labels and object sums"
    found = bench.find("noise to object sums 550x2048x2048")
    if not found:
        return Target(name, MISSED, "")
    words = f"{found[0].median:.2f} s (the 3D object table is not part of it)"
    return _judged(name, found[0].median <= STACK_SECONDS, words)


def _many_target(bench):
    name = f"{MANY} replicates of 512^3 without a round trip of features"
    found = bench.find("replicates of 512^3, noise to mask")
    if not found:
        return Target(name, MISSED, "")
    row, count = found[0], int(found[0].name.split()[0])
    words = f"{row.median / count * MANY:.0f} s for {MANY}, from {count} measured; {row.note}"
    return _judged(name, row.bytes_to_host < row.voxels / count, words)


def document(bench, facts, about):
    """Return everything, JSON-safe."""
    rows = [{key: value for key, value in asdict(row).items() if value not in (None, "")} for row in bench.rows]
    return {**about, "machine": facts, "rows": rows, "targets": [asdict(target) for target in targets(bench)]}


def table(bench, facts):
    """Return everything for people."""
    lines = [f"{key}: {value}" for key, value in facts.items() if key != "host"]
    lines += [f"host: {facts['host']['processor']}, {facts['host']['cores']} cores, {facts['host']['packages']}", ""]
    head = ("", "median", "fastest", "n", "ns/voxel", "GB/s", "of copy", "of fma", "")
    cells = [head, *(_cells(row) for row in bench.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head) - 1)]
    for row in cells:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers, row[-1]]).rstrip())
    lines.append("")
    lines += [f"{target.status:>12}: {target.name}  {target.words}".rstrip() for target in targets(bench)]
    return "\n".join(lines)


def _cells(row):
    if row.status != MEASURED:
        return (f"  {row.name}", "", "", "", "", "", "", "", f"{row.status}: {row.note}")
    return (
        f"  {row.name}", _seconds(row.median), _seconds(row.fastest), str(row.rounds), _number(row.ns_per_voxel, ".4g"),
        _number(row.gb_s, ".4g"), _number(row.of_copy_rate, ".1%"), _number(row.of_fma_rate, ".1%"), row.note,
    )  # fmt: skip


def _number(value, form):
    return "" if value is None else format(value, form)


def _seconds(value):
    if value is None:
        return ""
    return f"{value * 1e3:.3f} ms" if value < 1 else f"{value:.3f} s"
