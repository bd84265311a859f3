"""Scores of the points of a sweep, and which points a sweep has: a search for a boundary follows its verdicts."""

from collections.abc import Sequence
from dataclasses import replace

from compdistort.config import StudyConfig
from compdistort.pipeline.blocks import array_names
from compdistort.pipeline.further import stored_totals
from compdistort.pipeline.outcome import measured_in, raw_samples
from compdistort.pipeline.samples import make_codec_samples, match_counts
from compdistort.pipeline.sweep_blocks import missing_units
from compdistort.pipeline.sweep_points import Asked, Series
from compdistort.pipeline.sweep_raw import Placed, place_of, point_key
from compdistort.score import score_study
from compdistort.score.decision import TOLERABLE
from compdistort.score.results import CodecSamples, StudyScores
from compdistort.store import StudyStore

_TOGETHER = 8
"""Points that are scored at a time: the rows of all their replicates are held meanwhile."""


def point_samples(store: StudyStore, point: str) -> CodecSamples:
    """Return a point whose blocks are all committed, as scoring takes it."""
    values, summaries = (store.read(part) for part in array_names(point))
    return make_codec_samples(
        point,
        stored_totals(store, f"codecs/{point}", measured_in(store)),
        store.read(f"codecs/{point}/aligned"),
        match_counts(store.facts(point_key(point))["counts"]),
        values,
        summaries,
    )


def score_points(store: StudyStore, config: StudyConfig, points: Sequence[str]) -> StudyScores:
    """Return the scores of points, as those of a study's codecs.

    Parameters
    ----------
    store : StudyStore
        With all blocks of these points.
    config : StudyConfig
        Margin, level, alpha, seed.
    points : sequence of str
        Their places.

    Returns
    -------
    StudyScores
        A codec a point, in their order, named by its place.
    """
    section, raw = config.statistics, raw_samples(store)
    parts = [
        score_study(
            raw,
            [point_samples(store, point) for point in points[start : start + _TOGETHER]],
            margin=section.margin,
            level=section.level,
            alpha=section.alpha,
            seed=config.noise.seed,
            min_matched=section.min_matched,
        )
        for start in range(0, max(1, len(points)), _TOGETHER)
    ]
    return replace(parts[0], codecs=tuple(codec for part in parts for codec in part.codecs))


class Verdicts:
    """Verdicts of finished points, each scored once.

    Parameters
    ----------
    store : StudyStore
        The sweep.
    config : StudyConfig
        Its settings.
    block : int
        Replicates of a block.
    """

    def __init__(self, store: StudyStore, config: StudyConfig, block: int) -> None:
        self._store, self._config, self._block = store, config, block
        self._verdicts: dict[str, str] = {}

    def complete(self, placed: Placed) -> bool:
        """Say whether all blocks of a point are committed, or it refuses the image."""
        return not missing_units(self._store, [placed], self._config.noise.replicates, self._block)

    def tolerable(self, placed: Placed) -> bool:
        """Say whether a complete point is tolerable; one that refuses the image is not."""
        if placed.point and placed.point not in self._verdicts:
            scores = score_points(self._store, self._config, [placed.point])
            self._verdicts[placed.point] = scores.codecs[0].verdict
        return self._verdicts.get(placed.point) == TOLERABLE


def walk(series: Series, store: StudyStore, verdicts: Verdicts) -> tuple[list[Placed], list[Asked]]:
    """Return the complete points of a curve, and those that come next.

    Parameters
    ----------
    series : Series
        The curve.
    store : StudyStore
        The sweep.
    verdicts : Verdicts
        Of its points.

    Returns
    -------
    done : list of Placed
        In the order in which they were asked for.
    following : list of Asked
        Not complete; of a search one at a time. Empty where the curve is finished.
    """
    done: list[Placed] = []
    following: list[Asked] = []

    def placed_or_next(asked: Asked) -> Placed | None:
        placed = place_of(store, asked)
        if placed is None or not verdicts.complete(placed):
            following.append(asked)
            return None
        done.append(placed)
        return placed

    for asked in series.fixed:
        placed_or_next(asked)
    tried: dict[float, bool] = {}
    while (wanted := series.next(tried)) is not None and wanted.ratio is not None:
        placed = placed_or_next(wanted)
        if placed is None:
            break
        tried[wanted.ratio] = verdicts.tolerable(placed)
    return done, following
