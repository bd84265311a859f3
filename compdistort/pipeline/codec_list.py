"""The codecs that a study can name: what each takes, its knob, whether it loses anything, and whether it works here."""

import inspect
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from compdistort.codecs import Codec, Identity, codec_ids
from compdistort.codecs.array_codec import ArrayCodec, LosslessCodec
from compdistort.codecs.library_codec import Knob, LibraryCodec
from compdistort.codecs.registry import find_codec
from compdistort.errors import UnknownCodecError

_FOUND = ("search", "raw_digest")
"""Settings that `prepare` makes."""


def list_codecs() -> list[dict[str, Any]]:
    """Return what `codec_facts` says of every codec, those of other packages included."""
    return [codec_facts(codec_id) for codec_id in codec_ids()]


def codec_facts(codec_id: str) -> dict[str, Any]:
    """Return what is known of a codec without an image.

    Parameters
    ----------
    codec_id : str
        Its id.

    Returns
    -------
    dict
        JSON: ``id``, ``summary``, ``lossless``, ``takes`` (what its coder is given), ``knob`` (None without one),
        ``settings`` (defaults by name), ``available`` and ``missing`` (what to install, or why it cannot be loaded).

    Raises
    ------
    UnknownCodecError
        If there is no such codec.
    """
    try:
        cls = find_codec(codec_id)
    except UnknownCodecError as error:
        if codec_id not in codec_ids():
            raise
        return _facts(codec_id, summary="of another package", missing=str(error))
    missing: str = getattr(cls, "missing", str)()
    text = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    facts = _facts(codec_id, summary=" ".join(text.split()), missing=missing)
    return facts | {
        "lossless": issubclass(cls, LosslessCodec | Identity),
        "takes": _takes(cls),
        "knob": _knob(cls),
        "settings": _settings(cls),
    }


def describe_codecs(found: list[dict[str, Any]]) -> str:
    """Return the list in words: a line a codec."""
    rows = [("codec", "loses", "its coder is given", "knob", "")]
    for each in found:
        knob = each["knob"]
        span = f"{knob['name']} {knob['low']:g} to {knob['high']:g}" if knob else "-"
        state = "" if each["available"] else f"not available: {each['missing']}"
        rows.append((each["id"], "nothing" if each["lossless"] else "something", each["takes"], span, state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def describe_codec(facts: dict[str, Any]) -> str:
    """Return one codec in words: what it is, and every setting with its default."""
    lines = [f"{facts['id']}: {facts['summary']}", f"  its coder is given {facts['takes']}"]
    if facts["knob"]:
        knob = facts["knob"]
        number = "whole number" if knob["integer"] else "number"
        way = "up" if knob["ratio_rises"] else "down"
        lines.append(
            f"  ratio = NUMBER, or {knob['name']}: {number}, {knob['low']:g} to {knob['high']:g}; the ratio goes {way} "
            "with it"
        )
    lines += [f"  {name} = {'unset' if value is None else repr(value)}" for name, value in facts["settings"].items()]
    lines.append("  available" if facts["available"] else f"  not available: {facts['missing']}")
    return "\n".join(lines)


def _facts(codec_id: str, *, summary: str, missing: str) -> dict[str, Any]:
    return {
        "id": codec_id,
        "summary": summary,
        "lossless": False,
        "takes": "images and stacks of 16 bit",
        "knob": None,
        "settings": {},
        "available": not missing,
        "missing": missing,
    }


def _takes(cls: type[Codec]) -> str:
    if not issubclass(cls, ArrayCodec):
        return "images and stacks of 16 bit"
    coder = _example(cls).coder
    limit = f" up to {coder.largest}" if coder.largest is not None else ""
    return f"{', '.join(coder.dtypes)}{limit}; {'planes or volumes' if 3 in coder.ndims else 'planes'}"


def _example(cls: type[ArrayCodec]) -> ArrayCodec:
    """Return the codec with default settings, and a ratio where it needs one."""
    return cls.from_config({"ratio": 10} if issubclass(cls, LibraryCodec) else {})


def _knob(cls: type[Codec]) -> dict[str, Any] | None:
    knob: Knob | None = getattr(cls, "knob", None)
    if knob is None:
        return None
    return {
        "name": knob.name,
        "low": knob.low,
        "high": knob.high,
        "integer": knob.integer,
        "logarithmic": knob.log,
        "ratio_rises": knob.rising,
    }


def _settings(cls: type[Any]) -> dict[str, Any]:
    """Return settings and defaults of a study file; what `prepare` finds is none."""
    forms = [form for form in getattr(cls, "forms", (cls,)) if is_dataclass(form)]
    known = [each for form in forms for each in fields(form) if each.name not in _FOUND]
    return {each.name: None if each.default is MISSING else each.default for each in known}
