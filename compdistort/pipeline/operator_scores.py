"""Scores of the features themselves, over a part of the image: drawn, filtered and committed as blocks of their own.

Only the part and what its filters see around it is computed, with the same values as in the whole image, to the bit.
Of a volume the part lies in the plane that is shown. Where images go through steps before they are seen, whole
replicates go through them; a second block holds the scores before the steps: those of the same operators and sigmas in
one frame of what was recorded.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.codecs import Codec
from compdistort.config import StudyConfig
from compdistort.errors import StoreError
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import Reference
from compdistort.pipeline.operator_part import Image, Part, Spans, cut_spans, frame_spec, middle_of, part_of
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.views import View
from compdistort.replicate import crop_tables
from compdistort.replicate.drawing import draw_uploaded
from compdistort.report.inputs import OperatorView
from compdistort.score.operators import OperatorScores, RunningSpread, operator_scores
from compdistort.store import ArrayWrite, StudyStore

OPERATORS, RECORDED = "operators", "operators_recorded"
"""Journal keys of the blocks, and their groups in the store: of what the classifier sees, and before the steps."""

MOST_REPLICATES = 100
"""Of a study with more, the first ones are enough: what is told is over many pixels."""

_COLUMNS = ("mean", "rms", "deviation", "left_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Where the features are scored, and what of every image they are computed from.

    Attributes
    ----------
    key : str
        `OPERATORS` or `RECORDED`.
    part : Part
        The part.
    spans : tuple of (int, int)
        Where it lies in what is seen, or in what was recorded: first and one past the last index on every axis.
    raw : ndarray of shape ([planes,] rows, columns), uint16 or float32
        What the part sees of the raw image.
    replicates : callable
        Gives the same of so many replicates, in the order of their numbers.
    decoded : callable
        Returns the same of the raw image through a codec.
    """

    key: str
    part: Part
    spans: Spans
    raw: Image
    replicates: Callable[[int], Iterable[Image]]
    decoded: Callable[[Codec], Image]


