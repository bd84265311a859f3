"""`compdistort features`: what a pixel classifier sees of an image, as npz."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import DEVICE_OPTION, JSON_OPTION, PAIRS_OPTION, OutputState, chosen_device

MULTIPLE = ("--sigma", "--pairs", "--planar")
"""Options that take several words."""

PLANAR_HELP = "Those of the scales that a 3D image is filtered with plane by plane, as ilastik's 2D scales."
PLANAR_OPTION = typer.Option("--planar", help=PLANAR_HELP)


def features(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image or stack: 8-bit, 16-bit or float32.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="npz file to write: arrays `features` and `names`.")],
    name: Annotated[str, typer.Option("--set", help="weka (2D), ilastik, vigra, plain or fast.")] = "weka",
    sigma: Annotated[list[float] | None, typer.Option("--sigma", help="Scales, instead of the set's own.")] = None,
    pairs: Annotated[list[str] | None, PAIRS_OPTION] = None,
    planar: Annotated[list[float] | None, PLANAR_OPTION] = None,
    device: Annotated[str | None, DEVICE_OPTION] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Write the features of an image: Trainable Weka Segmentation's, ilastik's, vigra's, or plain Gaussian filters.

    The set fast is close to plain: coarse sigmas are computed on a grid of half the size. Grey values are taken as they
    are. Sigmas are pixels; Weka's are 2.5 standard deviations and must double.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.backend import get_backend  # noqa: PLC0415
    from compdistort.pipeline.feature_export import describe, export_features, parse_spec  # noqa: PLC0415

    spec = parse_spec(name, sigma or (), pairs or (), planar or ())
    result = export_features(image, out, spec, get_backend(chosen_device(device)))
    OutputState.emit(result, describe(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(features)
