"""A sweep, end to end: one raw image, its replicates once, and any number of codecs and settings on them.

Every point (a codec with its settings, by content) has blocks of its own in the folder, so that a later call with one
more codec or ratio computes that alone, and a call that was stopped goes on where it was.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from compdistort.backend import device_parts
from compdistort.config import StudyConfig
from compdistort.errors import ImageFormatError, InterruptedStudyError, ResourceError
from compdistort.pipeline import environment
from compdistort.pipeline.blocks import run_blocks
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.forecast import forecast_lines, require_disk
from compdistort.pipeline.inputs import input_hashes, portable_config
from compdistort.pipeline.preparation import Prepared, notices, prepare, restored_chain
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_volume import streams
from compdistort.pipeline.reference import KEY, build_reference, load_reference
from compdistort.pipeline.step_call import refuse_code
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study_memory import fit_threads
from compdistort.pipeline.sweep_blocks import Filler, make_point_arrays, missing_raw, missing_units
from compdistort.pipeline.sweep_cost import forecast_sweep
from compdistort.pipeline.sweep_outcome import SweepOutcome, report_sweep
from compdistort.pipeline.sweep_points import Asked, Series, sweep_series
from compdistort.pipeline.sweep_raw import Placed, commit_raw, forget_settings, place_of, point_key, restored
from compdistort.pipeline.sweep_scores import Verdicts, walk
from compdistort.pipeline.sweep_store import (
    block_of,
    create_sweep,
    open_sweep,
    raw_study,
    require_same_raw_part,
    save_asked,
    sweep_section,
)
from compdistort.pipeline.workers import open_workers
from compdistort.replicate import tables_sha256
from compdistort.store import StudyStore

PROVENANCE = "provenance.json"


def run_sweep(
    config: StudyConfig,
    folder: Path,
    *,
    progress: Progress,
    stop: StopFlag,
    text: str = "",
    allow_code: bool = False,
) -> SweepOutcome:
    """Run a sweep, into a new folder or on with an old one; what is there already is not computed again.

    Parameters
    ----------
    config : StudyConfig
        What to do; its ``[[codec]]`` are left aside.
    folder : Path
        ``NAME.sweep``.
    progress : Progress
        Listener.
    stop : StopFlag
        Lets signals end the sweep between two images.
    text : str
        The study file as given, kept beside the results.
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    SweepOutcome

    Raises
    ------
    InputError
        If the folder's replicates belong to another image, sensor, classifier or seed.
    CompdistortError
        Bad input before anything is written; InterruptedStudyError later, and the same call goes on.
    """
    refuse_code(raw_study(config), allow_code=allow_code)
    series = sweep_series(sweep_section(config), allow_code=allow_code)
    prepared = None
    if folder.exists():
        store = open_sweep(folder)
        require_same_raw_part(store, config)
    else:
        StudyStore.require_absent(folder)
        prepared = prepare(raw_study(config), progress, allow_code=allow_code)
        stop.check()
        store = create_sweep(folder, config, text)
    with store.writing(), _resumable(folder):
        for key in store.verify():
            progress.say(f"block {key} is damaged; it is computed again")
        save_asked(store, config, finished=False)
        forget_settings(store)
        with stop.on_signals():
            images = _computed(store, config, series, prepared, progress, stop, allow_code=allow_code)
        progress.say("writing the report")
        outcome = replace(report_sweep(store, config), images=images)
        save_asked(store, config, finished=True)
        return outcome


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say of what stops a sweep half-way how to go on with it."""
    try:
        yield
    except (InterruptedStudyError, ResourceError, ImageFormatError) as error:
        first = f"{error.remedy}, then " if error.remedy else "every block that is done is kept: "
        error.remedy = f"{first}go on with `compdistort sweep {folder}`"
        raise


def _computed(
    store: StudyStore,
    config: StudyConfig,
    series: Sequence[Series],
    prepared: Prepared | None,
    progress: Progress,
    stop: StopFlag,
    *,
    allow_code: bool,
) -> int:
    """Compute what is missing, with a note of this session; return the images that went through the chain."""
    sessions = store.load_json(PROVENANCE).get("sessions", [])
    current = environment.session(config.compute.request)
    store.save_json(PROVENANCE, {"sessions": [*sessions, current]})
    began, made = time.monotonic(), int(not store.has(KEY))
    chain, reference = _reference(store, raw_study(config), prepared, progress, allow_code=allow_code)
    stop.check()
    sweep = _Sweep(chain, reference, store, config, block_of(store), progress, stop)
    images = made + sweep.run(series)
    current |= {"stop": environment.now(), "seconds": round(time.monotonic() - began, 1), "images": images}
    store.save_json(PROVENANCE, {"sessions": [*sessions, current]})
    return images


