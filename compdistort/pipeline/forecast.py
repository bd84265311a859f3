"""What a study will cost, said before it starts: a crop is run and timed, the rest is arithmetic."""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compdistort.backend import device_parts
from compdistort.backend.base import Int32, UInt16
from compdistort.codecs import Codec
from compdistort.config import StudyConfig
from compdistort.errors import ResourceError
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import COUNTS
from compdistort.pipeline.compiling import compile_forest, descends
from compdistort.pipeline.operator_scores import n_drawn
from compdistort.pipeline.progress import span_words
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
_DESCENDING = "the time below is at most: the forest is compiled meanwhile, and from then on votes are faster"
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
        What was changed to fit, and what the time does not know.
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


class _Timed(NamedTuple):
    """Seconds of one replicate with all its codecs, in the engine and in the codecs, its objects, and their runs."""

    engine: float
    codecs: float
    objects: int
    runs: int


def _time_crop(chain: Chain, codecs: Iterable[Codec]) -> _Timed:
    """Time one replicate on the middle of the image and scale it up.

    A first run compiles. A codec that changes nothing costs no run through the chain, as in the study.
    """
    sides = _CROP_ON_DEVICE if on_device(chain) else _CROP
    crop = chain.part(_middle(chain.seen.shape, sides[chain.seen.ndim]))
    for _ in range(2):
        began = time.monotonic()
        image = chain.backend.to_device(crop)
        found = chain.backend.image_objects(image, chain.bank, chain.classifier.forest, chain.rule)
        once = time.monotonic() - began
    recorded = _recorded_crop(chain, sides) if chain.steps else crop
    runs, seconds = 1, 0.0
    for codec in codecs:
        if codec.raw_alone:  # no replicate goes through it
            continue
        began = time.monotonic()
        decoded = codec.restored(recorded)
        seconds += time.monotonic() - began
        runs += not np.array_equal(decoded, recorded)
    scale = chain.seen.size / crop.size
    return _Timed(
        engine=runs * (once * scale * chain.measurands.further.passes + chain.steps.seconds),
        codecs=seconds * chain.raw.size / recorded.size,
        objects=int(len(found.values) * scale) + 1,
        runs=_runs(found.labels, scale),
    )


def _recorded_crop(chain: Chain, sides: Mapping[int, int]) -> UInt16:
    """Return the middle of the recorded image, which steps turn into something else."""
    spans = _middle(chain.raw.shape, sides[chain.raw.ndim])
    crop: UInt16 = np.ascontiguousarray(chain.raw[tuple(slice(*span) for span in spans)])
    return crop


def _runs(labels: Int32, scale: float) -> int:
    """Return how many runs of voxels the objects of a whole image have, from a crop."""
    starts = np.count_nonzero(labels[..., :1]) + np.count_nonzero(
        (labels[..., 1:] != labels[..., :-1]) & (labels[..., 1:] > 0)
    )
    return int(starts * scale)


def _disk(chain: Chain, config: StudyConfig, timed: _Timed) -> int:
    sources = 1 + len(config.codec)
    numbers = timed.objects * len(chain.measurands.parameters) * 4
    numbers += (len(chain.measurands.totals) + len(COUNTS)) * 8
    table = config.noise.replicates * sources * numbers
    pictures = shown_pixels(chain) * (_DISK_BYTES_PER_PIXEL + _DISK_BYTES_PER_CODEC_PIXEL * len(config.codec))
    labels = _DISK_BYTES_PER_RUN * timed.runs if chain.seen.ndim == 3 else 0
    return table + pictures + labels + _PAGE_BYTES


def forecast(chain: Chain, codecs: Iterable[Codec], config: StudyConfig, *, wait: bool = False) -> Forecast:
    """Return the cost of a study whose codecs are prepared.

    A study begins while its trees are still descended, and goes on with networks. Of a long one that is most of it, so
    with `wait` the forest is compiled before the crop is timed; without, a note says what the time is of.

    Parameters
    ----------
    chain : Chain
        The chain.
    codecs : iterable of Codec
        Prepared.
    config : StudyConfig
        The study.
    wait : bool
        Whether there is time to compile the forest, some seconds.

    Returns
    -------
    Forecast

    Raises
    ------
    ResourceError
        If its memory limit is too small.
    """
    codecs = tuple(codecs)
    timed = _time_crop(chain, codecs)
    fit = fit_threads(chain, config, codecs, timed.runs)
    at_once = len(device_parts(config.compute.device)) if on_device(chain) else fit.threads
    notes = fit.notes
    if config.noise.replicates * timed.engine / at_once > _WORTH_COMPILING and descends(chain):
        if wait:
            compile_forest(chain)
            timed = _time_crop(chain, codecs)
        else:
            notes += (_DESCENDING,)
    images = config.noise.replicates * (1 + len(config.codec))
    # Scores of the features draw small parts, which is soon done, but steps look at whole images.
    operators = n_drawn(config) * chain.steps.seconds if config.operators.scores else 0.0
    return Forecast(
        images=images,
        seconds=config.noise.replicates * (timed.engine / at_once + timed.codecs / fit.threads) + operators,
        seconds_per_image=(timed.engine + timed.codecs) / (1 + len(config.codec)),
        memory_bytes=fit.memory_bytes,
        disk_bytes=_disk(chain, config, timed),
        threads=thread_count(config) if streams(chain) else fit.threads,
        block=block_size(config),
        slab=fit.slab,
        notes=notes,
    )


def forecast_lines(cost: Forecast) -> list[str]:
    """Return the notes of a forecast, and the forecast in one line."""
    return [
        *cost.notes,
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
