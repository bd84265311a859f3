"""Every pipeline on every engine: trained, compiled, measured, held to the identity gate, timed; and what is refused.

A pipeline that cannot be made for this image, or runs out of memory, is refused with its reason and the others go on.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from compdistort.backend import Choice as Engine
from compdistort.backend import DeviceRequest, choose, get_backend
from compdistort.backend.bitsliced.voter import Voter
from compdistort.codecs import Codec
from compdistort.errors import (
    BackendUnavailableError,
    CodecRangeError,
    CompdistortError,
    ConfigError,
    InputError,
    ResourceError,
)
from compdistort.features import feature_names
from compdistort.forest import save_classifier
from compdistort.pipeline import environment
from compdistort.pipeline.bench.field import Field
from compdistort.pipeline.bench.options import BenchOptions, Pipeline
from compdistort.pipeline.bench.scoring import Measured, make_chain, measure_pipeline
from compdistort.pipeline.bench.timing import Times, compile_forest, forget_frames, time_in_turns
from compdistort.pipeline.bench.train import Trained, train_pipeline
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.stopping import StopFlag

STACKS = 3
"""Feature stacks of a whole image that training or a timed stage may hold at a time, with some room to spare."""

Engines = dict[str, tuple[DeviceRequest, Engine, str]]
"""By device: request, engine, and the earlier device of the same engine, if any."""

_REFUSALS = (ConfigError, InputError, BackendUnavailableError, MemoryError)
"""What a pipeline that cannot be made for this image, or on this engine, raises."""


@dataclass(slots=True, kw_only=True)
class Contender:
    """A pipeline on an engine, as far as it is known.

    Attributes
    ----------
    trained : Trained
        The pipeline.
    device : str
        Engine as it was asked for.
    chain : Chain
        The pipeline on that engine.
    voter : Voter or None
        What votes on the engine that compiles forests.
    compile_seconds : float
        How long that took.
    measured : Measured
        Its uncertainty and scores.
    model_bytes : int
        Size of its model file.
    times : Times
        Empty before the clock.
    """

    trained: Trained
    device: str
    chain: Chain
    voter: Voter | None
    compile_seconds: float
    measured: Measured
    model_bytes: int
    times: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A pipeline that was refused, on which device (empty: on all), and why."""

    pipeline: str
    device: str
    error: CompdistortError

    @classmethod
    def of(cls, pipeline: str, device: str, error: Exception) -> "Refusal":
        """Return the refusal; what Python itself raises for want of memory becomes one of the package's errors."""
        error = forget_frames(error)
        if not isinstance(error, CompdistortError):
            more = f" ({error})" if str(error) else ""
            error = ResourceError(f"not enough memory{more}", "use a smaller crop or fewer features")
        return cls(pipeline=pipeline, device=device, error=error)

    def facts(self) -> dict[str, str]:
        """Return it JSON-ready."""
        return {"pipeline": self.pipeline, "device": self.device, "reason": str(self.error)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all contenders share.

    Attributes
    ----------
    options : BenchOptions
        What is compared.
    field : Field
        On what.
    codecs : dict of str to Codec
        By name, their knobs fixed on the raw image.
    devices : tuple of DeviceRequest
        Engines, each once (see `distinct`).
    models : Path
        Folder that takes the classifiers.
    progress : Progress
        Told what is done.
    stop : StopFlag
        Ends the work between two images.
    """

    options: BenchOptions
    field: Field
    codecs: dict[str, Codec]
    devices: tuple[DeviceRequest, ...]
    models: Path
    progress: Progress
    stop: StopFlag


def distinct(devices: list[DeviceRequest]) -> Engines:
    """Return what every device is on this machine.

    Raises
    ------
    BackendUnavailableError
        If this machine does not have an engine.
    """
    found: Engines = {}
    first: dict[tuple[str, tuple[int, ...]], str] = {}
    for device in devices:
        engine = choose(device)
        same = first.setdefault((engine.name, engine.devices), device.name)
        found.setdefault(device.name, (device, engine, "" if same == device.name else same))
    return found


def make_contenders(setting: Setting) -> tuple[list[Contender], list[Refusal]]:
    """Return every pipeline on every engine, measured but not timed, and what was refused.

    Raises
    ------
    CompdistortError
        If engines disagree.
    """
    made: list[Contender] = []
    refused: list[Refusal] = []
    grid = setting.options.grid()
    trainer = get_backend("cpu")
    for number, pipeline in enumerate(grid, start=1):
        setting.stop.check()
        said = f"{number} of {len(grid)}: {pipeline.name}"
        try:
            _require_memory(pipeline, setting.field)
            trained = train_pipeline(pipeline, setting.field, setting.options.seed, trainer)
        except _REFUSALS as error:
            refused.append(Refusal.of(pipeline.name, "", error))
            setting.progress.say(f"{said} is refused: {refused[-1].error}")
            continue
        setting.progress.say(f"{said} trained in {trained.seconds:.1f} s")
        save_classifier(setting.models / f"{pipeline.name}.npz", trained.classifier)
        own = _on_all_devices(trained, setting, refused)
        _require_equal(own)
        made += own
    return made, refused


def _require_memory(pipeline: Pipeline, field: Field) -> None:
    """Refuse features that cannot fit, before hours of swapping."""
    memory = environment.memory_bytes()
    needed = STACKS * 4 * len(feature_names(pipeline.spec())) * field.raw.size
    if memory is not None and needed > memory:
        raise MemoryError(f"{STACKS} feature stacks take {needed / 2**30:.1f} of {memory / 2**30:.1f} GiB")


def _on_all_devices(trained: Trained, setting: Setting, refused: list[Refusal]) -> list[Contender]:
    own: list[Contender] = []
    for device in setting.devices:
        try:
            own.append(_on_device(trained, device, setting))
        except CodecRangeError:  # a codec that cannot carry this image is no matter of the pipeline
            raise
        except _REFUSALS as error:
            refused.append(Refusal.of(trained.pipeline.name, device.name, error))
            setting.progress.say(f"  on {device.name} it is refused: {refused[-1].error}")
            continue
        setting.progress.say(
            f"  on {device.name}: compiled in {own[-1].compile_seconds:.1f} s, "
            f"{setting.options.replicates} replicates done"
        )
    return own


def _on_device(trained: Trained, device: DeviceRequest, setting: Setting) -> Contender:
    """Compile a pipeline on an engine of its own, and measure; an engine remembers but a few plans."""
    options = setting.options
    chain = make_chain(trained, setting.field, get_backend(device, threads=1), options.seed)
    began = time.perf_counter()
    voter = compile_forest(chain)
    compile_seconds = time.perf_counter() - began
    measured = measure_pipeline(
        chain,
        setting.codecs,
        n_replicates=options.replicates,
        seed=options.seed,
        margin=options.margin,
        threads=options.threads or environment.usable_processors(),
        stop=setting.stop,
        truth=setting.field.truth,
    )
    return Contender(
        trained=trained,
        device=device.name,
        chain=chain,
        voter=voter,
        compile_seconds=compile_seconds,
        measured=measured,
        model_bytes=(setting.models / f"{trained.pipeline.name}.npz").stat().st_size,
        times=Times(pixels=chain.raw.size),
    )


def _require_equal(contenders: list[Contender]) -> None:
    """Hold the identity gate: engines that disagree are not compared in speed."""
    for each in contenders[1:]:
        if each.measured.digest != contenders[0].measured.digest:
            raise CompdistortError(
                f"{each.trained.pipeline.name}: devices {contenders[0].device} and {each.device} measured different "
                "objects, and must not",
                "run `compdistort selftest`, and report this with the image",
            )


def time_contenders(contenders: list[Contender], setting: Setting, refused: list[Refusal]) -> list[Contender]:
    """Time all in turns; return those that had the memory for it, and add the others to the refused.

    Raises
    ------
    CompdistortError
        If none is left, of the class of the first refusal.
    """
    _require_some(contenders, refused)
    rounds = setting.options.rounds
    setting.progress.say(f"timing {len(contenders)} pipelines in {rounds} turns")
    kept = []
    timed = time_in_turns([each.chain for each in contenders], rounds, setting.stop)
    for each, times in zip(contenders, timed, strict=True):
        if isinstance(times, Times):
            each.times = times
            kept.append(each)
        else:
            refused.append(Refusal.of(each.trained.pipeline.name, each.device, times))
    _require_some(kept, refused)
    return kept


def _require_some(contenders: list[Contender], refused: list[Refusal]) -> None:
    """Pass the first refusal on where nothing is left to compare."""
    if contenders:
        return
    first = refused[0]
    what = f"no pipeline can be made for this image: {first.pipeline}: {first.error.what}"
    raise type(first.error)(what, first.error.remedy) from first.error
