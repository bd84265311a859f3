"""What a study will cost, said before it starts: a crop is run and timed, the rest is arithmetic."""

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compdistort.backend import device_parts
from compdistort.backend.base import Int32, UInt16
from compdistort.codecs import Codec
from compdistort.config import StudyConfig
from compdistort.errors import ResourceError
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import COUNTS
from compdistort.pipeline.compiling import compile_beforehand, descends
from compdistort.pipeline.operator_scores import n_drawn
from compdistort.pipeline.progress import Progress, span_words
from compdistort.pipeline.raw_volume import streams
from compdistort.pipeline.study_memory import fit_threads, on_device, shown_pixels, size_words, thread_count

_CROP, _CROP_ON_DEVICE = {2: 320, 3: 72}, {2: 2048, 3: 192}
"""Side of the crop that is timed, by the number of axes; on a device a small one would time little but the launches."""
_DISK_BYTES_PER_PIXEL, _DISK_BYTES_PER_CODEC_PIXEL = 9, 2
"""Stored raw image, probability, labels and per-pixel sums; stored image of a codec: compressed noise, measured."""
_DISK_BYTES_PER_RUN = 12
"""Stored runs of voxels; a label volume, compressed, takes no more."""
_WORTH_COMPILING = 60.0
"""Seconds: of a loop that takes longer it matters whether the crop was timed with a compiled forest."""
_DESCENDING = "the time below is of a forest not yet compiled; that is done meanwhile, and makes the study faster"
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
        Wall time of the replicate loop, and of the scores of the features where they are asked for.
    seconds_per_image : float
        Mean time of one image on one thread, scaled from a crop.
    memory_bytes, disk_bytes : int
        Peak memory of the process; size of the study folder.
    threads : int
        Threads used, no more than fit into the memory limit; of a volume on disk those of the engine.
    block : int
        Replicates per committed block.
    slab : int
        Planes of a volume on disk that are decided together; 0 of an image in memory.
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
    slab: int = 0
    notes: tuple[str, ...] = ()


