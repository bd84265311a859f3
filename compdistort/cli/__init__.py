"""The command line: thin commands over `compdistort.pipeline`."""

import sys

from compdistort.errors import EXIT_INTERRUPTED


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; see `compdistort.cli.app.main`."""
    try:
        from compdistort.cli.app import main as run  # noqa: PLC0415 - a single command's helpers need not load them all
    except KeyboardInterrupt:
        sys.stderr.write("compdistort: stopped by the keyboard before anything was done; run the command again\n")
        return EXIT_INTERRUPTED
    return run(arguments)
