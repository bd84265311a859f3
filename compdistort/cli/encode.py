"""`compdistort encode` and `compdistort decode`: raw images to VSQ files, and back."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import JSON_OPTION, OutputState
from compdistort.errors import EXIT_INPUT, ConfigError


def encode(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="Raw image or volume, 16 bit, of any readable format.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="File to write: .vsq; or .tif: index pages, which are no intensities.")
    ],
    sensor: Annotated[Path | None, typer.Option("--sensor", help="Sensor file of the same camera and frame.")] = None,
    offset_dn: Annotated[float | None, typer.Option("--offset-dn", help="Instead: grey level without light.")] = None,
    gain_e_per_dn: Annotated[
        float | None, typer.Option("--gain-e-per-dn", help="Instead: electrons per grey level.")
    ] = None,
    read_noise_e: Annotated[
        float | None, typer.Option("--read-noise-e", help="Instead: read noise, electrons.")
    ] = None,
    max_dn: Annotated[
        int | None, typer.Option("--max-dn", help="With numbers: largest grey level, e.g. 4095; default 65535.")
    ] = None,
    step: Annotated[float | None, typer.Option("--step", help="Cell in standard deviations; default 2.")] = None,
    added_db: Annotated[float | None, typer.Option("--added-db", help="Instead of --step: noise to add, dB.")] = None,
    max_db: Annotated[
        float | None, typer.Option("--max-db", help="Instead: noise that no grey level may exceed, dB.")
    ] = None,
    ratio: Annotated[float | None, typer.Option("--ratio", help="Instead: wanted compression ratio.")] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="jxl, jpegls (fast), archive (smallest); into TIFF: jxl, deflate.")
    ] = "jxl",
    effort: Annotated[int, typer.Option("--effort", help="Of the coder, 1 to 9.")] = 7,
    tile: Annotated[int, typer.Option("--tile", help="Edge of a chunk, pixels.")] = 1024,
    seed: Annotated[
        str, typer.Option("--seed", help="content (from the pixels of every chunk), or a number.")
    ] = "content",
    dither: Annotated[str, typer.Option("--dither", help="subtractive, or none (steps up to 1.5).")] = "subtractive",
    frames: Annotated[int, typer.Option("--frames", help="The image is the mean of so many frames.")] = 1,
    allow_estimated: Annotated[
        bool, typer.Option("--allow-estimated", help="Take a sensor estimated from a single image; the file says so.")
    ] = False,
    like: Annotated[
        Path | None, typer.Option("--like", help="IMAGE was decoded from this .vsq file: the same bits again.")
    ] = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Compress a raw image by its noise: known noise is added, no bias. Every chunk is decoded at once and compared.

    The noise law comes from --sensor, or from three typed numbers. An image that is no longer raw (denoised,
    registered, deconvolved) does not have this noise, and is refused where that can be seen.
    """
    # Imported here: `compdistort --help` must not load the image codecs.
    from compdistort.pipeline.encoding import encode_file, recode_file  # noqa: PLC0415
    from compdistort.pipeline.encoding_sensor import choose_sensor  # noqa: PLC0415
    from compdistort.pipeline.encoding_words import describe_encoding  # noqa: PLC0415

    given = (offset_dn, gain_e_per_dn, read_noise_e)
    if like is not None:
        if sensor is not None or any(value is not None for value in (*given, max_dn, step, added_db, max_db, ratio)):
            raise ConfigError("--like takes everything from the file", "leave out sensor and step")
        usual = {"backend": "jxl", "effort": 7, "tile": 1024, "seed": "content", "dither": "subtractive", "frames": 1}
        asked = {"backend": backend, "effort": effort, "tile": tile, "seed": seed, "dither": dither, "frames": frames}
        if asked != usual or allow_estimated:
            names = [f"--{name}" for name, value in asked.items() if value != usual[name]] or ["--allow-estimated"]
            raise ConfigError(f"--like takes everything from the file, {names[0]} too", f"leave out {names[0]}")
        result = recode_file(image, out, like)
    else:
        goals = {"step": step, "added_db": added_db, "max_db": max_db, "ratio": ratio}
        wanted = {name: value for name, value in goals.items() if value is not None} or {"step": 2.0}
        if len(wanted) > 1:
            raise ConfigError(
                f"{' and '.join(wanted)} are given", "give one of --step, --added-db, --max-db and --ratio"
            )
        settings = {"backend": backend, "effort": effort, "tile": tile, "dither": dither, "frames": frames}
        settings |= wanted | {"seed": int(seed) if seed.isdecimal() else seed, "allow_estimated": allow_estimated}
        result = encode_file(image, out, settings, choose_sensor(sensor, given, max_dn))
    OutputState.emit(result, describe_encoding(result), as_json=as_json)


def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .vsq file, or a TIFF of index pages.")],
    out: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Image to write: .tif, .zarr, .npy, of one plane also .png.")
    ] = None,
    planes: Annotated[str, typer.Option("--planes", help="Some planes: a number, or first:one past last.")] = "",
    fractions: Annotated[
        bool, typer.Option("--fractions", help="Write float32, not rounded to whole grey levels.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Write 0 where chunks are damaged, name them, and end with code 3.")
    ] = False,
    info: Annotated[bool, typer.Option("--info", help="Only say what the file is.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only decode all, and compare checksums.")] = False,
    as_json: bool = JSON_OPTION,
) -> int:
    """Restore the image of a VSQ file; the calibration is not needed. Code 3: something of it is damaged."""
    from compdistort.pipeline.decoding import check_file, decode_file, inspect_file  # noqa: PLC0415
    from compdistort.pipeline.encoding_words import describe_decoding, describe_header  # noqa: PLC0415

    if info + check + (out is not None) != 1:
        raise ConfigError("decode writes one image, or says something of the file", "give OUT, --info or --check")
    if out is None and (planes or fractions or keep_going):
        raise ConfigError("--planes, --fractions and --keep-going are of the image that is written", "give OUT, too")
    if out is None:
        result = check_file(file) if check else inspect_file(file)
        OutputState.emit(result, describe_header(result), as_json=as_json)
    else:
        result = decode_file(file, out, planes=planes, fractions=fractions, keep_going=keep_going)
        OutputState.emit(result, describe_decoding(result), as_json=as_json)
    return EXIT_INPUT if result.get("damaged") else 0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(encode)
    app.command()(decode)
