"""The typer application, and the one place where errors become exit codes."""

import sys
import traceback
from importlib import import_module

import typer

from compdistort import __version__
from compdistort.cli.common import OutputState, spread_multiple
from compdistort.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_USAGE, CompdistortError
from compdistort.pipeline.stopping import StopFlag

app = typer.Typer(
    name="compdistort",
    help="How far may a micrograph be compressed before the numbers measured in it change by more than sensor noise?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"compdistort {__version__}")
        raise typer.Exit


COMMAND_MODULES = (
    "calibrate",
    "synth",
    "codecs",
    "encode",
    "features",
    "train",
    "ilastik",
    "measure",
    "study",
    "sweep",
    "bench",
    "system",
)
"""Modules of this package; each offers `register(app)`."""

_modules = {name: import_module(f"compdistort.cli.{name}") for name in COMMAND_MODULES}
for _module in _modules.values():
    _module.register(app)

MULTIPLE = frozenset(flag for module in _modules.values() for flag in getattr(module, "MULTIPLE", ()))
"""Options that take several words after one flag."""


_TYPER_INTERRUPTED = 130
_STOPPED = "stopped by a signal; nothing is half-written: run the command again, a study by `compdistort resume`"


@app.callback()
def _program(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Words after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 done, 1 internal error, 2 usage or config, 3 bad input data, 4 resource, 5 interrupted (resumable),
        6 done but `--fail-on` met.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"] or ["--help"]
    stop = StopFlag()
    try:
        with stop.interrupting():
            code = app(args=spread_multiple(words, MULTIPLE), standalone_mode=False, obj=stop)
    except (typer.Abort, KeyboardInterrupt):
        return OutputState.fail(_STOPPED, EXIT_INTERRUPTED)
    except typer.TyperException as error:  # what typer says of unknown commands, options and values
        return OutputState.fail(f"{error.format_message().rstrip('.')}; see {_help_command(words)}", EXIT_USAGE)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _fail(error, stop)
    if code == _TYPER_INTERRUPTED:  # typer's own code for a KeyboardInterrupt
        return OutputState.fail(_STOPPED, EXIT_INTERRUPTED)
    return int(code or 0)


def _fail(error: Exception, stop: StopFlag) -> int:
    """Print what an exception means to the user and return the exit code."""
    if isinstance(error, CompdistortError):
        return OutputState.fail(str(error), error.exit_code)
    if stop.requested:  # what an interrupted import of a compiled module turns into
        return OutputState.fail(_STOPPED, EXIT_INTERRUPTED)
    return OutputState.fail(
        f"internal error: {type(error).__name__}: {error}; run again with --debug and report the traceback",
        EXIT_INTERNAL,
    )


def _help_command(words: list[str]) -> str:
    """Return the help that fits a command line which could not be read."""
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return " ".join(["`compdistort", *(word for word in words[:1] if word in known), "--help`"])
