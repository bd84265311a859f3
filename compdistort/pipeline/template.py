"""The commented study file that `compdistort init` writes."""

from importlib.resources import files
from pathlib import Path

from compdistort.errors import ConfigError
from compdistort.io.files import atomic_path


def template_text() -> str:
    """Return the commented study file."""
    return (files("compdistort.pipeline") / "study_template.toml").read_text(encoding="utf-8")


def write_template(path: Path, *, replace: bool = False) -> None:
    """Write the commented study file.

    Raises
    ------
    ConfigError
        If the file exists and `replace` is False.
    ResourceError
        If it cannot be written.
    """
    if path.exists() and not replace:
        raise ConfigError(f"{path}: exists already", "choose another name, or replace it with --force")
    with atomic_path(path) as temporary:
        temporary.write_text(template_text(), encoding="utf-8")
