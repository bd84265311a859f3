"""Reading a study file: TOML in, validated settings out.

Unknown keys are errors that name the nearest known key; paths are relative to the file.
"""

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from compdistort.backend import DeviceRequest, requested
from compdistort.config import StudyConfig
from compdistort.config_codec import absolute_codec
from compdistort.config_section import Section
from compdistort.config_steps import STEP_SECTIONS
from compdistort.errors import ConfigError

_DEVICE = "compute.device"


def load_config(path: Path, overrides: tuple[str, ...] = (), device: str | None = None) -> StudyConfig:
    """Read and validate a study file.

    Parameters
    ----------
    path : Path
        TOML file.
    overrides : tuple of str
        ``section.key=value`` settings that replace those of the file; values are TOML, bare words count as text.
    device : str, optional
        What ``--device`` says. For ``compute.device`` the first of these counts: this, `overrides`, the environment
        variable COMPDISTORT_DEVICE where it is not empty, the file.

    Returns
    -------
    StudyConfig
        With every path made absolute against the file's folder.

    Raises
    ------
    ConfigError
        Unreadable file, no TOML, unknown or unusable key: the message names the key and the nearest known one.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror})", "give the path of a study file; `compdistort init` writes one"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no TOML: {error}", "mend that line") from error
    source = _settle_device(data, overrides, device)
    return _absolute(parse_config(data, str(path), source), path.resolve().parent)


def parse_config(data: dict[str, Any], where: str, source: str = "") -> StudyConfig:
    """Validate settings that are already in memory; `where` names them in errors, `source` who asks for the device.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    try:
        config = StudyConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_problem(error)}", "mend the study file") from None
    if "device" not in config.compute.model_fields_set:
        return config
    request = DeviceRequest(config.compute.device, source or f"{_DEVICE} in {where}")
    return config.model_copy(update={"compute": config.compute.asking(request)})


def _settle_device(data: dict[str, Any], overrides: tuple[str, ...], option: str | None) -> str:
    """Apply the overrides, and the device of the option or the environment; return who named it, if not the file."""
    for text in overrides:
        _override(data, text)
    named = any(text.partition("=")[0].strip() == _DEVICE for text in overrides)
    if named and option is None:
        return f"--set {_DEVICE}"
    asked = requested(option)
    compute = data.setdefault("compute", {}) if asked.source else None
    if isinstance(compute, dict):
        compute["device"] = asked.name
    return asked.source


def _first_problem(error: ValidationError) -> str:
    """Say the first problem in words, with the nearest name for an unknown key."""
    first = error.errors()[0]
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, key = first["loc"]
        return f"unknown key '{place}'{_nearest(str(key), _known_keys(parents))}"
    if first["type"] == "union_tag_invalid":
        ids = first["ctx"]["expected_tags"].replace("'", "").split(", ")
        tag = first["ctx"]["tag"]
        return f"{place}: id '{tag}' is unknown{_nearest(tag, ids)} (there are {', '.join(ids)})"
    if first["type"] == "union_tag_not_found":
        return f"{place}: 'id' is missing"
    if first["type"] == "missing":
        return f"'{place}' is missing"
    shown = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{place}{shown}: {first['msg'].removeprefix('Value error, ')}"


def _nearest(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f", did you mean '{near[0]}'?" if near else ""


def _place(loc: tuple[Any, ...]) -> str:
    """Return what a message calls a place of the study file: a step by its number, from 1, and its id."""
    if loc[:1] != ("step",) or len(loc) < 2:
        return ".".join(map(str, loc))
    step = f"step {loc[1] + 1}" + (f" ({loc[2]})" if len(loc) > 2 else "")
    return ".".join([step, *map(str, loc[3:4])])  # what follows the key is the branch of its type


def _known_keys(parents: list[Any]) -> list[str]:
    if parents[:1] == ["step"]:
        return list(STEP_SECTIONS[parents[2]].model_fields)
    model: Any = StudyConfig
    for part in parents:
        annotation = model.model_fields[part].annotation
        model = next(
            (
                a
                for a in (annotation, *getattr(annotation, "__args__", ()))
                if isinstance(a, type) and issubclass(a, BaseModel)
            ),
            None,
        )
        if model is None:
            return []
    return list(model.model_fields)


def _override(data: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"--set '{text}' is unusable", "write --set section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    table = data
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set '{text}': '{part}' is no table", "write --set section.key=value")
    table[parts[-1]] = parsed


def _absolute(config: StudyConfig, folder: Path) -> StudyConfig:
    """Return the config with paths made absolute against the folder of its file."""

    def absolute(section: Section) -> Section:
        paths = {name: folder / value for name, value in section if isinstance(value, Path)}
        return section.model_copy(update=paths)

    names = ("input", "calibration", "segmenter", "output")
    sections: dict[str, Any] = {name: absolute(getattr(config, name)) for name in names}
    codecs = tuple(absolute_codec(codec, folder) for codec in config.codec)
    if config.sweep is not None:
        swept = tuple(absolute_codec(codec, folder) for codec in config.sweep.codec)
        sections["sweep"] = config.sweep.model_copy(update={"codec": swept})
    return config.model_copy(update={**sections, "step": tuple(map(absolute, config.step)), "codec": codecs})
