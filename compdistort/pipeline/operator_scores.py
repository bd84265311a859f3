"""Scores of the features themselves, over a part of the image: drawn, filtered and committed as a block of its own.

Only the part and what its filters see around it is computed, with the same values as in the whole image, to the bit.
Of a volume the part lies in the plane that is shown.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FilterBank, Float32
from compdistort.config import StudyConfig
from compdistort.errors import StoreError
from compdistort.features import FeatureSpec, build_bank
from compdistort.features.reach import Span, spans_around
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.inputs import Chain
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.views import View
from compdistort.replicate import crop_tables
from compdistort.replicate.drawing import draw_uploaded
from compdistort.report.inputs import OperatorView
from compdistort.score.operators import OperatorScores, RunningSpread, operator_scores
from compdistort.store import ArrayWrite, StudyStore

OPERATORS = "operators"
"""Journal key of the block."""

MOST_REPLICATES = 100
"""Of a study with more, the first ones are enough: what is told is over many pixels."""

_COLUMNS = ("mean", "rms", "deviation", "left_out")
Image = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Features that are computed together, and what of the image they need.

    Attributes
    ----------
    features : tuple of int
        Where they stand among all features.
    bank : FilterBank
        Their filters.
    spans : tuple of (int, int)
        What they see of the image, on every axis.
    """

    features: tuple[int, ...]
    bank: FilterBank
    spans: tuple[Span, ...]


