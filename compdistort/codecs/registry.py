"""Codecs by id: the built-in ones, and those of other packages by the entry point group ``compdistort.codecs``."""

import difflib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from compdistort.codecs.base import Codec
from compdistort.codecs.bit_depth import BitDepth
from compdistort.codecs.identity import Identity
from compdistort.codecs.jpeg import Jpeg
from compdistort.errors import ConfigError, UnknownCodecError

GROUP = "compdistort.codecs"

CODECS: dict[str, type[Codec]] = {cls.codec_id: cls for cls in (Identity, BitDepth, Jpeg)}
"""The built-in codecs by id."""

_MEMBERS = ("codec_id", "from_config", "get_config", "prepare", "apply", "prepare_planes", "plane_coder", "describe")


def codec_ids() -> tuple[str, ...]:
    """Return the ids of all codecs, built-in ones first."""
    return (*CODECS, *sorted(point.name for point in entry_points(group=GROUP) if point.name not in CODECS))


def find_codec(codec_id: str) -> type[Codec]:
    """Return the class of a codec.

    Parameters
    ----------
    codec_id : str
        Its id; a built-in codec cannot be replaced by another package.

    Returns
    -------
    type

    Raises
    ------
    UnknownCodecError
        If there is none (the nearest id is named), or the package that offers it cannot be imported or is no codec.
    """
    if codec_id in CODECS:
        return CODECS[codec_id]
    for point in entry_points(group=GROUP):
        if point.name == codec_id:
            return _load(point)
    known = codec_ids()
    near = difflib.get_close_matches(codec_id, known, n=1, cutoff=0.0)[0]
    raise UnknownCodecError(f"codec '{codec_id}' does not exist", f"did you mean '{near}'? Known: {', '.join(known)}")


def build_codec(config: Mapping[str, Any]) -> Codec:
    """Build a codec from a table of a study file or from `Codec.get_config`.

    Parameters
    ----------
    config : mapping
        ``id`` and the codec's settings; ``name`` is the study's label of the codec and is left aside.

    Returns
    -------
    Codec

    Raises
    ------
    UnknownCodecError
        If the id is unknown.
    ConfigError
        If the id is missing, or a setting is unknown or unusable.

    Examples
    --------
    >>> build_codec({"id": "bit-depth", "inverse": "naive255"})
    BitDepth(bits=8, range='minmax', rounding='imagej', inverse='naive255', camera_bits=16)
    """
    codec_id = config.get("id")
    if not isinstance(codec_id, str):
        raise ConfigError(f"a codec has id = {codec_id!r}", f"name one of {', '.join(codec_ids())}")
    return find_codec(codec_id).from_config({key: value for key, value in config.items() if key != "name"})


def _load(point: EntryPoint) -> type[Codec]:
    package = point.dist.name if point.dist else point.value
    try:
        cls = point.load()
    except ImportError as error:
        raise UnknownCodecError(
            f"codec '{point.name}' of package '{package}' cannot be imported ({error})", "install what it needs"
        ) from error
    missing = [name for name in _MEMBERS if not hasattr(cls, name)]
    if missing:
        raise UnknownCodecError(
            f"codec '{point.name}' of package '{package}' lacks {', '.join(missing)}", "update the package"
        )
    return cls  # type: ignore[no-any-return]
