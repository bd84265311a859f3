"""The command line: thin commands over `compdistort.pipeline`."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; see `compdistort.cli.app.main`."""
    from compdistort.cli.app import main as run  # noqa: PLC0415 - a single command's helpers need not load them all

    return run(arguments)
