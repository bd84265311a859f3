"""What every codec does to the pixels of the raw image, and its scores without the constant part of that.

A codec's effect on a score has two parts: its mean pixel residual, a constant that can be taken out again, and the
rest, which is information lost. So the decoded raw image goes through the chain once more, with the mean of
raw - decoded added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from functools import cached_property
from typing import Any

from compdistort.io.planes import all_planes, as_reader
from compdistort.pipeline.chain import Chain, Compressed, Image
from compdistort.pipeline.comparison import Comparison, Reference, compare
from compdistort.score.pixel_results import PixelStatistics
from compdistort.score.pixels import ROUNDING_DN2, BrightnessClasses, PixelTally, classes_of, local_level
from compdistort.score.results import CodecSamples
from compdistort.sensor.model import SensorModel
from compdistort.store import ArrayWrite, StudyStore

FACTS = "pixels"
"""Of a codec, among the facts of the reference; studies of earlier versions have none."""


class PixelScale:
    """What residuals of the recorded raw image of a study are measured by.

    Parameters
    ----------
    chain : Chain
        Raw image and sensor; the image is read for its brightness classes when the first codec asks.
    """

    def __init__(self, chain: Chain) -> None:
        self._raw, self._sensor = chain.raw, chain.sensor

    @cached_property
    def _classes(self) -> BrightnessClasses:
        return classes_of(local_level(plane) for plane in all_planes(as_reader(self._raw)))

    def watch(self) -> "PixelWatch":
        """Return what looks at a codec's planes."""
        return PixelWatch(self._sensor, self._classes)


class PixelWatch:
    """Takes the statistics of a codec's planes as they pass (a `Watch`).

    Parameters
    ----------
    sensor : SensorModel
        Noise of a pixel.
    classes : BrightnessClasses
        Of the raw image.
    """

    def __init__(self, sensor: SensorModel, classes: BrightnessClasses) -> None:
        self._sensor, self._tally = sensor, PixelTally(classes)

    def __call__(self, raw: Image, decoded: Image) -> None:
        """Add a plane of shape (rows, columns), uint16, and the decoded one."""
        level = local_level(raw)
        self._tally.add(raw, decoded, self._sensor.variance_dn2(level) + ROUNDING_DN2, level)

    def result(self) -> PixelStatistics:
        """Return the statistics of all planes that passed."""
        return self._tally.result()


def without_offset(
    chain: Chain, reference: Reference, made: Compressed, found: Comparison, pixels: PixelStatistics
) -> Comparison:
    """Return what the decoded raw image becomes once its mean residual is taken out.

    Parameters
    ----------
    chain : Chain
        The chain.
    reference : Reference
        The raw image's objects.
    made : Compressed
        The raw image through the codec.
    found : Comparison
        What it became as it is: the answer where the mean residual is exactly 0.
    pixels : PixelStatistics
        Of the codec.

    Returns
    -------
    Comparison
    """
    if pixels.offset_dn == 0:
        return found
    return compare(chain, reference, chain.lifted(made.decoded, -pixels.offset_dn))


def pixel_facts(pixels: PixelStatistics, corrected: Comparison) -> dict[str, Any]:
    """Return what is remembered of a codec with the reference, JSON-safe."""
    return {FACTS: pixels.to_dict(), "without_offset": list(astuple(corrected.counts))}


def pixel_writes(store: StudyStore, name: str, corrected: Comparison) -> Sequence[ArrayWrite]:
    """Return the writes of what the decoded raw image becomes without its mean residual."""
    return (
        store.write_whole(f"codecs/{name}/without_offset/aligned", corrected.aligned),
        store.write_whole(f"codecs/{name}/without_offset/totals", corrected.totals),
    )


def with_corrected(samples: CodecSamples, store: StudyStore, facts: Mapping[str, Any]) -> CodecSamples:
    """Return a codec's samples with those of the corrected image, where they were recorded (`facts` of the codec)."""
    if FACTS not in facts:
        return samples
    place = f"codecs/{samples.codec}/without_offset"
    return replace(
        samples,
        values_without_offset=store.read(f"{place}/aligned"),
        totals_without_offset=store.read(f"{place}/totals"),
    )


def read_pixels(facts: Mapping[str, Any]) -> PixelStatistics | None:
    """Return the pixel statistics among the facts of a codec; None where they were not recorded."""
    return PixelStatistics.from_dict(facts[FACTS]) if FACTS in facts else None
