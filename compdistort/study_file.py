"""Reading a study file: TOML in, validated settings out.

Unknown keys are errors that name the nearest known key; paths are relative to the file.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from compdistort.backend import DeviceRequest, requested
from compdistort.config import StudyConfig
from compdistort.config_section import Section
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
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, key = first["loc"]
        near = difflib.get_close_matches(str(key), _known_keys(parents), n=1, cutoff=0.5)
        return f"unknown key '{place}'" + (f", did you mean '{near[0]}'?" if near else "")
    if first["type"] == "missing":
        return f"'{place}' is missing"
    shown = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{place}{shown}: {first['msg'].removeprefix('Value error, ')}"


def _known_keys(parents: list[Any]) -> list[str]:
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
    return config.model_copy(update={name: absolute(getattr(config, name)) for name in names})