class Part:
    """A part of one plane of an image, and how features are computed for it alone.

    Parameters
    ----------
    spec : FeatureSpec
        The features.
    shape : sequence of int
        Shape of the whole image, 2 or 3 axes.
    spans : tuple of (int, int)
        The part: first and one past the last index on every axis.
    """

    def __init__(self, spec: FeatureSpec, shape: tuple[int, ...], spans: tuple[Span, ...]) -> None:
        self.spans = spans
        self.names = build_bank(spec, len(shape), shape).names
        self._scales = tuple(_scales(spec, shape, spans))
        every = [scale.spans for scale in self._scales]
        self.around: tuple[Span, ...] = tuple(
            (min(first for first, _ in axis), max(stop for _, stop in axis)) for axis in zip(*every, strict=True)
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        (top, bottom), (left, right) = self.spans[-2:]
        return bottom - top, right - left

    def cut(self, image: Image) -> Image:
        """Return what all filters see of the whole image."""
        return _cut(image, self.around, (0,) * image.ndim)

    def features(self, cut: Image, chain: Chain) -> Float32:
        """Return the features of the part from what `cut` gave, shape (n_features, rows, columns), float32."""
        origin = tuple(first for first, _ in self.around)
        out = np.empty((len(self.names), *self.shape), np.float32)
        for scale in self._scales:
            seen = _cut(cut, scale.spans, origin)
            planes = chain.backend.to_host(chain.backend.feature_stack(chain.backend.to_device(seen), scale.bank))
            inner = _cut(planes, self.spans, tuple(first for first, _ in scale.spans))
            out[list(scale.features)] = inner.reshape(len(scale.features), *self.shape)
        return out


def _cut(image: Image, spans: tuple[Span, ...], origin: tuple[int, ...]) -> Image:
    """Return the spans of an image whose first pixel lies at `origin`; axes in front of these are kept whole."""
    inside = (slice(first - at, stop - at) for (first, stop), at in zip(spans, origin, strict=True))
    index: tuple[Any, ...] = (..., *inside)
    return np.ascontiguousarray(image[index])


def _scales(spec: FeatureSpec, shape: tuple[int, ...], spans: tuple[Span, ...]) -> Iterator[Scale]:
    """Give the features in groups: of a volume one a sigma, since a coarse one sees far and fine ones need not."""
    columns = spec.columns
    if len(shape) == 2:
        bank = build_bank(spec, 2, shape)
        yield Scale(features=tuple(range(len(bank.names))), bank=bank, spans=spans_around(spans, shape, bank))
        return
    for sigma in spec.sigmas:
        at = tuple(index for index, column in enumerate(columns) if column[1] == sigma)
        planar = (sigma,) if sigma in spec.planar else ()
        own = FeatureSpec(set=spec.set, pairs=tuple(columns[index] for index in at), planar=planar)
        bank = build_bank(own, 3, shape)
        yield Scale(features=at, bank=bank, spans=spans_around(spans, shape, bank))


def part_of(labels: Image, view: View, side: int) -> tuple[Span, ...]:
    """Return the part that is scored: the middle of what the report magnifies, in the plane that is shown.

    Parameters
    ----------
    labels : ndarray of shape ([planes,] rows, columns), int32
        Objects of the raw image.
    view : View
        Which plane is shown.
    side : int
        Largest side of the part, pixels.

    Returns
    -------
    tuple of (int, int)
        First and one past the last index on every axis of the image.
    """
    # Imported here: the pictures load matplotlib, which only a study with this section needs now.
    from compdistort.report.pictures import choose_window  # noqa: PLC0415

    window = choose_window(view.of(labels))
    spans = []
    sides = (window.row, window.rows), (window.column, window.columns)
    for (start, length), n in zip(sides, labels.shape[-2:], strict=True):
        first = min(max(0, start + length // 2 - side // 2), max(0, n - side))
        spans.append((first, min(n, first + side)))
    return tuple(spans) if view.plane is None else ((view.plane, view.plane + 1), *spans)


def commit_operators(
    chain: Chain, reference: Reference, store: StudyStore, config: StudyConfig, stop: StopFlag, progress: Progress
) -> None:
    """Compute and commit the scores of the features, where the study asks for them and they are not there yet.

    Parameters
    ----------
    chain : Chain
        What every image goes through.
    reference : Reference
        Labels of the raw image, and the codecs.
    store : StudyStore
        Where they go: ``operators/statistics`` of shape (n_codecs, n_features, 4), float64 (mean, rms, standard
        deviation, pixels left out), and ``operators/maps`` of shape (n_codecs, rows, columns), float64.
    config : StudyConfig
        The study.
    stop : StopFlag
        Ends the work between two replicates.
    progress : Progress
        Told of every replicate.

    Raises
    ------
    InterruptedStudyError
        If a stop was asked for: nothing of the block is kept.
    """
    if not config.operators.scores or store.has(OPERATORS):
        return
    began = time.monotonic()
    view = View(store.facts(KEY)["image"]["plane"])
    part = Part(chain.classifier.features, chain.raw.shape, part_of(reference.labels, view, config.operators.side))
    n = config.operators.replicates or min(config.noise.replicates, MOST_REPLICATES)
    rows, columns = part.shape
    progress.say(f"scores of {len(part.names)} features on {rows} x {columns} pixels, {n} replicates")
    deviation = _spread(chain, part, config.noise.seed, n, stop, progress).deviation()
    raw = part.features(part.cut(chain.raw), chain)
    found = []
    for name, codec in reference.codecs.items():
        stop.check()
        decoded = part.cut(codec.apply(chain.raw).decoded)
        found.append(operator_scores(name, raw, part.features(decoded, chain), deviation))
    facts = {"names": part.names, "part": part.spans, "replicates": n, "worst": [one.worst for one in found]}
    store.commit(OPERATORS, _writes(store, found), facts, time.monotonic() - began)


def _spread(chain: Chain, part: Part, seed: int, n: int, stop: StopFlag, progress: Progress) -> RunningSpread:
    """Return the spread of every feature over replicates, added in the order of their numbers."""
    spread = RunningSpread((len(part.names), *part.shape))
    tables = crop_tables(chain.noise, *part.around[-2:])
    image = chain.backend.to_device(part.cut(chain.raw))
    plane, row, column = ((0, 0), *part.around)[-3:]
    origin = (plane[0], row[0], column[0])
    progress.start(n, 0)
    try:
        for number in range(n):
            stop.check()
            drawn = draw_uploaded(image, tables, chain.backend, seed, range(number, number + 1), origin)[0]
            spread.add(part.features(drawn, chain))
            progress.advance(number + 1)
    finally:
        progress.finish()
    return spread


def _writes(store: StudyStore, found: list[OperatorScores]) -> list[ArrayWrite]:
    table = np.stack([np.stack([getattr(one, name) for name in _COLUMNS], axis=1) for one in found])
    return [
        store.write_whole("operators/statistics", table.astype(np.float64)),
        store.write_whole("operators/maps", np.stack([one.worst_scores for one in found])),
    ]


def read_operators(store: StudyStore, config: StudyConfig) -> OperatorView | None:
    """Return the committed scores as the report shows them; None where the study did not ask for them.

    Raises
    ------
    StoreError
        If it did and they are not there.
    """
    if not config.operators.scores:
        return None
    if not store.has(OPERATORS):
        raise StoreError(f"{store.folder}: scores of the features are missing", "finish it with `compdistort resume`")
    facts, statistics = store.facts(OPERATORS), store.read("operators/statistics")
    rows = zip(store.facts(KEY)["codecs"], statistics, facts["worst"], store.read("operators/maps"), strict=True)
    return OperatorView(
        names=tuple(facts["names"]),
        rows=(facts["part"][-2][0], facts["part"][-2][1]),
        columns=(facts["part"][-1][0], facts["part"][-1][1]),
        n_replicates=facts["replicates"],
        codecs=tuple(
            OperatorScores(
                codec=name,
                **dict(zip(_COLUMNS[:3], table.T[:3], strict=True)),
                left_out=table[:, 3].astype(np.int64),
                worst=worst,
                worst_scores=scores,
            )
            for name, table, worst, scores in rows
        ),
    )
