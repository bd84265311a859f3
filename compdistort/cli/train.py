"""`compdistort train` and `compdistort segment`: make a pixel classifier, and use one."""

from pathlib import Path
from typing import Annotated

import typer

from compdistort.cli.common import DEVICE_OPTION, FOREST_OPTION, JSON_OPTION, PAIRS_OPTION, OutputState, chosen_device
from compdistort.cli.features import PLANAR_OPTION

MULTIPLE = ("--labels", "--masks", "--held-out", "--sigma", "--planar", "--pairs")
"""Options that take several words."""


def train(
    raw: Annotated[list[Path], typer.Argument(metavar="RAW...", help="Raw images or stacks, 16 bit.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Model file to write (.npz).")],
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", help="Annotations, one file an image: 0 = none, 1 to 255 = class.")
    ] = None,
    masks: Annotated[
        list[Path] | None,
        typer.Option("--masks", help="Instead of --labels: masks of every object, of which annotations are drawn."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=2, help="Pixels drawn of every mask.")] = 20_000,
    prior: Annotated[
        str, typer.Option("--prior", help="How: natural (evenly over the image) or balanced (as many of each class).")
    ] = "natural",
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose threshold and smallest size too, leaving out one image at a time.")
    ] = False,
    radius: Annotated[
        float, typer.Option("--radius", help="Of --tune: largest distance of found and true centres, pixels.")
    ] = 3.0,
    name: Annotated[
        str | None,
        typer.Option("--set", help="Features: weka (2D), ilastik, vigra, plain or fast; default: the preset's."),
    ] = None,
    sigma: Annotated[list[float] | None, typer.Option("--sigma", help="Scales, instead of the set's own.")] = None,
    planar: Annotated[list[float] | None, PLANAR_OPTION] = None,
    pairs: Annotated[list[str] | None, PAIRS_OPTION] = None,
    preset: Annotated[str, typer.Option("--preset", help="Forest: weka (200 trees) or ilastik (100 trees).")] = "weka",
    held_out: Annotated[
        list[Path] | None, typer.Option("--held-out", help="Annotations for judging only, one file an image.")
    ] = None,
    foreground: Annotated[
        int | None, typer.Option("--foreground", min=1, max=255, help="Value of the objects; default: the highest.")
    ] = None,
    balanced: Annotated[
        bool | None,
        typer.Option(
            "--balance/--no-balance",
            help="Every class weighs the same (Weka and ilastik: no); default: unless drawn by natural prior.",
        ),
    ] = None,
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
    judged; the forest that is written is trained on all of them. What --tune chooses is kept in the model file:
    `segment` and studies use it where nothing else is said.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.training import train_files  # noqa: PLC0415
    from compdistort.pipeline.training_inputs import TrainOptions  # noqa: PLC0415
    from compdistort.pipeline.training_words import describe_training  # noqa: PLC0415

    options = TrainOptions(
        preset=preset,
        set_name=name,
        sigmas=tuple(sigma or ()),
        planar=tuple(planar or ()),
        pairs=tuple(pairs or ()),
        foreground=foreground,
        seed=seed,
        balanced=balanced,
        bins=bins,
        samples=samples,
        prior=prior,
        tune=tune,
        radius_px=radius,
    )
    result = train_files(
        raw,
        labels or (),
        out,
        options,
        masks=masks or (),
        held_out=held_out or (),
        device=chosen_device(device),
        forest=forest,
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
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Object where probability >= this; default: as tuned in training, else 0.5."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Object where probability > threshold.")] = False,
    smoothing: Annotated[
        float, typer.Option("--smoothing", help="Smooth the probability first, as ilastik does (1): sigma, pixels.")
    ] = 0.0,
    connectivity: Annotated[
        int | None, typer.Option("--connectivity", help="8 or 4 in 2D (default 8); 6, 18 or 26 in 3D (default 6).")
    ] = None,
    include_holes: Annotated[bool, typer.Option("--include-holes", help="Fill the holes of the objects.")] = False,
    min_size: Annotated[
        int | None,
        typer.Option("--min-size", help="Drop objects of fewer pixels; default: as tuned in training, else 1."),
    ] = None,
    max_size: Annotated[int, typer.Option("--max-size", help="Drop objects of more pixels; 0 = no limit.")] = 0,
    exclude_border: Annotated[bool, typer.Option("--exclude-border", help="Drop objects at the image border.")] = False,
    max_memory: Annotated[
        str, typer.Option("--max-memory", help="Volumes that need more are segmented slab by slab, with equal files.")
    ] = "8GiB",
    device: Annotated[str | None, DEVICE_OPTION] = None,
    forest: Annotated[str, FOREST_OPTION] = "device",
    as_json: bool = JSON_OPTION,
) -> None:
    """Segment an image with a trained classifier; print the number of objects and their total area."""
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.segmentation import SegmentOptions  # noqa: PLC0415
    from compdistort.pipeline.training import segment_file  # noqa: PLC0415
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
        max_memory=max_memory,
    )
    result = segment_file(image, model, out, options, chosen_device(device), forest)
    OutputState.emit(result, describe_segmentation(result), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(segment)
