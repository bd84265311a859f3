"""`compdistort calibrate` and `compdistort estimate-noise`: make a sensor file."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import DEVICE_OPTION, JSON_OPTION, OutputState, chosen_device

MULTIPLE = ("--flat", "--dark", "--exposure")


def calibrate(
    flat: Annotated[list[Path], typer.Option("--flat", help="Two flat frames, stacks or folders: A B.")],
    dark: Annotated[list[Path], typer.Option("--dark", help="Two dark frames, stacks or folders: C D.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Sensor file to write (.json).")],
    taps: Annotated[str, typer.Option("--taps", help="Calibrate equal parts one by one: ROWSxCOLUMNS.")] = "1x1",
    roi: Annotated[str, typer.Option("--roi", help="Pixels to use inside each tap: y0:y1,x0:x1.")] = "",
    per_pixel: Annotated[bool, typer.Option("--per-pixel", help="Make per-pixel maps (100 flats, 50 darks).")] = False,
    bits: Annotated[int, typer.Option("--bits", help="Bit depth of the camera's converter.")] = 16,
    exposure: Annotated[
        list[float] | None, typer.Option("--exposure", help="Relative exposure of each flat pair, for the linearity.")
    ] = None,
    device: Annotated[str | None, DEVICE_OPTION] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Calibrate a sensor from pairs of flat and dark frames.

    Frame i of the first file pairs with frame i of the second. One uneven pair is enough; a series of exposures also
    finds saturation. Beside the sensor file a calibration page (HTML) and its JSON twin are written.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.backend import get_backend  # noqa: PLC0415
    from compdistort.pipeline.calibration import (  # noqa: PLC0415
        CalibrateOptions,
        calibrate_files,
        describe_calibration,
        parse_roi,
        parse_taps,
    )

    options = CalibrateOptions(
        taps=parse_taps(taps),
        roi=parse_roi(roi) if roi else None,
        per_pixel=per_pixel,
        bits=bits,
        exposures=tuple(exposure) if exposure else None,
    )
    result = calibrate_files(flat, dark, out, options, get_backend(chosen_device(device)))
    OutputState.emit(result, describe_calibration(result), as_json=as_json)


def estimate_noise(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Raw image or stack, 16 bit.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Sensor file to write (.json).")],
    offset: Annotated[float | None, typer.Option("--offset", help="Grey level without light, DN, if known.")] = None,
    read_noise: Annotated[float, typer.Option("--read-noise", help="Read noise to assume with --offset, e-.")] = 0.0,
    bits: Annotated[int | None, typer.Option("--bits", help="Bit depth of the camera's converter.")] = None,
    page: Annotated[int | None, typer.Option("--page", help="Plane of a stack; all of them otherwise.")] = None,
    crop: Annotated[str, typer.Option("--crop", help="Part of the image: y0:y1,x0:x1.")] = "",
    as_json: bool = JSON_OPTION,
) -> None:
    """Estimate a sensor from a single image, where there are no calibration frames.

    The result is marked "estimated" wherever it is used.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.calibration import describe_estimate, estimate_file, parse_roi  # noqa: PLC0415

    result = estimate_file(
        image,
        out,
        offset_dn=offset,
        read_noise_e=read_noise,
        bits=bits,
        page=page,
        crop=parse_roi(crop) if crop else None,
    )
    OutputState.emit(result, describe_estimate(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(calibrate)
    app.command("estimate-noise")(estimate_noise)
