"""What the commands share: printing for people or as JSON, and options that take several words."""

import json
import sys
from collections.abc import Collection, Sequence
from typing import Any

import typer

from compdistort.backend import DeviceRequest, choose, requested
from compdistort.errors import ResourceError

JSON_OPTION = typer.Option(False, "--json", help="Print machine-readable results.")
DEVICE_HELP = "Engine: auto, cpu, numba, numpy, cuda or cuda:NUMBER; default: COMPDISTORT_DEVICE, else auto."
FOREST_HELP = "Where the forest votes if the engine is a GPU: device or cpu; masks are the same."
DEVICE_OPTION = typer.Option("--device", help=DEVICE_HELP)
PAIRS_HELP = (
    "Columns as OPERATOR:SIGMA, instead of the set's own: GS, LoG, GGM, DoG; eigenvalues of Hessian (HE1, HE2, HE3) or "
    "structure tensor (ST1, ST2, ST3), largest first; e.g. LoG:3.5 HE1:1.6."
)
PAIRS_OPTION = typer.Option("--pairs", help=PAIRS_HELP)
FOREST_OPTION = typer.Option("--forest", help=FOREST_HELP)


def chosen_device(option: str | None) -> DeviceRequest:
    """Return the device of a command that works on one; say on stderr what ``auto`` chose, and why.

    Raises
    ------
    ConfigError
        If the word is no device, or names several.
    """
    device = requested(option)
    device.require_one()
    if device.name == "auto":
        choice = choose(device)
        typer.echo(f"engine: {choice.name} ({choice.reason})", err=True)
    return device


class OutputState:
    """How results are printed: words for people, or one JSON document on stdout with `--json`."""

    @staticmethod
    def emit(result: dict[str, Any], text: str, *, as_json: bool) -> None:
        """Print `result` as one JSON document, or `text` for people.

        Raises
        ------
        ResourceError
            If it cannot be written; a reader that has left is not meant (typer ends quietly).
        """
        words = json.dumps(result, allow_nan=False, default=str) if as_json else text
        try:
            typer.echo(words)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ResourceError(
                f"standard output: cannot be written ({error.strerror})", "results are complete: send it elsewhere"
            ) from error

    @staticmethod
    def fail(message: str, code: int) -> int:
        """Print one line on stderr and return the exit code."""
        typer.echo("compdistort: " + " ".join(message.split()), err=True)
        sys.stderr.flush()
        return code


def spread_multiple(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Repeat a flag before each of its words, which is the form that typer reads.

    Parameters
    ----------
    words : sequence of str
        Command line.
    flags : collection of str
        Options that take one or more words.

    Returns
    -------
    list of str

    Examples
    --------
    >>> spread_multiple(["--flat", "a.tif", "b.tif", "-o", "s.json"], {"--flat"})
    ['--flat', 'a.tif', '--flat', 'b.tif', '-o', 's.json']
    """
    out: list[str] = []
    current = ""
    fresh = False
    for word in words:
        if word.startswith("-") and not _is_number(word):
            current = word if word in flags else ""
            fresh = bool(current)
            out.append(word)
        elif current and not fresh:
            out += [current, word]
        else:
            out.append(word)
            fresh = False
    return out


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
