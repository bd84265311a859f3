"""`compdistort measure`: the objects of a mask as a CSV with ImageJ's columns."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import DEVICE_OPTION, JSON_OPTION, OutputState, chosen_device


def measure(
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Mask (0 and one other value), PNG or TIFF.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="CSV file to write.")],
    include_holes: Annotated[
        bool, typer.Option("--include-holes", help="Fill the holes of the objects first.")
    ] = False,
    connectivity: Annotated[int, typer.Option("--connectivity", help="8 (as ImageJ) or 4.")] = 8,
    min_size: Annotated[int, typer.Option("--min-size", help="Drop objects of fewer pixels.")] = 1,
    labels: Annotated[bool, typer.Option("--labels", help="The file is a label image: one id an object.")] = False,
    device: Annotated[str | None, DEVICE_OPTION] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Measure the objects of a mask: 19 parameters with ImageJ's definitions, names and row order.

    Lengths are in pixels. Row n of the CSV is the object whose first pixel is (XStart, YStart). With --labels the rows
    are in raster order too, so the id of a row is the label image's value at that pixel.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.backend import get_backend  # noqa: PLC0415
    from compdistort.pipeline.measurement import MeasureOptions, describe, measure_file  # noqa: PLC0415

    options = MeasureOptions(include_holes=include_holes, connectivity=connectivity, min_size=min_size, labelled=labels)
    result = measure_file(mask, out, options, get_backend(chosen_device(device)))
    OutputState.emit(result, describe(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(measure)
