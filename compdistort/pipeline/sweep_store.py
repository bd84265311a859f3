"""The folder of a sweep, NAME.sweep: what its raw replicates belong to, and what was asked of it last."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compdistort.backend import requested
from compdistort.config import StudyConfig, parse_bytes
from compdistort.config_sweep import SweepSection
from compdistort.errors import ConfigError, InputError, StoreError
from compdistort.pipeline.forecast import block_size
from compdistort.pipeline.inputs import input_hashes, portable_config
from compdistort.store import StudyStore
from compdistort.study_file import parse_config

ASKED = "sweep.json"
"""File of the folder with the config of the last call and whether it came to its end."""

_RAW = "raw_part_of_sweep"
_FREE = ("title", "statistics", "operators", "codec")
"""Settings that may change between calls: the replicates do not depend on them."""


def raw_study(config: StudyConfig) -> StudyConfig:
    """Return the study without its codecs: what all points of a sweep share."""
    return config.model_copy(update={"codec": (), "sweep": None})


def raw_part(config: StudyConfig) -> dict[str, Any]:
    """Return what the replicates of a study and their rows depend on, codecs left out: settings, and inputs by content.

    Raises
    ------
    InputError
        If an input file is gone.
    """
    data = {key: value for key, value in portable_config(raw_study(config)).items() if key not in _FREE}
    for section in ("input", "calibration", "segmenter"):
        for name, value in getattr(config, section):
            if isinstance(value, Path):
                data[section].pop(name)
    return data | {"inputs": {role: entry["sha256"] for role, entry in input_hashes(config).items()}}


def create_sweep(folder: Path, config: StudyConfig, text: str) -> StudyStore:
    """Make the folder of a sweep; `text` is the study file as given.

    Raises
    ------
    ConfigError, ResourceError
        As `StudyStore.create`.
    """
    block = block_size(config)
    return StudyStore.create(folder, {_RAW: raw_part(config), "block": block}, text)


def open_sweep(folder: Path) -> StudyStore:
    """Open the folder of a sweep.

    Raises
    ------
    StoreError
        If it is none.
    """
    store = StudyStore.open(folder)
    if _RAW not in store.document().get("config", {}):
        raise StoreError(f"{folder}: is the folder of a study, not of a sweep", "choose another folder by -o")
    return store


def block_of(store: StudyStore) -> int:
    """Return the replicates of a committed block, which stay what they were when the folder was made."""
    return int(store.document()["config"]["block"])


def require_same_raw_part(store: StudyStore, config: StudyConfig) -> None:
    """Refuse to mix the replicates of one image, sensor or classifier with those of another.

    Parameters
    ----------
    store : StudyStore
        Of a sweep.
    config : StudyConfig
        What is asked now.

    Raises
    ------
    InputError
        Naming the first difference.
    """
    before, now = (_flat(part) for part in (store.document()["config"][_RAW], raw_part(config)))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise InputError(
                f"{store.folder}: its replicates were made with another {_words(key, before, now)}",
                "choose another folder by -o, or go back to what the sweep was started with",
            )


def _flat(data: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{head}{key}.")
        else:
            out[f"{head}{key}"] = list(value) if isinstance(value, tuple) else value
    return out


def _words(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what differs, with its values; of a file its role alone: a digest tells nobody anything."""
    if key.startswith("inputs."):
        return f"file ({key.removeprefix('inputs.')})"
    return f"{key}: {before.get(key, 'none')}, not {now.get(key, 'none')}"


def save_asked(store: StudyStore, config: StudyConfig, *, finished: bool) -> None:
    """Keep what is asked of the folder, and whether it is done."""
    store.save_json(ASKED, {"config": config.model_dump(mode="json"), "finished": finished})


def asked_config(store: StudyStore) -> StudyConfig:
    """Return what was asked of the folder last.

    Raises
    ------
    StoreError
        If that is gone or damaged: the study file tells it.
    """
    where = store.folder / ASKED
    try:
        return parse_config(store.load_json(ASKED)["config"], str(where))
    except (KeyError, TypeError, ConfigError) as error:
        raise StoreError(
            f"{where}: is missing or damaged", "give the study file: `compdistort sweep STUDY.toml`"
        ) from error


def folder_config(
    folder: Path, *, device: str | None, forest: str | None, threads: int | None, max_memory: str | None
) -> StudyConfig:
    """Return what was asked of a folder last, with other resources where they are given.

    Raises
    ------
    StoreError
        If the folder is none of a sweep, or does not tell.
    ConfigError
        If a device, the place of the forest or the memory does not exist.
    """
    config = asked_config(open_sweep(folder))
    if max_memory is not None:
        parse_bytes(max_memory)
    compute = config.compute.asking(
        requested(device, config.compute.request), forest=forest, threads=threads, max_memory=max_memory
    )
    return config.model_copy(update={"compute": compute})


def sweep_section(config: StudyConfig) -> SweepSection:
    """Return what is to be swept."""
    return config.sweep or SweepSection()