def _reference(
    store: StudyStore, config: StudyConfig, prepared: Prepared | None, progress: Progress, *, allow_code: bool
) -> tuple[Chain, Reference]:
    """Return chain and reference: from the store where committed, else computed and committed."""
    if store.has(KEY):
        chain = restored_chain(store, config, progress, allow_code=allow_code)
        return chain, load_reference(store, config, chain.sensor)
    prepared = prepared or prepare(config, progress, allow_code=allow_code)
    chain = replace(prepared.chain, slab=fit_threads(prepared.chain, config, ()).slab)
    facts = {
        "inputs": input_hashes(config),
        "config": portable_config(config),
        "provenance": {**environment.software(), "noise_tables_sha256": tables_sha256(chain.noise)},
        "sensor": chain.sensor.to_dict(),
        "classifier": prepared.trained.report,
        "warnings": notices(prepared, config.input.raw.name),
    }
    return chain, build_reference(chain, {}, config, store, facts, progress)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """A sweep at work, inside the lock of its folder."""

    chain: Chain
    reference: Reference
    store: StudyStore
    config: StudyConfig
    block: int
    progress: Progress
    stop: StopFlag

    @property
    def n(self) -> int:
        """Number of replicates."""
        return self.config.noise.replicates

    def run(self, series: Sequence[Series]) -> int:
        """Compute round after round until no curve asks for more; return the images that went through the chain."""
        verdicts = Verdicts(self.store, self.config, self.block)
        walked = [walk(each, self.store, verdicts) for each in series]
        places, images = self._raw_image([asked for _, following in walked for asked in following])
        searched = sum(
            each.most_after(len(done)) for each, (done, wanted) in zip(series, walked, strict=True) if wanted
        )
        self._say_cost(places, searched)
        images += self._replicates(places) + self._round(places)
        while following := [asked for each in series for asked in walk(each, self.store, verdicts)[1]]:
            places, made = self._raw_image(following)
            images += made + self._round(places)
        return images

    def _raw_image(self, following: Sequence[Asked]) -> tuple[list[Placed], int]:
        """Take the raw image through points; return these, and how many images were decided for it."""
        places, images = [], 0
        for asked in following:
            self.stop.check()
            new = place_of(self.store, asked) is None
            before = set(self.store.keys())
            placed = commit_raw(self.chain, self.reference, self.store, asked)
            places.append(placed)
            if placed.point and point_key(placed.point) not in before:
                images += int(self.store.facts(point_key(placed.point))["images"])
            if new:
                self.progress.say(f"{asked.words}: {self._words(placed)}")
        return places, images

    def _words(self, placed: Placed) -> str:
        if not placed.point:
            return f"refused, {placed.facts['refused']}"
        facts = self.store.facts(point_key(placed.point))
        missed = "" if placed.facts["reached"] else " (not reached)"
        return f"{facts['ratio']:.2f}:1{missed}, {facts['counts'][1]} objects"

    def _say_cost(self, places: Sequence[Placed], searched: int) -> None:
        raw = missing_raw(self.store, self.n, self.block)
        units = missing_units(self.store, places, self.n, self.block)
        if not raw and not units and not searched:
            return
        cost = forecast_sweep(
            self.chain, self.reference, raw_study(self.config), raw=raw, units=units, searched=searched
        )
        for line in forecast_lines(cost, self.chain):
            self.progress.say(line)
        require_disk(self.store.folder, cost.disk_bytes)

    def _fitted(self, places: Sequence[Placed]) -> tuple[Chain, int]:
        """Return the chain and the threads that fit into the memory limit."""
        codecs = [restored(self.chain, each) for each in places if each.point]
        fit = fit_threads(self.chain, raw_study(self.config), codecs, self.reference.objects.n_runs)
        chain = replace(self.chain, slab=fit.slab)
        return chain, 1 if streams(chain) else fit.threads

    def _replicates(self, places: Sequence[Placed]) -> int:
        """Compute the rows of the replicates themselves, as a study without codecs does."""
        images = missing_raw(self.store, self.n, self.block)
        chain, threads = self._fitted(places)
        run_blocks(
            chain,
            self.reference,
            self.store,
            n_replicates=self.n,
            block=self.block,
            devices=device_parts(self.config.compute.device),
            forest=self.config.compute.forest,
            threads=threads,
            stop=self.stop,
            progress=self.progress,
        )
        return images

    def _round(self, places: Sequence[Placed]) -> int:
        """Compute the missing blocks of points."""
        units = missing_units(self.store, places, self.n, self.block)
        points = {each.point for each in places if each.point}
        for point in points:
            make_point_arrays(self.store, self.reference, self.chain, point, self.n, self.block)
        if not units:
            return 0
        total = self.n * len(points)
        done = total - sum(unit.length for unit in units)
        chain, threads = self._fitted(places)
        compute = self.config.compute
        self.progress.start(total, done)
        try:
            with open_workers(
                chain, self.reference, device_parts(compute.device), compute.forest, threads, self.stop
            ) as workers:
                return Filler(
                    chain=chain, reference=self.reference, store=self.store, workers=workers, progress=self.progress
                ).run(units, done)
        finally:
            self.progress.finish()
