"""The typer application, and the one place where errors become exit codes."""

import sys
import traceback
from importlib import import_module

import typer

from compdistort.cli.common import OutputState, spread_multiple
from compdistort.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_USAGE, CompdistortError

app = typer.Typer(
    name="compdistort",
    help="How far may a micrograph be compressed before the numbers measured in it change by more than sensor noise?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMAND_MODULES = ("calibrate", "synth", "features", "train", "measure", "study", "system")
"""Modules of this package; each offers `register(app)`."""

_modules = {name: import_module(f"compdistort.cli.{name}") for name in COMMAND_MODULES}
for _module in _modules.values():
    _module.register(app)

MULTIPLE = frozenset(flag for module in _modules.values() for flag in getattr(module, "MULTIPLE", ()))
"""Options that take several words after one flag."""


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
    try:
        code = app(args=spread_multiple(words, MULTIPLE), standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return OutputState.fail("stopped by the keyboard", EXIT_INTERRUPTED)
    except typer.TyperException as error:  # what typer says of unknown commands, options and values
        return OutputState.fail(getattr(error, "message", "") or str(error), EXIT_USAGE)
    except CompdistortError as error:
        if debug:
            traceback.print_exc()
        return OutputState.fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return OutputState.fail(
            f"internal error: {type(error).__name__}: {error}; run again with --debug and report the traceback",
            EXIT_INTERNAL,
        )
    return int(code or 0)
