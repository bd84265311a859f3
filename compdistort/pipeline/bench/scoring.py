"""The same replicates and codecs through one pipeline: its uncertainty, its scores, and a hash of all it measured."""

import hashlib
import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, Float32, Float64, SegmentRule
from compdistort.codecs import Codec
from compdistort.features import build_bank
from compdistort.measurands import PLANAR
from compdistort.pipeline.bench.field import Field
from compdistort.pipeline.bench.train import Trained
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Comparison, Reference, compare
from compdistort.pipeline.rows import RAW, Row
from compdistort.pipeline.samples import make_codec_samples, make_raw_samples
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.views import View
from compdistort.pipeline.workers import open_workers
from compdistort.rng import Stream, derive_key
from compdistort.score import CodecSamples, RawSamples, StudyScores, score_study

RADIUS_PX = 3.0
"""Largest distance of the centres of one object, as a study's default."""

RELATIVE_KINDS = ("area", "length", "ratio")
"""Kinds of parameters whose uncertainty means something beside their value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a pipeline on an engine measured.

    Attributes
    ----------
    scores : StudyScores
        Uncertainty, standard scores and verdicts, as of a study.
    relative_uncertainty : dict of str to float
        By parameter: mean over objects of s, over the mean over objects of the value; NaN without objects.
    ratios : dict of str to float
        Compression ratio of every codec on the raw image.
    truth_dice : float or None
        Dice coefficient of the raw image's mask and the true one; None where the truth is not known.
    digest : str
        SHA-256 over labels and table of the raw image and everything measured in replicates and codecs.
    """

    scores: StudyScores
    relative_uncertainty: dict[str, float]
    ratios: dict[str, float]
    truth_dice: float | None
    digest: str


def make_chain(trained: Trained, field: Field, backend: Backend[Any], seed: int) -> Chain:
    """Return the chain of a study for a trained pipeline.

    Raises
    ------
    ConfigError
        If the features do not fit the image.
    """
    return Chain(
        raw=field.raw,
        sensor=field.sensor,
        noise=field.noise,
        key=derive_key(seed, Stream.NOISE),
        classifier=trained.classifier,
        bank=build_bank(trained.classifier.features, field.raw.ndim, field.raw.shape),
        rule=SegmentRule(foreground=field.classes.foreground, min_size=field.min_size),
        measurands=PLANAR,
        voxel_um=None,
        backend=backend,
        on_device=backend.to_device(field.raw),
    )


def measure_pipeline(
    chain: Chain,
    codecs: dict[str, Codec],
    *,
    n_replicates: int,
    seed: int,
    margin: float,
    threads: int,
    stop: StopFlag,
    truth: NDArray[np.bool_] | None = None,
) -> Measured:
    """Measure raw image, replicates and codecs, and score them as a study does.

    Parameters
    ----------
    chain : Chain
        The pipeline on its engine.
    codecs : dict of str to Codec
        By name, their knobs fixed on the raw image.
    n_replicates : int
        Replicates 0 to `n_replicates` - 1 of the chain's key.
    seed : int
        Of the bootstrap.
    margin : float
        Largest tolerated |E3|.
    threads : int
        Replicates in work at a time.
    stop : StopFlag
        Ends the work between two images.
    truth : ndarray of shape (rows, columns), bool, optional
        Pixels of the true objects.

    Returns
    -------
    Measured

    Raises
    ------
    InterruptedStudyError
        If a stop was asked for.
    """
    found = chain.find(chain.on_device)
    reference = Reference(
        objects=found,
        radius=RADIUS_PX,
        one_to_one=True,
        codecs=codecs,
    )
    decoded = {name: codec.apply(chain.raw) for name, codec in codecs.items()}
    on_raw = {
        name: compare(chain, reference, chain.backend.to_device(result.decoded)) for name, result in decoded.items()
    }
    with open_workers(chain, reference, [chain.backend.name], "device", threads, stop) as workers:
        rows = list(workers.rows(range(n_replicates)))
    raw = _raw_samples(chain, reference, rows)
    scores = score_study(raw, [_codec_samples(name, on_raw[name], rows) for name in codecs], seed=seed, margin=margin)
    return Measured(
        scores=scores,
        relative_uncertainty=_relative(raw, scores),
        ratios={name: result.ratio for name, result in decoded.items()},
        truth_dice=None if truth is None else _dice(found.shown(View()) > 0, truth),
        digest=_digest(reference, on_raw, rows),
    )


def _dice(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    both = int(found.sum() + true.sum())
    return 2 * int((found & true).sum()) / both if both else 1.0


def _raw_samples(chain: Chain, reference: Reference, rows: list[dict[str, Row]]) -> RawSamples:
    values, summaries = _stacked(rows, RAW)
    return make_raw_samples(chain.measurands, reference.values, values, summaries)


def _codec_samples(name: str, on_raw: Comparison, rows: list[dict[str, Row]]) -> CodecSamples:
    return make_codec_samples(name, on_raw.totals, on_raw.aligned, on_raw.counts, *_stacked(rows, name))


def _stacked(rows: list[dict[str, Row]], name: str) -> tuple[Float32, Float64]:
    return np.stack([row[name].values for row in rows]), np.stack([row[name].summary for row in rows])


def _relative(raw: RawSamples, scores: StudyScores) -> dict[str, float]:
    """Return mean s over mean value of every parameter, over the objects whose s is known."""
    relative = {}
    for k, parameter in enumerate(raw.measurands.parameters):
        if parameter.kind not in RELATIVE_KINDS:
            continue
        spread, value = scores.object_uncertainty[:, k], raw.values[:, k]
        known = np.isfinite(spread) & np.isfinite(value)
        centre = float(value[known].mean()) if known.any() else 0.0
        relative[parameter.column] = float(spread[known].mean()) / abs(centre) if centre else math.nan
    return relative


def _digest(reference: Reference, on_raw: dict[str, Comparison], rows: list[dict[str, Row]]) -> str:
    total = hashlib.sha256()
    arrays: list[NDArray[Any]] = [reference.objects.shown(View()), reference.values]
    for found in on_raw.values():
        arrays += [found.objects.shown(View()), found.objects.values, found.aligned, np.array(astuple(found.counts))]
    arrays += [part for row in rows for one in row.values() for part in (one.values, one.summary)]
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