def block_size(config: StudyConfig) -> int:
    """Return the replicates of one block: about 40 blocks a study, 10 to 64 replicates each, unless set."""
    n = config.noise.replicates
    return min(n, config.compute.block or min(64, max(10, -(-n // 40))))


def _middle(shape: Sequence[int], side: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of a crop of that side around the middle of an image."""
    return tuple((max(0, n - side) // 2, max(0, n - side) // 2 + min(side, n)) for n in shape)


class _Crop(NamedTuple):
    """Seconds of one image of the whole size in the engine, its objects and their runs: from a crop."""

    seconds: float
    objects: int
    runs: int


def _time_image(chain: Chain) -> _Crop:
    """Take the middle of the image through the chain and scale it up; a first time compiles."""
    crop = _seen_crop(chain)
    for _ in range(2):
        began = time.monotonic()
        image = chain.backend.to_device(crop)
        found = chain.backend.image_objects(image, chain.bank, chain.classifier.forest, chain.rule)
        once = time.monotonic() - began
    scale = chain.seen.size / crop.size
    return _Crop(
        seconds=once * scale * chain.measurands.further.passes + chain.steps.seconds,
        objects=int(len(found.values) * scale) + 1,
        runs=_runs(found.labels, scale),
    )


def _time_codecs(chain: Chain, codecs: Iterable[Codec]) -> tuple[float, int]:
    """Return the seconds that one replicate takes in its codecs, and the runs through the chain, its own included.

    A codec that changes nothing costs no run through the chain, as in the study.
    """
    recorded = _recorded_crop(chain)
    runs, seconds = 1, 0.0
    for codec in codecs:
        if codec.raw_alone:  # no replicate goes through it
            continue
        began = time.monotonic()
        decoded = codec.restored(recorded)
        seconds += time.monotonic() - began
        runs += not np.array_equal(decoded, recorded)
    return seconds * chain.raw.size / recorded.size, runs


def _seen_crop(chain: Chain) -> Any:
    """Return the middle of what the chain sees."""
    sides = _CROP_ON_DEVICE if on_device(chain) else _CROP
    return chain.part(_middle(chain.seen.shape, sides[chain.seen.ndim]))


def _recorded_crop(chain: Chain) -> UInt16:
    """Return the middle of the image as it was recorded, which steps turn into something else."""
    if not chain.steps:
        seen: UInt16 = _seen_crop(chain)
        return seen
    sides = _CROP_ON_DEVICE if on_device(chain) else _CROP
    spans = _middle(chain.raw.shape, sides[chain.raw.ndim])
    crop: UInt16 = np.ascontiguousarray(chain.raw[tuple(slice(*span) for span in spans)])
    return crop


def _runs(labels: Int32, scale: float) -> int:
    """Return how many runs of voxels the objects of a whole image have, from a crop."""
    starts = np.count_nonzero(labels[..., :1]) + np.count_nonzero(
        (labels[..., 1:] != labels[..., :-1]) & (labels[..., 1:] > 0)
    )
    return int(starts * scale)


def _disk(chain: Chain, config: StudyConfig, crop: _Crop) -> int:
    sources = 1 + len(config.codec)
    numbers = crop.objects * len(chain.measurands.parameters) * 4
    numbers += (len(chain.measurands.totals) + len(COUNTS)) * 8
    table = config.noise.replicates * sources * numbers
    pictures = shown_pixels(chain) * (_DISK_BYTES_PER_PIXEL + _DISK_BYTES_PER_CODEC_PIXEL * len(config.codec))
    labels = _DISK_BYTES_PER_RUN * crop.runs if chain.seen.ndim == 3 else 0
    return table + pictures + labels + _PAGE_BYTES


def forecast(chain: Chain, codecs: Iterable[Codec], config: StudyConfig, compiling: Progress | None = None) -> Forecast:
    """Return the cost of a study whose codecs are prepared.

    A study begins with trees that are descended and goes on with networks once they are compiled. In a long study
    nearly all votes are those of networks.

    Parameters
    ----------
    chain : Chain
        The chain.
    codecs : iterable of Codec
        Prepared.
    config : StudyConfig
        The study.
    compiling : Progress, optional
        Where given, there is time to compile the forest of a long study before the crop is timed, which this listener
        is told. Without it the time is that of what votes now.

    Returns
    -------
    Forecast

    Raises
    ------
    ResourceError
        If its memory limit is too small.
    """
    codecs = tuple(codecs)
    crop, (codec_seconds, runs) = _time_image(chain), _time_codecs(chain, codecs)
    fit = fit_threads(chain, config, codecs, crop.runs)
    n, at_once = config.noise.replicates, len(device_parts(config.compute.device)) if on_device(chain) else fit.threads
    if compiling is not None and n * runs * crop.seconds / at_once > _WORTH_COMPILING and descends(chain):
        compiling.say("compiling the forest, to know how fast most of the study will be")
        crop = _time_image(chain) if compile_beforehand(chain) else crop
    engine_seconds, sources = runs * crop.seconds, 1 + len(config.codec)
    # Scores of the features draw small parts, which is soon done, but steps look at whole images.
    operators = n_drawn(config) * chain.steps.seconds if config.operators.scores else 0.0
    return Forecast(
        images=n * sources,
        seconds=n * (engine_seconds / at_once + codec_seconds / fit.threads) + operators,
        seconds_per_image=(engine_seconds + codec_seconds) / sources,
        memory_bytes=fit.memory_bytes,
        disk_bytes=_disk(chain, config, crop),
        threads=thread_count(config) if streams(chain) else fit.threads,
        block=block_size(config),
        slab=fit.slab,
        notes=fit.notes,
    )


def forecast_lines(cost: Forecast, chain: Chain) -> list[str]:
    """Return the notes of a forecast, and the forecast in one line."""
    slow = (_DESCENDING,) if cost.seconds > _WORTH_COMPILING and descends(chain) else ()
    return [
        *cost.notes,
        *slow,
        f"forecast: {cost.images} images, about {span_words(cost.seconds)} on {cost.threads} threads, "
        f"{size_words(cost.memory_bytes)} of memory, {size_words(cost.disk_bytes)} of disk",
    ]


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
