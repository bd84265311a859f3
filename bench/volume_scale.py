"""One replicate of a volume that memory does not hold, from noise to object table: ``python bench/volume_scale.py``.

Planes of a simulated light-sheet volume are read from a file, drawn, decided slab by slab, joined to objects and
measured; nothing of them is stored. Planes take seconds each to simulate, so a block of them is made once and gone
through forwards and backwards in turn. Every size has a process of its own, whose peak resident memory is the system's
(``VmHWM``). On the smallest size the table is compared with that of the volume in memory: a wrong bit has no speed.
``--readme`` measures nothing and writes the table of the newest result into README.md.

Exit codes: 0 all results right, memory and growth within their limits, 1 not, 2 usage.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

from readme_block import RESULTS, write_readme  # noqa: E402

FULL = {
    "block": (64, 2048, 2048),
    "crop": 192,
    "sigmas": (),
    "sizes": [(128, 128, 128), (256, 256, 256), (512, 512, 512), (550, 2048, 2048)],
}
SMOKE = {"block": (12, 48, 64), "crop": 48, "sigmas": (0.7, 1.0), "sizes": [(14, 32, 40), (30, 48, 64)]}
SEED, REPLICATE = 20, 3
ANNOTATED = 4000
"""Pixels of each class that the forest is grown on."""

PEAK_LIMIT = 6 * 2**30
GROWTH_LIMIT = 1.25
"""Most processor time of a voxel of the largest volume, in those of a voxel of the next smaller one: what else runs on
the machine changes the wall time."""

STAGES = {"reading": "reading", "drawing": "noise", "deciding": "features and votes", "components": "components",
          "measuring": "table"}  # fmt: skip


def _parser():
    parser = argparse.ArgumentParser(description="Time a volume from noise to object table, and watch its memory.")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that all is well; no limit is judged")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slab", type=int, default=64, help="planes that are decided together")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="these of the sizes alone, from 0")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep block and model there, and use them again")
    parser.add_argument("--output", type=Path, help="JSON file; default bench/results/volume_<machine>.json")
    parser.add_argument("--readme", action="store_true", help="write README.md's table from the newest result")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser


def main(arguments=None):
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.readme:
        return write_readme("volume", markdown)
    plan = SMOKE if options.smoke else FULL
    chosen = range(len(plan["sizes"])) if options.sizes is None else options.sizes
    if any(not 0 <= number < len(plan["sizes"]) for number in chosen) or min(options.threads, options.slab) < 1:
        parser.error(f"sizes are 0 to {len(plan['sizes']) - 1}; threads and slab are at least 1")
    if options.part is not None:
        return _part(plan, options)
    with tempfile.TemporaryDirectory(prefix="bench-volume-") as folder:
        found = _measure(plan, chosen, options, options.keep or Path(folder))
    print(markdown(found))
    for name, state in found["verdicts"].items():
        print(f"{'met' if state else 'MISSED':>7}: {name}", file=sys.stderr)
    _write(found, options)
    return 0 if all(found["verdicts"].values()) else 1


def _measure(plan, chosen, options, folder):
    from cpu_machine import facts

    folder.mkdir(parents=True, exist_ok=True)
    machine = facts()
    there = folder / "made.json"
    made = json.loads(there.read_text(encoding="utf-8")) if there.exists() else _ask(options, folder, "make")
    rows = []
    for number in chosen:
        rows.append(_ask(options, folder, f"size {number}"))
        print(f"  {_row_words(rows[-1])}", file=sys.stderr, flush=True)
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "mode": "smoke" if options.smoke else "full",
        "machine": machine, "threads": options.threads, "slab": options.slab, "made": made, "rows": rows,
        "load_after": os.getloadavg()[0],
    }  # fmt: skip
    return found | {"verdicts": verdicts(found)}


def _ask(options, folder, part):
    """Let another process do a part; return what it says."""
    print(f"{part}:", file=sys.stderr, flush=True)
    words = ["--part", part, "--keep", str(folder), "--threads", str(options.threads), "--slab", str(options.slab)]
    command = [sys.executable, str(Path(__file__).resolve()), *words, *(["--smoke"] if options.smoke else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _part(plan, options):
    kind, _, number = options.part.partition(" ")
    found = _make(plan, options) if kind == "make" else _run(plan, plan["sizes"][int(number)], options)
    print(json.dumps(found))
    return 0


def _make(plan, options):
    """Simulate the block, grow the forest, and compile what the sizes need."""
    from compdistort.backend import get_backend
    from compdistort.features import FeatureSpec
    from compdistort.forest import save_classifier, train_classifier
    from compdistort.synthetic import SimulatedCamera, light_sheet

    began = time.monotonic()
    scene, camera = light_sheet(plan["block"], SEED), SimulatedCamera()
    with (options.keep / "block.raw").open("wb") as file:
        for plane, light in enumerate(scene.frames()):
            file.write(camera.read(light, np.random.default_rng([SEED, plane])).tobytes())
    simulated = time.monotonic() - began
    shape = (plan["block"][0], *(min(n, plan["crop"]) for n in plan["block"][1:]))
    middle = Repeated(options.keep / "block.raw", plan["block"], shape)
    classes = np.concatenate([middle.cut(scene.regions(z, z + 1)) for z in range(shape[0])])
    crop = middle.read_planes(0, shape[0])
    engine = get_backend("cpu", threads=options.threads)
    spec = FeatureSpec(set="ilastik", sigmas=plan["sigmas"])
    classifier, _ = train_classifier(crop, _annotations(classes), spec, "ilastik", 0, engine)
    save_classifier(options.keep / "model.npz", classifier)
    compiled = 0.0 if options.smoke else _compile(classifier)
    found = {
        "block": plan["block"], "simulation_seconds": round(simulated, 1), "compile_seconds": round(compiled, 1),
        "trees": classifier.forest.n_trees, "nodes": int(classifier.forest.feature.size), "objects": scene.n_objects,
        "features": classifier.forest.n_features,
    }  # fmt: skip
    (options.keep / "made.json").write_text(json.dumps(found), encoding="utf-8")
    return found


def _annotations(classes):
    """Return annotations of as many pixels of each class, at random places."""
    draw, out = np.random.default_rng(SEED), np.zeros(classes.shape, np.uint8)
    for value in np.unique(classes[classes > 0]):
        places = np.flatnonzero(classes == value)
        out.flat[draw.choice(places, min(ANNOTATED, places.size), replace=False)] = value
    return out


def _compile(classifier):
    """Compile the forest, so that no descent is measured; return the seconds, 0 where it was known."""
    from compdistort.backend.bitsliced.voter import voter_for

    return voter_for(classifier.forest, wait=True, foreground=classifier.foreground).seconds


class Repeated:
    """A volume of the middle of a block, whose planes come forwards and backwards in turn, read from its file.

    Parameters
    ----------
    path : Path
        Voxels of the block, uint16.
    block, shape : tuple of int
        Planes, rows, columns of both.
    """

    def __init__(self, path, block, shape):
        self.shape, self.dtype = tuple(shape), np.dtype(np.uint16)
        self._path, self._block = path, block
        self._row, self._column = ((n - m) // 2 for n, m in zip(block[1:], shape[1:], strict=True))

    def read_planes(self, start, stop):
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for plane, z in zip(out, range(start, stop), strict=True):
            plane[...] = self._plane(z % (2 * self._block[0]))
        return out

    def cut(self, planes):
        """Return rows and columns of this volume of whole planes of the block."""
        rows, columns = self.shape[1:]
        return planes[:, self._row : self._row + rows, self._column : self._column + columns]

    def _plane(self, z):
        plane, width = min(z, 2 * self._block[0] - 1 - z), self._block[2]
        offset = (plane * self._block[1] + self._row) * width * self.dtype.itemsize
        rows = np.fromfile(self._path, self.dtype, self.shape[1] * width, offset=offset).reshape(-1, width)
        return rows[:, self._column : self._column + self.shape[2]]


class Replicate:
    """A replicate of a volume, drawn where it is read; `clock` says how long that took."""

    def __init__(self, raw, noise, key, backend, clock):
        self.shape, self.dtype = raw.shape, raw.dtype
        self._raw, self._noise, self._key, self._backend, self._clock = raw, noise, key, backend, clock

    def read_planes(self, start, stop):
        with self._clock("reading"):
            planes = self._raw.read_planes(start, stop)
        with self._clock("drawing"):
            numbers = range(REPLICATE, REPLICATE + 1)
            return self._backend.replicate(planes, self._noise, self._key, numbers, (start, 0, 0))[0]


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage):
        began = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - began

    @contextmanager
    def of_calls(self, module, names, stage):
        """Count the calls of some functions of a module to a stage."""
        before = {name: getattr(module, name) for name in names}

        def timed(call):
            def run(*words):
                with self(stage):
                    return call(*words)

            return run

        for name, call in before.items():
            setattr(module, name, timed(call))
        try:
            yield
        finally:
            for name, call in before.items():
                setattr(module, name, call)


def _run(plan, shape, options):
    """Return the row of one size, measured in this process."""
    from compdistort.backend import get_backend
    from compdistort.backend.base import SegmentRule
    from compdistort.features import build_bank
    from compdistort.forest import load_classifier
    from compdistort.pipeline.environment import process_memory
    from compdistort.replicate import noise_tables
    from compdistort.rng import Stream, derive_key
    from compdistort.synthetic import SimulatedCamera

    classifier = load_classifier(options.keep / "model.npz")
    if not options.smoke:
        _compile(classifier)
    backend = get_backend("cpu", threads=options.threads)
    noise, key = noise_tables(SimulatedCamera().sensor()), derive_key(SEED, Stream.NOISE)
    rule = SegmentRule(foreground=classifier.foreground, connectivity=6)

    def volume(part, clock):
        raw = Repeated(options.keep / "block.raw", plan["block"], part)
        return Replicate(raw, noise, key, backend, clock), build_bank(classifier.features, 3, part), classifier.forest

    backend.volume_objects(*volume(plan["sizes"][0], Clock()), rule, options.slab)  # loads every loop
    clock, before, used = Clock(), process_memory()[0], time.process_time()
    total, (runs, table) = _timed(backend, volume(shape, clock), rule, options.slab, clock)
    used, (held, peak) = time.process_time() - used, process_memory()
    planes, bank, forest = volume(shape, Clock())
    results = sum(each.nbytes for each in (runs.row_start, runs.start, runs.end, runs.owner, table))
    return {
        "shape": shape, "voxels": math.prod(shape), "objects": len(table), "runs": int(runs.owner.size),
        "seconds": {name: round(value, 4) for name, value in clock.seconds.items()}, "total_seconds": round(total, 4),
        "processor_seconds": round(used, 4),
        "before_bytes": before, "after_bytes": held, "peak_bytes": peak, "result_bytes": int(results),
        "forecast_bytes": before + backend.slab_bytes(shape, bank, forest, options.slab, 2),
        "proved": _proved(backend, planes, bank, forest, rule, table) if shape == plan["sizes"][0] else None,
    }  # fmt: skip


def _timed(backend, volume, rule, slab, clock):
    from compdistort.backend.compiled import runs as loops

    with (
        clock.of_calls(loops, ("find_components", "drop_unowned"), "components"),
        clock.of_calls(loops, ("measure_runs",), "measuring"),
    ):
        began = time.perf_counter()
        found = backend.volume_objects(*volume, rule, slab)
        total = time.perf_counter() - began
    clock.seconds["deciding"] = total - sum(clock.seconds.values())
    return total, found


def _proved(backend, planes, bank, forest, rule, table):
    """Return whether the table is that of the volume in memory."""
    image = planes.read_planes(0, planes.shape[0])
    return bool(np.array_equal(backend.image_objects(image, bank, forest, rule).values, table))


def verdicts(found):
    """Return what must hold, and whether it does."""
    rows = found["rows"]
    told = {"the table is that of the volume in memory": all(row["proved"] is not False for row in rows)}
    if found["mode"] == "full":
        told[f"peak memory below {PEAK_LIMIT / 2**30:g} GiB"] = all(row["peak_bytes"] < PEAK_LIMIT for row in rows)
        times = [row["processor_seconds"] / row["voxels"] for row in rows]
        if len(times) > 1:
            told[f"processor time grows with the voxels, within a factor of {GROWTH_LIMIT:g}"] = (
                times[-1] <= GROWTH_LIMIT * times[-2]
            )
    return told


def markdown(found):
    """Return the table of a document."""
    machine, made = found["machine"], found["made"]
    last = ["in all", "processor", "ns a voxel", "peak memory", "forecast", "bytes a voxel"]
    head = ["volume", "objects", *STAGES.values(), *last]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *map(_cells, found["rows"])]
    return "\n".join([
        f"{machine['processor']}, {machine['vectors']}, {found['threads']} threads, slabs of {found['slab']} planes; "
        f"{found['date'][:10]}. Light sheet simulated as a block of {_size(made['block'])} voxels, its planes gone "
        f"through forwards and backwards; {made['trees']} trees on {made['features']} features. Seconds a stage; "
        "`processor` is that of all threads, nanoseconds are of the wall time, bytes a voxel the peak above what the "
        "process held before.",
        "",
        *("| " + " | ".join(line) + " |" for line in lines),
    ])  # fmt: skip


def _cells(row):
    more = row["peak_bytes"] - row["before_bytes"]
    return [
        _size(row["shape"]), f"{row['objects']:,}", *(f"{row['seconds'][name]:.2f}" for name in STAGES),
        f"{row['total_seconds']:.1f}", f"{row['processor_seconds']:.1f}",
        f"{1e9 * row['total_seconds'] / row['voxels']:.1f}",
        f"{row['peak_bytes'] / 2**20:.0f} MiB", f"{row['forecast_bytes'] / 2**20:.0f} MiB",
        f"{more / row['voxels']:.2f}",
    ]  # fmt: skip


def _row_words(row):
    rates = {STAGES[name]: row["voxels"] / seconds for name, seconds in row["seconds"].items() if seconds > 0}
    rate = ", ".join(f"{name} {value / 1e6:.1f}" for name, value in rates.items())
    return (
        f"{_size(row['shape'])}: {row['total_seconds']:.1f} s, {row['peak_bytes'] / 2**20:.0f} MiB; million voxels a "
        f"second: {rate}"
    )


def _size(shape):
    return " x ".join(map(str, shape))


def _write(found, options):
    from cpu_machine import file_name

    path = options.output
    if path is None and not options.smoke and options.sizes is None:
        path = RESULTS / f"volume_{file_name(found['machine']).removeprefix('cpu_')}"
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}", file=sys.stderr)
        if path.parent == RESULTS:
            write_readme("volume", markdown)


if __name__ == "__main__":
    sys.exit(main())
