"""What a study file says of files and programs in its codecs, known before any codec is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from compdistort.config import CodecSection
from compdistort.config_sweep import SweepCodec
from compdistort.io.names import short_name

AnyCodec = TypeVar("AnyCodec", CodecSection, SweepCodec)

_FILES = {"external": ("decoded", "compressed"), "jetraw": ("dat",)}
"""Settings that name files, by id of the codec."""
_PROGRAMS = {"external": ("command", "encode", "decode")}
"""Settings that are command lines."""


def codec_files(settings: Mapping[str, Any]) -> dict[str, Path]:
    """Return the files that a codec reads, by the setting that names each; `settings` include its ``id``.

    Examples
    --------
    >>> codec_files({"id": "external", "decoded": "a.tif", "encoded_bytes": 100})
    {'decoded': PosixPath('a.tif')}
    >>> codec_files({"id": "jpeg", "ratio": 10})
    {}
    """
    named = {name: settings.get(name) for name in _FILES.get(settings["id"], ())}
    return {name: Path(value) for name, value in named.items() if isinstance(value, str) and value}


def codec_program(settings: Mapping[str, Any]) -> str:
    """Return the first program that a codec would run, empty where it runs none.

    Examples
    --------
    >>> codec_program({"id": "external", "command": ["tool", "{in}", "{out}"]})
    'tool'
    """
    lines = [settings[name] for name in _PROGRAMS.get(settings["id"], ()) if settings.get(name)]
    return next((str(line[0]) if isinstance(line, list | tuple) else str(line) for line in lines), "")


def absolute_codec(section: AnyCodec, folder: Path) -> AnyCodec:
    """Return a codec whose files lie in `folder`, unless their paths are absolute."""
    files = codec_files(section.settings())
    return section.model_copy(update={name: str(folder / path) for name, path in files.items()})


def portable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with their files named without folders of this machine.

    Examples
    --------
    >>> portable_settings({"id": "external", "decoded": "seen/a.tif", "encoded_bytes": 100})["decoded"]
    'a.tif'
    """
    return {**settings, **{name: short_name(path) for name, path in codec_files(settings).items()}}
