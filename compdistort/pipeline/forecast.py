"""What a study will cost, said before it starts: a crop is run and timed, the rest is arithmetic."""

import math
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compdistort.backend import device_parts
from compdistort.backend.base import UInt16
from compdistort.backend.device.cuda import AT_WORK
from compdistort.codecs import Codec
from compdistort.config import StudyConfig, parse_bytes
from compdistort.errors import ResourceError
from compdistort.pipeline.comparison import COUNTS
from compdistort.pipeline.environment import process_memory, usable_processors
from compdistort.pipeline.inputs import Chain
from compdistort.pipeline.progress import span_words

_CROP, _CROP_ON_DEVICE = {2: 320, 3: 72}, {2: 2048, 3: 192}
"""Side of the crop that is timed, by the number of axes; on a device a small one would time little but the launches."""
_BASE_BYTES = 280 * 2**20
"""Memory of a process with the program loaded and a study prepared, where the system does not tell it."""
_LOOP_BYTES, _LOOP_BYTES_PER_PIXEL = 56 * 2**20, 25
"""What the replicate loop adds: compiled loops and networks; for every thread a replicate, its labels, and a codec's
work on it (the engine's own part is `Backend.working_bytes`). All these were fitted to studies of 512^2 to 2048^2."""
_REPORT_BYTES, _REPORT_BYTES_PER_PIXEL, _REPORT_BYTES_PER_CODEC_PIXEL = 92 * 2**20, 95, 17
"""What the report adds: the drawing library and its figures; images and sums over all pixels, of every codec too."""
_DISK_BYTES_PER_PIXEL, _DISK_BYTES_PER_CODEC_PIXEL = 9, 2
"""Stored raw image, probability, labels and per-pixel sums; stored image of a codec: compressed noise, measured."""
_PAGE_BYTES = 3 * 2**20
_SPARE_DISK = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Cost of a study.

    Attributes
    ----------
    images : int
        Images that go through the chain: replicates x (raw + codecs).
    seconds : float
        Wall time of the replicate loop.
    seconds_per_image : float
        Mean time of one image on one thread, scaled from a crop.
    memory_bytes, disk_bytes : int
        Peak memory of the process; size of the study folder.
    threads : int
        Threads used, no more than fit into the memory limit.
    block : int
        Replicates per committed block.
    notes : tuple of str
        What was changed to fit.
    """

    images: int
    seconds: float
    seconds_per_image: float
    memory_bytes: int
    disk_bytes: int
    threads: int
    block: int
    notes: tuple[str, ...] = ()


def block_size(config: StudyConfig) -> int:
    """Return the replicates of one block: about 40 blocks a study, 10 to 64 replicates each, unless set."""
    n = config.noise.replicates
    return min(n, config.compute.block or min(64, max(10, -(-n // 40))))


def thread_count(config: StudyConfig) -> int:
    """Return the threads a study asks for."""
    return config.compute.threads or usable_processors()


def _on_device(chain: Chain) -> bool:
    return chain.backend.name == "cupy"


def _middle(raw: UInt16, side: int) -> UInt16:
    firsts = (max(0, n - side) // 2 for n in raw.shape)
    return raw[tuple(slice(first, first + side) for first in firsts)].copy()


class _Timed(NamedTuple):
    """Seconds of one replicate with all its codecs, in the engine and in the codecs, and its objects."""

    engine: float
    codecs: float
    objects: int


def _time_crop(chain: Chain, codecs: Iterable[Codec]) -> _Timed:
    """Time one replicate on the middle of the image and scale it up.

    A first run compiles. A codec that changes nothing costs no run through the chain, as in the study.
    """
    sides = _CROP_ON_DEVICE if _on_device(chain) else _CROP
    crop = _middle(chain.raw, sides[chain.raw.ndim])
    for _ in range(2):
        began = time.monotonic()
        image = chain.backend.to_device(crop)
        found = chain.backend.image_objects(image, chain.bank, chain.classifier.forest, chain.rule)
        once = time.monotonic() - began
    runs, seconds = 1, 0.0
    for codec in codecs:
        began = time.monotonic()
        decoded = codec.apply(crop).decoded
        seconds += time.monotonic() - began
        runs += not np.array_equal(decoded, crop)
    scale = chain.raw.size / crop.size
    return _Timed(runs * once * scale, seconds * scale, int(len(found.values) * scale) + 1)


def _loop_memory(chain: Chain, threads: int, devices: int) -> int:
    """Return what the replicate loop adds to the memory of all processes.

    A device lets `AT_WORK` threads in at a time; what they hold on the device is not in it.
    """
    working = chain.backend.working_bytes(chain.raw.shape, chain.bank, chain.classifier.forest)
    at_work = min(threads, AT_WORK * devices) if _on_device(chain) else threads
    others = 0 if devices == 1 else devices * _BASE_BYTES
    return others + _LOOP_BYTES + at_work * working + threads * _LOOP_BYTES_PER_PIXEL * chain.raw.size


def _memory(chain: Chain, threads: int, devices: int, codecs: int) -> int:
    """Return the most memory that a study's processes hold: by now, while it draws replicates, or in its report."""
    now, most = process_memory() or (_BASE_BYTES, _BASE_BYTES)
    pixels = math.prod(chain.raw.shape[-2:])  # of a volume, the report draws one plane
    report = _REPORT_BYTES + (_REPORT_BYTES_PER_PIXEL + _REPORT_BYTES_PER_CODEC_PIXEL * codecs) * pixels
    return max(most, now + max(_loop_memory(chain, threads, devices), report))


