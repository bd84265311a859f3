"""How much memory a study takes, and how many threads, or planes of a volume on disk, fit into its limit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from compdistort.backend import device_parts
from compdistort.backend.device.cuda import AT_WORK
from compdistort.codecs import Codec
from compdistort.config import StudyConfig, parse_bytes
from compdistort.errors import ResourceError
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.environment import process_memory, usable_processors
from compdistort.pipeline.raw_volume import streams
from compdistort.pipeline.slab_memory import DEPTHS, ITEMSIZE, slab_memory

_BASE_BYTES = 280 * 2**20
"""Memory of a process with the program loaded and a study prepared, where the system does not tell it."""
_LOOP_BYTES, _LOOP_BYTES_PER_PIXEL = 56 * 2**20, 25
"""What the replicate loop adds: compiled loops and networks; for every thread a replicate, its labels, and a codec's
work on it (the engine's own part is `Backend.working_bytes`). All these were fitted to studies of 512^2 to 2048^2."""
_SLAB_LOOP_BYTES = 100 * 2**20
"""The same of a volume on disk, with what is kept of the raw volume and of every codec; fitted to volumes of
64 x 768^2 and 24 x 1408^2 voxels in slabs of 4 to 32 planes, on two threads."""
_RECORDED_BYTES_PER_PIXEL = 8
"""Where there are steps, every thread holds a recorded replicate and a decoded one too."""
_REPORT_BYTES, _REPORT_BYTES_PER_PIXEL, _REPORT_BYTES_PER_CODEC_PIXEL = 92 * 2**20, 95, 17
"""What the report adds: the drawing library and its figures; images and sums over all pixels, of every codec too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Threads and slab that fit into the memory limit, the memory they take, and what was changed for it."""

    threads: int
    memory_bytes: int
    notes: tuple[str, ...]
    slab: int = 0


def thread_count(config: StudyConfig) -> int:
    """Return the threads a study asks for."""
    return config.compute.threads or usable_processors()


def on_device(chain: Chain) -> bool:
    """Return whether the engine is a CUDA device."""
    return chain.backend.name == "cupy"


def size_words(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.2f} GiB"


def loop_memory(chain: Chain, threads: int, devices: int, runs: int, itemsize: int = ITEMSIZE) -> int:
    """Return what the replicate loop adds to the memory of all processes.

    A device lets `AT_WORK` threads in at a time; what they hold on the device is not in it.
    """
    others = 0 if devices == 1 else devices * _BASE_BYTES
    bank, forest = chain.bank, chain.classifier.forest
    if streams(chain):
        each = slab_memory(chain.raw, bank, forest, chain.backend, chain.slab, runs, itemsize)
        return others + _SLAB_LOOP_BYTES + devices * each
    working = chain.backend.working_bytes(chain.seen.shape, bank, forest, runs=runs)
    at_work = min(threads, AT_WORK * devices) if on_device(chain) else threads
    steps = chain.steps.working_bytes() + _RECORDED_BYTES_PER_PIXEL * chain.raw.size if chain.steps else 0
    held = threads * (_LOOP_BYTES_PER_PIXEL * chain.seen.size + steps)
    return others + _LOOP_BYTES + at_work * working + held


def _memory(chain: Chain, threads: int, devices: int, codecs: int, runs: int, itemsize: int = ITEMSIZE) -> int:
    """Return the most memory that a study's processes hold: by now, while it draws replicates, or in its report."""
    now, most = process_memory() or (_BASE_BYTES, _BASE_BYTES)
    pixels = shown_pixels(chain)
    report = _REPORT_BYTES + (_REPORT_BYTES_PER_PIXEL + _REPORT_BYTES_PER_CODEC_PIXEL * codecs) * pixels
    return max(most, now + max(loop_memory(chain, threads, devices, runs, itemsize), report))


def shown_pixels(chain: Chain) -> int:
    """Return the pixels that are stored and drawn as pictures: of a volume those of one plane."""
    return max(math.prod(shape[-2:]) for shape in (chain.raw.shape, chain.seen.shape))


def fit_threads(chain: Chain, config: StudyConfig, codecs: Iterable[Codec], runs: int = 0) -> Fit:
    """Return the threads of a study, no more than fit into `compute.max_memory`, at least one a device.

    Of a volume on disk one image is in work at a time, all threads of the engine share it, and as many of its planes
    are decided together as fit, unless `compute.slab` says. `codecs` are prepared; `runs` is how many runs of voxels
    its objects have, as far as known.

    Raises
    ------
    ResourceError
        If not even these fit.
    """
    if streams(chain):
        return _fit_slab(chain, config, _widest(chain, codecs), runs)
    limit = parse_bytes(config.compute.max_memory)
    devices = len(device_parts(config.compute.device))
    asked = min(thread_count(config), config.noise.replicates)
    threads = max(devices, asked)
    needs = partial(_memory, chain, devices=devices, codecs=len(config.codec), runs=runs)
    while threads > devices and needs(threads) > limit:
        threads -= 1
    memory = needs(threads)
    slabs = "read the volume slab by slab (compute.slab = 16), " if chain.seen.ndim == 3 and not chain.steps else ""
    _refuse_above(memory, config, f"raise it, {slabs}crop the image (input.crop) or choose fewer features")
    more = (f"one thread a device: {threads} threads, not {asked}",) if threads > asked else ()
    less = (f"{threads} of {asked} threads, to stay inside {config.compute.max_memory}",) if threads < asked else ()
    return Fit(threads=threads, memory_bytes=memory, notes=more + less)


def _fit_slab(chain: Chain, config: StudyConfig, itemsize: int, runs: int) -> Fit:
    """Return the same of a volume on disk."""
    limit, planes = parse_bytes(config.compute.max_memory), chain.raw.shape[0]
    devices = len(device_parts(config.compute.device))

    def needs(slab: int) -> int:
        return _memory(replace(chain, slab=slab), devices, devices, len(config.codec), runs, itemsize)

    depths = [config.compute.slab] if config.compute.slab else DEPTHS
    slab = min(planes, next((n for n in depths if needs(min(n, planes)) <= limit), depths[-1]))
    thinner = "take fewer planes together (compute.slab), " if slab > 1 else ""
    _refuse_above(needs(slab), config, f"raise it, {thinner}crop the image (input.crop) or choose fewer features")
    note = f"the volume stays on disk: {slab} of its {planes} planes are decided together"
    return Fit(threads=devices, memory_bytes=needs(slab), notes=(note,), slab=slab)


def _widest(chain: Chain, codecs: Iterable[Codec]) -> int:
    """Return the bytes of a voxel of the widest image that is decided: the raw one, or one through a codec.

    What a codec that loses something decodes is decided once more without its mean residual, as float32.
    """
    coders = (codec.plane_coder(chain.on_device, chain.levels) for codec in codecs)
    widths = (coder.dtype.itemsize if coder.lossless else ITEMSIZE for coder in coders)
    return max([int(chain.raw.dtype.itemsize), *widths])


def _refuse_above(memory: int, config: StudyConfig, remedy: str) -> None:
    """Refuse a study that needs more memory than it may take."""
    if memory > parse_bytes(config.compute.max_memory):
        raise ResourceError(
            f"compute.max_memory = {config.compute.max_memory} is too small: the study needs {size_words(memory)}",
            remedy,
        )
