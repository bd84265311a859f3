"""The points of a sweep: which codec with which setting, by content, so that equal ones are the same point."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compdistort.codecs import Codec, build_codec, codec_ids
from compdistort.codecs.registry import find_codec
from compdistort.config_sweep import SweepCodec, SweepSection
from compdistort.errors import ConfigError
from compdistort.pipeline.sweep_search import next_ratio
from compdistort.store.journal import digest

DEFAULT_CODECS = (
    SweepCodec(id="jpegxl-lossless"),
    SweepCodec(id="bit-depth", name="8-bit"),
    SweepCodec(id="jpeg", name="jpeg-8-bit"),
    SweepCodec.model_validate({"id": "jpeg", "name": "jpeg-12-bit", "bits": 12}),
    SweepCodec(id="jpeg2000"),
    SweepCodec(id="jpegxl"),
    SweepCodec(id="jpegls"),
    SweepCodec(id="avif"),
    SweepCodec(id="sperr"),
    SweepCodec(id="zfp"),
    SweepCodec(id="vsq", levels={"step": (0.5, 1.0, 1.5, 2.0, 3.0)}),
)
"""What is swept without ``[[sweep.codec]]``, as far as this installation has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One point as it is asked for.

    Attributes
    ----------
    series : str
        The curve that it belongs to.
    label : str
        Its setting in words; empty where the curve has one point.
    ratio : float or None
        Ratio asked for; None where another setting, or none, is varied.
    codec : Codec
        Not prepared.
    """

    series: str
    label: str
    ratio: float | None
    codec: Codec

    @property
    def key(self) -> str:
        """Digest of the codec as asked for, all settings spelled out."""
        return digest(_canonical(self.codec.get_config()))

    @property
    def words(self) -> str:
        """Curve and setting."""
        return f"{self.series} {self.label}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One curve of a sweep.

    Attributes
    ----------
    name, codec_id : str
        What it is called, and its codec.
    fixed : tuple of Asked
        Points that are known from the start.
    section : SweepCodec or None
        Where a boundary is searched: between which ratios, by how many points; None else.
    allow_code : bool
        Whether its codec may run programs of the user's.
    """

    name: str
    codec_id: str
    fixed: tuple[Asked, ...] = ()
    section: SweepCodec | None = None
    allow_code: bool = False

    def most_after(self, done: int) -> int:
        """Return how many points a search may still add when `done` are complete and the next is at work."""
        return 0 if self.section is None else self.section.points - done - 1

    def next(self, tried: Mapping[float, bool]) -> Asked | None:
        """Return the next point of a search for the boundary; None where it has ended, or nothing is searched.

        Parameters
        ----------
        tried : mapping of float to bool
            Whether each ratio tried so far was tolerable.
        """
        if self.section is None:
            return None
        ratio = next_ratio(*self.section.between, tried, self.section.points)
        return None if ratio is None else _at_ratio(self.section, ratio, self.allow_code)


def sweep_series(section: SweepSection, *, allow_code: bool = False) -> tuple[Series, ...]:
    """Return the curves of a sweep in their order.

    Parameters
    ----------
    section : SweepSection
        Of the study file; without codecs `DEFAULT_CODECS` are meant.
    allow_code : bool
        Whether codecs may run programs of the user's.

    Returns
    -------
    tuple of Series

    Raises
    ------
    UnknownCodecError, ConfigError
        If an id or a setting is unknown, a program is not allowed, or a codec exists for the raw image alone.
    """
    chosen = section.codec or tuple(one for one in DEFAULT_CODECS if _in_reach(one.id))
    return tuple(_series(one, section.ratios, allow_code) for one in chosen)


def _in_reach(codec_id: str) -> bool:
    """Say whether this installation has a codec and the library that it needs."""
    return codec_id in codec_ids() and not getattr(find_codec(codec_id), "missing", str)()


def _series(section: SweepCodec, ratios: Sequence[float], allow_code: bool) -> Series:
    if section.boundary:
        _at_ratio(section, section.between[0], allow_code)  # refuses settings before anything is computed
        return Series(name=section.label, codec_id=section.id, section=section, allow_code=allow_code)
    return Series(name=section.label, codec_id=section.id, fixed=tuple(_fixed(section, ratios, allow_code)))


def _fixed(section: SweepCodec, ratios: Sequence[float], allow_code: bool) -> Iterator[Asked]:
    """Give the points of a curve that are known from the start, each once."""
    if section.levels:
        ((key, values),) = section.levels.items()
        _refuse_twice(section, key)
        for value in dict.fromkeys(values):
            words = f"{value:g}" if isinstance(value, float) else str(value)
            yield _asked(section, f"{key} {words}", None, {key: value}, allow_code)
        return
    if not section.ratios and not (takes_ratio(section.id) and _is_free(section)):
        yield _asked(section, "", None, {}, allow_code)
        return
    for ratio in sorted(set(section.ratios or ratios)):
        yield _at_ratio(section, ratio, allow_code)


def takes_ratio(codec_id: str) -> bool:
    """Return whether a codec can be asked for a compression ratio.

    Raises
    ------
    UnknownCodecError
        If there is no such codec.

    Examples
    --------
    >>> takes_ratio("jpeg"), takes_ratio("bit-depth")
    (True, False)
    """
    return "ratio" in getattr(find_codec(codec_id), "__dataclass_fields__", {})


def _is_free(section: SweepCodec) -> bool:
    """Say whether the settings leave the ratio open: without one the codec is not complete."""
    try:
        build_codec(section.settings())
    except ConfigError:
        return True
    return False


def _at_ratio(section: SweepCodec, ratio: float, allow_code: bool) -> Asked:
    _refuse_twice(section, "ratio")
    return _asked(section, f"{ratio:g}:1", ratio, {"ratio": ratio}, allow_code)


def _asked(
    section: SweepCodec, label: str, ratio: float | None, settings: Mapping[str, Any], allow_code: bool
) -> Asked:
    codec = build_codec({**section.settings(), **settings, "name": section.label}, allow_code=allow_code)
    if codec.raw_alone:
        raise ConfigError(
            f"codec '{section.label}' of the sweep exists for the raw image alone: no replicate goes through it",
            "take it as a [[codec]] of a study",
        )
    return Asked(series=section.label, label=label, ratio=ratio, codec=codec)


def _refuse_twice(section: SweepCodec, key: str) -> None:
    if key in section.settings():
        raise ConfigError(f"codec '{section.label}' of the sweep has {key} twice", f"remove {key} beside its list")


def content_key(codec: Codec) -> str:
    """Return the digest of what a prepared codec does to an image.

    How its knob was found is left out: two ratios that lead to the same knob are one point.

    Parameters
    ----------
    codec : Codec
        Prepared.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    config = codec.get_config()
    if config.get("search"):
        config = {key: value for key, value in config.items() if key not in ("ratio", "search")}
    return digest(_canonical(config))


def _canonical(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, sort_keys=True, default=str).encode()
