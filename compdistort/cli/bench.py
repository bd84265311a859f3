"""`compdistort bench`: which feature pipeline is the fastest at equal trust, on the user's image."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from compdistort.cli.common import DEVICE_HELP, JSON_OPTION, OutputState, chosen_device, spread_multiple
from compdistort.cli.progress import listener
from compdistort.errors import ConfigError

_GRID = ("--set", "--sigma", "--preset", "--trees", "--leaves", "--bins", "--device", "--codec")
"""Options that take several words here; in other commands some of them take one."""


class _SpreadCommand(TyperCommand):
    """A command whose options take several words after one flag."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the flag before each word, then read as usual."""
        return super().parse_args(ctx, spread_multiple(args, _GRID))


def bench(
    context: typer.Context,
    image: Annotated[
        Path | None,
        typer.Argument(metavar="[IMAGE]", help="Raw image, 16 bit; stands first. Without one a scene is simulated."),
    ] = None,
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", help="Annotations of IMAGE: 0 = none, 1 to 255 = class.")
    ] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option("--held-out", help="Annotations for judging only; else squares are kept back.")
    ] = None,
    page: Annotated[int | None, typer.Option("--page", min=0, help="Plane of a file with several.")] = None,
    sensor: Annotated[str | None, typer.Option("--sensor", help="Sensor file of IMAGE, or: estimate.")] = None,
    scene: Annotated[
        str | None, typer.Option("--scene", help="Simulated scene: spheres (default) or confluent.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=64, help="Rows and columns of the simulated scene; default 288.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--set", help="Feature sets (default: all): weka, ilastik, vigra, plain, fast.")
    ] = None,
    sigma: Annotated[
        list[str] | None, typer.Option("--sigma", help="Scales; each word is a list such as 1,1.6,3.5, or: own.")
    ] = None,
    preset: Annotated[
        list[str] | None, typer.Option("--preset", help="Forests: weka (200 trees), ilastik (100 trees; default).")
    ] = None,
    trees: Annotated[
        list[int] | None, typer.Option("--trees", min=0, help="Numbers of trees; 0 = the preset's own.")
    ] = None,
    leaves: Annotated[
        list[int] | None, typer.Option("--leaves", min=0, help="Most leaves of a tree; 0 = no limit.")
    ] = None,
    bins: Annotated[
        list[str] | None, typer.Option("--bins", help="none, uint16, uint8 (default: none and uint8).")
    ] = None,
    device: Annotated[list[str] | None, typer.Option("--device", help=f"Several may be given. {DEVICE_HELP}")] = None,
    codec: Annotated[
        list[str] | None, typer.Option("--codec", help="Codecs, such as bit-depth, jpeg:10 (default: these two).")
    ] = None,
    replicates: Annotated[int, typer.Option("-n", "--replicates", min=2, help="Replicates each measures.")] = 20,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns under the clock.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything.")] = 1,
    min_size: Annotated[
        int | None, typer.Option("--min-size", min=1, help="Smallest object; default 1, in a simulated scene 20.")
    ] = None,
    foreground: Annotated[
        int | None, typer.Option("--foreground", min=1, max=255, help="Value of the objects; default: the highest.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Largest difference of held-out score that counts as none.")
    ] = 0.005,
    margin: Annotated[float, typer.Option("--margin", help="Largest tolerated expected score, units of s.")] = 1.0,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads for the replicates; CPU times are of one thread.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder to make.")] = Path("compdistort-bench"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier benchmark.")] = False,
    progress: Annotated[str, typer.Option("--progress", help="auto, bar, plain, json or none.")] = "auto",
    as_json: bool = JSON_OPTION,
) -> None:
    """Compare feature pipelines: time, memory, size, accuracy, uncertainty, and the verdict each gives the same codecs.

    Every combination of --set, --sigma, --preset, --trees, --leaves and --bins is a pipeline, trained once and timed
    on every --device. It answers which one is the fastest at equal trust: as accurate as the best within --tolerance,
    and with the same verdict on every codec. IMAGE stands first, before all options. Planes only, no stacks.
    """
    # Imported here: `compdistort --help` must not load SciPy and the image codecs.
    from compdistort.pipeline.bench import BenchOptions, describe_bench, run_bench  # noqa: PLC0415

    grid = {"sets": name, "sigmas": sigma, "presets": preset, "trees": trees, "leaves": leaves, "bins": bins}
    given: dict[str, Any] = {key: tuple(words) for key, words in {**grid, "codecs": codec}.items() if words}
    options = BenchOptions(
        image=image,
        labels=_one(labels, "--labels"),
        held_out=_one(held_out, "--held-out"),
        page=page,
        sensor=sensor,
        scene=scene,
        size=size,
        replicates=replicates,
        rounds=rounds,
        seed=seed,
        min_size=min_size,
        foreground=foreground,
        tolerance=tolerance,
        margin=margin,
        threads=threads,
        **given,
    )
    devices = [chosen_device(word) for word in device] if device else [chosen_device(None)]
    result = run_bench(options, out, devices, replace_old=force, progress=listener(progress), stop=context.obj)
    OutputState.emit(result, describe_bench(result), as_json=as_json)


def _one(files: list[Path] | None, flag: str) -> Path | None:
    if files and len(files) > 1:
        raise ConfigError(f"{flag}: {len(files)} files for one image", "give one, after the image")
    return files[0] if files else None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=_SpreadCommand)(bench)
