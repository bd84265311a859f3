"""The first block of a study: classifier, raw objects, codecs with their knobs fixed on the raw image."""

from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import Any

from compdistort.codecs import Codec
from compdistort.config import StudyConfig
from compdistort.config_codec import portable_settings
from compdistort.forest import load_classifier, save_classifier
from compdistort.io.files import sha256_file
from compdistort.measurands import Voxel
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.classifier import TrainedClassifier
from compdistort.pipeline.codec_settings import restored_codec
from compdistort.pipeline.comparison import Reference, compare
from compdistort.pipeline.further import find_further, further_writes
from compdistort.pipeline.inputs import match_radius
from compdistort.pipeline.objects import LabelledObjects, Objects
from compdistort.pipeline.pixel_report import PixelScale, pixel_facts, pixel_writes, without_offset
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import read_truth
from compdistort.pipeline.raw_volume import streams
from compdistort.pipeline.steps import of_seen
from compdistort.pipeline.views import View
from compdistort.sensor.model import SensorModel
from compdistort.store import ArrayWrite, StudyStore

KEY = "reference"
MODEL = "model.npz"


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
    objects, view, probability = chain.find_raw()
    writes = [
        store.write_whole("reference/raw", chain.shown(view)),
        store.write_whole("reference/objects", objects.values),
        *objects.writes(store),
        store.write_whole("reference/probability", probability),
        *(_projections(chain, objects, store) if view.plane is not None else ()),
        *([store.write_whole("recorded/raw", chain.recorded_view().of(chain.raw))] if chain.steps else ()),
    ]
    writes += _raw_totals(chain, objects, store, progress)
    described: dict[str, Any] = {}
    reference = Reference(
        objects=objects,
        radius=match_radius(config, chain.voxel_um),
        one_to_one=config.match.one_to_one,
        codecs=codecs,
    )
    scale = PixelScale(chain)
    for name in codecs:
        codec_writes, described[name] = _codec_on_raw(chain, reference, store, name, view, scale)
        writes += codec_writes
        progress.say(f"codec {name}: {described[name]['ratio']:.2f}:1, {described[name]['counts'][1]} objects")
    facts = {
        **facts,
        **_image_facts(chain, view),
        "codecs": described,
        "further": asdict(chain.measurands.further),
        "model_sha256": sha256_file(store.folder / MODEL),
        "truth": _against_truth(chain, config, objects),
    }
    chain.require_same_raw()
    store.commit(KEY, writes, facts)
    return reference


def _image_facts(chain: Chain, view: View) -> dict[str, Any]:
    """Return what is remembered of the image that is seen, and where there are steps of these and the recorded one."""
    image = {"shape": chain.seen.shape, "voxel_um": chain.voxel_um, "plane": view.plane, "streams": streams(chain)}
    if not chain.steps:
        return {"image": image}
    recorded = {"shape": chain.raw.shape, "plane": chain.recorded_view().plane}
    return {"image": image, "steps": chain.steps.record(), "recorded": recorded}


def _raw_totals(chain: Chain, objects: Objects, store: StudyStore, progress: Progress) -> Sequence[ArrayWrite]:
    """Say how many objects there are and how large they are together; return the writes of the further totals."""
    measurands = chain.measurands
    seen = chain.see(chain.on_device) if measurands.further_totals else None
    totals = measurands.totals_of(objects.values, find_further(chain, seen, objects.values))
    size = measurands.totals[1]
    progress.say(f"raw image: {len(objects.values)} objects, {size.meaning} {totals[1]:g} {size.unit}")
    return further_writes(store, "reference", measurands, totals)


def _against_truth(chain: Chain, config: StudyConfig, objects: Objects) -> dict[str, Any] | None:
    """Return how the raw image's objects compare with the true ones, where these are known."""
    truth = read_truth(of_seen(config), chain.seen)
    if truth is None:
        return None
    size = "area, px^2" if chain.measurands.ndim == 2 else "volume, voxels"
    compared = objects.against(truth)
    pixels = compared.found + compared.true
    return {
        "true objects": compared.n_true,
        "objects found in the raw image": len(objects.values),
        f"true {size}": compared.true,
        f"found in the raw image, {size}": compared.found,
        "pixel Dice of the raw image against truth": 2 * compared.both / pixels if pixels else 1.0,
    }


def voxel_of(facts: dict[str, Any]) -> Voxel | None:
    """Return the size of a voxel that was committed with the reference."""
    voxel = facts["image"]["voxel_um"]
    return None if voxel is None else (voxel[0], voxel[1], voxel[2])


def read_objects(store: StudyStore) -> Objects:
    """Return the committed objects of the raw image, kept as the study keeps them."""
    image, values = store.facts(KEY)["image"], store.read("reference/objects")
    if not image["streams"]:
        return LabelledObjects.read(store, values)
    from compdistort.pipeline.slab_chain import RunObjects  # noqa: PLC0415 - loads Numba, which no other study needs

    return RunObjects.read(store, values, image["shape"])


def load_reference(store: StudyStore, config: StudyConfig, sensor: SensorModel) -> Reference:
    """Return the committed reference; `sensor` is that of the chain."""
    facts = store.facts(KEY)
    return Reference(
        objects=read_objects(store),
        radius=match_radius(config, voxel_of(facts)),
        one_to_one=config.match.one_to_one,
        codecs={
            name: restored_codec(config, name, entry["config"]).with_sensor(sensor)
            for name, entry in facts["codecs"].items()
        },
    )


def _projections(chain: Chain, objects: Objects, store: StudyStore) -> list[ArrayWrite]:
    """Return the maxima over planes of the raw volume and of its labels."""
    return [
        store.write_whole("reference/projection", chain.projection()),
        store.write_whole("reference/projected_labels", objects.projection()),
    ]


def projected_name(name: str) -> str:
    """Return where the maximum over planes of a codec's labels is stored."""
    return f"codecs/{name}/projected_labels"


def _codec_on_raw(
    chain: Chain, reference: Reference, store: StudyStore, name: str, view: View, scale: PixelScale
) -> tuple[list[ArrayWrite], dict[str, Any]]:
    """Apply a prepared codec to the raw image; return arrays and facts."""
    codec, watch = reference.codecs[name], scale.watch()
    made = chain.compress(codec, view, watch)
    found = compare(chain, reference, made.image)
    pixels = watch.result()
    corrected = without_offset(chain, reference, made, found, pixels)
    writes = [
        store.write_whole(f"codecs/{name}/image", made.shown),
        store.write_whole(f"codecs/{name}/labels", found.objects.shown(view)),
        store.write_whole(f"codecs/{name}/objects", found.objects.values),
        store.write_whole(f"codecs/{name}/aligned", found.aligned),
        *([] if view.plane is None else [store.write_whole(projected_name(name), found.objects.projection())]),
        *further_writes(store, f"codecs/{name}", chain.measurands, found.totals),
        *([] if made.recorded is None else [store.write_whole(f"codecs/{name}/recorded", made.recorded)]),
        *pixel_writes(store, name, corrected),
    ]
    facts = {
        "config": portable_settings(codec.get_config()),
        "raw_alone": codec.raw_alone,
        "description": codec.describe(),
        "record": made.result.record,
        "ratio": made.result.ratio,
        "encoded_bytes": made.result.encoded_bytes,
        "counts": list(astuple(found.counts)),
        **pixel_facts(pixels, corrected),
        **({"steps": list(made.found)} if chain.steps else {}),
    }
    return writes, facts
