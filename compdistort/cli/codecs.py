"""`compdistort codecs`: what a study can compress with."""

from typing import Annotated, Any

import typer

from compdistort.cli.common import JSON_OPTION, OutputState


def codecs(
    name: Annotated[str | None, typer.Argument(metavar="[CODEC]", help="One codec: all of its settings.")] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """List the codecs: what each takes, its knob, whether it loses anything, and whether it is available here."""
    from compdistort.pipeline.codec_list import (  # noqa: PLC0415
        codec_facts,
        describe_codec,
        describe_codecs,
        list_codecs,
    )

    if name is None:
        found = list_codecs()
        result: dict[str, Any] = {"codecs": found}
        OutputState.emit(result, describe_codecs(found), as_json=as_json)
    else:
        facts = codec_facts(name)
        OutputState.emit(facts, describe_codec(facts), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(codecs)
