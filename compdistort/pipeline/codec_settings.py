"""The codecs of a study, built: with what the study tells them, and restored with their knobs as they were found."""

from collections.abc import Mapping
from typing import Any

from compdistort.codecs import Codec, build_codec
from compdistort.config import CodecSection, StudyConfig
from compdistort.config_codec import codec_files, codec_program
from compdistort.errors import StoreError


def codecs_of(config: StudyConfig, *, allow_code: bool = False) -> dict[str, Codec]:
    """Return the codecs of a study by name, unprepared.

    Parameters
    ----------
    config : StudyConfig
        The study.
    allow_code : bool
        Whether codecs may run programs of the user's.

    Returns
    -------
    dict of str to Codec

    Raises
    ------
    UnknownCodecError, ConfigError
        If an id or a setting is unknown, or a program is not allowed.
    """
    return {
        section.name: build_codec({**_settings(config, section), "name": section.name}, allow_code=allow_code)
        for section in config.codec
    }


def _settings(config: StudyConfig, section: CodecSection) -> dict[str, Any]:
    """Return the settings of a codec; a decoded file is told which part of it the study looks at."""
    settings = section.settings()
    if "decoded" not in codec_files(settings):
        return settings
    part = {"crop": config.input.crop, "page": config.input.page}
    return {name: value for name, value in part.items() if value is not None} | settings


def restored_codec(config: StudyConfig, name: str, stored: Mapping[str, Any]) -> Codec:
    """Return a codec with its knob as it was found on the raw image.

    Parameters
    ----------
    config : StudyConfig
        The study, whose programs have been allowed.
    name : str
        Of the codec.
    stored : mapping
        Its configuration as it was committed, without folders of the machine: files and programs are those of `config`.

    Returns
    -------
    Codec

    Raises
    ------
    StoreError
        If the study has no such codec.
    """
    section = next((each for each in config.codec if each.name == name), None)
    if section is None or section.id != stored["id"]:
        raise StoreError(f"the study has no codec '{name}' of id '{stored['id']}'", "it was changed: start a new study")
    asked = _settings(config, section)
    settings = {**stored, **asked} if codec_files(asked) or codec_program(asked) else stored
    return build_codec(settings, allow_code=True)
