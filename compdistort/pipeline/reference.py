"""The first block of a study: classifier, raw objects, codecs with their knobs fixed on the raw image."""

from dataclasses import astuple
from typing import Any

import numpy as np

from compdistort.backend.base import Int32
from compdistort.codecs import Codec, build_codec
from compdistort.config import StudyConfig
from compdistort.forest import load_classifier, save_classifier
from compdistort.io.files import sha256_file
from compdistort.measurands import Voxel
from compdistort.pipeline.classifier import TrainedClassifier
from compdistort.pipeline.comparison import Reference, compare
from compdistort.pipeline.inputs import Chain, match_radius
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import read_truth
from compdistort.pipeline.views import View, choose_view, projection
from compdistort.segment import segment
from compdistort.store import ArrayWrite, StudyStore

KEY = "reference"
MODEL = "model.npz"


def codecs_of(config: StudyConfig) -> dict[str, Codec]:
    """Return the codecs of a study by name, unprepared.

    Raises
    ------
    UnknownCodecError, ConfigError
        If an id or a setting is unknown.
    """
    return {section.name: build_codec(section.settings()) for section in config.codec}


def restore_classifier(store: StudyStore) -> TrainedClassifier | None:
    """Return the classifier that the study was started with, None where its file is gone or damaged."""
    facts = store.facts(KEY)
    path = store.folder / MODEL
    if not path.exists() or sha256_file(path) != facts["model_sha256"]:
        return None
    return TrainedClassifier(classifier=load_classifier(path), report=facts["classifier"])


def build_reference(
    chain: Chain,
    codecs: dict[str, Codec],
    config: StudyConfig,
    store: StudyStore,
    facts: dict[str, Any],
    progress: Progress,
) -> Reference:
    """Compute and commit the raw image's objects and what every codec makes of the raw image.

    Parameters
    ----------
    chain : Chain
        The chain.
    codecs : dict of str to Codec
        Codecs by name, their knobs fixed on the raw image.
    config : StudyConfig
        The study.
    store : StudyStore
        Where it goes; the classifier is stored beside.
    facts : dict
        What else is to be remembered with the reference (input hashes, classifier report, sensor).
    progress : Progress
        Listener.

    Returns
    -------
    Reference
    """
    save_classifier(store.folder / MODEL, chain.classifier)
    parts = segment(chain.raw, chain.classifier, chain.rule, chain.backend)
    values = chain.backend.measure(chain.backend.to_device(parts.labels))
    view = choose_view(parts.labels)
    writes = [
        store.write_whole("reference/raw", view.of(chain.raw)),
        store.write_whole("reference/objects", values),
        store.write_whole("reference/labels", parts.labels),
        store.write_whole("reference/probability", view.of(parts.probability)),
        *(_projections(chain, parts.labels, store) if chain.raw.ndim == 3 else ()),
    ]
    totals, of_size = chain.measurands.totals_of(values), chain.measurands.totals[1]
    progress.say(f"raw image: {len(values)} objects, {of_size.meaning} {totals[1]:g} {of_size.unit}")
    described: dict[str, Any] = {}
    reference = Reference(
        values=values,
        labels=parts.labels,
        radius=match_radius(config, chain.voxel_um),
        one_to_one=config.match.one_to_one,
        codecs=codecs,
    )
    for name in codecs:
        codec_writes, described[name] = _codec_on_raw(chain, reference, store, name, view)
        writes += codec_writes
        progress.say(f"codec {name}: {described[name]['ratio']:.2f}:1, {described[name]['counts'][1]} objects")
    facts = {
        **facts,
        "image": {"shape": chain.raw.shape, "voxel_um": chain.voxel_um, "plane": view.plane},
        "codecs": described,
        "model_sha256": sha256_file(store.folder / MODEL),
        "truth": _against_truth(chain, config, parts.labels),
    }
    store.commit(KEY, writes, facts)
    return reference


def _against_truth(chain: Chain, config: StudyConfig, labels: Int32) -> dict[str, Any] | None:
    """Return how the raw image's objects compare with the true ones, where these are known."""
    truth = read_truth(config, chain.raw.shape)
    if truth is None:
        return None
    found, true = labels > 0, truth > 0
    both = int(found.sum() + true.sum())
    size = "area, px^2" if labels.ndim == 2 else "volume, voxels"
    return {
        "true objects": int(np.unique(truth[true]).size),
        "objects found in the raw image": int(labels.max(initial=0)),
        f"true {size}": int(true.sum()),
        f"found in the raw image, {size}": int(found.sum()),
        "pixel Dice of the raw image against truth": float(2 * (found & true).sum() / both) if both else 1.0,
    }


def voxel_of(facts: dict[str, Any]) -> Voxel | None:
    """Return the size of a voxel that was committed with the reference."""
    voxel = facts["image"]["voxel_um"]
    return None if voxel is None else (voxel[0], voxel[1], voxel[2])


def load_reference(store: StudyStore, config: StudyConfig) -> Reference:
    """Return the committed reference."""
    facts = store.facts(KEY)
    return Reference(
        values=store.read("reference/objects"),
        labels=store.read("reference/labels"),
        radius=match_radius(config, voxel_of(facts)),
        one_to_one=config.match.one_to_one,
        codecs={name: build_codec(entry["config"]) for name, entry in facts["codecs"].items()},
    )


def _projections(chain: Chain, labels: Int32, store: StudyStore) -> list[ArrayWrite]:
    """Return the maxima over planes of the raw volume and of its label volume."""
    return [
        store.write_whole("reference/projection", projection(chain.raw)),
        store.write_whole("reference/projected_labels", projection(labels)),
    ]


def _codec_on_raw(
    chain: Chain, reference: Reference, store: StudyStore, name: str, view: View
) -> tuple[list[ArrayWrite], dict[str, Any]]:
    """Apply a prepared codec to the raw image; return arrays and facts."""
    codec = reference.codecs[name]
    result = codec.apply(chain.raw)
    found = compare(chain, reference, chain.backend.to_device(result.decoded))
    writes = [
        store.write_whole(f"codecs/{name}/image", view.of(result.decoded)),
        store.write_whole(f"codecs/{name}/labels", view.of(found.labels)),
        store.write_whole(f"codecs/{name}/objects", found.values),
        store.write_whole(f"codecs/{name}/aligned", found.aligned),
    ]
    facts = {
        "config": codec.get_config(),
        "description": codec.describe(),
        "record": result.record,
        "ratio": result.ratio,
        "encoded_bytes": result.encoded_bytes,
        "counts": list(astuple(found.counts)),
    }
    return writes, facts
