"""Codecs by id: the built-in ones, and those of other packages by the entry point group ``compdistort.codecs``."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from compdistort.codecs.aec import Aec
from compdistort.codecs.avif import Avif
from compdistort.codecs.base import Codec
from compdistort.codecs.bit_depth import BitDepth
from compdistort.codecs.blosc2 import Blosc2
from compdistort.codecs.fpack import Fpack
from compdistort.codecs.htj2k import Htj2k, Htj2kLossless
from compdistort.codecs.identity import Identity
from compdistort.codecs.jpeg import Jpeg, JpegSof3
from compdistort.codecs.jpeg2000 import Jpeg2000, Jpeg2000Lossless
from compdistort.codecs.jpegls import JpegLs
from compdistort.codecs.jpegxl import JpegXl, JpegXlLossless
from compdistort.codecs.jpegxr import JpegXr
from compdistort.codecs.lerc import Lerc
from compdistort.codecs.png import Png
from compdistort.codecs.rice import Rice
from compdistort.codecs.sperr import Sperr, SperrRate
from compdistort.codecs.sz3 import Sz3
from compdistort.codecs.vsq.cellnoise import CellNoise
from compdistort.codecs.vsq.codec import Vsq
from compdistort.codecs.webp import WebP
from compdistort.codecs.zfp import Zfp, ZfpRate
from compdistort.codecs.zstd import Zstd
from compdistort.errors import ConfigError, UnknownCodecError

GROUP = "compdistort.codecs"

_BUILT_IN: tuple[type[Codec], ...] = (
    Identity,
    BitDepth,
    Jpeg,
    Jpeg2000,
    Htj2k,
    JpegXl,
    JpegXr,
    JpegLs,
    Avif,
    WebP,
    Sperr,
    SperrRate,
    Sz3,
    Zfp,
    ZfpRate,
    Lerc,
    Fpack,
    Vsq,
    CellNoise,
    JpegSof3,
    Jpeg2000Lossless,
    Htj2kLossless,
    JpegXlLossless,
    Png,
    Zstd,
    Blosc2,
    Rice,
    Aec,
)

CODECS: dict[str, type[Codec]] = {cls.codec_id: cls for cls in _BUILT_IN}
"""The built-in codecs by id."""

_OF_OTHER_PROGRAMS = {"external": "compdistort.codecs.external:External", "jetraw": "compdistort.codecs.jetraw:Jetraw"}
"""Codecs that are nothing without another program or library; imported only when they are asked for."""

_MEMBERS = (
    "codec_id",
    "from_config",
    "get_config",
    "raw_alone",
    "with_sensor",
    "prepare",
    "apply",
    "restored",
    "prepare_planes",
    "plane_coder",
    "describe",
)


def codec_ids() -> tuple[str, ...]:
    """Return the ids of all codecs, built-in ones first."""
    own = (*CODECS, *_OF_OTHER_PROGRAMS)
    return (*own, *sorted(point.name for point in entry_points(group=GROUP) if point.name not in own))


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
    if codec_id in _OF_OTHER_PROGRAMS:
        module, name = _OF_OTHER_PROGRAMS[codec_id].split(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    for point in entry_points(group=GROUP):
        if point.name == codec_id:
            return _load(point)
    known = codec_ids()
    near = difflib.get_close_matches(codec_id, known, n=1, cutoff=0.0)[0]
    raise UnknownCodecError(f"codec '{codec_id}' does not exist", f"did you mean '{near}'? Known: {', '.join(known)}")


def build_codec(config: Mapping[str, Any], *, allow_code: bool = False) -> Codec:
    """Build a codec from a table of a study file or from `Codec.get_config`.

    Parameters
    ----------
    config : mapping
        ``id`` and the codec's settings; ``name`` is the study's label of the codec and is left aside.
    allow_code : bool
        Whether the codec may be one that runs programs that its settings name.

    Returns
    -------
    Codec

    Raises
    ------
    UnknownCodecError
        If the id is unknown.
    ConfigError
        If the id is missing, a setting is unknown or unusable, or the codec runs programs that were not allowed.

    Examples
    --------
    >>> build_codec({"id": "bit-depth", "inverse": "naive255"})
    BitDepth(bits=8, range='minmax', rounding='imagej', inverse='naive255', camera_bits=16)
    """
    codec_id = config.get("id")
    if not isinstance(codec_id, str):
        raise ConfigError(f"a codec has id = {codec_id!r}", f"name one of {', '.join(codec_ids())}")
    codec = find_codec(codec_id).from_config({key: value for key, value in config.items() if key != "name"})
    programs = getattr(codec, "programs", ())
    if programs and not allow_code:
        raise ConfigError(
            f"codec '{config.get('name', codec_id)}' runs the program {programs[0]}",
            "read the command, then allow it: --allow-code on the command line, build_codec(..., allow_code=True)",
        )
    return codec


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
