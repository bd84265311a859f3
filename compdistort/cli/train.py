"""`compdistort train` and `compdistort segment`: make a pixel classifier, and use one."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import DEVICE_OPTION, FOREST_OPTION, JSON_OPTION, PAIRS_OPTION, OutputState, chosen_device

MULTIPLE = ("--labels", "--held-out", "--sigma", "--pairs")
"""Options that take several words."""


def train(
    raw: Annotated[list[Path], typer.Argument(metavar="RAW...", help="Raw images or stacks, 16 bit.")],
    labels: Annotated[
        list[Path], typer.Option("--labels", help="Annotations, one file an image: 0 = none, 1 to 255 = class.")
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.npz).")],
    name: Annotated[
        str | None, typer.Option("--set", help="Features: weka (2D), ilastik, plain or fast; default: the preset's.")
    ] = None,
    sigma: Annotated[list[float] | None, typer.Option("--sigma", help="Scales, instead of the set's own.")] = None,
    pairs: Annotated[list[str] | None, PAIRS_OPTION] = None,
    preset: Annotated[str, typer.Option("--preset", help="Forest: weka (200 trees) or ilastik (100 trees).")] = "weka",
    held_out: Annotated[
        list[Path] | None, typer.Option("--held-out", help="Annotations for judging only, one file an image.")
    ] = None,
    foreground: Annotated[
        int | None, typer.Option("--foreground", min=1, max=255, help="Value of the objects; default: the highest.")
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balance/--no-balance", help="Every class weighs the same (Weka and ilastik: no).")
    ] = True,
    bins: Annotated[
        str,
        typer.Option("--bins", help="uint8 or uint16: round features to such codes (faster); says what that changes."),
    ] = "none",
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of the forest.")] = 0,
    device: Annotated[str | None, DEVICE_OPTION] = None,
    forest: Annotated[str, FOREST_OPTION] = "device",
    as_json: bool = JSON_OPTION,
) -> None:
    """Train a random forest on sparse annotations of raw images, and say how good it is.

    Without --held-out about a quarter of the annotations is kept back in whole squares for a first forest, which is
    judged; the forest that is written is trained on all of them.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.training import TrainOptions, train_files  # noqa: PLC0415
    from compdistort.pipeline.training_words import describe_training  # noqa: PLC0415

    options = TrainOptions(
        preset=preset,
        set_name=name,
        sigmas=tuple(sigma or ()),
        pairs=tuple(pairs or ()),
        foreground=foreground,
        seed=seed,
        balanced=balanced,
        bins=bins,
    )
    result = train_files(
        raw, labels, out, options, held_out=held_out or (), device=chosen_device(device), forest=forest
    )
    OutputState.emit(result, describe_training(result), as_json=as_json)


def segment(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image or stack on the scale of the training images.")],
    model: Annotated[Path, typer.Option("--model", help="Model file, made by `compdistort train`.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Mask to write: 8 bit, 0 and 255.")],
    probability: Annotated[
        Path | None, typer.Option("--probability", help="Write the foreground probability too (TIFF, float32).")
    ] = None,
    labels_out: Annotated[Path | None, typer.Option("--labels-out", help="Write the label image too.")] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Object where probability >= this.")] = 0.5,
    strict: Annotated[bool, typer.Option("--strict", help="Object where probability > threshold.")] = False,
    smoothing: Annotated[
        float, typer.Option("--smoothing", help="Smooth the probability first, as ilastik does (1): sigma, pixels.")
    ] = 0.0,
    connectivity: Annotated[
        int | None, typer.Option("--connectivity", help="8 or 4 in 2D (default 8); 6, 18 or 26 in 3D (default 6).")
    ] = None,
    include_holes: Annotated[bool, typer.Option("--include-holes", help="Fill the holes of the objects.")] = False,
    min_size: Annotated[int, typer.Option("--min-size", help="Drop objects of fewer pixels.")] = 1,
    max_size: Annotated[int, typer.Option("--max-size", help="Drop objects of more pixels; 0 = no limit.")] = 0,
    exclude_border: Annotated[bool, typer.Option("--exclude-border", help="Drop objects at the image border.")] = False,
    device: Annotated[str | None, DEVICE_OPTION] = None,
    forest: Annotated[str, FOREST_OPTION] = "device",
    as_json: bool = JSON_OPTION,
) -> None:
    """Segment an image with a trained classifier; print the number of objects and their total area."""
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.training import SegmentOptions, segment_file  # noqa: PLC0415
    from compdistort.pipeline.training_words import describe_segmentation  # noqa: PLC0415

    options = SegmentOptions(
        threshold=threshold,
        strict=strict,
        smoothing_px=smoothing,
        connectivity=connectivity,
        include_holes=include_holes,
        min_size=min_size,
        max_size=max_size,
        exclude_border=exclude_border,
        probability=probability,
        labels=labels_out,
    )
    result = segment_file(image, model, out, options, chosen_device(device), forest)
    OutputState.emit(result, describe_segmentation(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(segment)
