"""`compdistort ilastik`: what an ilastik project holds, and projects to and from our own files."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import JSON_OPTION, PAIRS_OPTION, OutputState

MULTIPLE = ("--raw", "--labels", "--sigma", "--pairs", "--planar", "--names")
"""Options that take several words."""

PROJECT = typer.Argument(metavar="PROJECT", help="Project of ilastik's pixel classification (.ilp).")


def show(project: Annotated[Path, PROJECT], as_json: bool = JSON_OPTION) -> None:
    """Say what a project holds: images, strokes, features, classifier."""
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.ilastik_project import show_project  # noqa: PLC0415
    from compdistort.pipeline.ilastik_words import describe_project  # noqa: PLC0415

    result = show_project(project)
    OutputState.emit(result, describe_project(result), as_json=as_json)


def import_(
    project: Annotated[Path, PROJECT],
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Model file to write (.npz).")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="New folder for the strokes as label images.")] = None,
    raw: Annotated[Path | None, typer.Option("--raw", help="New folder for images that the project holds.")] = None,
    foreground: Annotated[
        int | None, typer.Option("--foreground", min=1, max=255, help="Class of the objects; default: the highest.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option("--shape", help="planes,rows,columns of the images, for projects of ilastik 1.2.")
    ] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Take the trained classifier, the strokes and the images out of a project.

    The classifier gives ilastik's probabilities, from features of the set ilastik. Only forests of vigra are read, and
    no pickle ever is.
    """
    from compdistort.pipeline.ilastik_import import import_project, parse_shape  # noqa: PLC0415
    from compdistort.pipeline.ilastik_words import describe_import  # noqa: PLC0415

    result = import_project(
        project,
        model=out,
        labels=labels,
        raw=raw,
        foreground=foreground,
        shape=None if shape is None else parse_shape(shape),
    )
    OutputState.emit(result, describe_import(result), as_json=as_json)


def export(
    out: Annotated[Path, typer.Option("-o", "--output", help="Project to write (.ilp).")],
    raw: Annotated[list[Path], typer.Option("--raw", help="Images or stacks.")],
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", help="Annotations, one file an image: 0 = none, else class.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model file of set ilastik: its features and forest go along.")
    ] = None,
    sigma: Annotated[list[float] | None, typer.Option("--sigma", help="Scales, where there is no model.")] = None,
    pairs: Annotated[list[str] | None, PAIRS_OPTION] = None,
    planar: Annotated[
        list[float] | None, typer.Option("--planar", help="Scales that a 3D image is filtered with plane by plane.")
    ] = None,
    names: Annotated[list[str] | None, typer.Option("--names", help="Names of the classes from 1 on.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Refer to the image files instead of holding pixels.")] = False,
    as_json: bool = JSON_OPTION,
) -> None:
    """Write a project for ilastik: images, annotations, features, and a classifier if there is one.

    ilastik trains anew as soon as strokes are touched.
    """
    from compdistort.pipeline.ilastik_export import ExportOptions, describe_export, export_project  # noqa: PLC0415

    options = ExportOptions(
        model=model,
        sigmas=tuple(sigma or ()),
        pairs=tuple(pairs or ()),
        planar=tuple(planar or ()),
        names=tuple(names or ()),
        link=link,
    )
    result = export_project(out, raw, labels or [], options)
    OutputState.emit(result, describe_export(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(name="ilastik", help="Projects of ilastik: show, import, export.", rich_markup_mode=None)
    group.command("show")(show)
    group.command("import")(import_)
    group.command("export")(export)
    app.add_typer(group)