def _disk(chain: Chain, config: StudyConfig, objects: int) -> int:
    sources = 1 + len(config.codec)
    numbers = objects * len(chain.measurands.parameters) * 4 + (len(chain.measurands.totals) + len(COUNTS)) * 8
    table = config.noise.replicates * sources * numbers
    pictures = chain.raw.size * (_DISK_BYTES_PER_PIXEL + _DISK_BYTES_PER_CODEC_PIXEL * len(config.codec))
    return table + pictures + _PAGE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Threads that fit into the memory limit, the memory they take, and what was changed for it."""

    threads: int
    memory_bytes: int
    notes: tuple[str, ...]


def fit_threads(chain: Chain, config: StudyConfig) -> Fit:
    """Return the threads of a study, no more than fit into `compute.max_memory`, at least one a device.

    Raises
    ------
    ResourceError
        If not even these fit.
    """
    limit = parse_bytes(config.compute.max_memory)
    devices = len(device_parts(config.compute.device))
    asked = min(thread_count(config), config.noise.replicates)
    threads = max(devices, asked)
    needs = partial(_memory, chain, devices=devices, codecs=len(config.codec))
    while threads > devices and needs(threads) > limit:
        threads -= 1
    memory = needs(threads)
    if memory > limit:
        raise ResourceError(
            f"compute.max_memory = {config.compute.max_memory} is too small: the study needs {_size_words(memory)}",
            "raise it, crop the image (input.crop) or choose fewer features",
        )
    more = (f"one thread a device: {threads} threads, not {asked}",) if threads > asked else ()
    less = (f"{threads} of {asked} threads, to stay inside {config.compute.max_memory}",) if threads < asked else ()
    return Fit(threads=threads, memory_bytes=memory, notes=more + less)


def forecast(chain: Chain, codecs: Iterable[Codec], config: StudyConfig) -> Forecast:
    """Return the cost of a study whose codecs are prepared.

    Raises
    ------
    ResourceError
        If its memory limit is too small.
    """
    fit = fit_threads(chain, config)
    timed = _time_crop(chain, codecs)
    at_once = len(device_parts(config.compute.device)) if _on_device(chain) else fit.threads
    images = config.noise.replicates * (1 + len(config.codec))
    return Forecast(
        images=images,
        seconds=config.noise.replicates * (timed.engine / at_once + timed.codecs / fit.threads),
        seconds_per_image=(timed.engine + timed.codecs) / (1 + len(config.codec)),
        memory_bytes=fit.memory_bytes,
        disk_bytes=_disk(chain, config, timed.objects),
        threads=fit.threads,
        block=block_size(config),
        notes=fit.notes,
    )


def forecast_lines(cost: Forecast) -> list[str]:
    """Return the notes of a forecast, and the forecast in one line."""
    return [
        *cost.notes,
        f"forecast: {cost.images} images, about {span_words(cost.seconds)} on {cost.threads} threads, "
        f"{_size_words(cost.memory_bytes)} of memory, {_size_words(cost.disk_bytes)} of disk",
    ]


def _size_words(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.2f} GiB"


def require_disk(folder: Path, needed: int) -> None:
    """Refuse to start a study that its disk cannot hold.

    Raises
    ------
    ResourceError
        If the free space is too small.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed + _SPARE_DISK:
        raise ResourceError(
            f"{place}: {free / 2**20:.0f} MiB free, the study needs about {(needed + _SPARE_DISK) / 2**20:.0f} MiB",
            "free some space or choose another folder with -o",
        )
