"""The raw image through every point of a sweep: knobs are fixed here, and equal points found to be equal."""

import time
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from compdistort.backend.base import Float64
from compdistort.codecs import Codec, CodecResult, build_codec
from compdistort.codecs.ratio_search import of_whole_image
from compdistort.errors import CalibrationError, CodecRangeError, ConfigError
from compdistort.pipeline.chain import Chain, Compressed
from compdistort.pipeline.comparison import Reference, compare
from compdistort.pipeline.further import further_writes, stored_totals
from compdistort.pipeline.outcome import view_of
from compdistort.pipeline.sweep_points import Asked, content_key
from compdistort.store import ArrayWrite, StudyStore
from compdistort.store.arrays import array_digest

POINTS = "points"
"""Journal keys of the points by content: the raw image through each, and below it the blocks of replicates."""

_ASKED, _REFUSED = "asked", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A point that was asked for, and where its results are.

    Attributes
    ----------
    asked : Asked
        What was asked for.
    point : str
        Its place in the store, by content; empty where the codec refuses the image.
    facts : dict
        ``config``, ``description``, ``reached``; or ``refused`` with the reason.
    """

    asked: Asked
    point: str
    facts: dict[str, Any]


def asked_key(asked: Asked) -> str:
    """Return the journal key of a point as it was asked for."""
    return f"{_ASKED}/{asked.key}"


def point_key(point: str) -> str:
    """Return the journal key of the raw image through a point."""
    return f"{POINTS}/{point}"


def points_in(store: StudyStore) -> list[str]:
    """Return all points that the raw image went through, in the order of their commits."""
    heads = [key.partition("/") for key in store.keys()]  # noqa: SIM118 (a method of the store, which is no mapping)
    return [point for head, _, point in heads if head == POINTS and "/" not in point]


def refused_key(point: str) -> str:
    """Return the journal key of a point that refused a replicate."""
    return f"{_REFUSED}/{point}"


def place_of(store: StudyStore, asked: Asked) -> Placed | None:
    """Return where the results of a point are; None while the raw image did not go through it yet."""
    if not store.has(asked_key(asked)):
        return None
    facts = store.facts(asked_key(asked))
    if facts.get("again"):
        return None
    point = facts["point"]
    if point and store.has(refused_key(point)):
        return Placed(asked=asked, point="", facts=facts | {"refused": store.facts(refused_key(point))["reason"]})
    return Placed(asked=asked, point=point, facts=facts) if not point or store.has(point_key(point)) else None


def forget_settings(store: StudyStore) -> None:
    """Have points asked again that were refused for this installation or its memory limit, not for the image."""
    for key in [key for key in store.keys() if key.startswith(f"{_ASKED}/")]:  # noqa: SIM118 (a method of the store)
        facts = store.facts(key)
        if facts.get("by_settings"):
            store.commit(key, [], {**facts, "again": True})


def restored(chain: Chain, placed: Placed) -> Codec:
    """Return the codec of a point, its knob as it was fixed on the raw image."""
    # What was asked for is built already, so that a program in it has been allowed.
    return build_codec(placed.facts["config"], allow_code=True).with_sensor(chain.sensor)


def commit_raw(chain: Chain, reference: Reference, store: StudyStore, asked: Asked) -> Placed:
    """Fix the knob of a point on the raw image, take the image through it, and commit both.

    Parameters
    ----------
    chain : Chain
        The chain.
    reference : Reference
        The raw image's objects.
    store : StudyStore
        Where it goes: ``codecs/POINT/objects``, ``aligned`` and the further totals.
    asked : Asked
        The point.

    Returns
    -------
    Placed
        Also where the codec cannot carry the image, or rests on a better sensor: the reason is committed as a result.
    """
    found = place_of(store, asked)
    if found is not None:
        return found
    began = time.monotonic()
    try:
        codec = chain.prepare(asked.codec)
        point = content_key(codec)
        if not store.has(point_key(point)):
            _commit_point(chain, reference, store, codec, point)
    except (CalibrationError, CodecRangeError, ConfigError) as error:
        facts: dict[str, Any] = {"point": "", "refused": str(error), "config": asked.codec.get_config()}
        facts["by_settings"] = isinstance(error, ConfigError)
    else:
        facts = {
            "point": point,
            "config": codec.get_config(),
            "description": codec.describe(),
            "reached": _reached(codec, store.facts(point_key(point))["ratio"]),
        }
    store.commit(asked_key(asked), [], facts, time.monotonic() - began)
    return Placed(asked=asked, point=facts["point"], facts=store.facts(asked_key(asked)))


def _reached(codec: Codec, ratio: float) -> bool:
    """Say whether a prepared codec came to the ratio asked for (True where nothing is searched)."""
    search = codec.get_config().get("search")
    if not isinstance(search, dict):
        return True
    reached = bool(search.get("reached", True))
    return reached and bool(of_whole_image(ratio, search.get("target", ratio), reached, "")["reached"])


def _commit_point(chain: Chain, reference: Reference, store: StudyStore, codec: Codec, point: str) -> None:
    began = time.monotonic()
    made = chain.compress(codec, view_of(store))
    decoded = _decoded_digest(made)
    twin = _twin(store, decoded)
    objects, aligned, totals, counts = (
        _of_image(chain, reference, made) if twin is None else _of_twin(chain, store, twin)
    )
    place = f"codecs/{point}"
    writes: list[ArrayWrite] = [
        store.write_whole(f"{place}/objects", objects),
        store.write_whole(f"{place}/aligned", aligned),
        *further_writes(store, place, chain.measurands, totals),
    ]
    facts = {
        "ratio": made.result.ratio,
        "encoded_bytes": made.result.encoded_bytes,
        "record": made.result.record,
        "counts": counts,
        "decoded": decoded,
        "images": int(twin is None),
    }
    chain.require_same_raw()
    store.commit(point_key(point), writes, facts, time.monotonic() - began)


_Found = tuple[Float64, Float64, Float64, list[int]]


def _of_image(chain: Chain, reference: Reference, made: Compressed) -> _Found:
    """Return table, aligned table, totals and counts of a decoded image."""
    found = compare(chain, reference, made.image)
    return found.objects.values, found.aligned, found.totals, list(astuple(found.counts))


def _of_twin(chain: Chain, store: StudyStore, point: str) -> _Found:
    """Return the same of another point, whose decoded image is the same."""
    place = f"codecs/{point}"
    return (
        np.asarray(store.read(f"{place}/objects"), np.float64),
        np.asarray(store.read(f"{place}/aligned"), np.float64),
        stored_totals(store, place, chain.measurands),
        store.facts(point_key(point))["counts"],
    )


def _decoded_digest(made: Compressed) -> str:
    """Return the digest of a decoded image; empty of a volume on disk, which is decoded plane by plane."""
    return array_digest(made.result.decoded) if isinstance(made.result, CodecResult) else ""


def _twin(store: StudyStore, decoded: str) -> str | None:
    """Return a point whose decoded image is the same to the bit."""
    same = (each for each in points_in(store) if store.facts(point_key(each))["decoded"] == decoded)
    return next(same, None) if decoded else None
