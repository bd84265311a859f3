"""Commands about the program itself: doctor, selftest, demo."""

from pathlib import Path
from typing import Any

import typer

from compdistort.cli.common import DEVICE_HELP, FOREST_HELP, JSON_OPTION, OutputState
from compdistort.cli.progress import listener

_CUDA_PARTS = (("CuPy", "cupy"), ("driver for CUDA", "driver"), ("NVRTC", "nvrtc"))


def doctor(device: str = typer.Option(None, help=DEVICE_HELP), as_json: bool = JSON_OPTION) -> None:
    """Say which engine is chosen and why, and what is installed."""
    from compdistort.pipeline.environment import doctor as examine  # noqa: PLC0415

    found = examine(device)
    error = found.pop("error")
    lines = [f"engine: {found['chosen']} ({found['why']})"]
    lines += [f"  {name} = {value}" for name, value in found["environment"].items() if value]
    lines += [f"  --device {name}: {text}" for name, text in found["devices"].items()]
    lines += _cuda_lines(found["cuda"])
    lines += [f"{found['processors']} processors, {found['memory_gib']} GiB of memory, {found['system']}"]
    lines += [f"compdistort {found['compdistort']}, Python {found['python']}"]
    lines += [f"  {name} {version}" for name, version in found["packages"].items()]
    OutputState.emit(found, "\n".join(lines), as_json=as_json)
    if error is not None:
        raise error


def _cuda_lines(cuda: dict[str, Any]) -> list[str]:
    """Return what `doctor` prints of CUDA."""
    versions = [f"{name} {cuda[key]}" for name, key in _CUDA_PARTS if cuda[key]]
    lines = [f"CUDA: {', '.join(versions) or 'nothing found'}"]
    if cuda["problem"]:
        lines.append(f"  missing: {cuda['problem']}; {cuda['remedy']}")
    for each in cuda["devices"]:
        state = f"cannot be used: {each['problem']}; {each['remedy']}" if each["problem"] else "usable"
        lines.append(
            f"  device {each['index']}: {each['name']}, compute capability {each['compute_capability']}, "
            f"{each['memory_free_gib']} of {each['memory_gib']} GiB free: {state}"
        )
    trouble = cuda["kernel_cache_problem"]
    return [*lines, f"  compiled kernels: {cuda['kernel_cache']}" + (f" (not used: {trouble})" if trouble else "")]


def selftest(as_json: bool = JSON_OPTION) -> int:
    """Compare every engine that works here with its slow twin, and with known answers."""
    from compdistort.pipeline.selftest import run_selftest  # noqa: PLC0415

    found = run_selftest()
    lines = [f"{'ok  ' if item['passed'] else 'FAIL'} {item['name']}: {item['detail']}" for item in found["checks"]]
    lines += [f"skip {item['name']}: {item['reason']}" for item in found["skipped"]]
    OutputState.emit(found, "\n".join(lines), as_json=as_json)
    return 0 if found["passed"] else 1


def demo(
    context: typer.Context,
    kind: str = typer.Option("phase", help="phase (a plane), lightsheet (a volume) or opt (projections)."),
    scene: str = typer.Option(None, help="Of phase: spheres (small, sparse; default) or confluent (large, dense)."),
    output: Path = typer.Option(Path("demo"), "-o", "--output", help="Folder to make."),
    replicates: int = typer.Option(
        None, "-n", "--replicates", min=2, help="Replicates; default 100, lightsheet 50, opt 30."
    ),
    seed: int = typer.Option(1, min=0, help="Seed of scene, camera and replicates."),
    device: str = typer.Option(
        None, help="Engine: auto, cpu, numba, numpy, cuda or cuda:0,1; default: COMPDISTORT_DEVICE."
    ),
    forest: str = typer.Option(None, help=FOREST_HELP),
    threads: int = typer.Option(None, min=1, help="Threads; results do not depend on them."),
    progress: str = typer.Option("auto", help="auto, bar, plain, json or none."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Simulate a micrograph, a volume or projections with known truth, calibrate the camera, and run a whole study."""
    from compdistort.pipeline.demo import run_demo  # noqa: PLC0415
    from compdistort.pipeline.verdicts import summarise, verdict_table  # noqa: PLC0415

    outcome = run_demo(
        kind,
        scene,
        output,
        n_replicates=replicates,
        seed=seed,
        device=device,
        settings={"forest": forest, "threads": threads},
        progress=listener(progress),
        stop=context.obj,
    )
    OutputState.emit(summarise(outcome), verdict_table(outcome), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (doctor, selftest, demo):
        app.command()(command)