def n_drawn(config: StudyConfig) -> int:
    """Return the replicates that the features' standard deviations are taken over."""
    return config.operators.replicates or min(config.noise.replicates, MOST_REPLICATES)


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
        deviation, pixels left out), and ``operators/maps`` of shape (n_codecs, rows, columns), float64. Those before
        the steps go to ``operators_recorded``.
    config : StudyConfig
        The study.
    stop : StopFlag
        Ends the work between two replicates.
    progress : Progress
        Told of every replicate.

    Raises
    ------
    InterruptedStudyError
        If a stop was asked for: nothing of the block at work is kept.
    """
    if not config.operators.scores:
        return
    if not store.has(OPERATORS):
        view = View(store.facts(KEY)["image"]["plane"])
        spans = part_of(reference.objects.shown(view), view, config.operators.side)
        _commit(_seen_stage(chain, spans, config.noise.seed), chain, reference, store, config, stop, progress)
    if config.step and not store.has(RECORDED):
        stage = _recorded_stage(chain, config)
        if stage is None:
            store.commit(RECORDED, [], {"names": []})
        else:
            _commit(stage, chain, reference, store, config, stop, progress)


def _seen_stage(chain: Chain, spans: Spans, seed: int) -> _Stage:
    """Return the scores of what the classifier sees."""
    part = Part(chain.classifier.features, chain.seen.shape, spans)
    raw = chain.part(part.around)

    def replicates(n: int) -> Iterable[Image]:
        return _through_steps(chain, part, n) if chain.steps else _drawn(chain, raw, part.around, seed, n)

    def decoded(codec: Codec) -> Image:
        return chain.decoded_part(codec, part.around)

    return _Stage(key=OPERATORS, part=part, spans=spans, raw=raw, replicates=replicates, decoded=decoded)


def _recorded_stage(chain: Chain, config: StudyConfig) -> _Stage | None:
    """Return the scores before the steps, in the middle of one frame; None where the frame is too small for any."""
    view = chain.recorded_view()
    frame = view.of(chain.raw)
    spec = frame_spec(chain.classifier.features, (frame.shape[0], frame.shape[1]))
    if spec is None:
        return None
    part = Part(spec, frame.shape, middle_of(frame.shape, config.operators.side))
    raw = cut_spans(frame, part.around, (0, 0))
    plane = () if view.plane is None else ((view.plane, view.plane + 1),)

    def replicates(n: int) -> Iterable[Image]:
        return _drawn(chain, raw, (*plane, *part.around), config.noise.seed, n)

    def decoded(codec: Codec) -> Image:
        return cut_spans(view.of(codec.apply(chain.raw).decoded), part.around, (0, 0))

    spans = (*plane, *part.spans)
    return _Stage(key=RECORDED, part=part, spans=spans, raw=raw, replicates=replicates, decoded=decoded)


def _drawn(chain: Chain, pixels: Image, around: Spans, seed: int, n: int) -> Iterator[Image]:
    """Give a part of replicates 0 to n - 1, drawn by itself."""
    tables = crop_tables(chain.noise, *around[-2:])
    image = chain.backend.to_device(pixels)
    plane, row, column = ((0, 0), *around)[-3:]
    origin = (plane[0], row[0], column[0])
    for number in range(n):
        yield draw_uploaded(image, tables, chain.backend, seed, range(number, number + 1), origin)[0]


def _through_steps(chain: Chain, part: Part, n: int) -> Iterator[Image]:
    """Give a part of what is seen of replicates 0 to n - 1: these are drawn whole."""
    for number in range(n):
        seen = chain.backend.to_host(chain.see(chain.replicate(number)))
        yield cut_spans(seen, part.around, (0,) * seen.ndim)


def _commit(
    stage: _Stage,
    chain: Chain,
    reference: Reference,
    store: StudyStore,
    config: StudyConfig,
    stop: StopFlag,
    progress: Progress,
) -> None:
    """Compute and commit one block."""
    began = time.monotonic()
    part, n = stage.part, n_drawn(config)
    rows, columns = part.shape
    where = " of a frame" if stage.key == RECORDED else ""
    progress.say(f"scores of {len(part.names)} features on {rows} x {columns} pixels{where}, {n} replicates")
    deviation = _spread(stage, chain, n, stop, progress).deviation()
    raw = part.features(stage.raw, chain.backend)
    found = []
    for name, codec in reference.codecs.items():
        stop.check()
        features = part.features(stage.decoded(codec), chain.backend)
        found.append(operator_scores(name, raw, features, deviation))
    facts = {
        "names": part.names,
        "part": stage.spans,
        "replicates": n,
        "worst": [one.worst for one in found],
    }
    chain.require_same_raw()
    store.commit(stage.key, _writes(store, stage.key, found), facts, time.monotonic() - began)


def _spread(stage: _Stage, chain: Chain, n: int, stop: StopFlag, progress: Progress) -> RunningSpread:
    """Return the spread of every feature over replicates, added in the order of their numbers."""
    part = stage.part
    spread = RunningSpread((len(part.names), *part.shape))
    progress.start(n, 0)
    try:
        for done, pixels in enumerate(stage.replicates(n), start=1):
            spread.add(part.features(pixels, chain.backend))
            progress.advance(done)
            stop.check()
    finally:
        progress.finish()
    return spread


def _writes(store: StudyStore, key: str, found: list[OperatorScores]) -> list[ArrayWrite]:
    table = np.stack([np.stack([getattr(one, name) for name in _COLUMNS], axis=1) for one in found])
    return [
        store.write_whole(f"{key}/statistics", table.astype(np.float64)),
        store.write_whole(f"{key}/maps", np.stack([one.worst_scores for one in found])),
    ]


def read_operators(store: StudyStore, config: StudyConfig, key: str = OPERATORS) -> OperatorView | None:
    """Return committed scores as the report shows them.

    Parameters
    ----------
    store : StudyStore
        The study.
    config : StudyConfig
        Its settings.
    key : str
        `OPERATORS`, or `RECORDED` for those before the steps.

    Returns
    -------
    OperatorView or None
        None where the study did not ask for them, has no steps before which something could be scored, or its frames
        are too small for every filter.

    Raises
    ------
    StoreError
        If it asked for them and they are not there.
    """
    if not config.operators.scores or (key == RECORDED and not config.step):
        return None
    if not store.has(key):
        raise StoreError(f"{store.folder}: scores of the features are missing", "finish it with `compdistort resume`")
    facts = store.facts(key)
    if not facts["names"]:
        return None
    *plane, rows, columns = facts["part"]
    found = zip(
        store.facts(KEY)["codecs"],
        store.read(f"{key}/statistics"),
        facts["worst"],
        store.read(f"{key}/maps"),
        strict=True,
    )
    return OperatorView(
        names=tuple(facts["names"]),
        plane=plane[0][0] if plane else None,
        rows=(rows[0], rows[1]),
        columns=(columns[0], columns[1]),
        n_replicates=facts["replicates"],
        codecs=tuple(_scores_of(*row) for row in found),
    )


def _scores_of(name: str, table: NDArray[Any], worst: int, scores: NDArray[Any]) -> OperatorScores:
    return OperatorScores(
        codec=name,
        **dict(zip(_COLUMNS[:3], table.T[:3], strict=True)),
        left_out=table[:, 3].astype(np.int64),
        worst=worst,
        worst_scores=scores,
    )
