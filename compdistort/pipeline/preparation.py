"""The inputs of a study, read and checked before anything is written, and again for a study that goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compdistort.backend.base import Backend
from compdistort.codecs import Codec
from compdistort.config import StudyConfig
from compdistort.errors import ConfigError, StoreError
from compdistort.forest import save_classifier
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.classifier import TrainedClassifier, obtain_classifier
from compdistort.pipeline.codec_settings import codecs_of
from compdistort.pipeline.half_grid_effect import describe_differences, fast_notice, worst_differences
from compdistort.pipeline.inputs import backend_of, build_chain, read_sensor
from compdistort.pipeline.progress import Progress
from compdistort.pipeline.raw_image import RawImage, read_raw, read_truth
from compdistort.pipeline.reference import KEY, MODEL, restore_classifier
from compdistort.pipeline.step_call import refuse_code
from compdistort.pipeline.step_kinds import Found
from compdistort.pipeline.step_open import open_steps
from compdistort.pipeline.steps import Steps, of_seen
from compdistort.replicate import noise_notices
from compdistort.store import StudyStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A study whose inputs are read and checked, before anything is written."""

    chain: Chain
    trained: TrainedClassifier
    codecs: dict[str, Codec]


def prepare(config: StudyConfig, progress: Progress, *, allow_code: bool = False) -> Prepared:
    """Read and check every input, run the steps, train the classifier, fix the codecs; write nothing.

    Parameters
    ----------
    config : StudyConfig
        The study.
    progress : Progress
        Listener.
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    Prepared

    Raises
    ------
    CompdistortError
        If an input cannot be used.
    """
    codecs = codecs_of(config, allow_code=allow_code)
    refuse_code(config, allow_code=allow_code)
    image = read_recorded(config)
    sensor = read_sensor(config, image.pixels)
    backend = backend_of(config, progress)
    steps, seen = run_steps(config, image, backend, allow_code=allow_code)
    for number, words in enumerate(steps.describe(), start=1):
        progress.say(f"step {number}: {words}")
    read_truth(of_seen(config), seen)
    trained = obtain_classifier(of_seen(config), seen, backend, progress)
    chain = build_chain(config, image, sensor, trained.classifier, backend, steps, seen)
    return Prepared(chain=chain, trained=trained, codecs={name: chain.prepare(codec) for name, codec in codecs.items()})


def restored_chain(store: StudyStore, config: StudyConfig, progress: Progress, *, allow_code: bool = False) -> Chain:
    """Return the chain that a study was started with; a classifier that was damaged since is trained again.

    Parameters
    ----------
    store : StudyStore
        With the reference committed: what the steps took from the raw image is taken from there.
    config : StudyConfig
        The study.
    progress : Progress
        Listener.
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    Chain

    Raises
    ------
    StoreError
        If the classifier is damaged, and training gives another one.
    CompdistortError
        If an input cannot be used.
    """
    facts = store.facts(KEY)
    image = read_recorded(config, streams=facts["image"]["streams"])
    sensor = read_sensor(config, image.pixels)
    backend = backend_of(config, progress)
    before = [entry["fixed"] for entry in facts.get("steps", ())]
    steps, seen = run_steps(config, image, backend, before, allow_code=allow_code)
    trained = restore_classifier(store)
    if trained is None:
        progress.say("the stored classifier is damaged; it is trained again")
        trained = obtain_classifier(of_seen(config), seen, backend, progress)
        save_classifier(store.folder / MODEL, trained.classifier)
        if restore_classifier(store) is None:
            raise StoreError(
                f"{store.folder / MODEL}: is damaged, and training again gives another classifier",
                "put the file back, use the scikit-learn that the study was started with, or start a new study",
            )
    return build_chain(config, image, sensor, trained.classifier, backend, steps, seen)


def notices(prepared: Prepared, name: str) -> list[str]:
    """Return what a reader must know of sensor, raw image and classifier.

    Parameters
    ----------
    prepared : Prepared
        The study.
    name : str
        Of the raw image.

    Returns
    -------
    list of str
    """
    chain = prepared.chain
    levels = chain.levels()
    return [
        *chain.sensor.source.get("warnings", ()),
        *chain.sensor.check_image(chain.raw, name, levels),
        *noise_notices(chain.raw, chain.sensor, chain.noise, levels),
        *_fast_notice(chain),
        *prepared.trained.warnings,
    ]


def read_recorded(config: StudyConfig, *, streams: bool | None = None) -> RawImage:
    """Return the raw image, of a study with steps always whole: they look at all of it.

    Parameters
    ----------
    config : StudyConfig
        The study.
    streams : bool, optional
        As of `read_raw`.

    Returns
    -------
    RawImage

    Raises
    ------
    ConfigError
        If a study with steps is to be read slab by slab.
    CompdistortError
        As `read_raw`.
    """
    if not config.step:
        return read_raw(config, streams=streams)
    if config.compute.slab:
        raise ConfigError(
            f"compute.slab = {config.compute.slab}: a study with steps does not read its volume slab by slab",
            "remove it",
        )
    return read_raw(config, streams=False)


def run_steps(
    config: StudyConfig, image: RawImage, backend: Backend[Any], before: Sequence[Found] = (), *, allow_code: bool
) -> tuple[Steps, Any]:
    """Run the steps of a study on its raw image.

    Parameters
    ----------
    config : StudyConfig
        The study.
    image : RawImage
        From `read_recorded`.
    backend : Backend
        What projects back.
    before : sequence of dict
        What was fixed when the study was started; empty for a new one.
    allow_code : bool
        Whether steps may run functions of the user's.

    Returns
    -------
    Steps
        With everything fixed.
    ndarray or DiskVolume
        What is seen of the raw image: the image itself, or the volume on disk, without steps.

    Raises
    ------
    ConfigError, InputError
        As `Steps.prepare`.
    """
    raw: Any = image.pixels
    return open_steps(config, raw.shape, allow_code=allow_code).prepare(raw, backend, before)


def _fast_notice(chain: Chain) -> tuple[str, ...]:
    """Return how far features of the set `fast` are from exact ones; after steps, without a law of their noise."""
    spec = chain.classifier.features
    if not chain.steps:
        return fast_notice(chain.raw, spec, chain.backend, chain.noise)
    found = worst_differences([chain.seen], spec, chain.backend)
    return (describe_differences(found),) if found else ()
