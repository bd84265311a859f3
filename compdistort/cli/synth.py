"""`compdistort synth`: draw raw-equivalent replicates of a raw image as files."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import DEVICE_OPTION, JSON_OPTION, OutputState, chosen_device


def synth(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="Raw image or stack, 16 bit.")],
    sensor: Annotated[Path, typer.Option("--sensor", help="Sensor file of the same camera and frame (.json).")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; the same command again goes on.")],
    n: Annotated[int, typer.Option("-n", "--replicates", min=1, help="Number of replicates.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed, up to 64 bits.")] = 1,
    first: Annotated[int, typer.Option("--first", min=0, help="Number of the first replicate.")] = 0,
    law: Annotated[str, typer.Option("--law", help="poisson-gaussian or gaussian.")] = "poisson-gaussian",
    file_format: Annotated[str, typer.Option("--format", help="tiff (a file each) or ome-zarr (one folder).")] = "tiff",
    device: Annotated[str | None, DEVICE_OPTION] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Write raw-equivalent replicates: what the camera would have read in other exposures of the same scene.

    A replicate depends on seed and number alone: the same bits on every engine and machine. A manifest says where the
    files come from.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.backend import get_backend  # noqa: PLC0415
    from compdistort.pipeline.synthesis import SynthOptions, describe_synthesis, synthesize  # noqa: PLC0415

    options = SynthOptions(n=n, seed=seed, first=first, law=law, file_format=file_format)
    result = synthesize(raw, sensor, out, options, get_backend(chosen_device(device)))
    OutputState.emit(result, describe_synthesis(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(synth)
